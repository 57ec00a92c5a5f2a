//! GetProfile's part of the oracle.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::world::{Profile, World};
use crate::truth::{Truth, TruthProfile, TruthStatus, non_empty};

const TYPE: &str = "profile";

pub(crate) fn truth(world: &World) -> Truth {
    let mut truth = Truth::default();
    for id in &world.deleted {
        truth.profiles.insert(id.clone(), TruthProfile::emptied(TYPE.to_owned(), TruthStatus::Deleted));
    }
    for (id, profile) in &world.profiles {
        truth.profiles.insert(id.clone(), living(profile));
    }
    truth
}

fn living(profile: &Profile) -> TruthProfile {
    let sections = profile.sections.unpack();
    TruthProfile {
        upstream_status: Some(profile.progress.wire_name().to_owned()),
        fields: fields(&sections),
        interests: interests(&sections),
        name: sections.get("core_info").and_then(|core| core.get("name")).and_then(bare_text).and_then(non_empty),
        ..TruthProfile::emptied(TYPE.to_owned(), TruthStatus::Open)
    }
}

/// Two levels deep where a section is an object, one level where it is a list or a scalar.
fn fields(sections: &Map<String, Value>) -> BTreeMap<String, Value> {
    let mut fields = BTreeMap::new();
    for (section, value) in sections {
        match value {
            Value::Object(parts) => {
                fields.extend(parts.iter().map(|(part, value)| (format!("{section}.{part}"), value.clone())));
            }
            other => {
                fields.insert(section.clone(), other.clone());
            }
        }
    }
    fields
}

fn interests(sections: &Map<String, Value>) -> BTreeSet<(Option<String>, String)> {
    let mut found = BTreeSet::new();
    let categories = sections.get("interests").and_then(Value::as_object).into_iter().flatten();
    for (category, values) in categories {
        let names = values.as_array().into_iter().flatten().filter_map(bare_text);
        found.extend(names.map(|name| (Some(category.clone()), name.to_owned())));
    }
    found
}

/// The text of a scored or bare value.
pub(crate) fn bare_text(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value.get("value")?.as_str())
}
