//! What people and schedules may ask of runs: start one, plan one, carry a plan out, cancel, approve, reject.
//!
//! Each is one short transaction on the run's row; whoever carries the run out sees it at its next page or step.

use crate::db::Database;
use entity::{
    CandidateState, DeliveryState, Moment, RunKind, RunState, SweepStage, deletion_candidate, delivery, run_page,
    source, sync_run,
};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveEnum, ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait,
    QueryFilter, SqlErr,
};
use serde_json::json;

/// Most profiles that one request may name.
pub const MAX_NAMED: usize = 1_000;
/// The states of a run that has not ended.
const NOT_ENDED: [RunState; 4] =
    [RunState::Planned, RunState::Running, RunState::Sweeping, RunState::WaitingForApproval];

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRequest {
    /// What it passes through.
    pub kind: RunKind,
    /// External id of the one profile type that it is about.
    pub profile_type: Option<String>,
    /// External ids of the profiles that it is about; for [`RunKind::Named`].
    pub named: Vec<String>,
    /// Why: schedule, operator, gap.
    pub cause: String,
    /// The access key that asks, where a person does.
    pub requested_by: Option<String>,
    /// Only compare.
    pub is_plan: bool,
    /// For an incremental run: changes from then on.
    pub since: Option<Moment>,
}

impl RunRequest {
    /// A full run over all of a source.
    pub fn full(cause: impl Into<String>) -> Self {
        Self {
            kind: RunKind::Full,
            profile_type: None,
            named: Vec::new(),
            cause: cause.into(),
            requested_by: None,
            is_plan: false,
            since: None,
        }
    }

    /// The named profiles as the run keeps them; none where it names none.
    pub(super) fn named_json(&self) -> Option<serde_json::Value> {
        (self.kind == RunKind::Named).then(|| json!(self.named))
    }
}

