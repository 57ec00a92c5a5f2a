//! Every path that clients reach, and what the handlers behind them share.

use super::edge::{self, Engine, Registered, Slots, sse};
use super::health_watch::HealthWatch;
use super::ops::{self, Metrics};
use super::run_watch::RunWatch;
use super::{Access, Operations, console, graphiql, graphql};
use crate::clock::SharedClock;
use crate::config;
use crate::mirror::read::Reader;
use crate::publish::Publisher;
use axum::Router;
use axum::routing::get;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;

/// What serving needs.
pub struct ServeState {
    /// The mirror and its change log, live.
    pub publisher: Arc<Publisher>,
    /// The keys.
    pub access: Access,
    /// The time.
    pub clock: SharedClock,
    /// The named operations of the other stages.
    pub operations: Arc<dyn Operations>,
    /// Operations that clients were released with.
    pub registered: Registered,
    /// Settings of the server.
    pub server: config::Server,
    /// Ends every stream.
    pub stop: CancellationToken,
    /// Tracks open sockets and streams: wait for it after `stop`, for the server itself does not.
    pub sockets: TaskTracker,
}

/// What the handlers share.
pub(super) type Shared = Arc<Inner>;

pub(super) struct Inner {
    pub engine: Engine,
    pub reader: Reader,
    pub publisher: Arc<Publisher>,
    pub access: Access,
    pub clock: SharedClock,
    pub operations: Arc<dyn Operations>,
    pub shutdown: CancellationToken,
    pub server: config::Server,
    pub metrics: Metrics,
    pub sockets: TaskTracker,
    pub slots: Arc<Slots>,
}

/// The paths for clients, for health checks, the page for ops, and GraphiQL.
pub fn router(state: ServeState) -> Router {
    let reader = state.publisher.reader();
    let api = graphql::Api::new(
        reader.clone(),
        Arc::clone(&state.publisher),
        Arc::clone(&state.clock),
        Arc::clone(&state.operations),
        RunWatch::new(reader.clone(), state.stop.clone(), state.sockets.clone()),
        HealthWatch::new(
            reader.clone(),
            Arc::clone(&state.clock),
            Arc::clone(&state.operations),
            state.stop.clone(),
            state.sockets.clone(),
        ),
    );
    let has_graphiql = state.server.has_graphiql();
    let shared = Arc::new(Inner {
        engine: Engine::new(api, state.registered, state.server.clone(), Arc::clone(&state.clock)),
        reader,
        publisher: state.publisher,
        access: state.access,
        clock: state.clock,
        operations: state.operations,
        shutdown: state.stop,
        slots: Slots::new(&state.server),
        server: state.server,
        metrics: Metrics::install(),
        sockets: state.sockets,
    });
    let mut router = Router::new()
        .route("/graphql", get(edge::get).post(edge::post).options(edge::options))
        .route("/graphql/stream", get(sse::get).post(sse::post).options(sse::options))
        .route("/livez", get(ops::livez))
        .route("/readyz", get(ops::readyz))
        .route("/metrics", get(ops::metrics))
        .route("/console", get(console::page))
        .route("/console/{asset}", get(console::asset));
    if has_graphiql {
        router = router.route("/graphiql", get(graphiql::page)).route("/graphiql/{asset}", get(graphiql::asset));
    }
    // Streams are left as they are: what they send must not wait for more.
    router.with_state(shared).layer(CompressionLayer::new().quality(CompressionLevel::Fastest))
}
