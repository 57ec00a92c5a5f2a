//! Candidates of a run that no list of ids has been held against yet, by the place that they belong to.

use super::CHUNK;
use super::candidates::settle_candidates;
use entity::{CandidateState, RecordKind, deletion_candidate, profile, subprofile, sync_run};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, ExprTrait, JoinType, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect, RelationDef, Select,
};
use std::collections::HashSet;

/// Candidates that are held against a list at a time.
const HELD: u64 = 5_000;

/// So many candidates of one place are still to be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unlisted {
    /// Profiles of a type, or subprofiles of a collection.
    pub kind: RecordKind,
    /// Row id of that type or collection.
    pub place: i32,
    /// How many.
    pub count: u64,
}

/// How many candidates of a run no list of ids has been held against, by place.
pub(crate) async fn count_unlisted(connection: &impl ConnectionTrait, run_id: i64) -> Result<Vec<Unlisted>, DbErr> {
    let mut found = Vec::new();
    for kind in [RecordKind::Profile, RecordKind::Subprofile] {
        let rows: Vec<(Option<i32>, i64)> = of_kind(kind)
            .filter(deletion_candidate::Column::RunId.eq(run_id))
            .filter(deletion_candidate::Column::DeliveryId.is_null())
            .select_only()
            .column_as(place_of(kind), "place")
            .column_as(deletion_candidate::Column::Id.count(), "count")
            .group_by(place_of(kind))
            .into_tuple()
            .all(connection)
            .await?;
        let counted = |(place, count): (Option<i32>, i64)| {
            Some(Unlisted { kind, place: place?, count: u64::try_from(count).unwrap_or(0) })
        };
        found.extend(rows.into_iter().filter_map(counted));
    }
    Ok(found)
}

/// How many records of a place the mirror holds, the gone among them.
pub(crate) async fn count_place(connection: &impl ConnectionTrait, kind: RecordKind, place: i32) -> Result<u64, DbErr> {
    match kind {
        RecordKind::Profile => {
            profile::Entity::find().filter(profile::Column::ProfileTypeId.eq(place)).count(connection).await
        }
        _ => subprofile::Entity::find().filter(subprofile::Column::CollectionId.eq(place)).count(connection).await,
    }
}

/// Holds the candidates of a place against the ids that a list named, as it was asked for at the inbox position
/// `started_at`: those that it names are there. Of the others is noted that it was looked at.
pub(crate) async fn clear_listed(
    transaction: &impl ConnectionTrait,
    (kind, place): (RecordKind, i32),
    ids: &HashSet<&str>,
    started_at: i64,
    delivery_id: i64,
) -> Result<(), DbErr> {
    use deletion_candidate::Column;
    let run: RelationDef =
        deletion_candidate::Entity::belongs_to(sync_run::Entity).from(Column::RunId).to(sync_run::Column::Id).into();
    let mut after = 0;
    loop {
        let rows: Vec<(i64, String)> = of_kind(kind)
            .join(JoinType::InnerJoin, run.clone())
            // An older list says nothing of what a newer run missed.
            .filter(sync_run::Column::LowPosition.lte(started_at))
            .filter(place_of(kind).eq(place))
            .filter(Column::Id.gt(after))
            .order_by_asc(Column::Id)
            .limit(HELD)
            .select_only()
            .columns([Column::Id, Column::ExternalId])
            .into_tuple()
            .all(transaction)
            .await?;
        let Some((last, _)) = rows.last() else { return Ok(()) };
        after = *last;
        let (there, others): (Vec<_>, Vec<_>) = rows.into_iter().partition(|(_, id)| ids.contains(id.as_str()));
        for (rows, state) in [(there, CandidateState::Present), (others, CandidateState::Quarantined)] {
            let rows: Vec<i64> = rows.into_iter().map(|(id, _)| id).collect();
            settle_candidates(transaction, &rows, state, Some(delivery_id)).await?;
        }
    }
}

/// Notes of the candidates of a place that there is no list to hold them against.
pub(crate) async fn give_up_list(
    transaction: &impl ConnectionTrait,
    run_id: i64,
    (kind, place): (RecordKind, i32),
    position: i64,
) -> Result<(), DbErr> {
    let rows: Vec<i64> = of_kind(kind)
        .filter(deletion_candidate::Column::RunId.eq(run_id))
        .filter(deletion_candidate::Column::DeliveryId.is_null())
        .filter(place_of(kind).eq(place))
        .select_only()
        .column(deletion_candidate::Column::Id)
        .into_tuple()
        .all(transaction)
        .await?;
    for chunk in rows.chunks(CHUNK) {
        settle_candidates(transaction, chunk, CandidateState::Quarantined, Some(position)).await?;
    }
    Ok(())
}

/// Candidates of a kind that are in quarantine, with the records that they are.
fn of_kind(kind: RecordKind) -> Select<deletion_candidate::Entity> {
    use deletion_candidate::Column;
    let record: RelationDef = match kind {
        RecordKind::Profile => deletion_candidate::Entity::belongs_to(profile::Entity)
            .from(Column::RecordId)
            .to(profile::Column::Id)
            .into(),
        _ => deletion_candidate::Entity::belongs_to(subprofile::Entity)
            .from(Column::RecordId)
            .to(subprofile::Column::Id)
            .into(),
    };
    deletion_candidate::Entity::find()
        .join(JoinType::InnerJoin, record)
        .filter(Column::RecordKind.eq(kind))
        // Written out so that the partial index serves: neither database proves a bound value.
        .filter(Expr::cust("\"deletion_candidate\".\"state\" IN ('quarantined', 'absent')"))
        .filter(Column::State.eq(CandidateState::Quarantined))
}

fn place_of(kind: RecordKind) -> Expr {
    match kind {
        RecordKind::Profile => Expr::col((profile::Entity, profile::Column::ProfileTypeId)),
        _ => Expr::col((subprofile::Entity, subprofile::Column::CollectionId)),
    }
}
