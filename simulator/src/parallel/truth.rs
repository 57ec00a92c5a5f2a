//! Parallel's part of the oracle.

use serde_json::Value;

use super::world::{End, Profile, Status, World};
use crate::truth::{Truth, TruthProfile, TruthRelationship, TruthStatus, non_empty};

pub(crate) fn truth(world: &World) -> Truth {
    let mut truth = Truth::default();
    for profile in world.profiles.values() {
        let type_id = world.types[profile.kind].id.clone();
        let found = match profile.end {
            Some(End::Anonymized) => TruthProfile::emptied(type_id, TruthStatus::Anonymized),
            Some(End::Vanished) => TruthProfile::emptied(type_id, TruthStatus::Deleted),
            None => living(world, type_id, profile),
        };
        truth.profiles.insert(profile.id.clone(), found);
    }
    for (id, relationship) in &world.relationships {
        let kind = &world.relationship_types[relationship.kind];
        let (Some(left), Some(right)) =
            (world.profiles.get(&relationship.left), world.profiles.get(&relationship.right))
        else {
            continue;
        };
        let relationship = TruthRelationship {
            type_name: kind.alias.unwrap_or(&kind.id).to_owned(),
            from: left.id.clone(),
            to: right.id.clone(),
        };
        truth.relationships.insert(id.clone(), relationship);
    }
    truth
}

fn living(world: &World, type_id: String, profile: &Profile) -> TruthProfile {
    let kind = &world.types[profile.kind];
    let fields = profile.values.iter().map(|(at, held)| (kind.fields[*at].key().to_owned(), held.value.clone()));
    let fields: std::collections::BTreeMap<String, Value> = fields.collect();
    let status = match profile.status {
        // Whoever does not know the word has no reason to think that anything ended.
        Status::Open | Status::Unheard(_) => TruthStatus::Open,
        Status::Closed => TruthStatus::Closed,
        Status::DeletionScheduled => TruthStatus::ScheduledForDeletion,
    };
    TruthProfile {
        email: fields.get("p_email").and_then(Value::as_str).and_then(non_empty),
        name: non_empty(&world.name(profile)),
        upstream_status: Some(profile.status.wire_name().to_owned()),
        fields,
        ..TruthProfile::emptied(type_id, status)
    }
}
