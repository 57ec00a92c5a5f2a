//! A run: a pass over a source's lists, or over some of its profiles, and the sweep after it.

use crate::{Moment, RunKind, RunState, SweepStage};
use sea_orm::entity::prelude::*;
use sea_orm::{Condition, QueryOrder};

/// A run.
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
    /// What it passes through.
    pub kind: RunKind,
    /// It only compares; nothing is written to the mirror.
    pub is_plan: bool,
    /// External id of the one profile type that it is about; none for all of the source.
    pub profile_type: Option<String>,
    /// External ids of the profiles that it is about, where they are named.
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub named: Option<Json>,
    /// The access key that asked for it.
    pub requested_by: Option<String>,
    /// For an incremental run: changes from then on.
    pub since: Option<Moment>,
    /// Inbox position when it began: what was touched later is no candidate.
    pub low_position: i64,
    /// Newest profile row when it began: what was first seen later is no candidate.
    pub last_profile_id: i64,
    /// Newest subprofile row when it began.
    pub last_subprofile_id: i64,
    /// Pages that apply has taken.
    pub pages_settled: i64,
    /// Pages that could not be read or applied: the run is not complete.
    pub pages_parked: i64,
    /// Profiles first seen on its pages.
    pub created: i64,
    /// Profiles that its pages changed.
    pub updated: i64,
    /// Profiles that were as its pages say.
    pub unchanged: i64,
    /// Profiles about which its pages and newer news disagreed; each is fetched.
    pub conflicts: i64,
    /// Records that no page named.
    pub candidates: i64,
    /// Candidates that a fetch by id did not find either.
    pub absent: i64,
    /// Candidates that are tombstones now.
    pub deleted: i64,
    /// When it had read its lists to their end; none before that.
    pub listed_at: Option<Moment>,
    /// How far its sweep is; none before it.
    pub sweep_stage: Option<SweepStage>,
    /// The row up to which the stage is done.
    pub sweep_after: i64,
    /// Who approved or rejected its deletions.
    pub decided_by: Option<String>,
    /// When.
    pub decided_at: Option<Moment>,
    /// The how manieth try, from 1; a failed run is tried again.
    pub attempt: i32,
    /// Times that it failed in a row. A page that comes ends the count, but for the times that it started over.
    pub failures: i32,
    /// Times that what it saw contradicted itself, so that it starts over.
    pub restarts: i32,
    /// When a failed run is tried again.
    pub retry_at: Option<Moment>,
    /// What a plan found: samples, without values.
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub plan: Option<Json>,
}

/// Joins are written where they are needed; none is declared here.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// Whether lists are still to be begun: what upstream has told so far of how many rows there are is not all.
    pub fn has_lists_to_begin(&self) -> bool {
        let pages = self.checkpoint.get("pages").and_then(Json::as_array);
        pages.into_iter().flatten().any(|page| page.get("number").and_then(Json::as_u64) == Some(0))
    }
}

/// Runs of a source that go on, waiting for a person not counted: at most one.
pub fn under_way(source_id: i32) -> Select<Entity> {
    // As it stands in the index, so that it serves.
    let is_under_way = Expr::cust("\"sync_run\".\"state\" IN ('planned', 'running', 'sweeping')");
    Entity::find().filter(Column::SourceId.eq(source_id)).filter(is_under_way)
}

/// Full runs of a source, plans among them, the newest first.
pub fn listing(source_id: i32) -> Select<Entity> {
    // As it stands in the index, so that it serves.
    let is_full = Expr::cust("\"sync_run\".\"kind\" = 'full'");
    Entity::find().filter(Column::SourceId.eq(source_id)).filter(is_full).order_by_desc(Column::Id)
}

/// Failed runs that wait to be tried again although this newer one sees at least what they were to see.
pub fn made_needless_by(run: &Model) -> Condition {
    let older = Condition::all()
        .add(Column::SourceId.eq(run.source_id))
        .add(Column::Id.lt(run.id))
        .add(Column::State.eq(RunState::Failed))
        .add(Column::RetryAt.is_not_null());
    match (run.kind, &run.profile_type) {
        (RunKind::Full, None) => older,
        (RunKind::Full, Some(only)) => older.add(Column::Kind.eq(RunKind::Full)).add(Column::ProfileType.eq(only)),
        (RunKind::Incremental, _) => older.add(Column::Kind.eq(RunKind::Incremental)).add(Column::Since.gte(run.since)),
        (RunKind::Named, _) => older.add(Column::Kind.eq(RunKind::Named)).add(Column::Named.eq(run.named.clone())),
    }
}
