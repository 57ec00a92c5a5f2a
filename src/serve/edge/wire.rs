//! Requests and answers as JSON.

use crate::serve::graphql::{Code, Fault};
use async_graphql::{PathSegment, Pos, Response, ServerError, Value};
use serde::Serialize;
use serde_json::Map;
use std::collections::BTreeMap;

/// What a request asks.
#[derive(Debug, Default)]
pub(crate) struct Parameters {
    pub query: String,
    pub operation_name: Option<String>,
    pub variables: Map<String, serde_json::Value>,
}

impl Parameters {
    /// Reads a request; a text says what is wrong with it.
    pub fn read(request: serde_json::Value) -> Result<Self, String> {
        let serde_json::Value::Object(mut request) = request else {
            return Err("expected one JSON object with a query; batches are not answered".to_owned());
        };
        let query = match request.remove("query") {
            Some(serde_json::Value::String(query)) => query,
            Some(_) => return Err("query: expected a text".to_owned()),
            None => return Err("query: missing".to_owned()),
        };
        let operation_name = match request.remove("operationName") {
            Some(serde_json::Value::String(name)) if !name.is_empty() => Some(name),
            None | Some(serde_json::Value::Null | serde_json::Value::String(_)) => None,
            Some(_) => return Err("operationName: expected a text".to_owned()),
        };
        let mut object = |name: &str| match request.remove(name) {
            Some(serde_json::Value::Object(object)) => Ok(object),
            None | Some(serde_json::Value::Null) => Ok(Map::new()),
            Some(_) => Err(format!("{name}: expected an object")),
        };
        let variables = object("variables")?;
        object("extensions")?;
        Ok(Self { query, operation_name, variables })
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
    /// What the answer says of itself.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    extensions: BTreeMap<String, Value>,
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
            extensions: Extensions { code: fault.code.as_str() },
        };
        Self { errors: vec![problem], data: None, extensions: BTreeMap::new() }
    }

    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_else(|error| {
            tracing::error!(%error, "write an answer as JSON");
            r#"{"errors":[{"message":"internal error","extensions":{"code":"INTERNAL_SERVER_ERROR"}}]}"#.to_owned()
        })
    }

    /// The errors alone, as graphql-transport-ws sends them.
    pub fn first_code(&self) -> Option<&'static str> {
        self.errors.first().map(|problem| problem.extensions.code)
    }
}

impl From<Response> for Body {
    fn from(response: Response) -> Self {
        let is_refused = is_request_error(&response);
        let errors = response.errors.into_iter().map(Problem::from).collect();
        Self { errors, data: (!is_refused).then_some(response.data), extensions: response.extensions }
    }
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
            extensions: Extensions { code: code.as_str() },
        }
    }
}
