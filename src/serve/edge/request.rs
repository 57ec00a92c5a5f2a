//! What every way in over HTTP has in common: who asks, and for what.

use super::media::is_json;
use super::shape::MAX_BYTES;
use super::wire::Parameters;
use crate::serve::Viewer;
use crate::serve::graphql::{Code, Fault};
use crate::serve::router::Shared;
use axum::body::{Body, to_bytes};
use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode};
use std::time::Duration;

/// Body of a request, bytes.
const MAX_BODY_BYTES: usize = 1024 * 1024;
/// And how long it may take to come.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Why a request is not looked at further.
pub(super) type Refusal = (StatusCode, Fault);

/// Who asks, by the key in the header.
pub(super) fn admit(shared: &Shared, headers: &HeaderMap) -> Result<Viewer, Refusal> {
    let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let unknown = |text| (StatusCode::UNAUTHORIZED, Fault::new(Code::Unauthenticated, text));
    let given = given.ok_or_else(|| unknown("send an access key: Authorization: Bearer KEY"))?;
    shared.access.identify_header(given).ok_or_else(|| unknown("the access key is not known"))
}

/// Reads the operation in a body.
pub(super) async fn read_body(headers: &HeaderMap, body: Body) -> Result<Parameters, Refusal> {
    if !is_json(headers) {
        let fault = Fault::new(Code::BadUserInput, "Content-Type: expected application/json");
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, fault));
    }
    let body = tokio::time::timeout(BODY_TIMEOUT, to_bytes(body, MAX_BODY_BYTES)).await.map_err(|_| {
        let text = format!("the body did not come within {} seconds", BODY_TIMEOUT.as_secs());
        (StatusCode::REQUEST_TIMEOUT, Fault::new(Code::BadUserInput, text))
    })?;
    let body = body.map_err(|_| {
        let text = format!("the body is larger than {MAX_BODY_BYTES} bytes, or was cut");
        (StatusCode::PAYLOAD_TOO_LARGE, Fault::new(Code::BadUserInput, text))
    })?;
    serde_json::from_slice(&body)
        .map_err(|error| format!("the body is not JSON, line {} column {}", error.line(), error.column()))
        .and_then(Parameters::read)
        .map_err(bad)
}

/// Reads the operation in the query of a URL.
pub(super) fn read_url(query: Option<&str>) -> Result<Parameters, Refusal> {
    read_query(query.unwrap_or_default()).and_then(Parameters::read).map_err(bad)
}

fn bad(problem: String) -> Refusal {
    (StatusCode::BAD_REQUEST, Fault::new(Code::BadUserInput, problem))
}

fn read_query(query: &str) -> Result<serde_json::Value, String> {
    if query.len() > 4 * MAX_BYTES {
        return Err("the URL is too long: send the operation by POST".to_owned());
    }
    let pairs: Vec<(String, String)> =
        serde_urlencoded::from_str(query).map_err(|_| "the URL's query cannot be read".to_owned())?;
    let mut request = serde_json::Map::new();
    for (name, value) in pairs {
        let value = match name.as_str() {
            "query" | "operationName" | "documentId" => serde_json::Value::String(value),
            "variables" | "extensions" if value.is_empty() => continue,
            "variables" | "extensions" => {
                serde_json::from_str(&value).map_err(|_| format!("{name}: expected a JSON object"))?
            }
            _ => continue,
        };
        request.insert(name, value);
    }
    Ok(serde_json::Value::Object(request))
}
