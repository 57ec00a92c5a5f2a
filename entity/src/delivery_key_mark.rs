//! Up to which delivery the dedupe keys are filed; SQLite only.

use sea_orm::entity::prelude::*;

/// Up to which delivery the dedupe keys are filed; SQLite only. One row.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "delivery_key_mark")]
pub struct Model {
    /// Always 1.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i32,
    /// Keys of all deliveries up to this one are filed.
    pub filed_to: i64,
}

/// Joins are written where they are needed; none is declared here.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
