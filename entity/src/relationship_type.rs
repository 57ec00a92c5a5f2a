//! A type of relationship.

use sea_orm::entity::prelude::*;

/// A type of relationship.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "relationship_type")]
pub struct Model {
    /// Surrogate key.
    #[sea_orm(primary_key)]
    pub id: i32,
    /// Its source.
    pub source_id: i32,
    /// Alias or upstream id; unique within the source.
    pub external_id: String,
    /// Name read from the left end to the right.
    pub name: String,
    /// Name read the other way, where there is one.
    pub inverse_name: Option<String>,
}

/// Joins are written where they are needed; none is declared here.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
