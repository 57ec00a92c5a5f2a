//! Health, readiness and metrics. Open to anybody who reaches the port: no names but those of sources, no values. Reasons,
//! which people and providers may have worded, are for those with a key.

use super::edge::Carrier;
use super::estimate::Known;
use super::health::{self, Signs};
use super::router::Shared;
use crate::causes::chain;
use crate::mirror::read::{ChangesFound, DeletionsWaiting, ReadError, SourceCount, Waiting};
use ::entity::{Moment, source_state, sync_run};
use axum::Json;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock, PoisonError};

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
    overdue_deletions: i64,
    pending_erasures: i64,
    lag_seconds: f64,
    silence_seconds: Option<f64>,
    oldest_pending_seconds: Option<f64>,
    pending: i64,
    parked: i64,
    deletions_waiting: i64,
    last_webhook_at: Option<String>,
    last_applied_at: Option<String>,
    last_complete_sync: Option<String>,
}

/// What `/readyz` is asked.
#[derive(Deserialize)]
pub(super) struct ReadinessQuery {
    /// Only this source.
    source: Option<String>,
    /// `1` or `true`: a source that is not well makes the answer 503. Otherwise it does not, since reads are served.
    strict: Option<String>,
}

/// Whether queries can be answered, and how each source stands.
pub(super) async fn readyz(
    State(shared): State<Shared>,
    headers: HeaderMap,
    Query(query): Query<ReadinessQuery>,
) -> Response {
    let key = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let is_known = key.is_some_and(|key| shared.access.identify_header(key).is_some());
    let sources = match read_sources(&shared, is_known).await {
        Ok(sources) => sources,
        Err(error) => {
            tracing::warn!(error = chain(&error), "not ready");
            let readiness = Readiness { status: "unavailable", database: "does not answer", sources: BTreeMap::new() };
            return (StatusCode::SERVICE_UNAVAILABLE, Json(readiness)).into_response();
        }
    };
    let is_asked_for = |name: &String| query.source.as_ref().is_none_or(|asked| asked == name);
    let sources: BTreeMap<_, _> = sources.into_iter().filter(|(name, _)| is_asked_for(name)).collect();
    if sources.is_empty() && query.source.is_some() {
        return (StatusCode::NOT_FOUND, "no such source\n").into_response();
    }
    let is_unwell = sources.values().any(|source| source.state != health::State::Running.as_str());
    let is_degraded = is_unwell || sources.values().any(|source| source.parked > 0);
    let is_strict = query.strict.as_deref().is_some_and(|strict| matches!(strict, "1" | "true"));
    let code = if is_strict && is_unwell { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let status = if is_degraded { "degraded" } else { "ok" };
    (code, Json(Readiness { status, database: "ok", sources })).into_response()
}

struct SourceRow {
    name: String,
    provider: String,
    state: Option<source_state::Model>,
    pending: Option<Waiting>,
    parked: Option<Waiting>,
    deletions: Option<DeletionsWaiting>,
    failing: Option<sync_run::Model>,
    found: Option<ChangesFound>,
    overdue: i64,
    erasures: i64,
    is_configured: bool,
}

impl SourceRow {
    fn signs(&self, now: Moment) -> Signs<'_> {
        let (state, pending) = (self.state.as_ref(), self.pending.as_ref());
        let (deletions, failing, found) = (self.deletions.as_ref(), self.failing.as_ref(), self.found.as_ref());
        Signs { name: &self.name, state, pending, deletions, failing, found, is_configured: self.is_configured, now }
    }
}

async fn read_rows(shared: &Shared) -> Result<Vec<SourceRow>, ReadError> {
    let sources = shared.reader.reload_sources().await?;
    let states = shared.reader.source_states().await?;
    let pending = shared.reader.pending().await?;
    let parked = shared.reader.parked().await?;
    let deletions = shared.reader.deletions_waiting().await?;
    let failing = shared.reader.failing_runs().await?;
    let found = shared.reader.changes_found().await?;
    let overdue = shared.reader.overdue(shared.clock.now()).await?;
    let erasures = shared.reader.pending_erasures().await?;
    let of = |list: &[Waiting], id: i32| list.iter().find(|row| row.source_id == id).cloned();
    let count = |list: &[SourceCount], id: i32| list.iter().find(|row| row.source_id == id).map_or(0, |row| row.count);
    let row = |source: &std::sync::Arc<::entity::source::Model>| SourceRow {
        name: source.name.clone(),
        provider: source.provider.clone(),
        state: states.iter().find(|state| state.source_id == source.id).cloned(),
        pending: of(&pending, source.id),
        parked: of(&parked, source.id),
        deletions: DeletionsWaiting::of(&deletions, source.id),
        failing: failing.iter().find(|run| run.source_id == source.id).cloned(),
        found: found.iter().find(|found| found.source_id == source.id).copied(),
        overdue: count(&overdue, source.id),
        erasures: count(&erasures, source.id),
        is_configured: shared.operations.is_configured(&source.name),
    };
    Ok(sources.all().iter().map(row).collect())
}

