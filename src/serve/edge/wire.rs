//! Requests and answers as JSON.

use super::budget::Cost;
use crate::serve::graphql::{Code, Fault};
use async_graphql::{PathSegment, Pos, Response, ServerError, Value};
use serde::Serialize;
use serde_json::Map;
use std::collections::BTreeMap;

/// Lists and objects inside each other that variables may hold.
const MAX_VARIABLES_DEPTH: usize = 32;

/// What a request asks.
#[derive(Debug, Default)]
pub(crate) struct Parameters {
    /// The document, and by what else it is named: one of the three is there.
    pub query: Option<String>,
    pub document_id: Option<String>,
    /// SHA-256 in small hexadecimal digits.
    pub hash: Option<String>,
    pub operation_name: Option<String>,
    pub variables: Map<String, serde_json::Value>,
}

impl Parameters {
    /// Reads a request; a text says what is wrong with it.
    pub fn read(request: serde_json::Value) -> Result<Self, String> {
        let serde_json::Value::Object(mut request) = request else {
            return Err("expected one JSON object with a query; batches are not answered".to_owned());
        };
        let mut text = |name: &str| match request.remove(name) {
            Some(serde_json::Value::String(text)) => Ok(Some(text)),
            None | Some(serde_json::Value::Null) => Ok(None),
            Some(_) => Err(format!("{name}: expected a text")),
        };
        let query = text("query")?;
        let document_id = text("documentId")?;
        let operation_name = text("operationName")?.filter(|name| !name.is_empty());
        let mut object = |name: &str| match request.remove(name) {
            Some(serde_json::Value::Object(object)) => Ok(object),
            None | Some(serde_json::Value::Null) => Ok(Map::new()),
            Some(_) => Err(format!("{name}: expected an object")),
        };
        let variables = object("variables")?;
        if variables.values().map(depth).max() > Some(MAX_VARIABLES_DEPTH) {
            return Err(format!("variables: nested deeper than {MAX_VARIABLES_DEPTH}"));
        }
        let hash = object("extensions")?.remove("persistedQuery").map(read_hash).transpose()?;
        if query.is_none() && document_id.is_none() && hash.is_none() {
            return Err("query: missing".to_owned());
        }
        Ok(Self { query, document_id, hash, operation_name, variables })
    }
}

/// Reads Apollo's `persistedQuery`.
fn read_hash(given: serde_json::Value) -> Result<String, String> {
    let hash = given.get("sha256Hash").and_then(serde_json::Value::as_str).unwrap_or_default();
    let is_hash = hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_hash || given.get("version").is_none_or(|version| version != 1) {
        return Err("persistedQuery: expected version 1 and sha256Hash, 64 hexadecimal digits".to_owned());
    }
    Ok(hash.to_ascii_lowercase())
}

/// How deep a value is nested; the parser of JSON has bounded it already.
fn depth(value: &serde_json::Value) -> usize {
    match value {
        serde_json::Value::Array(values) => 1 + values.iter().map(depth).max().unwrap_or(0),
        serde_json::Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// An answer.
#[derive(Serialize)]
pub(super) struct Body {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Problem>,
    /// Absent where nothing was executed.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Value>,
    /// Written last, behind what is the same whenever the same is asked.
    #[serde(skip)]
    extensions: AnswerExtensions,
}

/// What an answer tells beside its data.
#[derive(Default, Serialize)]
struct AnswerExtensions {
    #[serde(flatten)]
    of_resolvers: BTreeMap<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cost: Option<Cost>,
}

#[derive(Serialize)]
pub(super) struct Problem {
    message: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    locations: Vec<Pos>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    path: Vec<PathSegment>,
    extensions: Extensions,
}

#[derive(Serialize)]
struct Extensions {
    code: &'static str,
    docs: String,
    #[serde(rename = "retryAfterSeconds", skip_serializing_if = "Option::is_none")]
    retry_after_seconds: Option<u64>,
}

/// Whether nothing was executed, because the request itself was wrong.
pub(super) fn is_request_error(response: &Response) -> bool {
    !response.errors.is_empty()
        && response.data == Value::Null
        && response.errors.iter().all(|error| error.path.is_empty())
}

impl Body {
    pub fn refused(fault: &Fault) -> Self {
        let problem = Problem {
            message: fault.message.clone(),
            locations: Vec::new(),
            path: Vec::new(),
            extensions: Extensions {
                code: fault.code.as_str(),
                docs: fault.code.docs(),
                retry_after_seconds: fault.retry_after_seconds,
            },
        };
        Self { errors: vec![problem], data: None, extensions: AnswerExtensions::default() }
    }

    /// The answer of the schema; where nothing was executed it has no data.
    pub fn of(response: Response, cost: Option<Cost>) -> Self {
        let is_refused = is_request_error(&response);
        let errors = response.errors.into_iter().map(Problem::from).collect();
        let extensions = AnswerExtensions { of_resolvers: response.extensions, cost };
        Self { errors, data: (!is_refused).then_some(response.data), extensions }
    }

    /// As JSON, and how many bytes of it stand before the extensions.
    pub fn to_json(&self) -> (String, usize) {
        let mut json = written(self);
        let content_bytes = json.len() - 1;
        if !self.extensions.of_resolvers.is_empty() || self.extensions.cost.is_some() {
            json.truncate(content_bytes);
            json.push_str(r#","extensions":"#);
            json.push_str(&written(&self.extensions));
            json.push('}');
        }
        (json, content_bytes)
    }

    /// The code of its first error.
    pub fn first_code(&self) -> Option<&'static str> {
        self.errors.first().map(|problem| problem.extensions.code)
    }
}

fn written(part: &impl Serialize) -> String {
    serde_json::to_string(part).unwrap_or_else(|error| {
        tracing::error!(%error, "write an answer as JSON");
        r#"{"errors":[{"message":"internal error","extensions":{"code":"INTERNAL_SERVER_ERROR"}}]}"#.to_owned()
    })
}

impl From<ServerError> for Problem {
    fn from(error: ServerError) -> Self {
        let given = error.extensions.as_ref().and_then(|extensions| extensions.get("code"));
        let given = given.and_then(|code| match code {
            Value::String(code) => Code::ALL.into_iter().find(|one| one.as_str() == code),
            _ => None,
        });
        // Ours all carry a code; what the executor itself finds is either the document or a value in it.
        let is_value = !error.path.is_empty() || error.message.starts_with("Invalid value for argument");
        let code = given.unwrap_or(if is_value { Code::BadUserInput } else { Code::ValidationFailed });
        Self {
            message: error.message,
            locations: error.locations,
            path: error.path,
            extensions: Extensions { code: code.as_str(), docs: code.docs(), retry_after_seconds: None },
        }
    }
}
