//! Messages of the protocol, as they are read and written.

use super::close::{Close, bad};
use axum::extract::ws::Message;
use serde_json::{Map, Value};

pub(super) const PROTOCOL: &str = "graphql-transport-ws";
/// A document of the greatest size, its escapes, and variables.
pub(super) const MAX_MESSAGE_BYTES: usize = 128 * 1024;

pub(super) fn text(id: &str, kind: &str, payload: Option<&str>) -> Message {
    Message::text(message(id, kind, payload))
}

pub(super) fn message(id: &str, kind: &str, payload: Option<&str>) -> String {
    let id = Value::from(id);
    match payload {
        Some(payload) => format!(r#"{{"id":{id},"type":"{kind}","payload":{payload}}}"#),
        None => format!(r#"{{"id":{id},"type":"{kind}"}}"#),
    }
}

/// The list of errors out of an answer.
pub(super) fn errors_of(json: &str) -> String {
    let answer: Option<Value> = serde_json::from_str(json).ok();
    answer.and_then(|answer| answer.get("errors").cloned()).unwrap_or_else(|| Value::Array(Vec::new())).to_string()
}

pub(super) fn read_id(message: &mut Map<String, Value>) -> Result<String, Close> {
    match message.remove("id") {
        Some(Value::String(id)) if !id.is_empty() && id.len() <= 256 => Ok(id),
        _ => Err(bad("id: expected a text of 1 to 256 bytes")),
    }
}

pub(super) fn optional_object(message: &mut Map<String, Value>) -> Result<Option<Map<String, Value>>, Close> {
    match message.remove("payload") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(payload)) => Ok(Some(payload)),
        Some(_) => Err(bad("payload: expected an object")),
    }
}
