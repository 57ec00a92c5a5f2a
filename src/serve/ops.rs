//! Health, readiness and metrics. Open to anybody who reaches the port: no names but those of sources, no values.

use super::router::Shared;
use crate::mirror::read::{ReadError, Waiting};
use ::entity::{Moment, source_state};
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::Ordering;

/// The metrics of the process: one recorder, because the facade that every stage writes to knows one only.
#[derive(Clone)]
pub struct Metrics {
    handle: PrometheusHandle,
}

static PROCESS: OnceLock<Metrics> = OnceLock::new();

/// Bounds of histograms of seconds.
const SECONDS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];

impl Metrics {
    /// The process's metrics, recorded from the first call on.
    pub fn install() -> Self {
        let make = || {
            let builder = PrometheusBuilder::new();
            let builder = builder.set_buckets(&SECONDS).unwrap_or_else(|_| PrometheusBuilder::new());
            let recorder = builder.build_recorder();
            let handle = recorder.handle();
            if metrics::set_global_recorder(recorder).is_err() {
                tracing::warn!("another recorder of metrics is installed; /metrics stays empty");
            }
            metrics::gauge!("profile_mirror_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
            Self { handle }
        };
        PROCESS.get_or_init(make).clone()
    }
}

/// The process lives. Asks nobody, so that a database in trouble does not restart every instance.
pub(super) async fn livez() -> &'static str {
    "ok\n"
}

#[derive(Serialize)]
struct Readiness {
    status: &'static str,
    database: &'static str,
    sources: BTreeMap<String, SourceReadiness>,
}

#[derive(Serialize)]
struct SourceReadiness {
    state: &'static str,
    reason: Option<String>,
    pending: i64,
    oldest_pending_seconds: Option<f64>,
    parked: i64,
    last_webhook_at: Option<String>,
    silence_seconds: Option<f64>,
    last_applied_at: Option<String>,
    last_complete_sync_at: Option<String>,
}

/// Whether queries can be answered, and how each source stands.
pub(super) async fn readyz(State(shared): State<Shared>) -> Response {
    match read_sources(&shared).await {
        Ok(sources) => {
            let is_degraded = sources.values().any(|source| source.state != "running" || source.parked > 0);
            let status = if is_degraded { "degraded" } else { "ok" };
            Json(Readiness { status, database: "ok", sources }).into_response()
        }
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "not ready");
            let readiness = Readiness { status: "unavailable", database: "does not answer", sources: BTreeMap::new() };
            (StatusCode::SERVICE_UNAVAILABLE, Json(readiness)).into_response()
        }
    }
}

struct SourceRow {
    name: String,
    provider: String,
    state: Option<source_state::Model>,
    pending: Option<Waiting>,
    parked: Option<Waiting>,
}

async fn read_rows(shared: &Shared) -> Result<Vec<SourceRow>, ReadError> {
    let sources = shared.reader.reload_sources().await?;
    let states = shared.reader.source_states().await?;
    let pending = shared.reader.pending().await?;
    let parked = shared.reader.parked().await?;
    let of = |list: &[Waiting], id: i32| list.iter().find(|row| row.source_id == id).cloned();
    let row = |source: &std::sync::Arc<::entity::source::Model>| SourceRow {
        name: source.name.clone(),
        provider: source.provider.clone(),
        state: states.iter().find(|state| state.source_id == source.id).cloned(),
        pending: of(&pending, source.id),
        parked: of(&parked, source.id),
    };
    Ok(sources.all().iter().map(row).collect())
}

async fn read_sources(shared: &Shared) -> Result<BTreeMap<String, SourceReadiness>, ReadError> {
    let now = shared.clock.now();
    let readiness = |row: SourceRow| {
        let state = row.state.as_ref();
        let is_paused = state.is_some_and(|state| state.paused_at.is_some());
        let source = SourceReadiness {
            state: if is_paused { "paused" } else { "running" },
            reason: state.filter(|_| is_paused).and_then(|state| state.pause_reason.clone()),
            pending: row.pending.as_ref().map_or(0, |waiting| waiting.count),
            oldest_pending_seconds: row.pending.map(|waiting| seconds_since(waiting.oldest_at, now)),
            parked: row.parked.map_or(0, |waiting| waiting.count),
            last_webhook_at: text(state.and_then(|state| state.last_webhook_at)),
            silence_seconds: state.and_then(|state| state.last_webhook_at).map(|at| seconds_since(at, now)),
            last_applied_at: text(state.and_then(|state| state.last_applied_at)),
            last_complete_sync_at: text(state.and_then(|state| state.last_complete_sync_at)),
        };
        (row.name, source)
    };
    Ok(read_rows(shared).await?.into_iter().map(readiness).collect())
}

fn text(at: Option<Moment>) -> Option<String> {
    at.map(|at| at.to_datetime().to_rfc3339_opts(chrono::SecondsFormat::Millis, true))
}

fn seconds_since(at: Moment, now: Moment) -> f64 {
    // Milliseconds since 1970 fit a double exactly.
    (now.0.saturating_sub(at.0).max(0)) as f64 / 1000.0
}

/// Everything measured, as Prometheus reads it.
pub(super) async fn metrics(State(shared): State<Shared>) -> Response {
    metrics::gauge!("profile_mirror_websocket_connections").set(shared.sockets_open.load(Ordering::SeqCst) as f64);
    metrics::gauge!("profile_mirror_feeds").set(shared.publisher.subscribers() as f64);
    match read_rows(&shared).await {
        Ok(rows) => set_gauges(rows, shared.clock.now()),
        Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "measure the sources"),
    }
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], shared.metrics.handle.render()).into_response()
}

fn set_gauges(rows: Vec<SourceRow>, now: Moment) {
    for row in rows {
        let gauge = |name: &'static str, value: f64| {
            metrics::gauge!(name, "source" => row.name.clone(), "provider" => row.provider.clone()).set(value);
        };
        gauge("profile_mirror_inbox_pending", row.pending.as_ref().map_or(0.0, |waiting| waiting.count as f64));
        let oldest = row.pending.as_ref().map_or(0.0, |waiting| seconds_since(waiting.oldest_at, now));
        gauge("profile_mirror_inbox_oldest_pending_seconds", oldest);
        gauge("profile_mirror_inbox_parked", row.parked.as_ref().map_or(0.0, |waiting| waiting.count as f64));
        let Some(state) = &row.state else { continue };
        gauge("profile_mirror_source_paused", f64::from(u8::from(state.paused_at.is_some())));
        gauge("profile_mirror_source_revision", state.revision as f64);
        if let Some(at) = state.last_webhook_at {
            gauge("profile_mirror_source_silence_seconds", seconds_since(at, now));
        }
        if let Some(at) = state.last_complete_sync_at {
            gauge("profile_mirror_source_last_complete_sync_timestamp_seconds", at.0 as f64 / 1000.0);
        }
    }
}
