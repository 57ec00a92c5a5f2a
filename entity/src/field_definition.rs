//! A field of a profile type or of a collection.

use sea_orm::entity::prelude::*;

/// A field of a profile type or of a collection.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "field_definition")]
pub struct Model {
    /// Surrogate key.
    #[sea_orm(primary_key)]
    pub id: i32,
    /// Its source.
    pub source_id: i32,
    /// The profile type, for fields of profiles.
    pub profile_type_id: Option<i32>,
    /// The collection, for fields of subprofiles.
    pub collection_id: Option<i32>,
    /// Key of its values in the record's fields.
    pub name: String,
    /// Upstream id, where it has one.
    pub external_id: Option<String>,
    /// Name for people, where it differs.
    pub label: Option<String>,
    /// The provider's own word for its type.
    pub upstream_type: String,
    /// Place among its siblings, from 0.
    pub position: i32,
    /// A value is the external id of another profile.
    pub is_reference: bool,
}

/// Joins are written where they are needed; none is declared here.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
