//! The change log, the verdicts and the lifecycle history.

use super::CHUNK;
use super::rows::{Known, Table, Writes};
use entity::{Status, change, lifecycle_transition, source_state, verdict};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QuerySelect};
use std::collections::{BTreeSet, HashSet};

/// Appends changes; their revisions continue the source's.
pub(crate) fn write_changes(writes: &mut Writes<'_>, rows: Vec<change::Model>) {
    static CHANGES: Table<change::Entity> = Table::new(None, Known::Fails);
    writes.insert(&CHANGES, rows);
}

/// Appends verdicts.
pub(crate) fn write_verdicts(writes: &mut Writes<'_>, rows: Vec<verdict::Model>) {
    static VERDICTS: Table<verdict::Entity> = Table::new(Some(verdict::Column::Id), Known::Fails);
    writes.insert(&VERDICTS, rows);
}

/// Appends lifecycle transitions. One that had no effect is not told twice by the same delivery, which may go through
/// apply again.
pub(crate) async fn write_transitions(
    transaction: &impl ConnectionTrait,
    writes: &mut Writes<'_>,
    mut transitions: Vec<lifecycle_transition::Model>,
) -> Result<(), DbErr> {
    use lifecycle_transition::Column;
    static TRANSITIONS: Table<lifecycle_transition::Entity> = Table::new(Some(Column::Id), Known::Fails);
    let mut told: HashSet<(i64, i64, Status)> = HashSet::new();
    let without_effect = transitions.iter().filter(|row| !row.is_effective).map(|row| row.profile_id);
    let profiles: BTreeSet<i64> = without_effect.collect();
    for chunk in profiles.into_iter().collect::<Vec<_>>().chunks(CHUNK) {
        let known: Vec<(i64, i64, Status)> = lifecycle_transition::Entity::find()
            .select_only()
            .columns([Column::ProfileId, Column::DeliveryId, Column::ToStatus])
            .filter(Column::ProfileId.is_in(chunk.iter().copied()))
            .into_tuple()
            .all(transaction)
            .await?;
        told.extend(known);
    }
    transitions.retain(|row| row.is_effective || !told.contains(&(row.profile_id, row.delivery_id, row.to_status)));
    writes.insert(&TRANSITIONS, transitions);
    Ok(())
}

/// Moves the source's revision from one value to another; false where it is not at the first.
pub(crate) async fn advance_revision(
    transaction: &impl ConnectionTrait,
    source_id: i32,
    from: i64,
    to: i64,
) -> Result<bool, DbErr> {
    use source_state::Column;
    let updated = source_state::Entity::update_many()
        .col_expr(Column::Revision, Expr::value(to))
        .filter(Column::SourceId.eq(source_id))
        .filter(Column::Revision.eq(from))
        .exec(transaction)
        .await?;
    Ok(updated.rows_affected == 1)
}
