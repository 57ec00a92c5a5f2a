//! Subprofiles.

use super::CHUNK;
use super::rows::{Known, Table, Writes};
use crate::db::dialect;
use crate::mirror::padded;
use entity::subprofile;
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityName, EntityTrait, QueryFilter};

/// The subprofiles with these external ids, tombstones too, and all that are alive of these profiles.
pub(crate) async fn load_subprofiles(
    transaction: &impl ConnectionTrait,
    source_id: i32,
    external_ids: &[String],
    of_profiles: &[i64],
) -> Result<Vec<subprofile::Model>, DbErr> {
    let mut rows = Vec::new();
    for chunk in external_ids.chunks(CHUNK) {
        rows.extend(subprofile::by_external_ids(source_id, &padded(chunk)).all(transaction).await?);
    }
    for chunk in of_profiles.chunks(CHUNK) {
        let children = subprofile::alive().filter(subprofile::Column::ProfileId.is_in(padded(chunk)));
        rows.extend(children.all(transaction).await?);
    }
    Ok(rows)
}

/// The tombstones of subprofiles of these profiles.
pub(crate) async fn load_buried_subprofiles(
    transaction: &impl ConnectionTrait,
    of_profiles: &[i64],
) -> Result<Vec<subprofile::Model>, DbErr> {
    let mut rows = Vec::new();
    for chunk in of_profiles.chunks(CHUNK) {
        let buried = subprofile::Entity::find()
            .filter(subprofile::Column::ProfileId.is_in(padded(chunk)))
            .filter(subprofile::Column::DeletedAt.is_not_null());
        rows.extend(buried.all(transaction).await?);
    }
    Ok(rows)
}

/// Ids for so many new subprofiles.
pub(crate) async fn new_subprofile_ids(
    transaction: &impl ConnectionTrait,
    count: usize,
) -> Result<impl Iterator<Item = i64>, DbErr> {
    dialect::new_ids(transaction, subprofile::Entity.table_name(), count).await
}

/// Writes subprofiles by their external ids. Each has its id.
pub(crate) fn write_subprofiles(writes: &mut Writes<'_>, rows: Vec<subprofile::Model>) {
    use subprofile::Column;
    static SUBPROFILES: Table<subprofile::Entity> =
        Table::new(None, Known::HasItsId(&[Column::SourceId, Column::ExternalId], Column::Id));
    writes.insert(&SUBPROFILES, rows);
}