/// Why a request cannot be met.
#[derive(Debug, thiserror::Error)]
pub enum RunRequestError {
    /// Another run of this source goes on.
    #[error("run {run_id} of this source goes on: wait for it, or cancel it")]
    UnderWay {
        /// That run.
        run_id: i64,
    },
    /// The run is not in a state in which this can be asked.
    #[error("run {run_id} is {state}: {expected}")]
    WrongState {
        /// The run.
        run_id: i64,
        /// Where it stands.
        state: String,
        /// In which state this can be asked.
        expected: &'static str,
    },
    /// There is no such run.
    #[error("there is no run {run_id}")]
    Unknown {
        /// What was given.
        run_id: i64,
    },
    /// Too many profiles are named, or none.
    #[error("{given} profiles are named: name 1 to {MAX_NAMED}, or resync a type or the source")]
    Named {
        /// How many.
        given: usize,
    },
    /// The client used the same id for another request within a day.
    #[error("this clientMutationId was used for another request, run {run_id}: choose a new one")]
    OtherRequest {
        /// The run of that request.
        run_id: i64,
    },
    /// The database refused.
    #[error("keep the request")]
    Database(#[from] DbErr),
}

/// Asks for a run of a source. It begins as soon as the holder of the source's lease sees it.
///
/// # Errors
/// [`RunRequestError::UnderWay`] while another one goes on.
pub async fn request_run(
    db: &Database,
    now: Moment,
    source_id: i32,
    request: RunRequest,
) -> Result<sync_run::Model, RunRequestError> {
    check(&request)?;
    match insert_run(db.writer(), now, source_id, request).await {
        Ok(run) => Ok(run),
        Err(error) if matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_))) => {
            let known = sync_run::under_way(source_id).one(db.primary()).await?;
            Err(RunRequestError::UnderWay { run_id: known.map_or(0, |run| run.id) })
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether a request can be met at all.
pub(super) fn check(request: &RunRequest) -> Result<(), RunRequestError> {
    if request.kind == RunKind::Named && !(1..=MAX_NAMED).contains(&request.named.len()) {
        return Err(RunRequestError::Named { given: request.named.len() });
    }
    Ok(())
}

/// Writes the row of a new run. That another one goes on shows as a violation of uniqueness.
pub(super) async fn insert_run(
    connection: &impl ConnectionTrait,
    now: Moment,
    source_id: i32,
    request: RunRequest,
) -> Result<sync_run::Model, DbErr> {
    let row = sync_run::ActiveModel {
        source_id: Set(source_id),
        state: Set(RunState::Planned),
        named: Set(request.named_json()),
        cause: Set(request.cause),
        started_at: Set(now),
        checkpoint: Set(json!({})),
        pages: Set(0),
        rows_seen: Set(0),
        kind: Set(request.kind),
        is_plan: Set(request.is_plan),
        profile_type: Set(request.profile_type),
        requested_by: Set(request.requested_by),
        since: Set(request.since),
        attempt: Set(1),
        failures: Set(0),
        restarts: Set(0),
        ..Default::default()
    };
    sync_run::Entity::insert(row).exec_with_returning(connection).await
}

/// Cancels a run that has not ended, or is to be tried again. It stops within a page; what it has written stays, nothing
/// is deleted.
///
/// # Errors
/// [`RunRequestError`], where it has ended for good.
pub async fn cancel_run(db: &Database, now: Moment, run_id: i64, by: &str) -> Result<sync_run::Model, RunRequestError> {
    let transaction = db.begin().await?;
    let run = load(&transaction, run_id).await?;
    let error = format!("cancelled by {by}");
    let expected = "only one that has not ended, or is to be tried again, can be cancelled";
    let run = end(&transaction, &run, Ending { from: can_be_cancelled(), now, error, by, expected }).await?;
    transaction.commit().await?;
    Ok(run)
}

/// Approves the deletions of a run that waits for it: they become tombstones.
///
/// # Errors
/// [`RunRequestError`], where the run does not wait.
pub async fn approve_deletions(
    db: &Database,
    now: Moment,
    run_id: i64,
    by: &str,
) -> Result<sync_run::Model, RunRequestError> {
    use sync_run::Column;
    let transaction = db.begin().await?;
    let run = load(&transaction, run_id).await?;
    if run.state != RunState::WaitingForApproval {
        return Err(wrong(&run, "only one that waits for approval can be approved"));
    }
    if let Some(other) = sync_run::under_way(run.source_id).one(&transaction).await? {
        return Err(RunRequestError::UnderWay { run_id: other.id });
    }
    let approved = sync_run::Entity::update_many()
        .col_expr(Column::State, Expr::value(RunState::Sweeping.to_value()))
        .col_expr(Column::SweepStage, Expr::value(SweepStage::Burying.to_value()))
        .col_expr(Column::DecidedBy, Expr::value(by))
        .col_expr(Column::DecidedAt, Expr::value(now))
        .col_expr(Column::Error, Expr::value(Option::<String>::None))
        .filter(Column::Id.eq(run_id))
        .filter(Column::State.eq(RunState::WaitingForApproval))
        .exec(&transaction)
        .await?;
    let run = load(&transaction, run_id).await?;
    if approved.rows_affected == 0 {
        return Err(wrong(&run, "only one that waits for approval can be approved"));
    }
    transaction.commit().await?;
    Ok(run)
}

/// Rejects the deletions of a run that waits for approval: everything stays as it is.
///
/// # Errors
/// [`RunRequestError`], where the run does not wait.
pub async fn reject_deletions(
    db: &Database,
    now: Moment,
    run_id: i64,
    by: &str,
) -> Result<sync_run::Model, RunRequestError> {
    let transaction = db.begin().await?;
    let run = load(&transaction, run_id).await?;
    let error = format!("deletions rejected by {by}");
    let expected = "only one that waits for approval can be rejected";
    let from = Condition::all().add(sync_run::Column::State.eq(RunState::WaitingForApproval));
    let run = end(&transaction, &run, Ending { from, now, error, by, expected }).await?;
    transaction.commit().await?;
    Ok(run)
}

/// Carries a plan out: the very pages that it compared are applied, and what they miss is swept.
///
/// # Errors
/// [`RunRequestError`], where the plan is not ready or stale, or another run goes on.
pub async fn apply_plan(db: &Database, run_id: i64, by: &str) -> Result<sync_run::Model, RunRequestError> {
    use sync_run::Column;
    let transaction = db.begin().await?;
    let run = load(&transaction, run_id).await?;
    let expected = "only a plan that is done and not stale can be carried out";
    if !run.is_plan || run.state != RunState::Done {
        return Err(wrong(&run, expected));
    }
    if let Some(other) = sync_run::under_way(run.source_id).one(&transaction).await? {
        return Err(RunRequestError::UnderWay { run_id: other.id });
    }
    let zero = || Expr::value(0_i64);
    let begun = sync_run::Entity::update_many()
        .col_expr(Column::State, Expr::value(RunState::Running.to_value()))
        .col_expr(Column::IsPlan, Expr::value(false))
        .col_expr(Column::RequestedBy, Expr::value(by))
        .col_expr(Column::FinishedAt, Expr::value(Option::<Moment>::None))
        .col_expr(Column::PagesSettled, zero())
        .col_expr(Column::PagesParked, zero())
        .col_expr(Column::Created, zero())
        .col_expr(Column::Updated, zero())
        .col_expr(Column::Unchanged, zero())
        .col_expr(Column::Conflicts, zero())
        .col_expr(Column::Candidates, zero())
        .col_expr(Column::SweepStage, Expr::value(Option::<String>::None))
        .col_expr(Column::SweepAfter, zero())
        .filter(Column::Id.eq(run_id))
        .filter(Column::IsPlan.eq(true))
        .filter(Column::State.eq(RunState::Done))
        .exec(&transaction)
        .await?;
    if begun.rows_affected == 0 {
        return Err(wrong(&load(&transaction, run_id).await?, expected));
    }
    move_held(&transaction, &run, DeliveryState::Pending, None).await?;
    run_page::Entity::delete_many().filter(run_page::Column::RunId.eq(run_id)).exec(&transaction).await?;
    let run = load(&transaction, run_id).await?;
    transaction.commit().await?;
    Ok(run)
}

/// Lets plans go that a newer run makes stale: their pages are discarded, bytes and all. So are those of plans that failed
/// under a version that kept them.
pub(super) async fn discard_plans(
    transaction: &impl ConnectionTrait,
    now: Moment,
    source_id: i32,
    newer: i64,
) -> Result<(), DbErr> {
    use sync_run::Column;
    let stale = sync_run::Entity::find()
        .filter(Column::SourceId.eq(source_id))
        .filter(Column::IsPlan.eq(true))
        .filter(Column::State.is_in([RunState::Done, RunState::Failed]))
        .filter(Column::Id.lt(newer))
        .all(transaction)
        .await?;
    for plan in stale {
        if plan.state == RunState::Done {
            let is_stale = sync_run::Entity::update_many()
                .col_expr(Column::State, Expr::value(RunState::Cancelled.to_value()))
                .col_expr(Column::Error, Expr::value(format!("stale: run {newer} came after it")))
                .filter(Column::Id.eq(plan.id))
                .filter(Column::IsPlan.eq(true))
                .filter(Column::State.eq(RunState::Done))
                .exec(transaction)
                .await?;
            // Somebody carries it out, or has ended it.
            if is_stale.rows_affected == 0 {
                continue;
            }
            run_page::Entity::delete_many().filter(run_page::Column::RunId.eq(plan.id)).exec(transaction).await?;
        }
        discard_held(transaction, &plan, now).await?;
    }
    Ok(())
}

/// Discards the held pages of a plan that nobody will carry out, bytes and all.
pub(super) async fn discard_held(
    transaction: &impl ConnectionTrait,
    plan: &sync_run::Model,
    now: Moment,
) -> Result<(), DbErr> {
    move_held(transaction, plan, DeliveryState::Discarded, Some(now)).await
}

/// Moves the held pages of a plan to a state; where they are discarded their bytes go. They are found by their keys:
/// what a run's pages named is forgotten when it ends.
async fn move_held(
    transaction: &impl ConnectionTrait,
    plan: &sync_run::Model,
    state: DeliveryState,
    discarded_at: Option<Moment>,
) -> Result<(), DbErr> {
    use delivery::Column;
    let mut update = delivery::Entity::update_many()
        .col_expr(Column::State, Expr::value(state.to_value()))
        .filter(Column::SourceId.eq(plan.source_id))
        .filter(Expr::cust("state = 'held'"))
        .filter(Column::DedupeKey.starts_with(format!("page:{}:", plan.id)));
    if let Some(at) = discarded_at {
        update = update
            .col_expr(Column::SettledAt, Expr::value(at))
            .col_expr(Column::Body, Expr::value(Vec::<u8>::new()))
            .col_expr(Column::Reason, Expr::value("the plan that it belongs to is stale or has ended"));
    }
    update.exec(transaction).await.map(drop)
}

async fn load(transaction: &DatabaseTransaction, run_id: i64) -> Result<sync_run::Model, RunRequestError> {
    let run = sync_run::Entity::find_by_id(run_id).one(transaction).await?;
    run.ok_or(RunRequestError::Unknown { run_id })
}

fn wrong(run: &sync_run::Model, expected: &'static str) -> RunRequestError {
    RunRequestError::WrongState { run_id: run.id, state: run.state.to_value().replace('_', " "), expected }
}

/// Runs that have not ended, or are to be tried again.
fn can_be_cancelled() -> Condition {
    use sync_run::Column;
    let waits = Condition::all().add(Column::State.eq(RunState::Failed)).add(Column::RetryAt.is_not_null());
    Condition::any().add(Column::State.is_in(NOT_ENDED)).add(waits)
}

/// How a person ends a run.
struct Ending<'a> {
    /// Where it must stand; it may have gone on since it was loaded.
    from: Condition,
    now: Moment,
    error: String,
    by: &'a str,
    /// Told where it is in another state.
    expected: &'static str,
}

