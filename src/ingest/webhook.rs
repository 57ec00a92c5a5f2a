//! The door for webhooks: limit, verify over the raw bytes, append, answer.

use super::body::{BodyError, BodyRoom, Pace};
use super::refusals::Refusals;
use crate::clock::SharedClock;
use crate::inbox::{Along, AppendError, Appended, Inbox, NewDelivery};
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use entity::DeliveryKind;
use metrics::Counter;
use provider::{Inbound, Provider, Receipt, Refusal, VerifyContext};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};

/// Bytes of headers that are kept with a delivery.
const KEPT_HEADER_BYTES: usize = 8 << 10;
/// Headers that carry credentials: never kept, never logged.
const CREDENTIALS: [&str; 4] = ["authorization", "proxy-authorization", "cookie", "x-api-key"];

/// Where the webhooks of one source come in.
pub struct Door {
    /// Row id of the source.
    pub source_id: i32,
    /// Its provider.
    pub provider: Arc<dyn Provider>,
    /// The URL as registered at the provider.
    pub registered_url: String,
    /// Largest body, bytes.
    pub body_limit: usize,
    /// What is left of the body bytes that may be on their way to it.
    pub body_room: BodyRoom,
    /// Counts what is answered 200; looked up once.
    pub accepted: OnceLock<Counter>,
}

/// The doors of all sources.
pub struct Doors {
    /// By name of the source.
    pub by_source: HashMap<String, Door>,
    /// The inbox.
    pub inbox: Inbox,
    /// Our clock.
    pub clock: SharedClock,
    /// Who was turned away.
    pub refusals: Arc<Refusals>,
}

/// The route `POST /webhooks/{source}`.
pub fn router(doors: Arc<Doors>) -> Router {
    Router::new().route("/webhooks/{source}", post(receive)).with_state(doors)
}

/// Why a webhook is not answered 200.
#[derive(Debug, thiserror::Error)]
enum Rejection {
    #[error("no source of this name is configured")]
    UnknownSource,
    #[error("media type {given:?} is not one of {}", expected.join(", "))]
    WrongMediaType { given: String, expected: &'static [&'static str] },
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    NotDurable(#[from] AppendError),
}

impl Rejection {
    fn status(&self) -> StatusCode {
        match self {
            Self::UnknownSource => StatusCode::NOT_FOUND,
            Self::WrongMediaType { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Body(BodyError::TooLarge { .. }) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Body(BodyError::Cut) => StatusCode::REQUEST_TIMEOUT,
            Self::Body(BodyError::NoRoom) | Self::Refused(Refusal::KeyUnavailable { .. }) | Self::NotDurable(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Refused(_) => StatusCode::UNAUTHORIZED,
        }
    }

    /// The sender learns the class of the failure only; the operator's log has the reason.
    fn answer(&self) -> Response {
        let status = self.status();
        let mut response = (status, status.canonical_reason().unwrap_or_default()).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        response
    }
}

async fn receive(State(doors): State<Arc<Doors>>, Path(source): Path<String>, request: Request) -> Response {
    // In parts, and not through extractors: those copy.
    let (parts, body) = request.into_parts();
    let Some((name, door)) = doors.by_source.get_key_value(&source) else {
        return refuse("unknown", &Rejection::UnknownSource);
    };
    match accept(&doors, door, &parts.uri, &parts.headers, body).await {
        Ok(()) => {
            door.accepted.get_or_init(|| answered(name, StatusCode::OK)).increment(1);
            StatusCode::OK.into_response()
        }
        Err(rejection) => {
            if rejection.status().is_client_error() {
                doors.refusals.note(door.source_id, &rejection.to_string());
            }
            refuse(name, &rejection)
        }
    }
}

fn refuse(source: &str, rejection: &Rejection) -> Response {
    let response = rejection.answer();
    tracing::warn!(source, status = response.status().as_u16(), reason = %rejection, "refuse a webhook");
    answered(source, response.status()).increment(1);
    response
}

fn answered(source: &str, status: StatusCode) -> Counter {
    let (source, code) = (source.to_owned(), status.as_str().to_owned());
    metrics::counter!("profile_mirror_webhook_requests_total", "source" => source, "code" => code)
}

async fn accept(doors: &Doors, door: &Door, uri: &Uri, headers: &HeaderMap, body: Body) -> Result<(), Rejection> {
    let media_type = media_type(headers);
    let expected = door.provider.media_types();
    if !media_type.is_empty() && !expected.contains(&media_type.as_str()) {
        return Err(Rejection::WrongMediaType { given: media_type, expected });
    }
    let limit = door.body_limit;
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|announced| announced > limit) {
        return Err(BodyError::TooLarge { limit }.into());
    }
    let held = door.body_room.take_in(body.into_data_stream(), limit, Pace::default()).await?;
    let inbound = Inbound {
        method: Method::POST.as_str(),
        path_and_query: uri.path_and_query().map_or("/", |path| path.as_str()),
        headers,
        body: &held.body,
    };
    let context = VerifyContext { now: doors.clock.today(), registered_url: &door.registered_url };
    let dedupe_key = match door.provider.verify(&inbound, &context).await? {
        Receipt::Accept { dedupe_key } => dedupe_key,
        Receipt::Acknowledge { reason } => {
            tracing::info!(reason, "acknowledge a webhook, keep nothing");
            return Ok(());
        }
    };
    let delivery = NewDelivery {
        source_id: door.source_id,
        kind: DeliveryKind::Webhook,
        // PostgreSQL has no text with a NUL in it.
        dedupe_key: dedupe_key.replace('\0', ""),
        media_type,
        headers: kept_headers(headers),
        body: held.body.clone(),
        context: None,
        along: Along::Nothing,
    };
    match doors.inbox.append(delivery).await? {
        Appended::Kept(position) => tracing::debug!(position, "keep a webhook"),
        Appended::Duplicate(position) => tracing::debug!(position, "a copy of a webhook that is kept already"),
        Appended::Refused => tracing::error!("a webhook was refused as if it were a page"),
    }
    Ok(())
}

/// Media type, lower case, without parameters; empty where there is none.
fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Headers worth keeping, as the text of a JSON object; a repeated one is joined with a comma.
fn kept_headers(headers: &HeaderMap) -> String {
    let mut kept: BTreeMap<&str, Cow<'_, str>> = BTreeMap::new();
    let mut bytes = 0;
    for (name, value) in headers {
        if CREDENTIALS.contains(&name.as_str()) {
            continue;
        }
        let value = String::from_utf8_lossy(value.as_bytes());
        bytes += name.as_str().len() + value.len();
        if bytes > KEPT_HEADER_BYTES {
            break;
        }
        match kept.get_mut(name.as_str()) {
            Some(known) => {
                let known = known.to_mut();
                known.push_str(", ");
                known.push_str(&value);
            }
            None => {
                kept.insert(name.as_str(), value);
            }
        }
    }
    // Text as key and value: that cannot fail.
    serde_json::to_string(&kept).unwrap_or_else(|_| "{}".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_not_kept() {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", HeaderValue::from_static("Bearer canary"));
        headers.insert("cookie", HeaderValue::from_static("canary"));
        headers.insert("x-nonce", HeaderValue::from_static("7"));
        let kept = kept_headers(&headers);
        assert!(!kept.contains("canary"), "{kept}");
        assert!(kept.contains("x-nonce"), "{kept}");
    }

    #[test]
    fn a_media_type_has_no_parameters_and_no_capitals() {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("Application/JSON; charset=utf-8"));
        assert_eq!(media_type(&headers), "application/json");
    }
}
