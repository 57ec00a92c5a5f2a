//! A configured account at a provider.

use crate::Moment;
use sea_orm::entity::prelude::*;

/// A configured account at a provider.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "source")]
pub struct Model {
    /// Surrogate key.
    #[sea_orm(primary_key)]
    pub id: i32,
    /// Name in the configuration; unique.
    pub name: String,
    /// Name of its provider.
    pub provider: String,
    /// When the mirror first saw it.
    pub created_at: Moment,
}

/// Joins are written where they are needed; none is declared here.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// The source of this name.
pub fn by_name(name: &str) -> Select<Entity> {
    Entity::find().filter(Column::Name.eq(name))
}
