//! Copernica's part of the oracle.

use std::collections::BTreeMap;

use serde_json::Value;

use super::schema::{Field, FieldKind};
use super::view::active_interests;
use super::world::{Profile, World, value_at};
use crate::truth::{Truth, TruthProfile, TruthRelationship, TruthStatus, TruthSubprofile, non_empty};

pub(crate) fn truth(world: &World) -> Truth {
    let mut truth = Truth::default();
    for (id, profile) in &world.profiles {
        let Some(database) = world.databases.get(&profile.database) else { continue };
        let type_id = database.id.to_string();
        if profile.removed.is_some() {
            truth.profiles.insert(id.to_string(), TruthProfile::emptied(type_id, TruthStatus::Deleted));
            continue;
        }
        for (at, field) in database.fields.iter().enumerate() {
            let to = value_at(&database.fields, &profile.values, at, false);
            if field.kind == FieldKind::ForeignKey && !matches!(to, "" | "0") {
                let relationship =
                    TruthRelationship { type_name: field.name.clone(), from: id.to_string(), to: to.to_owned() };
                truth.relationships.insert(format!("fk:{}:{id}", field.name), relationship);
            }
        }
        truth.profiles.insert(id.to_string(), live_profile(world, type_id, &database.fields, profile));
    }
    truth
}

fn live_profile(world: &World, type_id: String, schema: &[Field], profile: &Profile) -> TruthProfile {
    let named = |name: &str| {
        let at = schema.iter().position(|field| field.name == name)?;
        Some(value_at(schema, &profile.values, at, false))
    };
    let name = match named("name") {
        Some(name) => non_empty(name),
        None => {
            non_empty(&format!("{} {}", named("firstname").unwrap_or_default(), named("lastname").unwrap_or_default()))
        }
    };
    let email = schema.iter().position(|field| field.kind == FieldKind::Email);
    TruthProfile {
        type_id,
        status: TruthStatus::Open,
        upstream_status: None,
        fields: fields(schema, &profile.values),
        interests: active_interests(world, profile)
            .map(|interest| (non_empty(&interest.group), interest.name.clone()))
            .collect(),
        subprofiles: subprofiles(world, profile),
        name,
        email: email.and_then(|at| non_empty(value_at(schema, &profile.values, at, false))),
    }
}

fn subprofiles(world: &World, profile: &Profile) -> BTreeMap<String, TruthSubprofile> {
    let found = profile.subprofiles.iter().filter_map(|id| {
        let subprofile = world.subprofiles.get(id)?;
        let collection = world.collections.get(&subprofile.collection)?;
        let truth = TruthSubprofile {
            collection_id: collection.id.to_string(),
            fields: fields(&collection.fields, &subprofile.values),
        };
        Some((id.to_string(), truth))
    });
    found.collect()
}

fn fields(schema: &[Field], values: &[Box<str>]) -> BTreeMap<String, Value> {
    let value = |at| Value::String(value_at(schema, values, at, false).to_owned());
    schema.iter().enumerate().map(|(at, field)| (field.name.clone(), value(at))).collect()
}
