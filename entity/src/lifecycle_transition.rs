//! One lifecycle transition of a profile, effective or not.

use crate::{Moment, Status};
use sea_orm::entity::prelude::*;

/// One lifecycle transition of a profile, effective or not.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "lifecycle_transition")]
pub struct Model {
    /// Surrogate key.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// The source.
    pub source_id: i32,
    /// The profile.
    pub profile_id: i64,
    /// Status before; none for the first.
    pub from_status: Option<Status>,
    /// Status after.
    pub to_status: Status,
    /// Upstream time of the transition; our own where upstream told none.
    pub at: Moment,
    /// When the mirror recorded it.
    pub recorded_at: Moment,
    /// Date of the scheduled deletion, where told.
    pub scheduled_for: Option<Moment>,
    /// The provider's word for the event, or `state` where a fetched state told it.
    pub cause: String,
    /// False for one that came late or was illegal: journaled, settled by a fetch.
    pub is_effective: bool,
    /// The delivery that told it.
    pub delivery_id: i64,
}

/// Joins are written where they are needed; none is declared here.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
