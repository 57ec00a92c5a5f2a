//! A record that differed from upstream: which fields, never their values.

use crate::{DriftMeans, DriftNature, Moment, RecordKind};
use sea_orm::entity::prelude::*;

/// A record that differed from upstream.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "drift_difference")]
pub struct Model {
    /// Surrogate key.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// The source.
    pub source_id: i32,
    /// The run that found it.
    pub run_id: Option<i64>,
    /// What it was found with, until news can explain it no more.
    pub find_id: Option<i64>,
    /// The profile that it is, or hangs on.
    pub profile_id: i64,
    /// Profile or subprofile.
    pub record_kind: RecordKind,
    /// Its external id.
    pub record_id: String,
    /// How it differed.
    pub nature: DriftNature,
    /// What showed it.
    pub means: DriftMeans,
    /// Names of what differed, as a list.
    #[sea_orm(column_type = "JsonBinary")]
    pub names: Json,
    /// When it was found.
    pub found_at: Moment,
    /// When it was sure that no news explains it.
    pub confirmed_at: Option<Moment>,
    /// When the mirror was as upstream again.
    pub repaired_at: Option<Moment>,
}

/// Joins are written where they are needed; none is declared here.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
