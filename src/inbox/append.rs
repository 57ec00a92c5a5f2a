//! Appends deliveries: everything that waits rides in one commit.

use super::along::{Along, write_along};
use super::insert::{Row, insert_or_count, insert_unknown};
use super::keys::{Digest, Keys, digest};
use crate::clock::SharedClock;
use crate::db::{Database, Dialect, Precedence, dialect};
use crate::failpoint::Failpoint;
use bytes::Bytes;
use entity::{DeliveryKind, DeliveryState, Moment};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr};
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};
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
/// A commit that takes longer is given up, so that a connection that hangs does not hold up every group behind it. On
/// SQLite the lock's own timeout does that.
const COMMIT_DEADLINE: Duration = Duration::from_secs(6);

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
    let mut keys = match db.dialect() {
        Dialect::Sqlite => Some(Keys::default()),
        Dialect::Postgres => None,
    };
    if let Some(keys) = &mut keys
        && let Err(error) = keys.open(&db, &stop).await
    {
        tracing::warn!(%error, "read the dedupe keys; the first append reads them again");
    }
    let on_append = Arc::new(on_append);
    let mut answering = tokio::spawn(async {});
    loop {
        if keys.as_ref().is_some_and(Keys::is_filing_due) {
            file_some(&db, &mut keys).await;
        }
        let first = match waiting.try_recv() {
            Ok(first) => first,
            Err(_) if keys.as_ref().is_some_and(Keys::is_filing) && !stop.is_cancelled() => {
                file_some(&db, &mut keys).await;
                continue;
            }
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
        let outcome = commit_in_time(&db, clock.now(), deliveries, &sources, &mut keys).await;
        // Among the senders, where waking one after the other is cheap; the next group is committed meanwhile.
        let (committed, on_append) = (Committed { outcome, answers, sources }, Arc::clone(&on_append));
        answering = tokio::spawn(async move { committed.answer(&*on_append) });
    }
    if let Err(error) = answering.await {
        tracing::error!(%error, "answer the last senders");
    }
}

