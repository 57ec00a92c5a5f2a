//! A collection of subprofiles of a profile type.

use crate::Moment;
use sea_orm::entity::prelude::*;

/// A collection of subprofiles of a profile type.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "collection")]
pub struct Model {
    /// Surrogate key.
    #[sea_orm(primary_key)]
    pub id: i32,
    /// Its source.
    pub source_id: i32,
    /// The profile type it belongs to, where known.
    pub profile_type_id: Option<i32>,
    /// Upstream id; unique within the source.
    pub external_id: String,
    /// Name for people.
    pub name: String,
    /// What unsubscribing does in it, in the provider's own word.
    pub unsubscribe_action: Option<String>,
    /// The values that unsubscribing gives to fields.
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub unsubscribe_fields: Option<Json>,
    /// When it was last confirmed.
    pub mirrored_at: Moment,
}

/// Joins are written where they are needed; none is declared here.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
