//! Copernica's shapes: envelopes, ids, event names, empty arrays that mean empty objects.

use crate::json;
use crate::unknown::Vocabulary;
use serde_json::{Map, Value};

/// Webhook types that tell about mailings, not about profiles.
const MAILING_EVENTS: [&str; 8] =
    ["click", "open", "delivery", "bounce", "failure", "complaint", "abuse", "impression"];

/// The documented words (webhooks, *rest-post-database-fields*); samples hold `action` and `id` beside them.
pub(super) const VOCABULARY: Vocabulary = Vocabulary {
    events: &["create", "update", "delete", "unsubscribe"],
    event_keys: &[
        "type",
        "action",
        "id",
        "parameters",
        "timestamp",
        "time",
        "profile",
        "subprofile",
        "database",
        "collection",
        "mailing",
        "created",
        "modified",
        "fields",
        "interests",
    ],
    // Profiles have none.
    statuses: &[],
    field_types: &[
        "text",
        "email",
        "phone",
        "phone_fax",
        "phone_gsm",
        "select",
        "big",
        "integer",
        "float",
        "date",
        "empty_date",
        "datetime",
        "empty_datetime",
        "foreign_key",
        "country_code",
    ],
    is_id: |id| id.bytes().all(|byte| byte.is_ascii_digit()),
};

/// Whether a webhook of this type is about a mailing.
pub(super) fn is_mailing_event(name: &str) -> bool {
    MAILING_EVENTS.contains(&name)
}

/// The id of a record: text in REST, perhaps a number in webhooks; 0 is nobody.
pub(super) fn id(value: Option<&Value>) -> Option<String> {
    json::id(value).filter(|id| id != "0")
}

/// The id of a REST object, which is `ID`.
pub(super) fn own_id(object: &Map<String, Value>) -> Option<String> {
    id(object.get("ID").or_else(|| object.get("id")))
}

/// A map of values. PHP writes an empty one as an empty list, and a form as nothing.
pub(super) fn map(value: &Value) -> Option<Map<String, Value>> {
    match value {
        Value::Object(map) => Some(map.clone()),
        Value::Array(items) if items.is_empty() => Some(Map::new()),
        Value::String(text) if text.is_empty() => Some(Map::new()),
        _ => None,
    }
}

/// The same, taken out of where it stands.
pub(super) fn take_map(value: &mut Value) -> Option<Map<String, Value>> {
    match value {
        Value::Object(map) => Some(std::mem::take(map)),
        other => map(other),
    }
}

/// What unsubscribing does, and the values that it gives to fields.
pub(super) fn unsubscribing(body: &Value) -> Option<(String, Map<String, Value>)> {
    let action = body.get("behavior")?.as_str()?.to_owned();
    Some((action, body.get("fields").and_then(map).unwrap_or_default()))
}

/// A page of a list (*rest-paging*).
pub(super) struct Envelope<'a> {
    /// Its rows.
    pub(super) data: &'a [Value],
    /// Offset of the first row.
    pub(super) start: u64,
    /// Rows that a page holds at most, as upstream capped it.
    pub(super) limit: Option<u64>,
    /// Rows that upstream says this page has.
    pub(super) count: Option<u64>,
    /// Rows in all, where it was asked for.
    pub(super) total: Option<u64>,
}

impl<'a> Envelope<'a> {
    /// Reads an envelope; a bare list is one that holds everything.
    pub(super) fn read(value: &'a Value) -> Option<Self> {
        if let Value::Array(data) = value {
            let total = Some(data.len() as u64);
            return Some(Self { data, start: 0, limit: None, count: total, total });
        }
        let number = |name: &str| json::count(value.get(name));
        Some(Self {
            data: value.get("data")?.as_array()?,
            start: number("start").unwrap_or(0),
            limit: number("limit").filter(|limit| *limit > 0),
            count: number("count"),
            total: number("total"),
        })
    }

    /// The rows of an envelope or a bare list, taken out of it.
    pub(super) fn take_rows(value: &mut Value) -> Vec<Value> {
        let list = if value.is_array() { Some(value) } else { value.get_mut("data") };
        list.and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default()
    }

    /// Whether rows follow that are not on this page.
    pub(super) fn is_truncated(&self) -> bool {
        let end = self.start + self.data.len() as u64;
        match (self.total, self.limit) {
            (Some(total), _) => end < total,
            (None, Some(limit)) => self.data.len() as u64 >= limit,
            (None, None) => false,
        }
    }
}
