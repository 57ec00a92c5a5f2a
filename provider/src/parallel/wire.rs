//! Parallel's words and shapes: statuses, labels by locale, kinds of profile types, field contents.

use crate::unknown::Vocabulary;
use crate::{ProfileKind, Status, json};
use serde_json::{Map, Value};

/// The statuses that a list can be asked for. Whether a list without `status` shows closed profiles
/// is not documented, so each is asked for on its own.
pub(super) const LISTED_STATUSES: [&str; 3] = ["OPEN", "CLOSED", "DELETION_SCHEDULED"];

/// Events that are always about one profile (help page on event subscriptions).
pub(super) const KNOWN_EVENTS: [&str; 13] = [
    "PROFILE_CREATED",
    "PROFILE_UPDATED",
    "PROFILE_FIELD_VALUE_UPDATED",
    "PROFILE_FIELD_EXPIRY_UPDATED",
    "PROFILE_FIELD_FILE_ADDED",
    "PROFILE_FIELD_FILE_REMOVED",
    "PROFILE_FIELD_VALUE_MONITORED",
    "PROFILE_RELATIONSHIP_CREATED",
    "PROFILE_RELATIONSHIP_REMOVED",
    "PROFILE_CLOSED",
    "PROFILE_REOPENED",
    "PROFILE_SCHEDULED_FOR_DELETION",
    "PROFILE_ANONYMIZED",
];

/// The documented words (help page on event subscriptions, API reference).
pub(super) const VOCABULARY: Vocabulary = Vocabulary {
    events: &KNOWN_EVENTS,
    event_keys: &["id", "profileId", "type", "data", "createdAt"],
    statuses: &["OPEN", "CLOSED", "DELETION_SCHEDULED", "SCHEDULED_FOR_DELETION", "ANONYMIZED"],
    field_types: &[
        "TEXT",
        "SHORT_TEXT",
        "FILE",
        "DATE",
        "PHONE",
        "NUMBER",
        "SELECT",
        "CHECKBOX",
        "USER_ASSIGNMENT",
        "BACKGROUND_CHECK",
        "ADVERSE_MEDIA_SEARCH",
    ],
    is_id: |id| id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')),
};

/// The status that Parallel calls `word`.
pub(super) fn status(word: &str) -> Option<Status> {
    match word {
        "OPEN" => Some(Status::Open),
        "CLOSED" => Some(Status::Closed),
        "DELETION_SCHEDULED" | "SCHEDULED_FOR_DELETION" => Some(Status::ScheduledForDeletion),
        "ANONYMIZED" => Some(Status::Anonymized),
        _ => None,
    }
}

/// A label for people: English where there is one, else the first there is, else plain text.
pub(super) fn label(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::Object(by_locale) => {
            json::text(by_locale.get("en")).or_else(|| by_locale.values().find_map(|text| json::text(Some(text))))
        }
        other => json::text(Some(other)),
    }
}

/// What profiles of a type are about, told from any of its names and its standard type.
///
/// Every account starts with *Individual* and *Legal entity*; others are the customer's own.
pub(super) fn kind(profile_type: &Map<String, Value>) -> ProfileKind {
    let mut words: Vec<String> = ["standardType", "alias"]
        .iter()
        .filter_map(|key| json::text(profile_type.get(*key)))
        .chain(label(profile_type.get("name")))
        .collect();
    if let Some(Value::Object(names)) = profile_type.get("name") {
        words.extend(names.values().filter_map(|name| json::text(Some(name))));
    }
    let says = |needles: &[&str]| {
        words.iter().any(|word| {
            let word = word.to_lowercase().replace('_', " ");
            needles.iter().any(|needle| word.contains(needle))
        })
    };
    // "Legal person" is a company although it says person.
    if says(&[
        "legal",
        "company",
        "compañía",
        "empresa",
        "entity",
        "entidad",
        "organisation",
        "organization",
        "business",
    ]) {
        ProfileKind::Company
    } else if says(&["individual", "person", "contact", "people"]) {
        ProfileKind::Individual
    } else {
        ProfileKind::Other
    }
}

/// The key of a field: its alias, else its id.
pub(super) fn field_key(field: &Map<String, Value>) -> Option<String> {
    json::text(field.get("alias")).or_else(|| json::id(field.get("id")))
}

/// What a field value holds: `content.value`, else the whole content; `None` where it holds nothing.
pub(super) fn content(value: &Value) -> Option<Value> {
    let content = match value {
        Value::Null => return None,
        Value::Array(values) => {
            let contents: Vec<Value> = values.iter().filter_map(content).collect();
            return (!contents.is_empty()).then_some(Value::Array(contents));
        }
        Value::Object(value) => value.get("content").unwrap_or(&Value::Null),
        bare => bare,
    };
    let inner = match content {
        Value::Object(object) => object.get("value").unwrap_or(content),
        other => other,
    };
    (!inner.is_null()).then(|| inner.clone())
}

/// Reads a list's envelope: its rows, and how many there are in all.
pub(super) fn envelope(body: &[u8]) -> Result<(Vec<Value>, u64), String> {
    let mut object = json::read_object(body)?;
    let total = json::count(object.get("totalCount")).ok_or("the list has no totalCount")?;
    match object.remove("items") {
        Some(Value::Array(items)) => Ok((items, total)),
        _ => Err("the list has no items".to_owned()),
    }
}
