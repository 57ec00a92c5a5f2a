//! How a run is measured: the digests of both sides, and how many records differed.

use entity::{Digest, RunKind, drift_run, source_state, sync_run};
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, ExprTrait, QueryFilter};

/// Whether drift is measured on a run: on a full one, once the source has been mirrored as a whole.
pub(crate) async fn is_measured(connection: &impl ConnectionTrait, run_id: i64) -> Result<bool, DbErr> {
    let run = sync_run::Entity::find_by_id(run_id).one(connection).await?;
    let Some(run) = run.filter(|run| run.kind == RunKind::Full && !run.is_plan) else { return Ok(false) };
    let state = source_state::Entity::find_by_id(run.source_id).one(connection).await?;
    Ok(state.is_some_and(|state| state.last_complete_sync_at.is_some()))
}

/// The measure of a run; a new one where there is none.
pub(crate) async fn load_drift_run(
    transaction: &impl ConnectionTrait,
    source_id: i32,
    run_id: i64,
) -> Result<drift_run::Model, DbErr> {
    let empty = Digest::default().to_bytes();
    let row = drift_run::ActiveModel {
        run_id: Set(run_id),
        source_id: Set(source_id),
        measured_at: Set(None),
        compared: Set(0),
        differed: Set(0),
        explained: Set(0),
        unsettled: Set(0),
        remained: Set(0),
        repaired: Set(0),
        mirror_before: Set(empty.clone()),
        mirror_after: Set(empty.clone()),
        upstream: Set(empty),
    };
    let keep = OnConflict::column(drift_run::Column::RunId).do_nothing().to_owned();
    drift_run::Entity::insert(row).on_conflict(keep).exec_without_returning(transaction).await?;
    let row = drift_run::Entity::find_by_id(run_id).one(transaction).await?;
    row.ok_or_else(|| DbErr::RecordNotFound(format!("the measure of run {run_id}")))
}

/// Writes how far the comparison of a run is.
pub(crate) async fn write_comparison(transaction: &impl ConnectionTrait, run: &drift_run::Model) -> Result<(), DbErr> {
    use drift_run::Column;
    drift_run::Entity::update_many()
        .col_expr(Column::MeasuredAt, Expr::value(run.measured_at))
        .col_expr(Column::Compared, Expr::value(run.compared))
        .col_expr(Column::Remained, Expr::value(run.remained))
        .col_expr(Column::MirrorBefore, Expr::value(run.mirror_before.clone()))
        .col_expr(Column::MirrorAfter, Expr::value(run.mirror_after.clone()))
        .col_expr(Column::Upstream, Expr::value(run.upstream.clone()))
        .filter(Column::RunId.eq(run.run_id))
        .exec(transaction)
        .await
        .map(drop)
}

/// What is added to the counts of a run.
#[derive(Default)]
pub(super) struct Counts {
    pub differed: i64,
    pub explained: i64,
    pub unsettled: i64,
    pub repaired: i64,
}

/// Adds to the counts of a run.
pub(super) async fn count(transaction: &impl ConnectionTrait, run_id: i64, counts: Counts) -> Result<(), DbErr> {
    use drift_run::Column;
    drift_run::Entity::update_many()
        .col_expr(Column::Differed, Expr::col(Column::Differed).add(counts.differed))
        .col_expr(Column::Explained, Expr::col(Column::Explained).add(counts.explained))
        .col_expr(Column::Unsettled, Expr::col(Column::Unsettled).add(counts.unsettled))
        .col_expr(Column::Repaired, Expr::col(Column::Repaired).add(counts.repaired))
        .filter(Column::RunId.eq(run_id))
        .exec(transaction)
        .await
        .map(drop)
}
