//! How far runs are, in their sweeps and at their ends.

use super::listed::Missable;
use entity::{Moment, RecordKind, RunKind, RunState, SweepStage, run_page, source_state, sync_run};
use sea_orm::sea_query::{Expr, Query};
use sea_orm::{ActiveEnum, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, ExprTrait, QueryFilter, QuerySelect};

/// A run that is tried again may end after newer ones: so many are looked at.
const RUNS_LOOKED_AT: u64 = 20;

/// The run of a source that apply has to carry on with: one that sweeps, or a plan that compares.
pub(crate) async fn load_run_for_apply(
    connection: &impl ConnectionTrait,
    source_id: i32,
) -> Result<Option<sync_run::Model>, DbErr> {
    use sync_run::Column;
    let compares = Column::State.eq(RunState::Running).and(Column::IsPlan.eq(true));
    sync_run::under_way(source_id).filter(Column::State.eq(RunState::Sweeping).or(compares)).one(connection).await
}

/// What full runs have read of the lists of a source. Plans count: their pages may be carried out later.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ListsRead {
    /// Until when they have read; their start counts while they read.
    pub until: Moment,
    /// Inbox position at which the newest began that has read its lists to their end.
    pub low_position: Option<i64>,
}

#[derive(sea_orm::FromQueryResult)]
struct Reading {
    state: RunState,
    started_at: Moment,
    listed_at: Option<Moment>,
    finished_at: Option<Moment>,
    low_position: i64,
}

impl Reading {
    fn until(&self, now: Moment) -> Moment {
        match self.state {
            RunState::Planned | RunState::Running => self.listed_at.unwrap_or(self.started_at),
            // One that an older version handed over has not noted when.
            _ => self.listed_at.or(self.finished_at).unwrap_or(now),
        }
    }
}

/// What full runs have read of the lists of a source; none before the first.
pub(crate) async fn load_lists_read(
    connection: &impl ConnectionTrait,
    source_id: i32,
    now: Moment,
) -> Result<Option<ListsRead>, DbErr> {
    use sync_run::Column;
    let runs: Vec<Reading> = sync_run::listing(source_id)
        .limit(RUNS_LOOKED_AT)
        .select_only()
        .columns([Column::State, Column::StartedAt, Column::ListedAt, Column::FinishedAt, Column::LowPosition])
        .into_model()
        .all(connection)
        .await?;
    let low_position = runs.iter().filter(|run| run.listed_at.is_some()).map(|run| run.low_position).max();
    let until = runs.iter().map(|run| run.until(now)).max();
    Ok(until.map(|until| ListsRead { until, low_position }))
}

/// Holds a run that sweeps as it was loaded until the end of the transaction; false where somebody ended it meanwhile.
pub(crate) async fn hold_sweep(transaction: &impl ConnectionTrait, run: &sync_run::Model) -> Result<bool, DbErr> {
    use sync_run::Column;
    let held = sync_run::Entity::update_many()
        .col_expr(Column::SweepAfter, Expr::value(run.sweep_after))
        .filter(Column::Id.eq(run.id))
        .filter(Column::State.eq(RunState::Sweeping))
        .filter(Column::Attempt.eq(run.attempt))
        .filter(Column::SweepStage.eq(run.sweep_stage))
        .exec(transaction)
        .await?;
    Ok(held.rows_affected == 1)
}

/// Moves the sweep of a run that is held to a stage, done up to the row `after`.
pub(crate) async fn advance_sweep(
    transaction: &impl ConnectionTrait,
    run_id: i64,
    stage: SweepStage,
    after: i64,
) -> Result<(), DbErr> {
    use sync_run::Column;
    sync_run::Entity::update_many()
        .col_expr(Column::SweepStage, Expr::value(stage.to_value()))
        .col_expr(Column::SweepAfter, Expr::value(after))
        .filter(Column::Id.eq(run_id))
        .exec(transaction)
        .await
        .map(drop)
}

