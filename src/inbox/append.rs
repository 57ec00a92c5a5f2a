//! Appends deliveries: everything that waits rides in one commit.

use super::insert::{MAX_ROWS, insert_at_once, insert_within};
use crate::clock::SharedClock;
use crate::db::{Database, Dialect, Precedence, dialect};
use crate::failpoint::Failpoint;
use bytes::Bytes;
use entity::{DeliveryKind, FetchState, Moment, fetch_request, sync_run};
use sea_orm::sea_query::Expr;
use sea_orm::{ActiveEnum, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, ExprTrait, QueryFilter};
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
    /// Headers worth keeping, without credentials.
    pub headers: Value,
    /// The raw body.
    pub body: Bytes,
    /// For a page or a fetch: what was asked for, and where the inbox stood then.
    pub context: Option<Value>,
    /// What must commit together with it.
    pub along: Along,
}

/// What commits together with a delivery.
#[derive(Clone, Debug, Default)]
pub enum Along {
    /// Nothing.
    #[default]
    Nothing,
    /// The fetch request is answered.
    FetchAnswered {
        /// Its id.
        request_id: i64,
    },
    /// The run has got this far.
    Checkpoint {
        /// Id of the run.
        run_id: i64,
        /// The pages still to get.
        pages_left: Value,
        /// Rows on this page.
        rows: i64,
        /// Rows expected in all, where upstream told.
        rows_expected: Option<i64>,
    },
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// Kept, at this inbox position.
    Kept(i64),
    /// A copy of the delivery at this position; if that one was parked, it is tried again.
    Duplicate(i64),
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

type Waiting = (NewDelivery, oneshot::Sender<Result<Appended, AppendError>>);

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
        self.queue.try_send((delivery, answer)).map_err(|error| match error {
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
    let mut committed: Option<Committed> = None;
    loop {
        let first = match committed {
            Some(_) => waiting.try_recv().ok(),
            None => next_waiting(&mut waiting, &stop).await,
        };
        let Some(first) = first else {
            match committed.take() {
                Some(committed) => committed.answer(&on_append),
                None => return,
            }
            continue;
        };
        let group = gather(first, &mut waiting);
        if group.is_empty() {
            continue;
        }
        let (deliveries, answers): (Vec<_>, Vec<_>) = group.into_iter().unzip();
        let sources: BTreeSet<i32> = deliveries.iter().map(|delivery| delivery.source_id).collect();
        // The database works on this group while the senders of the one before are answered.
        let answer = async {
            if let Some(committed) = committed.take() {
                committed.answer(&on_append);
            }
        };
        let (outcome, ()) = tokio::join!(commit_group(&db, clock.now(), deliveries, &sources), answer);
        committed = Some(Committed { outcome, answers, sources });
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
    let mut bytes = first.0.body.len();
    let mut group = vec![first];
    while group.len() < MAX_GROUP && bytes < MAX_GROUP_BYTES {
        let Ok(next) = waiting.try_recv() else { break };
        bytes += next.0.body.len();
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

/// Commits a group and tells what became of each, in order.
async fn commit_group(
    db: &Database,
    now: Moment,
    deliveries: Vec<NewDelivery>,
    sources: &BTreeSet<i32>,
) -> Result<Vec<Appended>, DbErr> {
    let is_bare = deliveries.iter().all(|delivery| matches!(delivery.along, Along::Nothing));
    let alongs: Vec<Along> =
        if is_bare { Vec::new() } else { deliveries.iter().map(|delivery| delivery.along.clone()).collect() };
    let (rows, places) = distinct(deliveries);
    let placed = if is_bare && rows.len() <= MAX_ROWS && db.dialect() == Dialect::Sqlite {
        insert_at_once(db.writer(), now, &rows).await?
    } else {
        let transaction = db.begin().await?;
        for source_id in sources {
            dialect::order_inbox(&transaction, db.dialect(), *source_id).await?;
        }
        for along in &alongs {
            write_along(&transaction, along).await?;
        }
        let mut placed = Vec::with_capacity(rows.len());
        for chunk in rows.chunks(128) {
            placed.extend(insert_within(&transaction, now, chunk).await?);
        }
        Failpoint::Append.pass();
        transaction.commit().await?;
        placed
    };
    let mut is_first = vec![true; placed.len()];
    let answer = |place: usize| match placed[place] {
        Appended::Kept(id) if !std::mem::take(&mut is_first[place]) => Appended::Duplicate(id),
        appended => appended,
    };
    Ok(places.into_iter().map(answer).collect())
}

/// Each key once, and for every delivery which of them is its own: copies that wait side by side would
/// touch one row twice in one statement.
fn distinct(deliveries: Vec<NewDelivery>) -> (Vec<NewDelivery>, Vec<usize>) {
    let mut rows: Vec<NewDelivery> = Vec::with_capacity(deliveries.len());
    let mut places = Vec::with_capacity(deliveries.len());
    let mut known: HashMap<(i32, String), usize> = HashMap::with_capacity(deliveries.len());
    for delivery in deliveries {
        let place = *known.entry((delivery.source_id, delivery.dedupe_key.clone())).or_insert(rows.len());
        if place == rows.len() {
            rows.push(delivery);
        }
        places.push(place);
    }
    (rows, places)
}

async fn write_along(transaction: &impl ConnectionTrait, along: &Along) -> Result<(), DbErr> {
    match along {
        Along::Nothing => Ok(()),
        Along::FetchAnswered { request_id } => fetch_request::Entity::update_many()
            .col_expr(fetch_request::Column::State, Expr::value(FetchState::Answered.to_value()))
            .filter(fetch_request::Column::Id.eq(*request_id))
            .exec(transaction)
            .await
            .map(drop),
        Along::Checkpoint { run_id, pages_left, rows, rows_expected } => {
            use sync_run::Column;
            let mut update = sync_run::Entity::update_many()
                .col_expr(Column::Checkpoint, Expr::value(pages_left.clone()))
                .col_expr(Column::Pages, Expr::col(Column::Pages).add(1))
                .col_expr(Column::RowsSeen, Expr::col(Column::RowsSeen).add(*rows));
            if let Some(expected) = rows_expected {
                update = update.col_expr(Column::RowsExpected, Expr::value(*expected));
            }
            update.filter(Column::Id.eq(*run_id)).exec(transaction).await.map(drop)
        }
    }
}
