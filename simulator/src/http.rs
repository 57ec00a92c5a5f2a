//! A request as the skins read it, and an answer as they make it.

use axum::http::{HeaderMap, Method, StatusCode};
use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;

/// One request, taken apart.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    /// Percent-decoded segments under the provider's base path, without empty ones.
    pub(crate) path: Vec<String>,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Call {
    pub(crate) fn segments(&self) -> Vec<&str> {
        self.path.iter().map(String::as_str).collect()
    }

    /// The last value of a query parameter; names are case-sensitive.
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn query_is_true(&self, name: &str) -> bool {
        self.query(name).is_some_and(|value| matches!(value, "true" | "yes" | "1"))
    }

    pub(crate) fn bearer(&self) -> Option<&str> {
        let value = self.headers.get("authorization")?.to_str().ok()?;
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    }

    /// The body as JSON: parsed, or built from a form (`fields[name]=value`), or null.
    pub(crate) fn json(&self) -> Value {
        let kind = self.headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
        if kind.starts_with("application/x-www-form-urlencoded") {
            return form_to_json(&self.body);
        }
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

fn form_to_json(body: &[u8]) -> Value {
    let pairs: Vec<(String, String)> = serde_urlencoded::from_bytes(body).unwrap_or_default();
    let mut root = serde_json::Map::new();
    for (key, value) in pairs {
        let Some((outer, inner)) = key.split_once('[') else {
            root.insert(key, Value::String(value));
            continue;
        };
        let inner = inner.trim_end_matches(']');
        let slot = root.entry(outer.to_owned()).or_insert_with(|| {
            if inner.is_empty() { Value::Array(Vec::new()) } else { Value::Object(serde_json::Map::new()) }
        });
        match slot {
            Value::Array(items) => items.push(Value::String(value)),
            Value::Object(map) => {
                map.insert(inner.to_owned(), Value::String(value));
            }
            _ => {}
        }
    }
    Value::Object(root)
}

/// One answer, whole.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn empty(status: StatusCode) -> Self {
        Self { status, headers: Vec::new(), body: Bytes::new() }
    }

    pub(crate) fn text(status: StatusCode, kind: &str, body: impl Into<Bytes>) -> Self {
        Self { status, headers: vec![("content-type".to_owned(), kind.to_owned())], body: body.into() }
    }

    pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Self {
        Self::text(status, "application/json", serde_json::to_vec(body).unwrap_or_default())
    }

    pub(crate) fn ok(body: &impl Serialize) -> Self {
        Self::json(StatusCode::OK, body)
    }

    pub(crate) fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    pub(crate) fn with_header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}
