//! A mirrored subprofile.

use crate::{Moment, VersionRung};
use sea_orm::entity::prelude::*;

/// A mirrored subprofile.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "subprofile")]
pub struct Model {
    /// Surrogate key.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// Its source.
    pub source_id: i32,
    /// Upstream id; unique within the source.
    pub external_id: String,
    /// The profile that it belongs to; may be a placeholder.
    pub profile_id: i64,
    /// Its collection, where told.
    pub collection_id: Option<i32>,
    /// Field values by name, raw.
    #[sea_orm(column_type = "JsonBinary")]
    pub fields: Json,
    /// Upstream creation time.
    pub created_at: Option<Moment>,
    /// Upstream time of last modification.
    pub modified_at: Option<Moment>,
    /// When the mirror last confirmed it.
    pub mirrored_at: Moment,
    /// A tombstone since then; hidden from readers.
    pub deleted_at: Option<Moment>,
    /// Where the stored version comes from.
    pub version_rung: VersionRung,
    /// Earliest moment of the version.
    pub version_from: i64,
    /// Latest moment of the version.
    pub version_until: i64,
    /// Inbox position up to which the stored state reflects upstream.
    pub position: i64,
    /// Delivery that the stored state comes from.
    pub delivery_id: Option<i64>,
    /// Hash of the content.
    pub row_hash: i64,
}

/// Joins are written where they are needed; none is declared here.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Subprofiles that are there: no tombstones.
pub fn alive() -> Select<Entity> {
    Entity::find().filter(Column::DeletedAt.is_null())
}

/// The subprofiles of a source with these external ids, tombstones too.
pub fn by_external_ids(source_id: i32, external_ids: &[String]) -> Select<Entity> {
    Entity::find().filter(Column::SourceId.eq(source_id)).filter(Column::ExternalId.is_in(external_ids))
}
