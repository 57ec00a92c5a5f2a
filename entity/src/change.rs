//! The change log: one committed effect on one record.

use crate::{ChangeKind, Moment, RecordKind};
use sea_orm::entity::prelude::*;

/// The change log: one committed effect on one record.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "change")]
pub struct Model {
    /// The source.
    #[sea_orm(primary_key, auto_increment = false)]
    pub source_id: i32,
    /// Dense, in commit order within the source.
    #[sea_orm(primary_key, auto_increment = false)]
    pub revision: i64,
    /// What happened.
    pub kind: ChangeKind,
    /// The profile that it concerns.
    pub profile_id: i64,
    /// Kind of the record.
    pub record_kind: RecordKind,
    /// External id of the record.
    pub record_id: String,
    /// When it was committed.
    pub at: Moment,
    /// Upstream time, where known.
    pub upstream_at: Option<Moment>,
    /// Changed values: a list of `{name, before, after}`.
    #[sea_orm(column_type = "JsonBinary")]
    pub fields: Json,
    /// The delivery that caused it.
    pub delivery_id: i64,
    /// The event's word or the kind of delivery.
    pub cause: String,
    /// Its values were erased with the profile that it concerns.
    pub is_erased: bool,
}

/// Joins are written where they are needed; none is declared here.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
