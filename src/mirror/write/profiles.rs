//! Profiles and their interests.

use super::CHUNK;
use super::rows::{Known, Table, Update, Writes};
use super::search;
use crate::db::dialect;
use crate::mirror::padded;
use entity::{Moment, Status, profile, profile_interest};
use provider::InterestSeen;
use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityName, EntityTrait, ExprTrait, IdenStatic, QueryFilter, QueryOrder,
    QueryResult, QuerySelect, QueryTrait,
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

/// External ids of the known profiles of a type, in key order after one row and up to another, at most `limit`.
pub(crate) async fn load_profiles_of_type(
    transaction: &impl ConnectionTrait,
    profile_type_id: i32,
    (after, last): (i64, i64),
    limit: u64,
) -> Result<Vec<(i64, String)>, DbErr> {
    use profile::Column;
    profile::Entity::find()
        .select_only()
        .columns([Column::Id, Column::ExternalId])
        .filter(Column::ProfileTypeId.eq(profile_type_id))
        .filter(Column::Id.gt(after))
        .filter(Column::Id.lte(last))
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

/// Ids for so many new profiles.
pub(crate) async fn new_profile_ids(
    transaction: &impl ConnectionTrait,
    count: usize,
) -> Result<impl Iterator<Item = i64>, DbErr> {
    dialect::new_ids(transaction, profile::Entity.table_name(), count).await
}

/// Writes profiles by their external ids, and their words. Each has its id.
pub(crate) fn write_profiles(writes: &mut Writes<'_>, rows: Vec<profile::Model>) {
    use profile::Column;
    static PROFILES: Table<profile::Entity> =
        Table::new(None, Known::HasItsId(&[Column::SourceId, Column::ExternalId], Column::Id)).in_statements_of(64);
    let words = |row: &profile::Model| row.is_known.then(|| search::row_of(row));
    writes.insert_both((&PROFILES, &search::WORDS), rows, words);
}

/// A profile of which only the revision has moved: what hangs on it has changed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moved {
    pub profile_id: i64,
    /// The stored revision.
    pub from: i64,
    pub to: i64,
}

/// Writes the revisions of profiles, of which nothing else has changed, and of the words that are theirs: words of an
/// earlier revision are still to be made.
pub(crate) fn write_revisions(writes: &mut Writes<'_>, moved: Vec<Moved>) {
    let rows: Vec<_> = moved.into_iter().map(|Moved { profile_id, from, to }| [profile_id, from, to]).collect();
    // A subquery's columns have these names on both databases.
    const PROFILES: Update = Update {
        head: "UPDATE \"profile\" SET \"revision\" = moved.column3 FROM (VALUES ",
        tail: ") AS moved WHERE \"profile\".\"id\" = moved.column1",
        is_checked: true,
    };
    const WORDS: Update = Update {
        head: "UPDATE \"profile_search\" SET \"revision\" = moved.column3 FROM (VALUES ",
        tail: ") AS moved WHERE \"profile_search\".\"profile_id\" = moved.column1 \
               AND \"profile_search\".\"revision\" = moved.column2",
        is_checked: false,
    };
    writes.update(PROFILES, rows.clone());
    writes.update(WORDS, rows);
}

/// Makes sure that placeholders exist and returns the id of each. A row that is there already stays as it is.
pub(crate) async fn write_placeholders(
    transaction: &impl ConnectionTrait,
    rows: Vec<profile::Model>,
) -> Result<HashMap<String, i64>, DbErr> {
    use profile::Column;
    static PLACEHOLDERS: Table<profile::Entity> = Table::returning(
        Some(Column::Id),
        Known::StaysAndReturns(&[Column::SourceId, Column::ExternalId]),
        &[Column::Id, Column::ExternalId],
    );
    let mut ids = HashMap::with_capacity(rows.len());
    let read = |row: &QueryResult| {
        ids.insert(row.try_get("", Column::ExternalId.as_str())?, row.try_get("", Column::Id.as_str())?);
        Ok(())
    };
    PLACEHOLDERS.insert_and_read(transaction, rows, read).await?;
    Ok(ids)
}

/// Replaces the interests of these profiles.
pub(crate) fn write_interests(writes: &mut Writes<'_>, interests: Vec<(i64, Vec<InterestSeen>)>) {
    use profile_interest::Column;
    static INTERESTS: Table<profile_interest::Entity> = Table::new(None, Known::Stays);
    let ids: Vec<i64> = interests.iter().map(|(id, _)| *id).collect();
    for chunk in ids.chunks(CHUNK) {
        let gone = profile_interest::Entity::delete_many().filter(Column::ProfileId.is_in(padded(chunk)));
        writes.push_one(gone.build(writes.backend()));
    }
    let rows = interests.into_iter().flat_map(|(profile_id, interests)| {
        interests.into_iter().map(move |interest| profile_interest::Model {
            profile_id,
            group_name: interest.group.unwrap_or_default(),
            name: interest.name,
        })
    });
    writes.insert(&INTERESTS, rows.collect());
}
