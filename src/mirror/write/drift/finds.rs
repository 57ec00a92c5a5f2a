//! Finds: the records that one delivery showed to differ, until news explains them or they are drift.

use super::differences::{DIFFERENCES, Differing, load_room, prune_differences};
use super::measure::{Counts, count, load_drift_run};
use super::samples::settle_sample;
use super::shown::numbers;
use crate::mirror::write::CHUNK;
use crate::mirror::write::requests::load_request_states;
use entity::{
    DriftMeans, FetchState, Moment, RecordKind, RowSet, SampleOutcome, delivery, drift_difference, drift_find, verdict,
};
use sea_orm::sea_query::{Expr, Query};
use sea_orm::{
    ActiveValue::NotSet, ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, ExprTrait, QueryFilter,
    QueryOrder, QuerySelect,
};
use std::collections::{HashMap, HashSet};

/// Where records were found to differ.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// Their source.
    pub source_id: i32,
    /// The run whose page or sweep showed them.
    pub run_id: Option<i64>,
    /// The sampled read that showed it.
    pub sample_id: Option<i64>,
    /// When the delivery arrived.
    pub found_at: Moment,
}

/// Notes records that a delivery showed to differ, and that were made as upstream has them at once. Those that are
/// waited for already are known to be behind: that is no drift.
pub(crate) async fn write_find(
    transaction: &impl ConnectionTrait,
    place: Place,
    now: Moment,
    found: Vec<Differing>,
) -> Result<(), DbErr> {
    let keys: Vec<String> = found.iter().map(Differing::target_key).collect();
    let awaited = match place.sample_id {
        // The read itself is what is waited for.
        Some(_) => HashMap::new(),
        None => load_request_states(transaction, place.source_id, &keys).await?,
    };
    let count_of = |length: usize| i64::try_from(length).unwrap_or(i64::MAX);
    let all = found.len();
    let is_awaited = |key: &String| awaited.get(key).is_some_and(|request| request.state != FetchState::Parked);
    let found: Vec<Differing> =
        found.into_iter().zip(keys).filter(|(_, key)| !is_awaited(key)).map(|(found, _)| found).collect();
    if let Some(run_id) = place.run_id {
        load_drift_run(transaction, place.source_id, run_id).await?;
        let (explained, unsettled) = (count_of(all - found.len()), count_of(found.len()));
        count(transaction, run_id, Counts { explained, unsettled, ..Counts::default() }).await?;
    }
    if found.is_empty() {
        return Ok(());
    }
    let is_profile = |found: &&Differing| found.record_kind == RecordKind::Profile;
    let profiles: RowSet = found.iter().filter(is_profile).map(|found| found.profile_id).collect();
    let owners: Vec<u8> =
        found.iter().filter(|found| !is_profile(found)).flat_map(|found| found.profile_id.to_le_bytes()).collect();
    let row = drift_find::ActiveModel {
        id: NotSet,
        source_id: Set(place.source_id),
        run_id: Set(place.run_id),
        sample_id: Set(place.sample_id),
        found_at: Set(place.found_at),
        records: Set(count_of(found.len())),
        profiles: Set(profiles.to_bytes()),
        owners: Set(owners),
    };
    let find_id = drift_find::Entity::insert(row).exec(transaction).await?.last_insert_id;
    let means = if place.sample_id.is_some() { DriftMeans::Read } else { DriftMeans::Run };
    let room = load_room(transaction, place.run_id).await?;
    let told = found.into_iter().take(room).map(|found| drift_difference::Model {
        id: 0,
        source_id: place.source_id,
        run_id: place.run_id,
        find_id: Some(find_id),
        profile_id: found.profile_id,
        record_kind: found.record_kind,
        record_id: found.record_id,
        nature: found.nature,
        means,
        names: serde_json::json!(found.names),
        found_at: place.found_at,
        confirmed_at: None,
        repaired_at: Some(now),
    });
    let told = told.collect();
    DIFFERENCES.insert(transaction, told).await
}

