//! GetProfile's shapes: flat and wrapped profiles, scored objects, sections that become fields.

use crate::unknown::Vocabulary;
use crate::{InterestSeen, json};
use serde_json::{Map, Value};

/// Sections whose entries are fields of their own (`core_info.name`).
const SECTIONS: [&str; 4] = ["core_info", "interests", "personality", "preferences"];
/// Entries of a profile that are not fields: ids, status, times, and the log that grows without bound.
const NOT_FIELDS: [&str; 8] =
    ["profile_id", "id", "tenant_id", "status", "created_at", "last_updated", "field_timestamps", "update_log"];

/// The documented words (*integrations/webhooks*, the vendor's client; `active` stands in one sample of a search). An
/// id is the account's own, and may be any text without blanks and control characters.
pub(super) const VOCABULARY: Vocabulary = Vocabulary {
    events: &["profile.updated"],
    event_keys: &["id", "event", "tenant_id", "data", "created_at", "webhook_id"],
    statuses: &["processing", "summarizing", "ready", "active"],
    field_types: &[],
    is_id: |id| !id.chars().any(|c| c.is_whitespace() || c.is_control()),
};

/// The profile within an answer: the reference wraps it, the guide and the client have it flat.
pub(super) fn unwrap_profile(mut answer: Map<String, Value>) -> Map<String, Value> {
    match answer.remove("profile") {
        Some(Value::Object(mut profile)) => {
            if let Some(id) = answer.remove("profile_id") {
                profile.entry("profile_id").or_insert(id);
            }
            profile
        }
        Some(other) => {
            answer.insert("profile".to_owned(), other);
            answer
        }
        None => answer,
    }
}

/// The id of a profile row; in a wrapped row it may stand outside.
pub(super) fn profile_id(row: &Value) -> Option<String> {
    let inside = row.get("profile");
    json::id(row.get("profile_id"))
        .or_else(|| json::id(inside.and_then(|profile| profile.get("profile_id"))))
        .or_else(|| json::id(row.get("id")))
}

/// The fields of a profile under dotted names: two levels into the known sections, one elsewhere.
/// Values are raw; entries that are null are not there.
pub(super) fn fields(profile: &Map<String, Value>) -> Map<String, Value> {
    let mut fields = Map::new();
    for (section, value) in profile {
        if NOT_FIELDS.contains(&section.as_str()) || value.is_null() {
            continue;
        }
        match value {
            Value::Object(entries) if SECTIONS.contains(&section.as_str()) => fields.extend(
                entries
                    .iter()
                    .filter(|(_, value)| !value.is_null())
                    .map(|(key, value)| (format!("{section}.{key}"), value.clone())),
            ),
            other => {
                fields.insert(section.clone(), other.clone());
            }
        }
    }
    fields
}

/// The interests of a profile: category as group, value as name; sorted, each once.
pub(super) fn interests(profile: &Map<String, Value>) -> Vec<InterestSeen> {
    let Some(Value::Object(categories)) = profile.get("interests") else {
        return Vec::new();
    };
    let mut interests: Vec<InterestSeen> = categories
        .iter()
        .flat_map(|(category, items)| {
            let items = items.as_array().map_or_else(|| std::slice::from_ref(items), Vec::as_slice);
            items.iter().filter_map(|item| {
                let name = scored_text(item)?;
                Some(InterestSeen { group: Some(category.clone()), name })
            })
        })
        .collect();
    interests.sort();
    interests.dedup();
    interests
}

/// The text of a scored object (`{"value","confidence"}`) or of a bare scalar.
pub(super) fn scored_text(item: &Value) -> Option<String> {
    let value = match item {
        Value::Object(scored) => scored.get("value")?,
        bare => bare,
    };
    json::scalar(value).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}
