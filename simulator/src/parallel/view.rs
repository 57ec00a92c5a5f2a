//! Parallel's JSON: opaque ids, labels by locale, UTC times with milliseconds.

use serde_json::{Map, Value, json};

use super::world::{End, Field, Profile, ProfileType, World};
use super::{AnonymizedReads, ParallelSwitches};
use crate::clock::iso_millis;

/// Which parts of a profile a request asked for.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Include {
    pub(crate) fields: bool,
    pub(crate) relationships: bool,
    pub(crate) subscribers: bool,
}

impl Include {
    pub(crate) fn everything() -> Self {
        Self { fields: true, relationships: true, subscribers: true }
    }

    /// Takes out of a whole profile what was not asked for.
    pub(crate) fn gate(self, whole: &mut Value) {
        let Some(map) = whole.as_object_mut() else { return };
        if !self.fields {
            map.remove("fields");
            map.remove("values");
        }
        if !self.relationships {
            map.remove("relationships");
        }
        if !self.subscribers {
            map.remove("subscribers");
        }
    }
}

fn label(names: [&str; 2]) -> Value {
    json!({"en": names[0], "es": names[1]})
}

pub(crate) fn field(switches: &ParallelSwitches, field: &Field, with_options: bool) -> Value {
    let mut view = json!({
        "id": field.id, "name": label(field.name), "alias": field.alias, "type": field.kind, "isExpirable": field.is_expirable,
    });
    if field.alias.is_none()
        && switches.null_alias_is_absent
        && let Some(map) = view.as_object_mut()
    {
        map.remove("alias");
    }
    if with_options {
        let options: Vec<Value> =
            field.options.iter().map(|value| json!({"value": value, "label": label([value, value])})).collect();
        view["options"] = json!(options);
    }
    view
}

/// A profile type; `fields` says whether with its fields, and those with their options.
pub(crate) fn profile_type(switches: &ParallelSwitches, kind: &ProfileType, fields: Option<bool>) -> Value {
    let mut view = json!({"id": kind.id, "name": label(kind.name)});
    if let Some(with_options) = fields {
        view["fields"] = kind.fields.iter().map(|it| field(switches, it, with_options)).collect();
    }
    view
}

pub(crate) fn profile(world: &World, switches: &ParallelSwitches, profile: &Profile, include: Include) -> Value {
    let mut view = summary(world, profile);
    if profile.end == Some(End::Anonymized) {
        let is_told = switches.anonymized_reads == AnonymizedReads::Told;
        view["status"] = json!(if is_told { "ANONYMIZED" } else { "CLOSED" });
    }
    if let (Some(at), Some(key)) = (profile.deletion_at, switches.deletion_date_key) {
        view[key] = json!(iso_millis(at));
    }
    let kind = &world.types[profile.kind];
    if include.fields {
        let mut values = Map::new();
        let mut fields = Vec::new();
        for (at, definition) in kind.fields.iter().enumerate() {
            let held = profile.values.get(&at);
            if let Some(alias) = definition.alias {
                values.insert(alias.to_owned(), held.map_or(Value::Null, |held| held.value.clone()));
            }
            let value = held.map(|held| {
                json!({
                    "id": format!("{:.12}{at:02}", profile.id), "content": {"value": held.value}, "expiresAt": held.expires_at,
                    "createdAt": iso_millis(held.created_at),
                })
            });
            fields.push(json!({"field": field(switches, definition, false), "value": value}));
        }
        view["values"] = Value::Object(values);
        view["fields"] = Value::Array(fields);
    }
    if include.relationships {
        view["relationships"] = relationships(world, profile);
    }
    if include.subscribers {
        view["subscribers"] = json!([]);
    }
    view
}

/// The relationships of a profile, each as seen from it.
pub(crate) fn relationships(world: &World, profile: &Profile) -> Value {
    let seen = profile.relationships.iter().filter_map(|id| {
        let relationship = world.relationships.get(id)?;
        let kind = &world.relationship_types[relationship.kind];
        let left = world.profiles.get(&relationship.left)?;
        let inverse = left.id != profile.id;
        let other = if inverse { left } else { world.profiles.get(&relationship.right)? };
        Some(json!({
            "id": id, "inverse": inverse,
            "relationshipType": {
                "id": kind.id, "alias": kind.alias, "name": label(kind.name), "inverseName": label(kind.inverse_name),
            },
            "profile": summary(world, other),
        }))
    });
    seen.collect()
}

/// A profile without what has to be asked for.
fn summary(world: &World, profile: &Profile) -> Value {
    let kind = &world.types[profile.kind];
    json!({
        "id": profile.id, "name": world.name(profile), "status": profile.status.wire_name(),
        "profileType": {"id": kind.id, "name": label(kind.name)}, "createdAt": iso_millis(profile.created_at),
    })
}
