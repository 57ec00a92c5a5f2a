//! The explorer's page, its assets in the binary: nothing is loaded from elsewhere, which its policy enforces.
//!
//! The page itself is open to anybody; what it asks needs a key.

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderName, HeaderValue, StatusCode};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
    font-src 'self' data:; connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

macro_rules! assets {
    ($($name:literal: $media:expr),* $(,)?) => {
        [$(($name, $media, include_bytes!(concat!("../../console/graphiql/", $name)).as_slice())),*]
    };
}

const ASSETS: [(&str, &str, &[u8]); 7] = assets!(
    "page.js": SCRIPT,
    "page.css": STYLE,
    "graphiql.js": SCRIPT,
    "graphiql.css": STYLE,
    "graphql-ws.js": SCRIPT,
    "react.js": SCRIPT,
    "react-dom.js": SCRIPT,
);

/// The page.
pub(super) async fn page() -> Response {
    let page = include_str!("../../console/graphiql/index.html");
    let headers: [(HeaderName, HeaderValue); 5] = [
        (CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (headers, page).into_response()
}

/// A file that the page loads.
pub(super) async fn asset(Path(name): Path<String>) -> Response {
    let Some((_, media, bytes)) = ASSETS.iter().find(|(known, _, _)| *known == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(media)),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600")),
    ];
    (headers, *bytes).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_loads_only_what_the_binary_holds() {
        let page = include_str!("../../console/graphiql/index.html");
        let loaded: Vec<&str> = page.split(['"', '\'']).filter_map(|text| text.strip_prefix("/graphiql/")).collect();
        assert_eq!(loaded.len(), ASSETS.len());
        assert!(loaded.iter().all(|name| ASSETS.iter().any(|(known, _, _)| known == name)), "{loaded:?}");
        assert!(!page.contains("http://") && !page.contains("https://"));
        assert!(ASSETS.iter().map(|(_, _, bytes)| bytes.len()).sum::<usize>() < 2 * 1024 * 1024);
    }
}
