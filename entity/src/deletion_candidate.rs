//! A record that no page of a complete run named: in quarantine until it is asked for by id.

use crate::{CandidateState, RecordKind};
use sea_orm::entity::prelude::*;

/// A record that no page of a complete run named.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "deletion_candidate")]
pub struct Model {
    /// Surrogate key.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// The run that missed it.
    pub run_id: i64,
    /// Its source.
    pub source_id: i32,
    /// Profile or subprofile.
    pub record_kind: RecordKind,
    /// Row id of the record.
    pub record_id: i64,
    /// Its external id.
    pub external_id: String,
    /// What became of it.
    pub state: CandidateState,
    /// The answer that settled it; while it is in quarantine, the list of ids that does not name it either.
    pub delivery_id: Option<i64>,
}

/// Joins are written where they are needed; none is declared here.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
