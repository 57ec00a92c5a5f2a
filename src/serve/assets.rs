//! Pages and what they load, from the binary: nothing comes from elsewhere, which their policies enforce.
//!
//! A browser asks again each time whether what it has is still what is served, so that no page of one version runs
//! scripts of another.

use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use ring::digest;

pub(super) const PAGE: &str = "text/html; charset=utf-8";
pub(super) const SCRIPT: &str = "text/javascript; charset=utf-8";
pub(super) const STYLE: &str = "text/css; charset=utf-8";
pub(super) const IMAGE: &str = "image/svg+xml";
pub(super) const JSON: &str = "application/json";

/// A file: its name, its media type, its bytes.
pub(super) type Asset = (&'static str, &'static str, &'static [u8]);

/// The files of a folder under `console/`.
macro_rules! assets {
    ($folder:literal: $($name:literal: $media:expr),* $(,)?) => {
        [$(($name, $media, include_bytes!(concat!("../../console/", $folder, $name)).as_slice())),*]
    };
}
pub(super) use assets;

/// Answers with a page that may load only what its policy names.
pub(super) fn page(request: &HeaderMap, policy: &'static str, page: &'static str) -> Response {
    let mut response = send(request, PAGE, page.as_bytes());
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// Answers with the file of this name.
pub(super) fn asset(request: &HeaderMap, assets: &[Asset], name: &str) -> Response {
    match assets.iter().find(|(known, _, _)| *known == name) {
        Some((_, media, bytes)) => send(request, media, bytes),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Answers with these bytes, or that the browser has them.
pub(super) fn send(request: &HeaderMap, media: &'static str, bytes: &'static [u8]) -> Response {
    let tag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(&digest::digest(&digest::SHA256, bytes).as_ref()[..12]));
    let is_known = request.get(IF_NONE_MATCH).and_then(|known| known.to_str().ok()).is_some_and(|known| {
        // What compressed an answer on its way may have made the tag a weak one.
        known.split(',').any(|one| one.trim().trim_start_matches("W/") == tag)
    });
    let mut response = if is_known { StatusCode::NOT_MODIFIED.into_response() } else { bytes.into_response() };
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(ETAG, tag);
    }
    response
}
