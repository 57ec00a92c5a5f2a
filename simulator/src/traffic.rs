//! The record of upstream REST calls, and requests held while their answer is already made.

use std::collections::VecDeque;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::sync::Notify;

use crate::context::ProviderKind;
use crate::guarded::Guarded;

/// The oldest lines go first beyond this many.
const KEPT_LINES: usize = 200_000;

/// One REST request that reached the simulator.
#[derive(Debug, Clone)]
pub struct UpstreamRequest {
    /// Whose API.
    pub provider: ProviderKind,
    /// `GET`
    pub method: String,
    /// The path under the origin.
    pub path: String,
    /// The raw query, empty where there is none.
    pub query: String,
    /// What it was answered with.
    pub status: u16,
    /// When it came, by the machine's clock.
    pub at: DateTime<Utc>,
}

#[derive(Debug, Default)]
struct Lines {
    count: [u64; 3],
    in_flight: [usize; 3],
    most_in_flight: [usize; 3],
    log: VecDeque<UpstreamRequest>,
    pauses: Vec<(String, Arc<Gate>)>,
}

#[derive(Debug, Default)]
struct Gate {
    reached: Notify,
    released: Notify,
}

/// Counts, logs and holds requests.
#[derive(Debug, Default)]
pub(crate) struct Traffic(Guarded<Lines>);

impl Traffic {
    /// Counts a request, and that it is under way until the visit is dropped: a client may hang up at any time.
    pub(crate) fn enter(&self, provider: ProviderKind) -> Visit<'_> {
        let mut lines = self.0.lock();
        let at = provider.index();
        lines.count[at] += 1;
        lines.in_flight[at] += 1;
        lines.most_in_flight[at] = lines.most_in_flight[at].max(lines.in_flight[at]);
        Visit { traffic: self, provider }
    }

    pub(crate) fn note(&self, request: UpstreamRequest) {
        let mut lines = self.0.lock();
        if lines.log.len() >= KEPT_LINES {
            lines.log.pop_front();
        }
        lines.log.push_back(request);
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.lock().count.iter().sum()
    }

    pub(crate) fn count_of(&self, provider: ProviderKind) -> u64 {
        self.0.lock().count[provider.index()]
    }

    pub(crate) fn most_in_flight(&self, provider: ProviderKind) -> usize {
        self.0.lock().most_in_flight[provider.index()]
    }

    pub(crate) fn log(&self) -> Vec<UpstreamRequest> {
        self.0.lock().log.iter().cloned().collect()
    }

    pub(crate) fn forget(&self) {
        let mut lines = self.0.lock();
        lines.log.clear();
        lines.count = [0; 3];
        lines.most_in_flight = [0; 3];
    }

    pub(crate) fn pause_next(&self, path_contains: &str) -> PausedRequest {
        let gate = Arc::new(Gate::default());
        self.0.lock().pauses.push((path_contains.to_owned(), Arc::clone(&gate)));
        PausedRequest { gate }
    }

    /// The hold that waits for this request, claimed before the answer is made.
    pub(crate) fn claim_pause(&self, path_and_query: &str) -> Option<Hold> {
        let mut lines = self.0.lock();
        let at = lines.pauses.iter().position(|(needle, _)| path_and_query.contains(needle.as_str()))?;
        Some(Hold { gate: lines.pauses.remove(at).1 })
    }
}

/// A request under way.
pub(crate) struct Visit<'a> {
    traffic: &'a Traffic,
    provider: ProviderKind,
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        let mut lines = self.traffic.0.lock();
        let under_way = &mut lines.in_flight[self.provider.index()];
        *under_way = under_way.saturating_sub(1);
    }
}

/// The server's side of a pause.
pub(crate) struct Hold {
    gate: Arc<Gate>,
}

impl Hold {
    pub(crate) async fn wait(self) {
        self.gate.reached.notify_one();
        self.gate.released.notified().await;
    }
}

/// A request whose answer is made and not yet sent. Dropping it releases the request.
#[derive(Debug)]
pub struct PausedRequest {
    gate: Arc<Gate>,
}

impl PausedRequest {
    /// Waits until the request has come and its answer is fixed.
    pub async fn reached(&self) {
        self.gate.reached.notified().await;
    }

    /// Lets the answer go.
    pub fn release(self) {}
}

impl Drop for PausedRequest {
    fn drop(&mut self) {
        self.gate.released.notify_one();
    }
}
