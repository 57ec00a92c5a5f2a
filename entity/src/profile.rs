//! A mirrored profile.

use crate::{Moment, ProfileKind, Status, VersionRung};
use sea_orm::entity::prelude::*;

/// A mirrored profile.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "profile")]
pub struct Model {
    /// Surrogate key; clients see an id made of source and external id.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// Its source.
    pub source_id: i32,
    /// Upstream id; unique within the source.
    pub external_id: String,
    /// Its profile type, where known.
    pub profile_type_id: Option<i32>,
    /// False for a placeholder that a subprofile or relationship named before the profile itself came; hidden from readers.
    pub is_known: bool,
    /// What it is about.
    pub kind: ProfileKind,
    /// Name for people.
    pub display_name: Option<String>,
    /// The provider's own name for it, where it has one beside the fields.
    pub upstream_name: Option<String>,
    /// E-mail address.
    pub email: Option<String>,
    /// Lifecycle status.
    pub status: Status,
    /// Upstream time of the last transition.
    pub status_since: Option<Moment>,
    /// Inbox position of the delivery that last told the status; negative as long as only states have, and no event; 0
    /// where none did.
    pub status_position: i64,
    /// Date of the scheduled deletion.
    pub scheduled_for: Option<Moment>,
    /// The provider's own word for its status.
    pub upstream_status: Option<String>,
    /// Field values by name, raw as upstream writes them.
    #[sea_orm(column_type = "JsonBinary")]
    pub fields: Json,
    /// Upstream creation time.
    pub created_at: Option<Moment>,
    /// Upstream time of last modification.
    pub modified_at: Option<Moment>,
    /// When the mirror last confirmed it.
    pub mirrored_at: Moment,
    /// Where the stored version comes from.
    pub version_rung: VersionRung,
    /// Earliest moment of the version.
    pub version_from: i64,
    /// Latest moment of the version.
    pub version_until: i64,
    /// Inbox position up to which the stored state is known to reflect upstream.
    pub position: i64,
    /// Delivery that the stored state comes from.
    pub delivery_id: Option<i64>,
    /// Hash of the content; tells unchanged without comparing.
    pub row_hash: i64,
    /// Revision of its newest change.
    pub revision: i64,
}

/// Joins are written where they are needed; none is declared here.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Profiles that readers may see: no placeholders. Nothing is bound: PostgreSQL would plan each query anew, since what it
/// knows the value of looks a little cheaper than what it does not.
pub fn known() -> Select<Entity> {
    Entity::find().filter(Expr::col((Entity, Column::IsKnown)))
}

/// The profiles of a source with these external ids.
pub fn by_external_ids(source_id: i32, external_ids: &[String]) -> Select<Entity> {
    Entity::find().filter(Column::SourceId.eq(source_id)).filter(Column::ExternalId.is_in(external_ids))
}
