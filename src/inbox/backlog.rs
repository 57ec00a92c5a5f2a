//! What is still to be done: pending deliveries and open fetch requests.

use crate::db::Database;
use entity::{FetchState, Moment, delivery, fetch_request};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, DbErr, EntityTrait, PaginatorTrait, QueryFilter, QuerySelect};

/// What is still to be done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Deliveries and fetch requests that are due or under way.
    pub due: u64,
    /// When the next one is due that is not due yet.
    pub next_due: Option<Moment>,
}

/// What is still to be done at `now`, over all sources.
///
/// # Errors
/// The database's own error.
pub async fn backlog(db: &Database, now: Moment) -> Result<Backlog, DbErr> {
    let pending = delivery::Entity::find().filter(Expr::cust("state = 'pending'"));
    let due = pending.clone().filter(delivery::Column::NextAttemptAt.lte(now)).count(db.primary()).await?;
    let later: Option<Option<i64>> = pending
        .filter(delivery::Column::NextAttemptAt.gt(now))
        .select_only()
        .column_as(delivery::Column::NextAttemptAt.min(), "later")
        .into_tuple()
        .one(db.primary())
        .await?;

    let open = fetch_request::Entity::find().filter(fetch_request::Column::State.ne(FetchState::Parked));
    let waiting = open.clone().filter(fetch_request::Column::State.eq(FetchState::Pending));
    let open_count = open.count(db.primary()).await?;
    let waiting_count = waiting.clone().filter(fetch_request::Column::NotBefore.gt(now)).count(db.primary()).await?;
    let waiting_until: Option<Option<i64>> = waiting
        .filter(fetch_request::Column::NotBefore.gt(now))
        .select_only()
        .column_as(fetch_request::Column::NotBefore.min(), "later")
        .into_tuple()
        .one(db.primary())
        .await?;

    let next_due = later.flatten().into_iter().chain(waiting_until.flatten()).min().map(Moment);
    Ok(Backlog { due: due + open_count.saturating_sub(waiting_count), next_due })
}
