//! How answers over HTTP go out: media type, status, what may be kept of them, and which pages may read them.

use super::engine::Answered;
use super::media::Media;
use crate::serve::graphql::{Code, Fault};
use crate::serve::router::Shared;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE,
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, ORIGIN, RETRY_AFTER, VARY, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use ring::digest;

/// Answers hold personal data. Nobody keeps them, but the client that asked by GET: it asks again each time, and is told
/// when nothing has changed.
const NOT_KEPT: &str = "no-store";
const KEPT_BY_THE_CLIENT: &str = "private, no-cache";

/// How answers to a request go out.
pub(super) struct Reply<'a> {
    shared: &'a Shared,
    method: Method,
    request: &'a HeaderMap,
    media: Option<Media>,
}

impl<'a> Reply<'a> {
    pub fn new(shared: &'a Shared, method: Method, request: &'a HeaderMap) -> Self {
        Self { shared, method, request, media: Media::accepted(request) }
    }

    /// Whether the request came by GET.
    pub fn is_get(&self) -> bool {
        self.method == Method::GET
    }

    /// Answers a mutation that came by GET.
    pub fn refuse_mutation(&self) -> Response {
        let fault = Fault::new(Code::BadUserInput, "mutations are sent by POST");
        let mut response = self.refuse(StatusCode::METHOD_NOT_ALLOWED, &fault);
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        response
    }

    /// Answers a request that is not executed.
    pub fn refuse(&self, status: StatusCode, fault: &Fault) -> Response {
        self.write(status, Answered::refused(fault))
    }

    /// Answers in the client's media type.
    pub fn send(&self, answered: Answered) -> Response {
        let Some(media) = self.media else { return self.refuse_media() };
        let code = answered.code.and_then(|code| Code::ALL.into_iter().find(|one| one.as_str() == code));
        let is_refused = answered.is_refused || (answered.is_without_data && code == Some(Code::Unavailable));
        let status = match code.filter(|_| is_refused) {
            None | Some(Code::PersistedQueryNotFound) => StatusCode::OK,
            Some(Code::Unavailable) => StatusCode::SERVICE_UNAVAILABLE,
            Some(Code::Internal) => StatusCode::INTERNAL_SERVER_ERROR,
            Some(Code::RateLimited) => StatusCode::TOO_MANY_REQUESTS,
            Some(_) if media == Media::Response => StatusCode::BAD_REQUEST,
            Some(_) => StatusCode::OK,
        };
        if !self.is_get() || answered.code.is_some() {
            return self.write(status, answered);
        }
        let tag = tag_of(&answered);
        let is_known = self.request.get_all(IF_NONE_MATCH).iter().any(|known| names_tag(known, &tag));
        let mut response =
            if is_known { self.finish(StatusCode::NOT_MODIFIED.into_response()) } else { self.write(status, answered) };
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(KEPT_BY_THE_CLIENT));
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            headers.insert(ETAG, tag);
        }
        response
    }

    fn refuse_media(&self) -> Response {
        let text = "Accept: application/graphql-response+json and application/json are spoken here";
        self.refuse(StatusCode::NOT_ACCEPTABLE, &Fault::new(Code::BadUserInput, text))
    }

    fn write(&self, status: StatusCode, answered: Answered) -> Response {
        let mut response = (status, answered.json).into_response();
        let media = self.media.unwrap_or(Media::Json);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media.content_type()));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(NOT_KEPT));
        match status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                headers.insert(RETRY_AFTER, HeaderValue::from(answered.retry_after_seconds.unwrap_or(5)));
            }
            _ => {}
        }
        self.finish(response)
    }

    fn finish(&self, mut response: Response) -> Response {
        let headers = response.headers_mut();
        headers.insert(VARY, HeaderValue::from_static("accept, authorization, origin"));
        allow_origin(self.shared, self.request, headers);
        response
    }
}

/// Tells a browser's page of an allowed origin what it may send to a path.
pub(super) fn answer_options(shared: &Shared, request: &HeaderMap) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let answer = response.headers_mut();
    answer.insert(VARY, HeaderValue::from_static("origin"));
    if allow_origin(shared, request, answer) {
        let headers = HeaderValue::from_static("authorization, content-type, if-none-match");
        answer.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST, GET"));
        answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, headers);
        answer.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    }
    answer.insert(ALLOW, HeaderValue::from_static("POST, GET, OPTIONS"));
    response
}

/// Says in an answer that a page of this origin may read it, where the configuration says so.
pub(super) fn allow_origin(shared: &Shared, request: &HeaderMap, answer: &mut HeaderMap) -> bool {
    let Some(origin) = request.get(ORIGIN) else { return false };
    let is_allowed = shared.server.allowed_origins.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes());
    if is_allowed {
        answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    }
    is_allowed
}

/// A weak tag: what an answer costs is told behind its content, and differs each time.
fn tag_of(answered: &Answered) -> String {
    let content = answered.json.as_bytes().get(..answered.content_bytes).unwrap_or_default();
    let digest = digest::digest(&digest::SHA256, content);
    format!("W/\"{}\"", URL_SAFE_NO_PAD.encode(&digest.as_ref()[..16]))
}

fn names_tag(known: &HeaderValue, tag: &str) -> bool {
    let bare = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    known.to_str().is_ok_and(|known| known.split(',').any(|one| bare(one) == bare(tag)))
}
