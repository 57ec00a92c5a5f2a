//! Records that one delivery showed to differ, until it is known whether news explains them.

use crate::Moment;
use sea_orm::entity::prelude::*;

/// Records that one delivery showed to differ, until it is known whether news explains them.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "drift_find")]
pub struct Model {
    /// Surrogate key.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// The source.
    pub source_id: i32,
    /// The run whose page showed them.
    pub run_id: Option<i64>,
    /// The sampled read that showed it.
    pub sample_id: Option<i64>,
    /// When the delivery arrived.
    pub found_at: Moment,
    /// How many.
    pub records: i64,
    /// Row ids of the profiles among them, as a serialized bitmap.
    pub profiles: Vec<u8>,
    /// For each subprofile among them the row id of its profile, 8 bytes each.
    pub owners: Vec<u8>,
}

/// Joins are written where they are needed; none is declared here.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