/// A find whose time has come: whatever news was on its way has arrived.
pub(crate) async fn load_due_find(
    connection: &impl ConnectionTrait,
    source_id: i32,
    upto: Moment,
) -> Result<Option<drift_find::Model>, DbErr> {
    drift_find::Entity::find()
        .filter(drift_find::Column::SourceId.eq(source_id))
        .filter(drift_find::Column::FoundAt.lte(upto))
        .order_by_asc(drift_find::Column::FoundAt)
        .limit(1)
        .one(connection)
        .await
}

/// Those of these profiles of which a webhook told within so many milliseconds before or after a moment.
pub(crate) async fn load_told_about(
    connection: &impl ConnectionTrait,
    profile_ids: &[i64],
    at: Moment,
    within_ms: i64,
) -> Result<HashSet<i64>, DbErr> {
    let mut told = HashSet::new();
    for chunk in profile_ids.chunks(CHUNK) {
        let webhook = Query::select()
            .expr(Expr::value(1))
            .from(delivery::Entity)
            .and_where(
                Expr::col((delivery::Entity, delivery::Column::Id))
                    .equals((verdict::Entity, verdict::Column::DeliveryId)),
            )
            .and_where(delivery::Column::Kind.eq(entity::DeliveryKind::Webhook))
            .and_where(delivery::Column::ReceivedAt.between(at.plus_ms(-within_ms), at.plus_ms(within_ms)))
            .to_owned();
        let rows: Vec<Option<i64>> = verdict::Entity::find()
            .select_only()
            .column(verdict::Column::ProfileId)
            .distinct()
            .filter(verdict::Column::ProfileId.is_in(chunk.iter().copied()))
            .filter(Expr::exists(webhook))
            .into_tuple()
            .all(connection)
            .await?;
        told.extend(rows.into_iter().flatten());
    }
    Ok(told)
}

/// Settles a find: what news explains is forgotten, the rest is drift.
pub(crate) async fn settle_find(
    transaction: &impl ConnectionTrait,
    find: &drift_find::Model,
    explained: &HashSet<i64>,
    now: Moment,
) -> Result<(), DbErr> {
    use drift_difference::Column;
    let profiles = RowSet::from_bytes(&find.profiles).unwrap_or_default();
    let owners = numbers(&find.owners).map(i64::from_le_bytes);
    let explained_records = profiles.iter().chain(owners).filter(|id| explained.contains(id)).count();
    let explained_records = i64::try_from(explained_records).unwrap_or(i64::MAX);
    let differed = find.records - explained_records;
    let ids: Vec<i64> = explained.iter().copied().collect();
    for chunk in ids.chunks(CHUNK) {
        drift_difference::Entity::delete_many()
            .filter(Column::FindId.eq(find.id))
            .filter(Column::ProfileId.is_in(chunk.iter().copied()))
            .exec(transaction)
            .await?;
    }
    drift_difference::Entity::update_many()
        .col_expr(Column::ConfirmedAt, Expr::value(now))
        .col_expr(Column::FindId, Expr::value(Option::<i64>::None))
        .filter(Column::FindId.eq(find.id))
        .exec(transaction)
        .await?;
    if let Some(run_id) = find.run_id {
        let unsettled = -find.records;
        let counts = Counts { differed, explained: explained_records, unsettled, repaired: differed };
        count(transaction, run_id, counts).await?;
    }
    if let Some(sample_id) = find.sample_id {
        let outcome = if differed > 0 { SampleOutcome::Differed } else { SampleOutcome::Void };
        settle_sample(transaction, sample_id, outcome, now).await?;
    }
    drift_find::Entity::delete_by_id(find.id).exec(transaction).await?;
    prune_differences(transaction, find.source_id).await
}

/// Profiles that a find is about.
pub(crate) fn profiles_of(find: &drift_find::Model) -> Vec<i64> {
    let profiles = RowSet::from_bytes(&find.profiles).unwrap_or_default();
    let mut ids: Vec<i64> = profiles.iter().chain(numbers(&find.owners).map(i64::from_le_bytes)).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}
