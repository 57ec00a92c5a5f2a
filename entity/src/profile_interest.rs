//! An interest that is on for a profile.

use sea_orm::entity::prelude::*;

/// An interest that is on for a profile.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "profile_interest")]
pub struct Model {
    /// The profile.
    #[sea_orm(primary_key, auto_increment = false)]
    pub profile_id: i64,
    /// Its group as the profile tells it; empty where only the profile type's interests tell.
    #[sea_orm(primary_key, auto_increment = false)]
    pub group_name: String,
    /// Its name.
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
}

/// Joins are written where they are needed; none is declared here.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
