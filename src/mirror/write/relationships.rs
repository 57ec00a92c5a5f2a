//! Relationships.

use super::CHUNK;
use super::rows::{Known, Table, Writes};
use crate::mirror::padded;
use entity::relationship;
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter};

/// Which relationships to load.
#[derive(Clone, Debug, Default)]
pub(crate) struct RelationshipsOf {
    /// With these external ids, removed ones too.
    pub external_ids: Vec<String>,
    /// Alive, with one of these profiles at the left end.
    pub from_profiles: Vec<i64>,
    /// Alive, told by the provider itself, with one of these profiles at the right end.
    pub to_profiles: Vec<i64>,
}

/// Loads relationships; one may come more than once.
pub(crate) async fn load_relationships(
    transaction: &impl ConnectionTrait,
    source_id: i32,
    wanted: &RelationshipsOf,
) -> Result<Vec<relationship::Model>, DbErr> {
    use relationship::Column;
    let mut rows = Vec::new();
    for chunk in wanted.external_ids.chunks(CHUNK) {
        let named = relationship::Entity::find()
            .filter(Column::SourceId.eq(source_id))
            .filter(Column::ExternalId.is_in(padded(chunk)));
        rows.extend(named.all(transaction).await?);
    }
    for chunk in wanted.from_profiles.chunks(CHUNK) {
        let leaving = relationship::alive().filter(Column::FromProfileId.is_in(padded(chunk)));
        rows.extend(leaving.all(transaction).await?);
    }
    for chunk in wanted.to_profiles.chunks(CHUNK) {
        let arriving =
            relationship::alive().filter(Column::IsDerived.eq(false)).filter(Column::ToProfileId.is_in(padded(chunk)));
        rows.extend(arriving.all(transaction).await?);
    }
    Ok(rows)
}

/// Writes relationships by their external ids.
pub(crate) fn write_relationships(writes: &mut Writes<'_>, rows: Vec<relationship::Model>) {
    use relationship::Column;
    static RELATIONSHIPS: Table<relationship::Entity> =
        Table::new(Some(Column::Id), Known::IsReplaced(&[Column::SourceId, Column::ExternalId]));
    writes.insert(&RELATIONSHIPS, rows);
}
