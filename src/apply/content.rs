//! Content of records: what differs between two states of it, as the change log keeps it, and its hash.

use serde_json::{Map, Value};

/// The differences between two sets of fields, as the change log keeps them.
pub(super) fn differences(before: &Value, after: &Map<String, Value>) -> Vec<Value> {
    let nothing = Map::new();
    let before = before.as_object().unwrap_or(&nothing);
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort_unstable();
    names.dedup();
    names
        .into_iter()
        .filter(|name| before.get(*name) != after.get(*name))
        .map(|name| difference(name, before.get(name).cloned(), after.get(name).cloned()))
        .collect()
}

/// Whether a stored object is the seen one, but for how a database writes numbers.
pub(super) fn is_same_object(stored: &Map<String, Value>, seen: &Map<String, Value>) -> bool {
    let is_same =
        |(name, value): (&String, &Value)| stored.get(name).is_some_and(|stored| is_same_value(stored, value));
    stored.len() == seen.len() && seen.iter().all(is_same)
}

fn is_same_value(stored: &Value, seen: &Value) -> bool {
    match (stored, seen) {
        (Value::Number(one), Value::Number(another)) => {
            let (one, another) = (one.as_f64().unwrap_or(0.0), another.as_f64().unwrap_or(0.0));
            one == another || (one - another).abs() <= one.abs() * 1e-12
        }
        (Value::Array(one), Value::Array(another)) => {
            one.len() == another.len() && one.iter().zip(another).all(|(one, another)| is_same_value(one, another))
        }
        (Value::Object(one), Value::Object(another)) => is_same_object(one, another),
        _ => stored == seen,
    }
}

/// A difference in something that is not a field.
pub(super) fn attribute(name: &str, before: Value, after: Value) -> Value {
    let mut told = difference(name, Some(before), Some(after));
    told["attribute"] = Value::Bool(true);
    told
}

/// What is not there is left out: a change that creates a record has nothing before, in any of its fields.
fn difference(name: &str, before: Option<Value>, after: Option<Value>) -> Value {
    let mut told = Map::from_iter([("name".to_owned(), Value::from(name))]);
    for (key, value) in [("before", before), ("after", after)] {
        if let Some(value) = value.filter(|value| !value.is_null()) {
            told.insert(key.to_owned(), value);
        }
    }
    Value::Object(told)
}

/// A 64-bit hash of content: the first bytes of SHA-256 over its canonical JSON.
///
/// Keys must come sorted, as they do in a JSON object.
pub fn content_hash(content: &impl serde::Serialize) -> i64 {
    // Values of JSON always can be written.
    let text = serde_json::to_vec(content).unwrap_or_default();
    let digest = ring::digest::digest(&ring::digest::SHA256, &text);
    let mut first = [0_u8; 8];
    first.copy_from_slice(&digest.as_ref()[..8]);
    i64::from_be_bytes(first)
}
