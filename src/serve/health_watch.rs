//! Who watches how sources stand: one reader a process for all that follow them, and none while nobody does.
//!
//! A source turns unhealthy by what does not happen as well, and on any instance, so that there is nothing to be rung by:
//! all of them are judged once a second, in a few statements, whatever the number of subscribers.

use super::Operations;
use super::health::{Health, Signs};
use crate::causes::chain;
use crate::clock::SharedClock;
use crate::mirror::read::{DeletionsWaiting, ReadError, Reader};
use ::entity::source;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How often the sources are judged.
const TICK: Duration = Duration::from_secs(1);

/// How every source stands.
type Standing = Vec<(Arc<source::Model>, Health)>;

/// Follows the health of sources for subscribers.
pub(crate) struct HealthWatch {
    reader: Reader,
    clock: SharedClock,
    operations: Arc<dyn Operations>,
    stop: CancellationToken,
    tasks: TaskTracker,
    shared: Mutex<Option<watch::Sender<Standing>>>,
}

/// The sources as they stand, from the moment of subscribing.
pub(crate) struct Steps {
    standing: watch::Receiver<Standing>,
    told: HashMap<i32, Health>,
    waiting: VecDeque<Arc<source::Model>>,
}

impl Steps {
    /// The next source that stands otherwise than it was told last; each once at first. None once the service stops.
    pub async fn next(&mut self) -> Option<Arc<source::Model>> {
        loop {
            if let Some(source) = self.waiting.pop_front() {
                return Some(source);
            }
            self.standing.changed().await.ok()?;
            for (source, health) in self.standing.borrow_and_update().iter() {
                if self.told.get(&source.id) != Some(health) {
                    self.told.insert(source.id, health.clone());
                    self.waiting.push_back(Arc::clone(source));
                }
            }
        }
    }
}

impl HealthWatch {
    /// A watch that looks at nothing until somebody subscribes. Its task is one of `tasks`, and ends with `stop`.
    pub fn new(
        reader: Reader,
        clock: SharedClock,
        operations: Arc<dyn Operations>,
        stop: CancellationToken,
        tasks: TaskTracker,
    ) -> Arc<Self> {
        Arc::new(Self { reader, clock, operations, stop, tasks, shared: Mutex::default() })
    }

    /// Follows every source.
    pub fn subscribe(self: &Arc<Self>) -> Steps {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let standing = match shared.as_ref() {
            Some(sender) => {
                let mut standing = sender.subscribe();
                // What was seen before it came is news to this one.
                standing.mark_changed();
                standing
            }
            None => {
                let (sender, standing) = watch::channel(Standing::new());
                *shared = Some(sender.clone());
                self.tasks.spawn(Arc::clone(self).follow(sender));
                standing
            }
        };
        Steps { standing, told: HashMap::new(), waiting: VecDeque::new() }
    }

    /// Judges the sources until nobody listens any more.
    async fn follow(self: Arc<Self>, standing: watch::Sender<Standing>) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.stop.cancelled() => break,
                _ = ticks.tick() => {}
            }
            if self.is_left(&standing) {
                return;
            }
            match self.look().await {
                Ok(now) => {
                    standing.send_if_modified(|known| {
                        let has_changed = *known != now;
                        *known = now;
                        has_changed
                    });
                }
                Err(error) => tracing::warn!(error = chain(&error), "follow the health of the sources"),
            }
        }
        *self.shared.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Whether nobody listens any more; the next subscriber starts anew then.
    fn is_left(&self, standing: &watch::Sender<Standing>) -> bool {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let is_left = standing.receiver_count() == 0;
        if is_left {
            *shared = None;
        }
        is_left
    }

    async fn look(&self) -> Result<Standing, ReadError> {
        let states = self.reader.source_states().await?;
        let pending = self.reader.pending().await?;
        let deletions = self.reader.deletions_waiting().await?;
        let failing = self.reader.failing_runs().await?;
        let found = self.reader.changes_found().await?;
        let sources = self.reader.sources_with(states.iter().map(|state| state.source_id)).await?;
        let judge = |source: &Arc<source::Model>| {
            let deletions = DeletionsWaiting::of(&deletions, source.id);
            let signs = Signs {
                name: &source.name,
                state: states.iter().find(|row| row.source_id == source.id),
                pending: pending.iter().find(|row| row.source_id == source.id),
                deletions: deletions.as_ref(),
                failing: failing.iter().find(|run| run.source_id == source.id),
                found: found.iter().find(|found| found.source_id == source.id),
                is_configured: self.operations.is_configured(&source.name),
                now: self.clock.now(),
            };
            (Arc::clone(source), signs.judge())
        };
        Ok(sources.all().iter().map(judge).collect())
    }
}
