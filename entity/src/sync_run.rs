//! A pass over a source's lists.

use crate::{Moment, RunState};
use sea_orm::entity::prelude::*;

/// A pass over a source's lists.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "sync_run")]
pub struct Model {
    /// Surrogate key.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// The source.
    pub source_id: i32,
    /// Where it stands.
    pub state: RunState,
    /// Why it runs: first import, schedule, operator, gap.
    pub cause: String,
    /// When it began.
    pub started_at: Moment,
    /// When it ended.
    pub finished_at: Option<Moment>,
    /// The pages still to get, in order.
    #[sea_orm(column_type = "JsonBinary")]
    pub checkpoint: Json,
    /// Pages kept in the inbox so far.
    pub pages: i64,
    /// Rows on those pages.
    pub rows_seen: i64,
    /// Rows in all, where upstream told.
    pub rows_expected: Option<i64>,
    /// What stopped it.
    pub error: Option<String>,
    /// Instance that carries it out: the holder of the source's lease.
    pub holder: Option<String>,
}

/// Joins are written where they are needed; none is declared here.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