/// Cancels a run and lets its candidates go. Where it is refused the transaction must not be committed.
async fn end(
    transaction: &DatabaseTransaction,
    run: &sync_run::Model,
    ending: Ending<'_>,
) -> Result<sync_run::Model, RunRequestError> {
    use sync_run::Column;
    let Ending { from, now, error, by, expected } = ending;
    let ended = sync_run::Entity::update_many()
        .col_expr(Column::State, Expr::value(RunState::Cancelled.to_value()))
        .col_expr(Column::FinishedAt, Expr::value(now))
        .col_expr(Column::Error, Expr::value(error))
        .col_expr(Column::DecidedBy, Expr::value(by))
        .col_expr(Column::DecidedAt, Expr::value(now))
        .col_expr(Column::RetryAt, Expr::value(Option::<Moment>::None))
        .filter(Column::Id.eq(run.id))
        .filter(from)
        .exec(transaction)
        .await?;
    if ended.rows_affected == 0 {
        return Err(wrong(&load(transaction, run.id).await?, expected));
    }
    deletion_candidate::Entity::update_many()
        .col_expr(deletion_candidate::Column::State, Expr::value(CandidateState::Dismissed.to_value()))
        .filter(deletion_candidate::Column::RunId.eq(run.id))
        .filter(Expr::cust("state IN ('quarantined', 'absent')"))
        .exec(transaction)
        .await?;
    if run.is_plan {
        discard_held(transaction, run, now).await?;
    }
    run_page::Entity::delete_many().filter(run_page::Column::RunId.eq(run.id)).exec(transaction).await?;
    load(transaction, run.id).await
}

/// Row id of the source of this name.
///
/// # Errors
/// The database's own error.
pub async fn find_source(db: &Database, name: &str) -> Result<Option<i32>, DbErr> {
    let row = source::Entity::find().filter(source::Column::Name.eq(name)).one(db.primary()).await?;
    Ok(row.map(|row| row.id))
}
