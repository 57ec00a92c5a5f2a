//! An interest that a profile type offers.

use sea_orm::entity::prelude::*;

/// An interest that a profile type offers.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "interest")]
pub struct Model {
    /// Surrogate key.
    #[sea_orm(primary_key)]
    pub id: i32,
    /// Its source.
    pub source_id: i32,
    /// The profile type that offers it.
    pub profile_type_id: i32,
    /// Its group; empty where it has none.
    pub group_name: String,
    /// Its name.
    pub name: String,
}

/// Joins are written where they are needed; none is declared here.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
