//! A read by id at random, between runs.

use crate::{Moment, SampleOutcome};
use sea_orm::entity::prelude::*;

/// A read by id at random, between runs.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "drift_sample")]
pub struct Model {
    /// Surrogate key.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// The source.
    pub source_id: i32,
    /// The profile that was drawn.
    pub profile_id: i64,
    /// Inbox position of the newest delivery that had told of it when it was drawn.
    pub position: i64,
    /// When it was drawn.
    pub asked_at: Moment,
    /// When its answer was taken.
    pub answered_at: Option<Moment>,
    /// What it came to.
    pub outcome: SampleOutcome,
}

/// Joins are written where they are needed; none is declared here.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
