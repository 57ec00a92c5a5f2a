//! Receipts of erasures, who must not come back, and the log without its values.

use super::CHUNK;
use crate::db::{Dialect, dialect};
use entity::{
    Decision, Moment, RecordKind, change, erasure, fetch_request, lifecycle_transition, profile, relationship,
    subprofile, suppression, suppression_key, verdict,
};
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, ExprTrait,
    IntoActiveModel, QueryFilter, QueryOrder, QuerySelect,
};
use std::collections::BTreeSet;

/// What a verdict says instead of a problem that somebody's body had.
const RULE: &str = "its delivery was emptied with the profile that it told of";

/// Row ids of the profiles of a source with these external ids.
pub(crate) async fn profile_rows(
    connection: &impl ConnectionTrait,
    source_id: i32,
    external_ids: &[String],
) -> Result<Vec<(i64, String)>, DbErr> {
    let mut rows = Vec::with_capacity(external_ids.len());
    for chunk in external_ids.chunks(CHUNK) {
        let named = profile::by_external_ids(source_id, chunk)
            .select_only()
            .columns([profile::Column::Id, profile::Column::ExternalId]);
        rows.extend(named.into_tuple::<(i64, String)>().all(connection).await?);
    }
    Ok(rows)
}

/// Positions of the deliveries that verdicts, changes and transitions of a profile come from.
pub(crate) async fn deliveries_of(connection: &impl ConnectionTrait, profile_id: i64) -> Result<Vec<i64>, DbErr> {
    let judged = verdict::Entity::find()
        .filter(verdict::Column::ProfileId.eq(profile_id))
        .select_only()
        .column(verdict::Column::DeliveryId)
        .distinct();
    let changed = change::Entity::find()
        .filter(change::Column::ProfileId.eq(profile_id))
        .select_only()
        .column(change::Column::DeliveryId)
        .distinct();
    let moved = lifecycle_transition::Entity::find()
        .filter(lifecycle_transition::Column::ProfileId.eq(profile_id))
        .select_only()
        .column(lifecycle_transition::Column::DeliveryId)
        .distinct();
    let mut found = judged.into_tuple::<i64>().all(connection).await?;
    found.extend(changed.into_tuple::<i64>().all(connection).await?);
    found.extend(moved.into_tuple::<i64>().all(connection).await?);
    Ok(found)
}

/// External ids of all subprofiles of a profile, tombstones too.
pub(crate) async fn subprofile_ids(connection: &impl ConnectionTrait, profile_id: i64) -> Result<Vec<String>, DbErr> {
    subprofile::Entity::find()
        .filter(subprofile::Column::ProfileId.eq(profile_id))
        .select_only()
        .column(subprofile::Column::ExternalId)
        .into_tuple()
        .all(connection)
        .await
}

/// Empties the values of the changes that concern a profile, and of those that tell its counterparts of their
/// relationships with it. The changes stay, and what they tell of its status. Returns how many held other values.
pub(crate) async fn empty_changes(
    transaction: &impl ConnectionTrait,
    dialect: Dialect,
    profile_id: i64,
) -> Result<u64, DbErr> {
    use change::Column;
    let emptied = || {
        change::Entity::update_many()
            .col_expr(Column::Fields, dialect::told_of_attribute(dialect, "fields", "status"))
            .col_expr(Column::IsErased, Expr::value(true))
            .filter(dialect::tells_more_than(dialect, "fields", "status"))
    };
    let mut count = emptied().filter(Column::ProfileId.eq(profile_id)).exec(transaction).await?.rows_affected;
    let ends = relationship::Entity::find()
        .filter(
            Condition::any()
                .add(relationship::Column::FromProfileId.eq(profile_id))
                .add(relationship::Column::ToProfileId.eq(profile_id)),
        )
        .select_only()
        .columns([
            relationship::Column::ExternalId,
            relationship::Column::FromProfileId,
            relationship::Column::ToProfileId,
        ])
        .into_tuple::<(String, i64, i64)>()
        .all(transaction)
        .await?;
    for chunk in ends.chunks(CHUNK) {
        let others: BTreeSet<i64> = chunk.iter().flat_map(|(_, from, to)| [*from, *to]).collect();
        let told = emptied()
            .filter(Column::ProfileId.is_in(others))
            .filter(Column::RecordKind.eq(RecordKind::Relationship))
            .filter(Column::RecordId.is_in(chunk.iter().map(|(id, _, _)| id.clone())));
        count += told.exec(transaction).await?.rows_affected;
    }
    Ok(count)
}

/// Takes the problem of emptied deliveries out of their verdicts.
pub(crate) async fn empty_verdicts(transaction: &impl ConnectionTrait, deliveries: &[i64]) -> Result<(), DbErr> {
    for chunk in deliveries.chunks(CHUNK) {
        verdict::Entity::update_many()
            .col_expr(verdict::Column::Rule, Expr::value(RULE))
            .filter(verdict::Column::DeliveryId.is_in(chunk.iter().copied()))
            .filter(verdict::Column::Decision.eq(Decision::Parked))
            .exec(transaction)
            .await?;
    }
    Ok(())
}

