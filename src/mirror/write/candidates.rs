//! Records in quarantine: no page of a run named them, or it named them and did not find them, and nobody has decided yet.

use super::CHUNK;
use super::listed::Missable;
use super::rows::{Known, Table};
use entity::{CandidateState, Moment, RecordKind, RunKind, RunState, deletion_candidate, sync_run};
use sea_orm::sea_query::{Expr, Query};
use sea_orm::{
    ActiveEnum, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
    Select,
};
use std::collections::{HashMap, HashSet};

/// In quarantine. Written out so that the partial index serves: neither database proves a bound value.
const OPEN: &str = "state IN ('quarantined', 'absent')";

/// Puts records into quarantine; one that is there already stays as it is. A record is in quarantine for one run, the
/// newest: an older run that waits for a person has no say in it any more.
pub(crate) async fn write_candidates(
    transaction: &impl ConnectionTrait,
    run: &sync_run::Model,
    kind: RecordKind,
    missed: &[Missable],
) -> Result<(), DbErr> {
    use deletion_candidate::Column;
    for chunk in missed.chunks(CHUNK) {
        deletion_candidate::Entity::update_many()
            .col_expr(Column::State, Expr::value(CandidateState::Dismissed.to_value()))
            .filter(Column::SourceId.eq(run.source_id))
            .filter(Column::RecordKind.eq(kind))
            .filter(Expr::cust(OPEN))
            .filter(Column::RecordId.is_in(chunk.iter().map(|row| row.id)))
            .filter(Column::RunId.ne(run.id))
            .exec(transaction)
            .await?;
    }
    let models = missed
        .iter()
        .map(|row| deletion_candidate::Model {
            id: 0,
            run_id: run.id,
            source_id: run.source_id,
            record_kind: kind,
            record_id: row.id,
            external_id: row.external_id.clone(),
            state: CandidateState::Quarantined,
            delivery_id: None,
        })
        .collect();
    static CANDIDATES: Table<deletion_candidate::Entity> = Table::new(Some(Column::Id), Known::Stays);
    CANDIDATES.insert(transaction, models).await
}

/// Records of a source in quarantine of whose end a run is still to decide: nobody else may take news of it instead.
fn undecided(source_id: i32) -> Select<deletion_candidate::Entity> {
    use deletion_candidate::Column;
    let deciding = Query::select()
        .column(sync_run::Column::Id)
        .from(sync_run::Entity)
        .cond_where(sync_run::Column::SourceId.eq(source_id))
        .cond_where(sync_run::Column::State.is_in([RunState::Sweeping, RunState::WaitingForApproval]))
        .take();
    deletion_candidate::Entity::find()
        .filter(Column::SourceId.eq(source_id))
        .filter(Expr::cust(OPEN))
        .filter(Column::RunId.in_subquery(deciding))
}

/// Puts a profile into quarantine that a run named and did not find; not where the run is over, and not who was
/// first seen after it began.
pub(crate) async fn quarantine_named(
    transaction: &impl ConnectionTrait,
    run_id: i64,
    missed: Missable,
) -> Result<(), DbErr> {
    use sync_run::Column;
    let run = sync_run::Entity::find_by_id(run_id)
        .filter(Column::State.eq(RunState::Running))
        .filter(Column::LastProfileId.gte(missed.id));
    match run.one(transaction).await? {
        Some(run) => write_candidates(transaction, &run, RecordKind::Profile, &[missed]).await,
        None => Ok(()),
    }
}

/// Those of these runs that are over named profiles.
pub(crate) async fn named_runs(connection: &impl ConnectionTrait, runs: HashSet<i64>) -> Result<HashSet<i64>, DbErr> {
    let named = sync_run::Entity::find()
        .filter(sync_run::Column::Id.is_in(runs))
        .filter(sync_run::Column::Kind.eq(RunKind::Named))
        .select_only()
        .column(sync_run::Column::Id);
    Ok(named.into_tuple().all(connection).await?.into_iter().collect())
}

/// Whether any record of a source is in quarantine.
pub(crate) async fn has_candidates(connection: &impl ConnectionTrait, source_id: i32) -> Result<bool, DbErr> {
    Ok(undecided(source_id).limit(1).one(connection).await?.is_some())
}

/// Those of these records that are in quarantine, by row id.
pub(crate) async fn load_candidates_of(
    transaction: &impl ConnectionTrait,
    source_id: i32,
    kind: RecordKind,
    record_ids: &[i64],
) -> Result<HashMap<i64, deletion_candidate::Model>, DbErr> {
    use deletion_candidate::Column;
    let mut found = HashMap::new();
    for chunk in record_ids.chunks(CHUNK) {
        let rows = undecided(source_id)
            .filter(Column::RecordKind.eq(kind))
            .filter(Column::RecordId.is_in(chunk.iter().copied()))
            .all(transaction)
            .await?;
        found.extend(rows.into_iter().map(|row| (row.record_id, row)));
    }
    Ok(found)
}