/// How each source stands, and why only where reasons are wanted.
async fn read_sources(shared: &Shared, with_reasons: bool) -> Result<BTreeMap<String, SourceReadiness>, ReadError> {
    let now = shared.clock.now();
    let readiness = |row: SourceRow| {
        let signs = row.signs(now);
        let (state, health) = (row.state.as_ref(), signs.judge());
        let source = SourceReadiness {
            state: health.state.as_str(),
            reason: health.reason.filter(|_| with_reasons),
            lag_seconds: seconds(signs.lag_ms()),
            silence_seconds: signs.silence_ms().map(seconds),
            oldest_pending_seconds: signs.oldest_pending_ms().map(seconds),
            pending: row.pending.as_ref().map_or(0, |waiting| waiting.count),
            parked: row.parked.as_ref().map_or(0, |waiting| waiting.count),
            deletions_waiting: row.deletions.as_ref().map_or(0, |waiting| waiting.count),
            overdue_deletions: row.overdue,
            pending_erasures: row.erasures,
            last_webhook_at: text(signs.last_webhook_at()),
            last_applied_at: text(state.and_then(|state| state.last_applied_at)),
            last_complete_sync: text(state.and_then(|state| state.last_complete_sync_at)),
        };
        (row.name, source)
    };
    Ok(read_rows(shared).await?.into_iter().map(readiness).collect())
}

fn text(at: Option<Moment>) -> Option<String> {
    at.map(|at| at.to_datetime().to_rfc3339_opts(chrono::SecondsFormat::Millis, true))
}

fn seconds(ms: i64) -> f64 {
    // Milliseconds since 1970 fit a double exactly.
    ms as f64 / 1000.0
}

/// Everything measured, as Prometheus reads it.
pub(super) async fn metrics(State(shared): State<Shared>) -> Response {
    /// Services of one process share the recorder, as those of tests do: what one has set is told before another sets it.
    static TELLING: Mutex<()> = Mutex::new(());
    let rows = read_rows(&shared).await.map_err(|error| tracing::warn!(error = chain(&error), "measure the sources"));
    let is_up = rows.is_ok();
    let rows = rows.unwrap_or_default();
    let drift = read_drift(&shared, &rows).await;
    let text = {
        let _telling = TELLING.lock().unwrap_or_else(PoisonError::into_inner);
        // Where it is 0, what is told of sources is what was last known.
        metrics::gauge!("profile_mirror_database_up").set(f64::from(u8::from(is_up)));
        metrics::gauge!("profile_mirror_websocket_connections").set(shared.slots.count(Carrier::Socket) as f64);
        metrics::gauge!("profile_mirror_event_streams").set(shared.slots.count(Carrier::Events) as f64);
        metrics::gauge!("profile_mirror_feeds").set(shared.publisher.subscribers() as f64);
        for (row, ratio) in rows.iter().zip(drift) {
            set_gauges(&shared, row, ratio);
        }
        shared.metrics.handle.render()
    };
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

/// Of each source the share of records that differed when last looked at; none before that.
async fn read_drift(shared: &Shared, rows: &[SourceRow]) -> Vec<Option<f64>> {
    let mut ratios = Vec::with_capacity(rows.len());
    for row in rows {
        let Some(state) = &row.state else {
            ratios.push(None);
            continue;
        };
        let known = Known::read(&shared.reader, state.source_id, state.last_complete_sync_at, shared.clock.now()).await;
        ratios.push(known.map(|known| known.ratio()).unwrap_or_else(|error| {
            tracing::warn!(error = chain(&error), "measure the drift");
            None
        }));
    }
    ratios
}

fn set_gauges(shared: &Shared, row: &SourceRow, drift: Option<f64>) {
    let gauge = |name: &'static str, value: f64| {
        metrics::gauge!(name, "source" => row.name.clone(), "provider" => row.provider.clone()).set(value);
    };
    let signs = row.signs(shared.clock.now());
    gauge("profile_mirror_inbox_pending", row.pending.as_ref().map_or(0.0, |waiting| waiting.count as f64));
    gauge("profile_mirror_inbox_oldest_pending_seconds", seconds(signs.lag_ms()));
    gauge("profile_mirror_inbox_parked", row.parked.as_ref().map_or(0.0, |waiting| waiting.count as f64));
    gauge("profile_mirror_deletions_waiting", row.deletions.as_ref().map_or(0.0, |waiting| waiting.count as f64));
    let is = |state: health::State| f64::from(u8::from(signs.judge().state == state));
    gauge("profile_mirror_source_paused", is(health::State::Paused));
    gauge("profile_mirror_source_degraded", is(health::State::Degraded));
    if let Some(ratio) = shared.operations.budget(&row.name).and_then(|budget| budget.remaining_ratio) {
        gauge("profile_mirror_upstream_budget_remaining_ratio", ratio);
    }
    gauge("profile_mirror_lifecycle_overdue", row.overdue as f64);
    gauge("profile_mirror_erasure_pending", row.erasures as f64);
    if let Some(ratio) = drift {
        gauge("profile_mirror_drift_ratio", ratio);
    }
    let Some(state) = &row.state else { return };
    gauge("profile_mirror_source_revision", state.revision as f64);
    if let Some(silence_ms) = signs.silence_ms() {
        gauge("profile_mirror_source_silence_seconds", seconds(silence_ms));
    }
    if let Some(freshness_ms) = signs.freshness_ms() {
        gauge("profile_mirror_source_freshness_seconds", seconds(freshness_ms));
    }
    if let Some(at) = state.last_complete_sync_at {
        gauge("profile_mirror_source_last_complete_sync_timestamp_seconds", seconds(at.0));
    }
}