async fn file_some(db: &Database, keys: &mut Option<Keys>) {
    if let Some(keys) = keys
        && let Err(error) = keys.file_some(db.writer()).await
    {
        tracing::warn!(%error, "file dedupe keys; they stay in memory until it works");
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

/// Commits a group within its time. One that met apply half way, each waiting for a row of the other, is done again.
async fn commit_in_time(
    db: &Database,
    now: Moment,
    deliveries: Vec<Row>,
    sources: &BTreeSet<i32>,
    keys: &mut Option<Keys>,
) -> Result<Vec<Appended>, DbErr> {
    if db.dialect() == Dialect::Sqlite {
        return commit_group(db, now, deliveries, sources, keys).await;
    }
    let commit = async {
        match commit_group(db, now, deliveries.clone(), sources, keys).await {
            Err(error) if dialect::is_deadlock(&error) => commit_group(db, now, deliveries, sources, keys).await,
            outcome => outcome,
        }
    };
    let too_late = |_| Err(DbErr::Custom(format!("no commit within {} s", COMMIT_DEADLINE.as_secs())));
    tokio::time::timeout(COMMIT_DEADLINE, commit).await.unwrap_or_else(too_late)
}

/// Commits a group and tells what became of each, in order.
async fn commit_group(
    db: &Database,
    now: Moment,
    deliveries: Vec<Row>,
    sources: &BTreeSet<i32>,
    keys: &mut Option<Keys>,
) -> Result<Vec<Appended>, DbErr> {
    if deliveries.iter().all(|(delivery, _)| matches!(delivery.along, Along::Nothing)) {
        let (rows, places) = distinct(deliveries);
        let placed = match keys {
            Some(keys) => commit_bare_on_sqlite(db, now, &rows, keys).await?,
            None => {
                let transaction = begin_in_order(db, sources).await?;
                let placed = insert_in_chunks(&transaction, now, &rows).await?;
                Failpoint::Append.pass();
                transaction.commit().await?;
                placed
            }
        };
        return Ok(answers(&placed, places));
    }
    let transaction = begin_in_order(db, sources).await?;
    let mut welcome = Vec::with_capacity(deliveries.len());
    for (delivery, _) in &deliveries {
        welcome.push(write_along(&transaction, &delivery.along).await?);
    }
    let kept = deliveries.into_iter().zip(&welcome).filter_map(|(row, is_welcome)| is_welcome.then_some(row));
    let (rows, places) = distinct(kept.collect());
    let placed = match keys {
        Some(keys) => {
            keys.catch_up(&transaction).await?;
            insert_on_sqlite(&transaction, now, &rows, keys).await?
        }
        None => insert_in_chunks(&transaction, now, &rows).await?,
    };
    Failpoint::Append.pass();
    transaction.commit().await?;
    if let Some(keys) = keys {
        note(keys, &rows, &placed);
    }
    let mut answered = answers(&placed, places).into_iter();
    let answer = |is_welcome: bool| if is_welcome { answered.next() } else { None };
    Ok(welcome.into_iter().map(answer).map(|answer| answer.unwrap_or(Appended::Refused)).collect())
}

/// A transaction in which positions are handed out in the order in which they commit.
async fn begin_in_order(db: &Database, sources: &BTreeSet<i32>) -> Result<DatabaseTransaction, DbErr> {
    let transaction = db.begin().await?;
    for source_id in sources {
        dialect::order_inbox(&transaction, db.dialect(), *source_id).await?;
    }
    Ok(transaction)
}

async fn insert_in_chunks(
    transaction: &impl ConnectionTrait,
    now: Moment,
    rows: &[Row],
) -> Result<Vec<Appended>, DbErr> {
    let mut placed = Vec::with_capacity(rows.len());
    for chunk in rows.chunks(128) {
        placed.extend(insert_or_count(transaction, now, chunk).await?);
    }
    Ok(placed)
}

/// What became of each delivery: the first of several copies is the one that is kept.
fn answers(placed: &[Appended], places: Vec<usize>) -> Vec<Appended> {
    let mut is_first = vec![true; placed.len()];
    let answer = |place: usize| match placed[place] {
        Appended::Kept(id) if !std::mem::take(&mut is_first[place]) => Appended::Duplicate(id),
        appended => appended,
    };
    places.into_iter().map(answer).collect()
}

/// Commits rows with different keys in one statement, unless another instance has appended meanwhile.
async fn commit_bare_on_sqlite(
    db: &Database,
    now: Moment,
    rows: &[Row],
    keys: &mut Keys,
) -> Result<Vec<Appended>, DbErr> {
    Failpoint::Append.pass();
    let placed = match insert_unknown(db.writer(), now, rows, keys).await? {
        Some(placed) => placed,
        None => {
            let transaction = db.begin().await?;
            keys.catch_up(&transaction).await?;
            let placed = insert_on_sqlite(&transaction, now, rows, keys).await?;
            Failpoint::Append.pass();
            transaction.commit().await?;
            placed
        }
    };
    note(keys, rows, &placed);
    Ok(placed)
}

/// Inserts within a transaction that has caught up: nobody else appends meanwhile.
async fn insert_on_sqlite(
    transaction: &impl ConnectionTrait,
    now: Moment,
    rows: &[Row],
    keys: &Keys,
) -> Result<Vec<Appended>, DbErr> {
    let placed = insert_unknown(transaction, now, rows, keys).await?;
    placed.ok_or_else(|| DbErr::Custom("two wrote to the inbox at once".to_owned()))
}

fn note(keys: &mut Keys, rows: &[Row], placed: &[Appended]) {
    keys.note(rows.iter().zip(placed).filter_map(|((_, digest), placed)| match placed {
        Appended::Kept(id) => Some((*digest, *id)),
        Appended::Duplicate(_) | Appended::Refused => None,
    }));
}

/// Each key once, and for every delivery which of them is its own: copies that wait side by side would
/// touch one row twice in one statement.
fn distinct(deliveries: Vec<Row>) -> (Vec<Row>, Vec<usize>) {
    let mut rows: Vec<Row> = Vec::with_capacity(deliveries.len());
    let mut places = Vec::with_capacity(deliveries.len());
    let mut known: HashMap<Digest, usize> = HashMap::with_capacity(deliveries.len());
    for (delivery, digest) in deliveries {
        let place = *known.entry(digest).or_insert(rows.len());
        if place == rows.len() {
            rows.push((delivery, digest));
        }
        places.push(place);
    }
    (rows, places)
}
