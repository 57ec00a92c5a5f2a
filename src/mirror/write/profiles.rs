//! Profiles and their interests.

use super::CHUNK;
use super::rows::{self, Known};
use super::search;
use crate::mirror::padded;
use entity::{Moment, Status, profile, profile_interest};
use provider::InterestSeen;
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, ExprTrait, QueryFilter, QueryOrder, QuerySelect};
use std::collections::HashMap;

/// The profiles of a source with these external ids, placeholders and tombstones too.
pub(crate) async fn load_profiles(
    transaction: &impl ConnectionTrait,
    source_id: i32,
    external_ids: &[String],
) -> Result<Vec<profile::Model>, DbErr> {
    let mut rows = Vec::with_capacity(external_ids.len());
    for chunk in external_ids.chunks(CHUNK) {
        rows.extend(profile::by_external_ids(source_id, &padded(chunk)).all(transaction).await?);
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
        let named = profile::Entity::find().filter(profile::Column::Id.is_in(padded(chunk)));
        rows.extend(named.all(transaction).await?);
    }
    Ok(rows)
}

/// Profiles scheduled for deletion whose date passed between two moments, or a number of whole `every_ms` before
/// one; in key order after `after`, at most `limit`.
pub(crate) async fn load_due(
    connection: &impl ConnectionTrait,
    source_id: i32,
    (since, until): (Moment, Moment),
    every_ms: i64,
    after: i64,
    limit: u64,
) -> Result<Vec<profile::Model>, DbErr> {
    use profile::Column;
    // How many times it was due by a moment. Division cuts towards zero, hence one more on either side.
    let times =
        |by: Moment| Expr::value(by.0 + every_ms).sub(Expr::col((profile::Entity, Column::ScheduledFor))).div(every_ms);
    profile::Entity::find()
        // Written out so that the partial index serves.
        .filter(Expr::cust("\"profile\".\"status\" <> 'open'"))
        .filter(Column::Status.eq(Status::ScheduledForDeletion))
        .filter(Column::SourceId.eq(source_id))
        .filter(Column::ScheduledFor.lte(until))
        .filter(times(until).gt(times(since)))
        .filter(Column::Id.gt(after))
        .order_by_asc(Column::Id)
        .limit(limit)
        .all(connection)
        .await
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
            .filter(profile_interest::Column::ProfileId.is_in(padded(chunk)))
            .all(transaction)
            .await?;
        for row in rows {
            let group = (!row.group_name.is_empty()).then_some(row.group_name);
            interests.entry(row.profile_id).or_default().push(InterestSeen { group, name: row.name });
        }
    }
    Ok(interests)
}

/// Writes profiles and their words by their external ids and returns the id of each.
pub(crate) async fn write_profiles(
    transaction: &impl ConnectionTrait,
    rows: Vec<profile::Model>,
) -> Result<HashMap<String, i64>, DbErr> {
    use profile::Column;
    let is_known = rows.iter().filter(|row| row.is_known);
    let words = is_known.map(|row| (row.external_id.clone(), search::row_of(row))).collect();
    let ids = rows::insert_returning_ids::<profile::Entity>(
        transaction,
        rows,
        Column::Id,
        Column::ExternalId,
        Known::IsReplaced(&[Column::SourceId, Column::ExternalId]),
    )
    .await?;
    search::write_search(transaction, words, &ids).await?;
    Ok(ids)
}

/// Makes sure that placeholders exist and returns the id of each. A row that is there already stays as it is.
pub(crate) async fn write_placeholders(
    transaction: &impl ConnectionTrait,
    rows: Vec<profile::Model>,
) -> Result<HashMap<String, i64>, DbErr> {
    use profile::Column;
    rows::insert_returning_ids::<profile::Entity>(
        transaction,
        rows,
        Column::Id,
        Column::ExternalId,
        Known::StaysAndReturns(&[Column::SourceId, Column::ExternalId]),
    )
    .await
}

/// Replaces the interests of these profiles.
pub(crate) async fn write_interests(
    transaction: &impl ConnectionTrait,
    interests: Vec<(i64, Vec<InterestSeen>)>,
) -> Result<(), DbErr> {
    let ids: Vec<i64> = interests.iter().map(|(id, _)| *id).collect();
    for chunk in ids.chunks(CHUNK) {
        profile_interest::Entity::delete_many()
            .filter(profile_interest::Column::ProfileId.is_in(padded(chunk)))
            .exec(transaction)
            .await?;
    }
    let rows = interests.into_iter().flat_map(|(profile_id, interests)| {
        interests.into_iter().map(move |interest| profile_interest::Model {
            profile_id,
            group_name: interest.group.unwrap_or_default(),
            name: interest.name,
        })
    });
    rows::insert::<profile_interest::Entity>(transaction, rows.collect(), None, Known::Stays).await
}
