//! A relationship, stored once, with two ends.

use crate::Moment;
use sea_orm::entity::prelude::*;

/// A relationship, stored once, with two ends.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "relationship")]
pub struct Model {
    /// Surrogate key.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// Its source.
    pub source_id: i32,
    /// Upstream id, the same from both ends; unique within the source.
    pub external_id: String,
    /// Its type.
    pub relationship_type_id: i32,
    /// Left end; may be a placeholder.
    pub from_profile_id: i64,
    /// Right end; may be a placeholder.
    pub to_profile_id: i64,
    /// It is a field of the left profile and follows that profile's fields.
    pub is_derived: bool,
    /// Upstream creation time.
    pub created_at: Option<Moment>,
    /// Gone since then; hidden from readers unless they ask.
    pub removed_at: Option<Moment>,
    /// Inbox position of the news that last told of it.
    pub position: i64,
}

/// Joins are written where they are needed; none is declared here.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Relationships that are there.
pub fn alive() -> Select<Entity> {
    Entity::find().filter(Column::RemovedAt.is_null())
}
