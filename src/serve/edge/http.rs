//! GraphQL over HTTP.

use super::document;
use super::engine::Answered;
use super::media::{Media, is_json};
use super::socket;
use super::wire::Parameters;
use crate::serve::Viewer;
use crate::serve::graphql::{Code, Fault};
use crate::serve::router::Shared;
use async_graphql::parser::types::OperationType;
use axum::body::{Body, to_bytes};
use axum::extract::{FromRequestParts, RawQuery, Request, State, WebSocketUpgrade};
use axum::response::{IntoResponse, Response};
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE,
    ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, ORIGIN, RETRY_AFTER, UPGRADE, VARY, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderValue, StatusCode};

/// Body of a request, bytes.
const MAX_BODY_BYTES: usize = 1024 * 1024;

/// Answers an operation in the body.
pub(in crate::serve) async fn post(State(shared): State<Shared>, headers: HeaderMap, body: Body) -> Response {
    let reply = Reply::new(&shared, &headers);
    let viewer = match admit(&shared, &headers) {
        Ok(viewer) => viewer,
        Err(fault) => return reply.refuse(StatusCode::UNAUTHORIZED, &fault),
    };
    if !is_json(&headers) {
        let fault = Fault::new(Code::BadUserInput, "Content-Type: expected application/json");
        return reply.refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, &fault);
    }
    let Ok(body) = to_bytes(body, MAX_BODY_BYTES).await else {
        let fault =
            Fault::new(Code::BadUserInput, format!("the body is larger than {MAX_BODY_BYTES} bytes, or was cut"));
        return reply.refuse(StatusCode::PAYLOAD_TOO_LARGE, &fault);
    };
    let parameters = serde_json::from_slice(&body)
        .map_err(|error| format!("the body is not JSON, line {} column {}", error.line(), error.column()))
        .and_then(Parameters::read);
    match parameters {
        Ok(parameters) => answer(&shared, reply, parameters, viewer, true).await,
        Err(problem) => reply.refuse(StatusCode::BAD_REQUEST, &Fault::new(Code::BadUserInput, problem)),
    }
}

/// Answers a query in the URL, or opens a socket.
pub(in crate::serve) async fn get(
    State(shared): State<Shared>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
    request: Request,
) -> Response {
    if headers.get(UPGRADE).is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"websocket")) {
        let (mut parts, _) = request.into_parts();
        return match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
            Ok(upgrade) => socket::open(shared, &headers, upgrade),
            Err(refusal) => refusal.into_response(),
        };
    }
    let reply = Reply::new(&shared, &headers);
    let viewer = match admit(&shared, &headers) {
        Ok(viewer) => viewer,
        Err(fault) => return reply.refuse(StatusCode::UNAUTHORIZED, &fault),
    };
    match read_query(&query.unwrap_or_default()).and_then(Parameters::read) {
        Ok(parameters) => answer(&shared, reply, parameters, viewer, false).await,
        Err(problem) => reply.refuse(StatusCode::BAD_REQUEST, &Fault::new(Code::BadUserInput, problem)),
    }
}

/// Tells a browser's page of an allowed origin what it may send.
pub(in crate::serve) async fn options(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let answer = response.headers_mut();
    if allow_origin(&shared, &headers, answer) {
        answer.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST, GET"));
        answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("authorization, content-type"));
        answer.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    }
    answer.insert(ALLOW, HeaderValue::from_static("POST, GET, OPTIONS"));
    response
}

async fn answer(
    shared: &Shared,
    reply: Reply<'_>,
    parameters: Parameters,
    viewer: Viewer,
    may_mutate: bool,
) -> Response {
    let prepared = match shared.engine.prepare(parameters, viewer) {
        Ok(prepared) => prepared,
        Err(fault) => return reply.send(&Answered::refused(&fault)),
    };
    match prepared.kind {
        OperationType::Mutation if !may_mutate => {
            let fault = Fault::new(Code::BadUserInput, "mutations are sent by POST");
            let mut response = reply.refuse(StatusCode::METHOD_NOT_ALLOWED, &fault);
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
            response
        }
        OperationType::Subscription => {
            let text = "subscriptions are sent over a WebSocket with the protocol graphql-transport-ws";
            reply.refuse(StatusCode::BAD_REQUEST, &Fault::new(Code::BadUserInput, text))
        }
        OperationType::Query | OperationType::Mutation => reply.send(&shared.engine.execute(prepared).await),
    }
}

/// Who asks, by the key in the header.
pub(super) fn admit(shared: &Shared, headers: &HeaderMap) -> Result<Viewer, Fault> {
    let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some(given) = given else {
        return Err(Fault::new(Code::Unauthenticated, "send an access key: Authorization: Bearer KEY"));
    };
    let unknown = || Fault::new(Code::Unauthenticated, "the access key is not known");
    shared.access.identify_header(given).ok_or_else(unknown)
}

fn read_query(query: &str) -> Result<serde_json::Value, String> {
    if query.len() > 4 * document::MAX_BYTES {
        return Err("the URL is too long: send the operation by POST".to_owned());
    }
    let pairs: Vec<(String, String)> =
        serde_urlencoded::from_str(query).map_err(|_| "the URL's query cannot be read".to_owned())?;
    let mut request = serde_json::Map::new();
    for (name, value) in pairs {
        let value = match name.as_str() {
            "query" | "operationName" => serde_json::Value::String(value),
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

/// Says in an answer that a page of this origin may read it, where the configuration says so.
fn allow_origin(shared: &Shared, request: &HeaderMap, answer: &mut HeaderMap) -> bool {
    let Some(origin) = request.get(ORIGIN) else { return false };
    let is_allowed = shared.server.allowed_origins.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes());
    if is_allowed {
        answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        answer.append(VARY, HeaderValue::from_static("Origin"));
    }
    is_allowed
}

/// How answers to a request go out.
struct Reply<'a> {
    shared: &'a Shared,
    request: &'a HeaderMap,
    media: Option<Media>,
}

impl<'a> Reply<'a> {
    fn new(shared: &'a Shared, request: &'a HeaderMap) -> Self {
        Self { shared, request, media: Media::accepted(request) }
    }

    fn refuse(&self, status: StatusCode, fault: &Fault) -> Response {
        self.write(status, &Answered::refused(fault))
    }

    fn send(&self, answered: &Answered) -> Response {
        if self.media.is_none() {
            let text = "Accept: application/graphql-response+json and application/json are spoken here";
            return self.refuse(StatusCode::NOT_ACCEPTABLE, &Fault::new(Code::BadUserInput, text));
        }
        let status = match answered.code {
            Some(code) if code == Code::Unavailable.as_str() && answered.is_refused => StatusCode::SERVICE_UNAVAILABLE,
            _ if answered.is_refused && self.media == Some(Media::Response) => StatusCode::BAD_REQUEST,
            _ => StatusCode::OK,
        };
        self.write(status, answered)
    }

    fn write(&self, status: StatusCode, answered: &Answered) -> Response {
        let mut response = (status, answered.json.clone()).into_response();
        let media = self.media.unwrap_or(Media::Json);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media.content_type()));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
            }
            _ => {}
        }
        allow_origin(self.shared, self.request, headers);
        response
    }
}
