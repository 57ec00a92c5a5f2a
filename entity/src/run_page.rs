//! What a page of a run named: the proof that a record was listed.

use sea_orm::entity::prelude::*;

/// What a page of a run named. Kept until the run ends.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "run_page")]
pub struct Model {
    /// The run.
    #[sea_orm(primary_key, auto_increment = false)]
    pub run_id: i64,
    /// The page, as a delivery.
    #[sea_orm(primary_key, auto_increment = false)]
    pub delivery_id: i64,
    /// Its stream.
    pub stream: String,
    /// Rows of the whole stream, where upstream told.
    pub expected: Option<i64>,
    /// Row ids of the profiles that it named, as a serialized bitmap.
    pub profiles: Vec<u8>,
    /// Row ids of the subprofiles that it named, as a serialized bitmap; a number that no row has stands in for each of
    /// which nothing is kept.
    pub subprofiles: Vec<u8>,
    /// What it showed of each of them, mixed into 64 bits: the profiles in the order of their rows, then the
    /// subprofiles. Only where the run measures drift.
    pub shown: Option<Vec<u8>>,
    /// The same of what was stored before, with the row, for those that differed. For a plan: what stands for each change
    /// that the page told first, 64 bits.
    pub before: Option<Vec<u8>>,
}

/// Joins are written where they are needed; none is declared here.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