/// Drops the fetch requests for these records, those under way too: what they bring is emptied as it is settled.
pub(crate) async fn drop_requests(
    transaction: &impl ConnectionTrait,
    source_id: i32,
    keys: &[String],
) -> Result<(), DbErr> {
    use fetch_request::Column;
    for chunk in keys.chunks(CHUNK) {
        fetch_request::Entity::delete_many()
            .filter(Column::SourceId.eq(source_id))
            .filter(Column::TargetKey.is_in(chunk.iter().cloned()))
            .exec(transaction)
            .await?;
    }
    Ok(())
}

/// Writes a receipt; one that is there already stays, and counts on.
pub(crate) async fn write_erasure(transaction: &impl ConnectionTrait, row: erasure::Model) -> Result<(), DbErr> {
    use erasure::Column;
    let counts = [
        Column::Interests,
        Column::Subprofiles,
        Column::Relationships,
        Column::Changes,
        Column::Deliveries,
        Column::Slices,
    ];
    let mut conflict = OnConflict::column(Column::ProfileId);
    for column in counts {
        conflict.value(column, Expr::col((erasure::Entity, column)).add(Expr::col(("excluded", column))));
    }
    conflict.update_column(Column::FilesCleanedAt);
    let mut row = row.into_active_model().reset_all();
    row.not_set(Column::Id);
    erasure::Entity::insert(row).on_conflict(conflict).exec_without_returning(transaction).await.map(drop)
}

/// Counts a late delivery of erased profiles; the files hold what it told, until they are cleaned once more.
pub(crate) async fn count_late(transaction: &impl ConnectionTrait, profile_ids: &[i64]) -> Result<(), DbErr> {
    use erasure::Column;
    for chunk in profile_ids.chunks(CHUNK) {
        erasure::Entity::update_many()
            .col_expr(Column::LateDeliveries, Expr::col(Column::LateDeliveries).add(1))
            .col_expr(Column::FilesCleanedAt, Expr::value(None::<Moment>))
            .filter(Column::ProfileId.is_in(chunk.iter().copied()))
            .exec(transaction)
            .await?;
    }
    Ok(())
}

/// Receipts whose files are not cleaned yet, the oldest first; at most a thousand.
pub(crate) async fn pending_erasures(connection: &impl ConnectionTrait) -> Result<Vec<erasure::Model>, DbErr> {
    erasure::Entity::find()
        .filter(Expr::cust("files_cleaned_at IS NULL"))
        .order_by_asc(erasure::Column::Id)
        .limit(1000)
        .all(connection)
        .await
}

/// Notes that the files are clean of what these receipts tell of, where nothing came late meanwhile.
pub(crate) async fn note_cleaned(
    connection: &impl ConnectionTrait,
    now: Moment,
    receipts: &[erasure::Model],
) -> Result<(), DbErr> {
    use erasure::Column;
    for chunk in receipts.chunks(CHUNK) {
        let unchanged = chunk.iter().fold(Condition::any(), |any, receipt| {
            any.add(Column::Id.eq(receipt.id).and(Column::LateDeliveries.eq(receipt.late_deliveries)))
        });
        erasure::Entity::update_many()
            .col_expr(Column::FilesCleanedAt, Expr::value(now))
            .filter(unchanged)
            .exec(connection)
            .await?;
    }
    Ok(())
}

/// The key of the suppression list; none before the first erasure.
pub(crate) async fn suppression_key(connection: &impl ConnectionTrait) -> Result<Option<Vec<u8>>, DbErr> {
    Ok(suppression_key::Entity::find_by_id(1).one(connection).await?.map(|row| row.key))
}

/// The key of the suppression list: `fresh`, where there was none.
pub(crate) async fn ensure_suppression_key(
    transaction: &impl ConnectionTrait,
    fresh: Vec<u8>,
) -> Result<Vec<u8>, DbErr> {
    let row = suppression_key::ActiveModel { id: Set(1), key: Set(fresh.clone()) };
    suppression_key::Entity::insert(row).on_conflict_do_nothing().exec_without_returning(transaction).await?;
    Ok(suppression_key(transaction).await?.unwrap_or(fresh))
}

/// Puts digests on the suppression list.
pub(crate) async fn suppress(
    transaction: &impl ConnectionTrait,
    now: Moment,
    digests: Vec<Vec<u8>>,
) -> Result<(), DbErr> {
    let rows: Vec<_> =
        digests.into_iter().map(|digest| suppression::ActiveModel { digest: Set(digest), at: Set(now) }).collect();
    for chunk in rows.chunks(CHUNK) {
        suppression::Entity::insert_many(chunk.iter().cloned())
            .on_conflict_do_nothing()
            .exec_without_returning(transaction)
            .await?;
    }
    Ok(())
}

/// Those of the digests that are on the suppression list, with the time of the erasure.
pub(crate) async fn suppressed(
    connection: &impl ConnectionTrait,
    digests: &[Vec<u8>],
) -> Result<Vec<suppression::Model>, DbErr> {
    let mut found = Vec::new();
    for chunk in digests.chunks(CHUNK) {
        let listed = suppression::Entity::find().filter(suppression::Column::Digest.is_in(chunk.iter().cloned()));
        found.extend(listed.all(connection).await?);
    }
    Ok(found)
}