/// Writes a count of a run.
pub(crate) async fn set_run_count(
    transaction: &impl ConnectionTrait,
    run_id: i64,
    column: sync_run::Column,
    count: i64,
) -> Result<(), DbErr> {
    sync_run::Entity::update_many()
        .col_expr(column, Expr::value(count))
        .filter(sync_run::Column::Id.eq(run_id))
        .exec(transaction)
        .await
        .map(drop)
}

/// Ends the sweep of a run that is held in a state. What its pages named is not needed any more; where it failed it is
/// tried again from its first page.
pub(crate) async fn end_sweep(
    transaction: &impl ConnectionTrait,
    run: &sync_run::Model,
    now: Moment,
    state: RunState,
    error: Option<String>,
    retry_at: Option<Moment>,
) -> Result<(), DbErr> {
    use sync_run::Column;
    let is_over = state != RunState::WaitingForApproval;
    let mut update = sync_run::Entity::update_many()
        .col_expr(Column::State, Expr::value(state.to_value()))
        .col_expr(Column::FinishedAt, Expr::value(is_over.then_some(now)))
        .col_expr(Column::Error, Expr::value(error))
        .col_expr(Column::RetryAt, Expr::value(retry_at))
        .filter(Column::Id.eq(run.id));
    if state == RunState::Failed {
        update = update
            .col_expr(Column::Checkpoint, Expr::value(serde_json::json!({})))
            .col_expr(Column::Failures, Expr::value(run.restarts + 1))
            .col_expr(Column::Restarts, Expr::value(run.restarts + 1));
    }
    update.exec(transaction).await?;
    run_page::Entity::delete_many().filter(run_page::Column::RunId.eq(run.id)).exec(transaction).await?;
    if state == RunState::Failed || run.is_plan {
        return Ok(());
    }
    drop_needless_retries(transaction, run).await?;
    if state == RunState::Done && run.kind == RunKind::Full && run.profile_type.is_none() {
        source_state::Entity::update_many()
            .col_expr(source_state::Column::LastCompleteSyncAt, Expr::value(run.started_at))
            .filter(source_state::Column::SourceId.eq(run.source_id))
            .exec(transaction)
            .await?;
    }
    Ok(())
}

/// Failed runs of which this one has seen all that they were to see are not tried again.
async fn drop_needless_retries(transaction: &impl ConnectionTrait, run: &sync_run::Model) -> Result<(), DbErr> {
    let needless = sync_run::made_needless_by(run);
    let runs = Query::select().column(sync_run::Column::Id).from(sync_run::Entity).cond_where(needless.clone()).take();
    run_page::Entity::delete_many().filter(run_page::Column::RunId.in_subquery(runs)).exec(transaction).await?;
    sync_run::Entity::update_many()
        .col_expr(sync_run::Column::RetryAt, Expr::value(Option::<Moment>::None))
        .filter(needless)
        .exec(transaction)
        .await
        .map(drop)
}

/// Notes what a plan would look at by id: how many are in the run's counts, some by name here.
pub(crate) async fn note_candidates(
    transaction: &impl ConnectionTrait,
    run: &sync_run::Model,
    kind: RecordKind,
    rows: &[Missable],
    most: usize,
) -> Result<(), DbErr> {
    let mut plan = run.plan.clone().unwrap_or_else(|| serde_json::json!({}));
    let Some(named) = plan.as_object_mut() else { return Ok(()) };
    let list = named.entry("candidates").or_insert_with(|| serde_json::json!([]));
    if let Some(list) = list.as_array_mut() {
        let left = most.saturating_sub(list.len());
        list.extend(rows.iter().take(left).map(|row| serde_json::json!({"kind": kind, "id": row.external_id})));
    }
    write_plan(transaction, run.id, plan).await
}

/// Writes what a plan has found so far.
async fn write_plan(transaction: &impl ConnectionTrait, run_id: i64, plan: serde_json::Value) -> Result<(), DbErr> {
    sync_run::Entity::update_many()
        .col_expr(sync_run::Column::Plan, Expr::value(plan))
        .filter(sync_run::Column::Id.eq(run_id))
        .exec(transaction)
        .await
        .map(drop)
}
