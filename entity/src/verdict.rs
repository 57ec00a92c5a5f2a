//! What apply decided for one observation.

use crate::{Decision, Moment, RecordKind};
use sea_orm::entity::prelude::*;

/// What apply decided for one observation.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "verdict")]
pub struct Model {
    /// Surrogate key.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// The source.
    pub source_id: i32,
    /// The delivery.
    pub delivery_id: i64,
    /// The profile that it is about, where there is one.
    pub profile_id: Option<i64>,
    /// Kind of the record.
    pub record_kind: RecordKind,
    /// External id of the record.
    pub record_id: String,
    /// The decision.
    pub decision: Decision,
    /// The rule that decided, in words.
    pub rule: String,
    /// Version of the observation, for people.
    pub observed_version: Option<String>,
    /// Version stored at that moment.
    pub stored_version: Option<String>,
    /// When.
    pub at: Moment,
}

/// Joins are written where they are needed; none is declared here.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
