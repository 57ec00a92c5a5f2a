//! The explorer's page, its assets in the binary: nothing is loaded from elsewhere.

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::StatusCode;

/// The page.
pub(super) async fn page() -> Response {
    StatusCode::NOT_FOUND.into_response()
}

/// A file that the page loads.
pub(super) async fn asset(Path(_name): Path<String>) -> Response {
    StatusCode::NOT_FOUND.into_response()
}
