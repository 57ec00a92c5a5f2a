//! Appends deliveries: everything that waits rides in one commit.

use super::along::Along;
use super::commit::Committer;
use super::insert::Row;
use super::keys::digest;
use crate::clock::SharedClock;
use crate::db::{Database, Precedence};
use crate::failpoint::Failpoint;
use bytes::Bytes;
use entity::{DeliveryKind, DeliveryState};
use sea_orm::DbErr;
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// Deliveries that may wait for a commit; beyond it the sender is asked to come back.
const QUEUE: usize = 1024;
/// Deliveries in one commit.
const MAX_GROUP: usize = 256;
/// Body bytes in one commit.
const MAX_GROUP_BYTES: usize = 8 << 20;
/// Longest wait for a commit; every known sender waits at least 5 s.
const DEADLINE: Duration = Duration::from_millis(4_500);

/// A delivery on its way into the inbox.
#[derive(Clone, Debug)]
pub struct NewDelivery {
    /// The source.
    pub source_id: i32,
    /// Webhook, page or fetch.
    pub kind: DeliveryKind,
    /// The same for every copy of it; unique within the source.
    pub dedupe_key: String,
    /// Media type of the body, lower case, without parameters.
    pub media_type: String,
    /// Headers worth keeping, without credentials: the text of a JSON object.
    pub headers: String,
    /// The raw body.
    pub body: Bytes,
    /// For a page or a fetch: what was asked for, and where the inbox stood then.
    pub context: Option<Value>,
    /// What must commit together with it.
    pub along: Along,
}

impl NewDelivery {
    /// The state in which it is kept.
    pub(super) fn first_state(&self) -> DeliveryState {
        match self.along {
            Along::Checkpoint { is_held: true, .. } => DeliveryState::Held,
            _ => DeliveryState::Pending,
        }
    }
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// Kept, at this inbox position.
    Kept(i64),
    /// A copy of the delivery at this position; if that one was parked, it is tried again.
    Duplicate(i64),
    /// Not kept: the run that it is a page of has gone on without its sender.
    Refused,
}

/// Why a delivery is not durable. The sender must send it again.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    /// Too many wait already, or the commit takes too long.
    #[error("the inbox is busy")]
    Busy,
    /// The database refused.
    #[error("append to the inbox: {0}")]
    Database(String),
    /// The service stops.
    #[error("the service is stopping")]
    Stopping,
}

type Waiting = (Row, oneshot::Sender<Result<Appended, AppendError>>);

/// The way into the inbox. Cheap to clone.
#[derive(Clone)]
pub struct Inbox {
    queue: mpsc::Sender<Waiting>,
    precedence: Arc<Precedence>,
}

impl Inbox {
    /// Opens the inbox; `on_append` is called with the sources of each commit.
    pub fn open(
        db: Database,
        clock: SharedClock,
        stop: CancellationToken,
        on_append: impl Fn(&BTreeSet<i32>) + Send + Sync + 'static,
    ) -> (Self, tokio::task::JoinHandle<()>) {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let precedence = db.precedence().clone();
        let groups = commit_groups(db, clock, stop, waiting, on_append);
        // A thread of its own: behind a full queue of requests on a runtime's thread the database would wait for its
        // next group, and all senders with it.
        let runtime = tokio::runtime::Handle::current();
        let task = tokio::task::spawn_blocking(move || runtime.block_on(groups));
        (Self { queue, precedence }, task)
    }

    /// Appends a delivery and returns once it is flushed to disk.
    ///
    /// *Idempotence*: a delivery with a known dedupe key is a [`Appended::Duplicate`]. One that was
    /// parked is made pending again.
    ///
    /// # Errors
    /// [`AppendError`]: it may or may not be kept; the sender must send it again.
    pub async fn append(&self, delivery: NewDelivery) -> Result<Appended, AppendError> {
        let _waiting = self.precedence.wait_for_answer();
        let (answer, answered) = oneshot::channel();
        let digest = digest(delivery.source_id, &delivery.dedupe_key);
        self.queue.try_send(((delivery, digest), answer)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => AppendError::Busy,
            mpsc::error::TrySendError::Closed(_) => AppendError::Stopping,
        })?;
        match tokio::time::timeout(DEADLINE, answered).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(AppendError::Stopping),
            Err(_) => Err(AppendError::Busy),
        }
    }
}

async fn commit_groups(
    db: Database,
    clock: SharedClock,
    stop: CancellationToken,
    mut waiting: mpsc::Receiver<Waiting>,
    on_append: impl Fn(&BTreeSet<i32>) + Send + Sync + 'static,
) {
    let mut committer = Committer::open(db, &stop).await;
    let on_append = Arc::new(on_append);
    let mut answering = tokio::spawn(async {});
    loop {
        committer.tidy().await;
        let first = match waiting.try_recv() {
            Ok(first) => first,
            Err(_) if !stop.is_cancelled() && committer.tidy_while_nobody_waits().await => continue,
            Err(_) => match next_waiting(&mut waiting, &stop).await {
                Some(first) => first,
                None => break,
            },
        };
        let group = gather(first, &mut waiting);
        if group.is_empty() {
            continue;
        }
        let (deliveries, answers): (Vec<_>, Vec<_>) = group.into_iter().unzip();
        let sources: BTreeSet<i32> = deliveries.iter().map(|(delivery, _)| delivery.source_id).collect();
        let outcome = committer.commit(clock.now(), deliveries, &sources).await;
        // Among the senders, where waking one after the other is cheap; the next group is committed meanwhile.
        let (committed, on_append) = (Committed { outcome, answers, sources }, Arc::clone(&on_append));
        answering = tokio::spawn(async move { committed.answer(&*on_append) });
    }
    if let Err(error) = answering.await {
        tracing::error!(%error, "answer the last senders");
    }
}

/// Waits for a delivery; none once the service stops and all are committed.
async fn next_waiting(waiting: &mut mpsc::Receiver<Waiting>, stop: &CancellationToken) -> Option<Waiting> {
    tokio::select! {
        next = waiting.recv() => next,
        () = stop.cancelled() => {
            // What is queued already is still kept: the sender waits for its answer.
            waiting.close();
            waiting.recv().await
        }
    }
}

/// What waits behind `first` and may ride in one commit with it.
fn gather(first: Waiting, waiting: &mut mpsc::Receiver<Waiting>) -> Vec<Waiting> {
    let mut bytes = first.0.0.body.len();
    let mut group = vec![first];
    while group.len() < MAX_GROUP && bytes < MAX_GROUP_BYTES {
        let Ok(next) = waiting.try_recv() else { break };
        bytes += next.0.0.body.len();
        group.push(next);
    }
    // Senders that have given up are not worth a commit.
    group.retain(|(_, answer)| !answer.is_closed());
    group
}

/// A group whose commit has ended, one way or the other.
struct Committed {
    outcome: Result<Vec<Appended>, DbErr>,
    answers: Vec<oneshot::Sender<Result<Appended, AppendError>>>,
    sources: BTreeSet<i32>,
}

impl Committed {
    fn answer(self, on_append: impl Fn(&BTreeSet<i32>)) {
        match self.outcome {
            Ok(outcomes) => {
                Failpoint::Appended.pass();
                for (answer, outcome) in self.answers.into_iter().zip(outcomes) {
                    drop(answer.send(Ok(outcome)));
                }
                on_append(&self.sources);
            }
            Err(error) => {
                tracing::error!(%error, deliveries = self.answers.len(), "append to the inbox");
                for answer in self.answers {
                    drop(answer.send(Err(AppendError::Database(error.to_string()))));
                }
            }
        }
    }
}
