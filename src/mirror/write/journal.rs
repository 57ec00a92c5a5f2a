//! The change log, the verdicts and the lifecycle history.

use super::insert_rows;
use entity::{change, lifecycle_transition, source_state, verdict};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter};

/// Appends changes; their revisions continue the source's.
pub(crate) async fn write_changes(transaction: &impl ConnectionTrait, rows: Vec<change::Model>) -> Result<(), DbErr> {
    insert_rows::<change::Entity>(transaction, rows, None, None).await
}

/// Appends verdicts.
pub(crate) async fn write_verdicts(transaction: &impl ConnectionTrait, rows: Vec<verdict::Model>) -> Result<(), DbErr> {
    insert_rows::<verdict::Entity>(transaction, rows, Some(verdict::Column::Id), None).await
}

/// Appends lifecycle transitions.
pub(crate) async fn write_transitions(
    transaction: &impl ConnectionTrait,
    rows: Vec<lifecycle_transition::Model>,
) -> Result<(), DbErr> {
    insert_rows::<lifecycle_transition::Entity>(transaction, rows, Some(lifecycle_transition::Column::Id), None).await
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
