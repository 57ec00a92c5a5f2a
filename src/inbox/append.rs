//! Appends deliveries: everything that waits rides in one commit.

use crate::clock::SharedClock;
use crate::db::{Database, dialect};
use crate::failpoint::Failpoint;
use bytes::Bytes;
use entity::{DeliveryKind, DeliveryState, FetchState, Moment, delivery, fetch_request, sync_run};
use sea_orm::sea_query::{Expr, OnConflict, Query};
use sea_orm::{ActiveEnum, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, ExprTrait, QueryFilter};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};
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
}

impl Inbox {
    /// Opens the inbox; `on_append` is called with the sources of each commit.
    pub fn open(
        db: Database,
        clock: SharedClock,
        stop: CancellationToken,
        on_append: impl Fn(&BTreeSet<i32>) + Send + 'static,
    ) -> (Self, tokio::task::JoinHandle<()>) {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let task = tokio::spawn(commit_groups(db, clock, stop, waiting, on_append));
        (Self { queue }, task)
    }

    /// Appends a delivery and returns once it is flushed to disk.
    ///
    /// *Idempotence*: a delivery with a known dedupe key is a [`Appended::Duplicate`]. One that was
    /// parked is made pending again.
    ///
    /// # Errors
    /// [`AppendError`]: it may or may not be kept; the sender must send it again.
    pub async fn append(&self, delivery: NewDelivery) -> Result<Appended, AppendError> {
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
    on_append: impl Fn(&BTreeSet<i32>) + Send + 'static,
) {
    loop {
        let first = tokio::select! {
            first = waiting.recv() => first,
            () = stop.cancelled() => {
                // What is queued already is still kept: the sender waits for its answer.
                waiting.close();
                waiting.recv().await
            }
        };
        let Some(first) = first else { return };
        let mut bytes = first.0.body.len();
        let mut group = vec![first];
        while group.len() < MAX_GROUP && bytes < MAX_GROUP_BYTES {
            let Ok(next) = waiting.try_recv() else { break };
            bytes += next.0.body.len();
            group.push(next);
        }
        // Senders that have given up are not worth a commit.
        group.retain(|(_, answer)| !answer.is_closed());
        if group.is_empty() {
            continue;
        }
        let (deliveries, answers): (Vec<_>, Vec<_>) = group.into_iter().unzip();
        let sources: BTreeSet<i32> = deliveries.iter().map(|delivery| delivery.source_id).collect();
        match commit_group(&db, clock.now(), deliveries, &sources).await {
            Ok(outcomes) => {
                Failpoint::Appended.pass();
                for (answer, outcome) in answers.into_iter().zip(outcomes) {
                    drop(answer.send(Ok(outcome)));
                }
                on_append(&sources);
            }
            Err(error) => {
                tracing::error!(%error, deliveries = answers.len(), "append to the inbox");
                for answer in answers {
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
    let transaction = db.begin().await?;
    for source_id in sources {
        dialect::order_inbox(&transaction, db.dialect(), *source_id).await?;
    }
    let keys: Vec<(i32, String)> = deliveries.iter().map(|d| (d.source_id, d.dedupe_key.clone())).collect();
    let mut rows = Vec::with_capacity(deliveries.len());
    let mut seen = BTreeMap::new();
    for (index, delivery) in deliveries.into_iter().enumerate() {
        write_along(&transaction, &delivery.along).await?;
        // Copies that wait side by side would touch one row twice in one statement.
        if seen.insert((delivery.source_id, delivery.dedupe_key.clone()), index).is_none() {
            rows.push(delivery);
        }
    }
    let mut placed = HashMap::with_capacity(rows.len());
    for chunk in rows.chunks(128) {
        insert(&transaction, now, chunk, &mut placed).await?;
    }
    Failpoint::Append.pass();
    transaction.commit().await?;
    let mut answered = BTreeSet::new();
    Ok(keys
        .into_iter()
        .map(|key| {
            let (position, copies) = placed.get(&key).copied().unwrap_or_default();
            if copies == 1 && answered.insert(key) { Appended::Kept(position) } else { Appended::Duplicate(position) }
        })
        .collect())
}

type Placed = HashMap<(i32, String), (i64, i32)>;

async fn insert(
    transaction: &impl ConnectionTrait,
    now: Moment,
    rows: &[NewDelivery],
    placed: &mut Placed,
) -> Result<(), DbErr> {
    use delivery::Column;
    let mut statement = Query::insert();
    statement.into_table(delivery::Entity).columns([
        Column::SourceId,
        Column::Kind,
        Column::DedupeKey,
        Column::ReceivedAt,
        Column::MediaType,
        Column::Headers,
        Column::Body,
        Column::BodyBytes,
        Column::Context,
        Column::State,
        Column::Attempts,
        Column::NextAttemptAt,
        Column::Copies,
    ]);
    for row in rows {
        statement.values_panic([
            row.source_id.into(),
            row.kind.to_value().into(),
            row.dedupe_key.clone().into(),
            now.into(),
            row.media_type.clone().into(),
            row.headers.clone().into(),
            row.body.to_vec().into(),
            i32::try_from(row.body.len()).unwrap_or(i32::MAX).into(),
            row.context.clone().into(),
            DeliveryState::Pending.to_value().into(),
            0.into(),
            now.into(),
            1.into(),
        ]);
    }
    let stored = |column: Column| Expr::col((delivery::Entity, column));
    let again = |fresh: Expr, column: Column| {
        Expr::case(stored(Column::State).eq(DeliveryState::Parked.to_value()), fresh).finally(stored(column))
    };
    statement.on_conflict(
        OnConflict::columns([Column::SourceId, Column::DedupeKey])
            .value(Column::Copies, stored(Column::Copies).add(1))
            .value(Column::Attempts, again(Expr::value(0), Column::Attempts))
            .value(Column::NextAttemptAt, again(Expr::value(now), Column::NextAttemptAt))
            .value(Column::State, again(Expr::value(DeliveryState::Pending.to_value()), Column::State))
            .to_owned(),
    );
    statement.returning(Query::returning().columns([Column::Id, Column::SourceId, Column::DedupeKey, Column::Copies]));
    for row in transaction.query_all(&statement).await? {
        let key = (row.try_get("", "source_id")?, row.try_get("", "dedupe_key")?);
        placed.insert(key, (row.try_get("", "id")?, row.try_get("", "copies")?));
    }
    Ok(())
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
