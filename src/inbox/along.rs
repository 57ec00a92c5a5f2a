//! What commits together with a delivery: the request that it answers, or how far its run has got.

use entity::{FetchState, RunState, fetch_request, sync_run};
use sea_orm::sea_query::Expr;
use sea_orm::{ActiveEnum, ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, ExprTrait, QueryFilter};
use serde_json::Value;

/// What commits together with a delivery.
#[derive(Clone, Debug, Default)]
pub enum Along {
    /// Nothing.
    #[default]
    Nothing,
    /// The fetch request is answered, if it is still the one that was carried out, and the delivery is no copy.
    FetchAnswered {
        /// Its id.
        request_id: i64,
        /// Where the inbox stood when it was claimed.
        started_position: i64,
    },
    /// The run has got this far. Where it is not the holder's any more, or has this page already, the page is refused.
    /// A page that turns out to be a copy takes it no further.
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

/// What became of what was to commit together with a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// It is written.
    Yes,
    /// There was nothing to write.
    Nothing,
    /// Whoever sends it has no right to: the delivery must not be kept.
    Refused,
}

/// Writes what commits together with a delivery, before the delivery itself: apply locks requests before deliveries too.
pub(super) async fn write_along(transaction: &impl ConnectionTrait, along: &Along) -> Result<Written, DbErr> {
    match along {
        Along::Nothing => Ok(Written::Nothing),
        Along::FetchAnswered { request_id, started_position } => {
            // One that was put off or claimed anew meanwhile waits for an answer of its own; this one tells something all
            // the same.
            let states = (FetchState::Running, FetchState::Answered);
            let is_written = move_request(transaction, *request_id, *started_position, states).await?;
            Ok(if is_written { Written::Yes } else { Written::Nothing })
        }
        Along::Checkpoint { run_id, holder, number, checkpoint, rows, rows_expected, .. } => {
            use sync_run::Column;
            let mut update = sync_run::Entity::update_many()
                .col_expr(Column::Checkpoint, Expr::value(checkpoint.clone()))
                .col_expr(Column::Pages, Expr::value(*number))
                // It comes further: what failed before is over, but for what made it start over.
                .col_expr(Column::Failures, Expr::col(Column::Restarts))
                .col_expr(Column::RowsSeen, Expr::col(Column::RowsSeen).add(*rows));
            if let Some(expected) = rows_expected {
                update = update.col_expr(Column::RowsExpected, Expr::value(*expected));
            }
            let written = update.filter(awaits(*run_id, holder, *number)).exec(transaction).await?;
            Ok(if written.rows_affected == 1 { Written::Yes } else { Written::Refused })
        }
    }
}

/// What becomes of that which comes along with a page that is in the inbox already: nothing is written, or the run
/// would count a page that nobody will apply for it.
pub(super) async fn pass_over_copy(transaction: &impl ConnectionTrait, along: &Along) -> Result<Written, DbErr> {
    let Along::Checkpoint { run_id, holder, number, .. } = along else { return Ok(Written::Nothing) };
    let run = sync_run::Entity::find().filter(awaits(*run_id, holder, *number)).one(transaction).await?;
    Ok(if run.is_some() { Written::Nothing } else { Written::Refused })
}

/// The run, while this instance carries it out and this page is its next.
fn awaits(run_id: i64, holder: &str, number: i64) -> Condition {
    use sync_run::Column;
    Condition::all()
        .add(Column::Id.eq(run_id))
        .add(Column::State.eq(RunState::Running))
        .add(Column::Holder.eq(holder))
        .add(Column::Pages.eq(number - 1))
}

/// Lets the request wait again whose answer turns out to be a copy: what it is a copy of may be applied already, and
/// nobody would carry the request on. The inbox stands further on now, so that the next answer is none.
pub(super) async fn take_back(transaction: &impl ConnectionTrait, along: &Along) -> Result<(), DbErr> {
    let Along::FetchAnswered { request_id, started_position } = along else { return Ok(()) };
    let states = (FetchState::Answered, FetchState::Pending);
    move_request(transaction, *request_id, *started_position, states).await.map(drop)
}

async fn move_request(
    transaction: &impl ConnectionTrait,
    id: i64,
    started_position: i64,
    (from, to): (FetchState, FetchState),
) -> Result<bool, DbErr> {
    use fetch_request::Column;
    let moved = fetch_request::Entity::update_many()
        .col_expr(Column::State, Expr::value(to.to_value()))
        .filter(Column::Id.eq(id))
        .filter(Column::State.eq(from))
        .filter(Column::StartedPosition.eq(started_position))
        .exec(transaction)
        .await?;
    Ok(moved.rows_affected == 1)
}
