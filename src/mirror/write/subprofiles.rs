//! Subprofiles.

use super::CHUNK;
use super::rows::{self, Known};
use crate::mirror::padded;
use entity::subprofile;
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, QueryFilter};
use std::collections::HashMap;

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

/// Writes subprofiles by their external ids and returns the id of each.
pub(crate) async fn write_subprofiles(
    transaction: &impl ConnectionTrait,
    rows: Vec<subprofile::Model>,
) -> Result<HashMap<String, i64>, DbErr> {
    use subprofile::Column;
    let known = Known::IsReplaced(&[Column::SourceId, Column::ExternalId]);
    rows::insert_returning_ids::<subprofile::Entity>(transaction, rows, Column::Id, Column::ExternalId, known).await
}
