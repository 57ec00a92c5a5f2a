//! What commits together with a delivery: the request that it answers, or how far its run has got.

use entity::{FetchState, RunState, fetch_request, sync_run};
use sea_orm::sea_query::Expr;
use sea_orm::{ActiveEnum, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, ExprTrait, QueryFilter};
use serde_json::Value;

/// What commits together with a delivery.
#[derive(Clone, Debug, Default)]
pub enum Along {
    /// Nothing.
    #[default]
    Nothing,
    /// The fetch request is answered, if it is still the one that was carried out.
    FetchAnswered {
        /// Its id.
        request_id: i64,
        /// Where the inbox stood when it was claimed.
        started_position: i64,
    },
    /// The run has got this far. Where it is not the holder's any more, or has this page already, the page is refused.
    Checkpoint {
        /// Id of the run.
        run_id: i64,
        /// The instance that carries it out.
        holder: String,
        /// The how manieth page of the run it is, from 1.
        number: i64,
        /// The pages still to get, and what is known of each stream.
        checkpoint: Value,
        /// Rows on this page.
        rows: i64,
        /// Rows expected in all, where upstream told.
        rows_expected: Option<i64>,
        /// The run only compares: the page is held, and not applied.
        is_held: bool,
    },
}

/// Asks whether a delivery is welcome, and writes how far its run has got where it is a page of one. False where it must
/// not be kept.
pub(super) async fn welcome(transaction: &impl ConnectionTrait, along: &Along) -> Result<bool, DbErr> {
    use sync_run::Column;
    let Along::Checkpoint { run_id, holder, number, checkpoint, rows, rows_expected, .. } = along else {
        return Ok(true);
    };
    let mut update = sync_run::Entity::update_many()
        .col_expr(Column::Checkpoint, Expr::value(checkpoint.clone()))
        .col_expr(Column::Pages, Expr::value(*number))
        .col_expr(Column::RowsSeen, Expr::col(Column::RowsSeen).add(*rows));
    if let Some(expected) = rows_expected {
        update = update.col_expr(Column::RowsExpected, Expr::value(*expected));
    }
    let written = update
        .filter(Column::Id.eq(*run_id))
        .filter(Column::State.eq(RunState::Running))
        .filter(Column::Holder.eq(holder.as_str()))
        .filter(Column::Pages.eq(*number - 1))
        .exec(transaction)
        .await?;
    Ok(written.rows_affected == 1)
}

/// Notes what a delivery that is kept now has answered. A copy of one that was kept before answers nothing: that one may be
/// applied already, and nobody would carry the request on.
pub(super) async fn note_answered(transaction: &impl ConnectionTrait, along: &Along) -> Result<(), DbErr> {
    use fetch_request::Column;
    let Along::FetchAnswered { request_id, started_position } = along else { return Ok(()) };
    // One that was put off or claimed anew meanwhile waits for an answer of its own; this one tells something all the same.
    fetch_request::Entity::update_many()
        .col_expr(Column::State, Expr::value(FetchState::Answered.to_value()))
        .filter(Column::Id.eq(*request_id))
        .filter(Column::State.eq(FetchState::Running))
        .filter(Column::StartedPosition.eq(*started_position))
        .exec(transaction)
        .await
        .map(drop)
}
