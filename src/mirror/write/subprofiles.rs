//! Subprofiles.

use super::{CHUNK, insert_rows, replace_by_external_id};
use entity::subprofile;
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, QueryFilter};

/// The subprofiles with these external ids, tombstones too, and all that are alive of these profiles.
pub(crate) async fn load_subprofiles(
    transaction: &impl ConnectionTrait,
    source_id: i32,
    external_ids: &[String],
    of_profiles: &[i64],
) -> Result<Vec<subprofile::Model>, DbErr> {
    let mut rows = Vec::new();
    for chunk in external_ids.chunks(CHUNK) {
        rows.extend(subprofile::by_external_ids(source_id, chunk).all(transaction).await?);
    }
    for chunk in of_profiles.chunks(CHUNK) {
        let children = subprofile::alive().filter(subprofile::Column::ProfileId.is_in(chunk.iter().copied()));
        rows.extend(children.all(transaction).await?);
    }
    Ok(rows)
}

/// Writes subprofiles by their external ids.
pub(crate) async fn write_subprofiles(
    transaction: &impl ConnectionTrait,
    rows: Vec<subprofile::Model>,
) -> Result<(), DbErr> {
    use subprofile::Column;
    let conflict = replace_by_external_id(Column::Id, Column::SourceId, Column::ExternalId);
    insert_rows::<subprofile::Entity>(transaction, rows, Some(Column::Id), Some(conflict)).await
}
