//! Profiles and their interests.

use super::{CHUNK, fresh, replace_by_external_id};
use entity::{profile, profile_interest};
use provider::InterestSeen;
use sea_orm::sea_query::{OnConflict, Query};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    QueryTrait,
};
use std::collections::HashMap;

/// The profiles of a source with these external ids, placeholders and tombstones too.
pub(crate) async fn load_profiles(
    transaction: &impl ConnectionTrait,
    source_id: i32,
    external_ids: &[String],
) -> Result<Vec<profile::Model>, DbErr> {
    let mut rows = Vec::with_capacity(external_ids.len());
    for chunk in external_ids.chunks(CHUNK) {
        rows.extend(profile::by_external_ids(source_id, chunk).all(transaction).await?);
    }
    Ok(rows)
}

/// The profiles with these row ids.
pub(crate) async fn load_profiles_by_id(
    transaction: &impl ConnectionTrait,
    ids: &[i64],
) -> Result<Vec<profile::Model>, DbErr> {
    let mut rows = Vec::with_capacity(ids.len());
    for chunk in ids.chunks(CHUNK) {
        let named = profile::Entity::find().filter(profile::Column::Id.is_in(chunk.iter().copied()));
        rows.extend(named.all(transaction).await?);
    }
    Ok(rows)
}

/// External ids of the known profiles of a type, in key order after `after`, at most `limit`.
pub(crate) async fn load_profiles_of_type(
    transaction: &impl ConnectionTrait,
    profile_type_id: i32,
    after: i64,
    limit: u64,
) -> Result<Vec<(i64, String)>, DbErr> {
    use profile::Column;
    profile::Entity::find()
        .select_only()
        .columns([Column::Id, Column::ExternalId])
        .filter(Column::ProfileTypeId.eq(profile_type_id))
        .filter(Column::Id.gt(after))
        .order_by_asc(Column::Id)
        .limit(limit)
        .into_tuple()
        .all(transaction)
        .await
}

/// The interests of these profiles.
pub(crate) async fn load_interests(
    transaction: &impl ConnectionTrait,
    profile_ids: &[i64],
) -> Result<HashMap<i64, Vec<InterestSeen>>, DbErr> {
    let mut interests: HashMap<i64, Vec<InterestSeen>> = HashMap::new();
    for chunk in profile_ids.chunks(CHUNK) {
        let rows = profile_interest::Entity::find()
            .filter(profile_interest::Column::ProfileId.is_in(chunk.iter().copied()))
            .all(transaction)
            .await?;
        for row in rows {
            let group = (!row.group_name.is_empty()).then_some(row.group_name);
            interests.entry(row.profile_id).or_default().push(InterestSeen { group, name: row.name });
        }
    }
    Ok(interests)
}

/// Writes profiles by their external ids and returns the id of each.
pub(crate) async fn write_profiles(
    transaction: &impl ConnectionTrait,
    rows: Vec<profile::Model>,
) -> Result<HashMap<String, i64>, DbErr> {
    use profile::Column;
    insert(transaction, rows, replace_by_external_id(Column::Id, Column::SourceId, Column::ExternalId)).await
}

/// Makes sure that placeholders exist and returns the id of each. A row that is there already stays as it is.
pub(crate) async fn write_placeholders(
    transaction: &impl ConnectionTrait,
    rows: Vec<profile::Model>,
) -> Result<HashMap<String, i64>, DbErr> {
    use profile::Column;
    let keep = OnConflict::columns([Column::SourceId, Column::ExternalId]).update_column(Column::ExternalId).to_owned();
    insert(transaction, rows, keep).await
}

async fn insert(
    transaction: &impl ConnectionTrait,
    rows: Vec<profile::Model>,
    conflict: OnConflict,
) -> Result<HashMap<String, i64>, DbErr> {
    use profile::Column;
    let mut ids = HashMap::with_capacity(rows.len());
    let mut rows = rows.into_iter().peekable();
    while rows.peek().is_some() {
        let chunk = rows.by_ref().take(CHUNK).map(|row| fresh::<profile::Entity>(row, Some(Column::Id)));
        let mut statement = profile::Entity::insert_many(chunk).on_conflict(conflict.clone()).into_query();
        statement.returning(Query::returning().columns([Column::Id, Column::ExternalId]));
        for row in transaction.query_all(&statement).await? {
            ids.insert(row.try_get("", "external_id")?, row.try_get("", "id")?);
        }
    }
    Ok(ids)
}

/// Replaces the interests of these profiles.
pub(crate) async fn write_interests(
    transaction: &impl ConnectionTrait,
    interests: Vec<(i64, Vec<InterestSeen>)>,
) -> Result<(), DbErr> {
    let ids: Vec<i64> = interests.iter().map(|(id, _)| *id).collect();
    for chunk in ids.chunks(CHUNK) {
        profile_interest::Entity::delete_many()
            .filter(profile_interest::Column::ProfileId.is_in(chunk.iter().copied()))
            .exec(transaction)
            .await?;
    }
    let rows: Vec<_> = interests
        .into_iter()
        .flat_map(|(profile_id, interests)| {
            interests.into_iter().map(move |interest| profile_interest::ActiveModel {
                profile_id: Set(profile_id),
                group_name: Set(interest.group.unwrap_or_default()),
                name: Set(interest.name),
            })
        })
        .collect();
    for chunk in rows.chunks(CHUNK) {
        profile_interest::Entity::insert_many(chunk.iter().cloned())
            .on_conflict_do_nothing()
            .exec_without_returning(transaction)
            .await?;
    }
    Ok(())
}