/// Candidates of a run in a state, in key order after `after`.
pub(crate) async fn load_candidates(
    connection: &impl ConnectionTrait,
    run_id: i64,
    state: CandidateState,
    after: i64,
    limit: u64,
) -> Result<Vec<deletion_candidate::Model>, DbErr> {
    use deletion_candidate::Column;
    deletion_candidate::Entity::find()
        .filter(Column::RunId.eq(run_id))
        .filter(Column::State.eq(state))
        .filter(Column::Id.gt(after))
        .order_by_asc(Column::Id)
        .limit(limit)
        .all(connection)
        .await
}

/// How many candidates of a run are in a state.
pub(crate) async fn count_candidates(
    connection: &impl ConnectionTrait,
    run_id: i64,
    state: CandidateState,
) -> Result<u64, DbErr> {
    use deletion_candidate::Column;
    deletion_candidate::Entity::find()
        .filter(Column::RunId.eq(run_id))
        .filter(Column::State.eq(state))
        .count(connection)
        .await
}

/// How many candidates of a kind were not found by id.
pub(crate) async fn count_absent(
    connection: &impl ConnectionTrait,
    run_id: i64,
    kind: RecordKind,
) -> Result<u64, DbErr> {
    use deletion_candidate::Column;
    deletion_candidate::Entity::find()
        .filter(Column::RunId.eq(run_id))
        .filter(Column::RecordKind.eq(kind))
        .filter(Column::State.eq(CandidateState::Absent))
        .count(connection)
        .await
}

/// Some candidates of a run, spread over all of them: always the same ones.
pub(crate) async fn load_candidate_sample(
    connection: &impl ConnectionTrait,
    run_id: i64,
    size: u64,
) -> Result<Vec<deletion_candidate::Model>, DbErr> {
    use deletion_candidate::Column;
    let of_run = deletion_candidate::Entity::find().filter(Column::RunId.eq(run_id));
    let ends: Option<(Option<i64>, Option<i64>)> = of_run
        .clone()
        .select_only()
        .column_as(Column::Id.min(), "first")
        .column_as(Column::Id.max(), "last")
        .into_tuple()
        .one(connection)
        .await?;
    let Some((Some(first), Some(last))) = ends else { return Ok(Vec::new()) };
    let step = Ord::max((last - first) / i64::try_from(size).unwrap_or(1), 1);
    let mut sample: Vec<deletion_candidate::Model> = Vec::new();
    for place in 0..i64::try_from(size).unwrap_or(0) {
        let next = of_run.clone().filter(Column::Id.gte(first + place * step)).order_by_asc(Column::Id);
        if let Some(row) = next.one(connection).await?
            && sample.last().is_none_or(|known| known.id < row.id)
        {
            sample.push(row);
        }
    }
    Ok(sample)
}

/// Settles candidates by their ids.
pub(crate) async fn settle_candidates(
    transaction: &impl ConnectionTrait,
    ids: &[i64],
    state: CandidateState,
    delivery_id: Option<i64>,
) -> Result<(), DbErr> {
    use deletion_candidate::Column;
    for chunk in ids.chunks(CHUNK) {
        deletion_candidate::Entity::update_many()
            .col_expr(Column::State, Expr::value(state.to_value()))
            .col_expr(Column::DeliveryId, Expr::value(delivery_id))
            .filter(Column::Id.is_in(chunk.iter().copied()))
            .exec(transaction)
            .await?;
    }
    Ok(())
}

/// Lets the candidates of a run go that are still in quarantine.
pub(crate) async fn dismiss_candidates(transaction: &impl ConnectionTrait, run_id: i64) -> Result<(), DbErr> {
    deletion_candidate::Entity::update_many()
        .col_expr(deletion_candidate::Column::State, Expr::value(CandidateState::Dismissed.to_value()))
        .filter(deletion_candidate::Column::RunId.eq(run_id))
        .filter(Expr::cust(OPEN))
        .exec(transaction)
        .await
        .map(drop)
}

/// Ends the waiting of runs that a newer one has seen all of: what they found gone is asked for anew, or there again.
pub(crate) async fn supersede_waiting(
    transaction: &impl ConnectionTrait,
    run: &sync_run::Model,
    now: Moment,
) -> Result<(), DbErr> {
    use sync_run::Column;
    let mut waiting = sync_run::Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(Column::SourceId.eq(run.source_id))
        .filter(Column::Id.ne(run.id))
        .filter(Column::State.eq(RunState::WaitingForApproval));
    if let Some(only) = &run.profile_type {
        waiting = waiting.filter(Column::ProfileType.eq(only));
    }
    let waiting: Vec<i64> = waiting.into_tuple().all(transaction).await?;
    for id in waiting {
        dismiss_candidates(transaction, id).await?;
        sync_run::Entity::update_many()
            .col_expr(Column::State, Expr::value(RunState::Cancelled.to_value()))
            .col_expr(Column::FinishedAt, Expr::value(now))
            .col_expr(Column::Error, Expr::value(format!("run {} has looked anew at what this one missed", run.id)))
            .filter(Column::Id.eq(id))
            .filter(Column::State.eq(RunState::WaitingForApproval))
            .exec(transaction)
            .await?;
    }
    Ok(())
}
