//! What is still to be done: pending deliveries, open fetch requests, runs, profiles that are to follow their metadata.

use crate::db::Database;
use entity::{FetchState, Moment, delivery, derivation, fetch_request, source_state, sync_run};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, DbErr, EntityTrait, PaginatorTrait, QueryFilter, QuerySelect};

/// What is still to be done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Deliveries, fetch requests, derivations and runs that are due or under way.
    pub due: u64,
    /// The runs among them.
    pub runs: u64,
    /// When the next one is due that is not due yet.
    pub next_due: Option<Moment>,
}

/// What is still to be done at `now`, over all sources. Fetches of a source that a person has paused are not.
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

    let paused: Vec<source_state::Model> =
        source_state::Entity::find().filter(source_state::Column::PausedAt.is_not_null()).all(db.primary()).await?;
    let open = fetch_request::Entity::find().filter(fetch_request::Column::State.ne(FetchState::Parked));
    let of_paused = open.clone().filter(fetch_request::Column::SourceId.is_in(paused.iter().map(|row| row.source_id)));
    let waiting_for: Vec<i32> = of_paused
        .select_only()
        .column(fetch_request::Column::SourceId)
        .distinct()
        .into_tuple()
        .all(db.primary())
        .await?;
    // What waits for a paused source is due when the service looks whether the pause may end.
    let looks = paused.iter().filter(|row| waiting_for.contains(&row.source_id)).filter_map(|row| row.probe_at);
    let (looks_due, looks_later): (Vec<Moment>, Vec<Moment>) = looks.partition(|at| *at <= now);

    let open = open.filter(fetch_request::Column::SourceId.is_not_in(paused.iter().map(|row| row.source_id)));
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

    // A run that a person must decide on is not due, nor is one whose source is paused.
    let runs = Expr::cust("state IN ('planned', 'running', 'sweeping')");
    let runs = sync_run::Entity::find().filter(runs);
    let runs = runs.filter(sync_run::Column::SourceId.is_not_in(paused.iter().map(|row| row.source_id)));
    let runs = runs.count(db.primary()).await?;

    let derivations = derivation::Entity::find().count(db.primary()).await?;
    let next_due = later.flatten().into_iter().chain(waiting_until.flatten()).map(Moment).chain(looks_later).min();
    let due = due + derivations + runs + open_count.saturating_sub(waiting_count) + looks_due.len() as u64;
    Ok(Backlog { runs, due, next_due })
}
