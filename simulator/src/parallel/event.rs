//! Parallel's thin JSON webhooks: one event a request, ids only.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::world::World;
use crate::clock::iso_millis;
use crate::context::ProviderKind;
use crate::outbox::Event;

/// The user of the simulator behind every change.
pub(crate) const USER: &str = "usr3kP0aXb";

/// One event about one profile, with an id of its own.
pub(crate) fn event(world: &mut World, kind: &str, place: u64, data: Value, now: DateTime<Utc>) -> Option<Event> {
    let id = world.new_id();
    let profile = world.profiles.get(&place)?;
    let type_id = world.types[profile.kind].id.clone();
    let body = json!({"id": id, "profileId": profile.id, "type": kind, "data": data, "createdAt": iso_millis(now)});
    Some(Event {
        provider: ProviderKind::Parallel,
        event: kind.to_owned(),
        profile: profile.id.clone(),
        body: body.to_string().into_bytes(),
        scope: vec![type_id],
    })
}

/// The event of one changed field, by the field's type and whether it has a value now.
pub(crate) fn field_changed(world: &mut World, place: u64, field: usize, now: DateTime<Utc>) -> Option<Event> {
    let profile = world.profiles.get(&place)?;
    let filled = profile.values.contains_key(&field);
    let definition = &world.types[profile.kind].fields[field];
    let mut data =
        json!({"userId": USER, "integrationId": null, "profileTypeFieldId": definition.id, "alias": definition.alias});
    let kind = match (definition.kind, filled) {
        ("FILE", true) => "PROFILE_FIELD_FILE_ADDED",
        ("FILE", false) => "PROFILE_FIELD_FILE_REMOVED",
        _ => "PROFILE_FIELD_VALUE_UPDATED",
    };
    if definition.kind == "FILE" {
        data["profileFieldFileId"] = json!(world.new_id());
    }
    event(world, kind, place, data, now)
}

/// The one event that follows all field events of a change.
pub(crate) fn updated(world: &mut World, place: u64, fields: &[usize], now: DateTime<Utc>) -> Option<Event> {
    let kind = world.profiles.get(&place)?.kind;
    let ids: Vec<&String> = fields.iter().map(|at| &world.types[kind].fields[*at].id).collect();
    let data = json!({"userId": USER, "integrationId": null, "profileTypeFieldIds": ids});
    event(world, "PROFILE_UPDATED", place, data, now)
}

/// What a relationship event tells: the relationship and its type, neither the other profile nor the direction.
pub(crate) fn relationship_data(world: &World, id: &str, kind: usize, reason: Option<&str>) -> Value {
    let kind = &world.relationship_types[kind];
    let mut data = json!({
        "userId": USER, "integrationId": null, "profileRelationshipId": id, "profileRelationshipTypeId": kind.id,
        "relationshipAlias": kind.alias,
    });
    if let Some(reason) = reason {
        data["reason"] = json!(reason);
    }
    data
}
