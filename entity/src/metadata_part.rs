//! When each part of a source's metadata was asked for, so that an answer from before it changes nothing.

use sea_orm::entity::prelude::*;

/// When the newest answer about a part of the metadata was asked for.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "metadata_part")]
pub struct Model {
    /// The source.
    #[sea_orm(primary_key, auto_increment = false)]
    pub source_id: i32,
    /// What it tells of, with the external id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub part: String,
    /// Inbox position when the answer was asked for.
    pub started_at: i64,
    /// Inbox position of the answer.
    pub position: i64,
}

/// Joins are written where they are needed; none is declared here.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
