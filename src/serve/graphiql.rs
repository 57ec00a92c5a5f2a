//! The explorer's page and its assets.
//!
//! The page itself is open to anybody; what it asks needs a key.

use super::assets::{self, Asset, SCRIPT, STYLE, assets};
use axum::extract::Path;
use axum::response::Response;
use http::HeaderMap;

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
    font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const ASSETS: [Asset; 7] = assets!("graphiql/":
    "page.js": SCRIPT,
    "page.css": STYLE,
    "graphiql.js": SCRIPT,
    "graphiql.css": STYLE,
    "graphql-ws.js": SCRIPT,
    "react.js": SCRIPT,
    "react-dom.js": SCRIPT,
);

/// The page.
pub(super) async fn page(headers: HeaderMap) -> Response {
    assets::page(&headers, POLICY, include_str!("../../console/graphiql/index.html"))
}

/// A file that the page loads.
pub(super) async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    assets::asset(&headers, &ASSETS, &name)
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
