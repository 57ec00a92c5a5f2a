//! Whom a delivery names beside those in its verdicts: how an erasure finds the pages that tell of a person.

use sea_orm::entity::prelude::*;

/// Whom a delivery names.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "delivery_names")]
pub struct Model {
    /// The source.
    #[sea_orm(primary_key, auto_increment = false)]
    pub source_id: i32,
    /// The delivery.
    #[sea_orm(primary_key, auto_increment = false)]
    pub delivery_id: i64,
    /// Eight bytes of a hash for each record that it names, one after the other.
    pub names: Vec<u8>,
}

/// Joins are written where they are needed; none is declared here.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
