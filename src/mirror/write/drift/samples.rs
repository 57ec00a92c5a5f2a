//! Reads by id that are asked for between runs: when there is time for them, and what became of them.

use crate::mirror::write::rows::{Known, Table};
use entity::{FetchState, Moment, SampleOutcome, drift_sample, fetch_request, source_state, sync_run};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveEnum, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Select,
};

/// Since when the estimate of a source counts: it has been mirrored as a whole, is not paused and no run is under
/// way. None where there is no time to spare for reads.
pub(crate) async fn load_quiet_since(
    connection: &impl ConnectionTrait,
    source_id: i32,
) -> Result<Option<Moment>, DbErr> {
    let state = source_state::Entity::find_by_id(source_id).one(connection).await?;
    let state = state.filter(|state| state.paused_at.is_none());
    if sync_run::under_way(source_id).limit(1).one(connection).await?.is_some() {
        return Ok(None);
    }
    Ok(state.and_then(|state| state.last_complete_sync_at))
}

/// Whether anything is asked for or waits to be asked for at a source, but for what was given up.
pub(crate) async fn has_requests(connection: &impl ConnectionTrait, source_id: i32) -> Result<bool, DbErr> {
    let open = fetch_request::Entity::find()
        .filter(fetch_request::Column::SourceId.eq(source_id))
        .filter(fetch_request::Column::State.ne(FetchState::Parked));
    Ok(open.limit(1).one(connection).await?.is_some())
}

/// When a read was last sampled.
pub(crate) async fn load_last_sample_at(
    connection: &impl ConnectionTrait,
    source_id: i32,
) -> Result<Option<Moment>, DbErr> {
    use drift_sample::Column;
    drift_sample::Entity::find()
        .select_only()
        .column(Column::AskedAt)
        .filter(Column::SourceId.eq(source_id))
        .order_by_desc(Column::AskedAt)
        .limit(1)
        .into_tuple()
        .one(connection)
        .await
}

/// Notes reads that are asked for.
pub(crate) async fn write_samples(
    transaction: &impl ConnectionTrait,
    rows: Vec<drift_sample::Model>,
) -> Result<(), DbErr> {
    static SAMPLES: Table<drift_sample::Entity> = Table::new(Some(drift_sample::Column::Id), Known::Fails);
    SAMPLES.insert(transaction, rows).await
}

/// Reads without an answer.
pub(super) fn open_samples(source_id: i32) -> Select<drift_sample::Entity> {
    drift_sample::Entity::find()
        .filter(drift_sample::Column::SourceId.eq(source_id))
        // Written out so that the partial index serves: neither database proves a bound value.
        .filter(Expr::cust("outcome = 'asked'"))
}

/// Settles a sampled read.
pub(crate) async fn settle_sample(
    transaction: &impl ConnectionTrait,
    id: i64,
    outcome: SampleOutcome,
    now: Moment,
) -> Result<(), DbErr> {
    use drift_sample::Column;
    drift_sample::Entity::update_many()
        .col_expr(Column::Outcome, Expr::value(outcome.to_value()))
        .col_expr(Column::AnsweredAt, Expr::value(now))
        .filter(Column::Id.eq(id))
        .exec(transaction)
        .await
        .map(drop)
}

/// Gives up reads that were asked for before a moment and not answered, and forgets those before another.
pub(crate) async fn prune_samples(
    transaction: &impl ConnectionTrait,
    source_id: i32,
    unanswered_before: Moment,
    forgotten_before: Moment,
) -> Result<(), DbErr> {
    use drift_sample::Column;
    drift_sample::Entity::update_many()
        .col_expr(Column::Outcome, Expr::value(SampleOutcome::Void.to_value()))
        .filter(Column::SourceId.eq(source_id))
        .filter(Expr::cust("outcome = 'asked'"))
        .filter(Column::AskedAt.lt(unanswered_before))
        .exec(transaction)
        .await?;
    drift_sample::Entity::delete_many()
        .filter(Column::SourceId.eq(source_id))
        .filter(Column::AskedAt.lt(forgotten_before))
        .exec(transaction)
        .await
        .map(drop)
}
