//! Who watches runs: one reader a process for all that follow them, and none while nobody does.
//!
//! Runs are carried out on one instance and followed on any, so that the database is the only place to look: four
//! times a second, in one statement, whatever the number of subscribers.

use crate::causes::chain;
use crate::mirror::read::{ReadError, Reader};
use ::entity::{RunState, sync_run};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{broadcast, watch};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How often the runs are read.
const TICK: Duration = Duration::from_millis(250);
/// Steps of runs that a subscriber may be behind before it is told to subscribe again.
const BEHIND: usize = 256;
/// Longest wait for the first look.
const FIRST_LOOK: Duration = Duration::from_secs(5);

/// Follows runs for subscribers.
pub(crate) struct RunWatch {
    reader: Reader,
    stop: CancellationToken,
    tasks: TaskTracker,
    shared: Mutex<Option<Shared>>,
}

#[derive(Clone)]
struct Shared {
    steps: broadcast::Sender<Arc<sync_run::Model>>,
    has_looked: watch::Receiver<bool>,
}

/// Why runs cannot be followed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WatchError {
    /// The database does not answer.
    #[error("the runs cannot be read now")]
    NoLook,
    /// The subscriber reads too slowly.
    #[error("fell behind by {0} steps")]
    Behind(u64),
}

/// The steps of runs, from the moment of subscribing.
pub(crate) struct Steps(broadcast::Receiver<Arc<sync_run::Model>>);

impl Steps {
    /// A run as it is after its next step; none once the service stops.
    ///
    /// # Errors
    /// [`WatchError::Behind`].
    pub async fn next(&mut self) -> Option<Result<Arc<sync_run::Model>, WatchError>> {
        match self.0.recv().await {
            Ok(run) => Some(Ok(run)),
            Err(broadcast::error::RecvError::Lagged(steps)) => Some(Err(WatchError::Behind(steps))),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

impl RunWatch {
    /// A watch that looks at nothing until somebody subscribes. Its task is one of `tasks`, and ends with `stop`.
    pub fn new(reader: Reader, stop: CancellationToken, tasks: TaskTracker) -> Arc<Self> {
        Arc::new(Self { reader, stop, tasks, shared: Mutex::default() })
    }

    /// Follows every run. What is read of a run after this returns is followed without a gap.
    ///
    /// # Errors
    /// [`WatchError::NoLook`].
    pub async fn subscribe(self: &Arc<Self>) -> Result<Steps, WatchError> {
        let (steps, mut has_looked) = self.join();
        match tokio::time::timeout(FIRST_LOOK, has_looked.wait_for(|has_looked| *has_looked)).await {
            Ok(Ok(_)) => Ok(Steps(steps)),
            Ok(Err(_)) | Err(_) => Err(WatchError::NoLook),
        }
    }

    fn join(self: &Arc<Self>) -> (broadcast::Receiver<Arc<sync_run::Model>>, watch::Receiver<bool>) {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shared) = shared.as_ref() {
            return (shared.steps.subscribe(), shared.has_looked.clone());
        }
        let (steps, receiver) = broadcast::channel(BEHIND);
        let (looked, has_looked) = watch::channel(false);
        *shared = Some(Shared { steps: steps.clone(), has_looked: has_looked.clone() });
        self.tasks.spawn(Arc::clone(self).follow(steps, looked));
        (receiver, has_looked)
    }

    /// Reads the runs until nobody listens any more.
    async fn follow(self: Arc<Self>, steps: broadcast::Sender<Arc<sync_run::Model>>, looked: watch::Sender<bool>) {
        let mut known = Known::default();
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.stop.cancelled() => break,
                _ = ticks.tick() => {}
            }
            if self.is_left(&steps) {
                return;
            }
            match known.look(&self.reader).await {
                Ok(changed) => {
                    for run in changed {
                        // That nobody listens any more shows at the next tick.
                        drop(steps.send(run));
                    }
                    looked.send_replace(true);
                }
                Err(error) => tracing::warn!(error = chain(&error), "follow the runs"),
            }
        }
        *self.shared.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Whether nobody listens any more; the next subscriber starts anew then.
    fn is_left(&self, steps: &broadcast::Sender<Arc<sync_run::Model>>) -> bool {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let is_left = steps.receiver_count() == 0;
        if is_left {
            *shared = None;
        }
        is_left
    }
}

/// The runs as they were at the last look.
#[derive(Default)]
struct Known {
    /// Those that had not ended.
    open: HashMap<i64, Arc<sync_run::Model>>,
    /// The newest of all; none before the first look.
    newest: Option<i64>,
}

impl Known {
    /// Reads the runs; those that differ from the last look.
    async fn look(&mut self, reader: &Reader) -> Result<Vec<Arc<sync_run::Model>>, ReadError> {
        if self.newest.is_none() {
            let newest = reader.last_runs().await?;
            self.newest = Some(newest.into_iter().map(|run| run.id).max().unwrap_or(0));
        }
        let ids: Vec<i64> = self.open.keys().copied().collect();
        let runs = reader.runs_to_watch(&ids, self.newest).await?;
        self.newest = self.newest.max(runs.last().map(|run| run.id));
        let mut changed = Vec::new();
        let before = std::mem::take(&mut self.open);
        for run in runs {
            let known = before.get(&run.id);
            let run = match known {
                Some(known) if **known == run => Arc::clone(known),
                _ => {
                    let run = Arc::new(run);
                    changed.push(Arc::clone(&run));
                    run
                }
            };
            if !has_ended(&run) {
                self.open.insert(run.id, run);
            }
        }
        Ok(changed)
    }
}

/// Whether nothing more is to be expected of a run.
pub(crate) fn has_ended(run: &sync_run::Model) -> bool {
    matches!(run.state, RunState::Done | RunState::Failed | RunState::Cancelled)
}
