//! Router.
use std::sync::Arc;
/// State.
pub struct ServeState {
    pub db: crate::db::Database,
    pub publisher: Arc<crate::publish::Publisher>,
    pub clock: crate::clock::SharedClock,
    pub access: super::Access,
    pub server: crate::config::Server,
    pub stop: tokio_util::sync::CancellationToken,
}
/// Router.
pub fn router(_state: ServeState) -> axum::Router {
    axum::Router::new()
}
