//! What a full run measured: how many records differed, and the digests of both sides.

use crate::Moment;
use sea_orm::entity::prelude::*;

/// What a full run measured.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "drift_run")]
pub struct Model {
    /// The run.
    #[sea_orm(primary_key, auto_increment = false)]
    pub run_id: i64,
    /// Its source.
    pub source_id: i32,
    /// When both sides had been compared; none before that, and for a run of one type.
    pub measured_at: Option<Moment>,
    /// Records of which a page told and no news came after it.
    pub compared: i64,
    /// Records that differed, and no news explains it.
    pub differed: i64,
    /// Records that differed because news was on its way.
    pub explained: i64,
    /// Records that differed, and that news on its way may still explain.
    pub unsettled: i64,
    /// Records that still differed after the pages had been taken.
    pub remained: i64,
    /// Records that differed and are repaired.
    pub repaired: i64,
    /// Digest of what the mirror held before the pages, as stored.
    pub mirror_before: Vec<u8>,
    /// Digest of what the mirror holds after them.
    pub mirror_after: Vec<u8>,
    /// Digest of what the pages showed.
    pub upstream: Vec<u8>,
}

/// Joins are written where they are needed; none is declared here.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
