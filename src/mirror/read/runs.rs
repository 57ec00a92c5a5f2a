//! What operators see of runs, and of the records that no page of a run named.

use super::children::ChildPage;
use super::keyset::{Limit, Slice};
use super::reader::{Reading, padded};
use super::{ReadError, Reader};
use ::entity::{CandidateState, Moment, RunKind, RunState, deletion_candidate, sync_run};
use sea_orm::sea_query::{Condition, Expr, ExprTrait, Order, Query, SelectStatement};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, FromQueryResult, QueryFilter, QueryOrder, QuerySelect};

/// A pass that failed so often in a row is failing; fewer tries may meet a bad moment.
const FAILING: i32 = 3;
/// Runs that one look at those under way brings at most: one a source goes on, and few wait.
const MAX_UNDER_WAY: u64 = 1_000;

/// Which runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunFilter {
    /// Of this source.
    pub source_id: Option<i32>,
    /// In one of these states; empty for all.
    pub states: Vec<RunState>,
    /// Of one of these kinds; empty for all.
    pub kinds: Vec<RunKind>,
    /// Only plans, or only runs that write.
    pub is_plan: Option<bool>,
}

/// The states of a run that has not ended.
const OPEN: [RunState; 4] = [RunState::Planned, RunState::Running, RunState::Sweeping, RunState::WaitingForApproval];
/// The states of a pass that has seen all that it was to see.
const SAW_ALL: [RunState; 2] = [RunState::Done, RunState::WaitingForApproval];

/// A run whose deletions wait for a person.
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult)]
pub struct DeletionsWaiting {
    /// The source.
    pub source_id: i32,
    /// The run.
    pub run_id: i64,
    /// How many wait: what has been heard of since it was found missing is not counted.
    pub count: i64,
}

impl DeletionsWaiting {
    /// All that wait in a source, under its newest run: several wait where one is about a single profile type.
    pub fn of(waiting: &[Self], source_id: i32) -> Option<Self> {
        let join = |all: Self, next: Self| Self { count: all.count + next.count, ..next };
        waiting.iter().filter(|run| run.source_id == source_id).cloned().reduce(join)
    }
}

/// What the newest complete pass over all lists of a source found changed upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangesFound {
    /// The source.
    pub source_id: i32,
    /// The pass.
    pub run_id: i64,
    /// Profiles that were new to it, or had changed.
    pub count: i64,
    /// When the complete pass before it began: webhooks since then should have told of them.
    pub since: Moment,
}

/// A complete pass over all lists of a source.
#[derive(Clone, Copy, FromQueryResult)]
struct CompletePass {
    source_id: i32,
    id: i64,
    started_at: Moment,
    created: i64,
    updated: i64,
}

impl ChangesFound {
    /// What a pass found; none where that is nothing, or where a clock was set back between the two.
    fn of(newest: CompletePass, before: CompletePass) -> Option<Self> {
        let CompletePass { source_id, id: run_id, started_at, created, updated } = newest;
        let (count, since) = (created + updated, before.started_at);
        (count > 0 && since <= started_at).then_some(Self { source_id, run_id, count, since })
    }
}

impl Reader {
    /// The runs whose deletions wait for a person, oldest first. They are counted anew each time: what comes back is
    /// struck off one by one, and what a run had found missing says nothing of that.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn deletions_waiting(&self) -> Result<Vec<DeletionsWaiting>, ReadError> {
        let (run, candidate) = (sync_run::Entity, deletion_candidate::Entity);
        let of_run = Expr::col((candidate, deletion_candidate::Column::RunId))
            .equals((run, sync_run::Column::Id))
            .and(Expr::col((candidate, deletion_candidate::Column::State)).eq(CandidateState::Absent));
        let query = Query::select()
            .expr_as(Expr::col((run, sync_run::Column::SourceId)), "source_id")
            .expr_as(Expr::col((run, sync_run::Column::Id)), "run_id")
            .expr_as(Expr::col((candidate, deletion_candidate::Column::Id)).count(), "count")
            .from(run)
            .left_join(candidate, of_run)
            // Written out, as the partial index has it, so that it serves: SQLite does not conclude it from the state alone.
            .and_where(Expr::cust(
                "\"sync_run\".\"state\" IN ('planned', 'running', 'sweeping', 'waiting_for_approval')",
            ))
            .and_where(Expr::cust("\"sync_run\".\"state\" = 'waiting_for_approval'"))
            .group_by_columns([(run, sync_run::Column::SourceId), (run, sync_run::Column::Id)])
            .order_by((run, sync_run::Column::Id), Order::Asc)
            .take();
        let rows = self.connection().query_all(&query).await.reading("runs that wait for a person")?;
        rows.iter()
            .map(|row| DeletionsWaiting::from_query_result(row, ""))
            .collect::<Result<_, _>>()
            .reading("runs that wait for a person")
    }

    /// A page of runs, newest first.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn sync_runs(
        &self,
        filter: &RunFilter,
        after: Option<i64>,
        limit: Limit,
    ) -> Result<Slice<sync_run::Model>, ReadError> {
        let mut query = sync_run::Entity::find();
        if let Some(source_id) = filter.source_id {
            query = query.filter(sync_run::Column::SourceId.eq(source_id));
        }
        if !filter.states.is_empty() {
            query = query.filter(sync_run::Column::State.is_in(filter.states.iter().copied()));
        }
        if !filter.kinds.is_empty() {
            query = query.filter(sync_run::Column::Kind.is_in(filter.kinds.iter().copied()));
        }
        if let Some(is_plan) = filter.is_plan {
            query = query.filter(sync_run::Column::IsPlan.eq(is_plan));
        }
        if let Some(after) = after {
            query = query.filter(sync_run::Column::Id.lt(after));
        }
        let rows = query
            .order_by_desc(sync_run::Column::Id)
            .limit(limit.rows() + 1)
            .all(self.connection())
            .await
            .reading("a page of runs")?;
        Ok(Slice::cut(rows, limit, after.is_some(), false))
    }

    /// The run with this id. Whoever has just asked for it finds it: no replica is read.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn sync_run(&self, id: i64) -> Result<Option<sync_run::Model>, ReadError> {
        sync_run::Entity::find_by_id(id).one(self.primary()).await.reading("a run by id")
    }

    /// How many rows the newest full run before this one had that saw the same lists to their end; none before the first.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn rows_of_the_run_before(&self, run: &sync_run::Model) -> Result<Option<i64>, ReadError> {
        use sync_run::Column;
        let of_type = match &run.profile_type {
            Some(id) => Column::ProfileType.eq(id),
            None => Column::ProfileType.is_null(),
        };
        let before = sync_run::Entity::find()
            .select_only()
            .column(Column::RowsSeen)
            .filter(Column::SourceId.eq(run.source_id))
            .filter(Column::Id.lt(run.id))
            .filter(Column::Kind.eq(RunKind::Full))
            .filter(Column::State.is_in(SAW_ALL))
            .filter(of_type)
            .order_by_desc(Column::Id);
        before.into_tuple().one(self.connection()).await.reading("the rows of the run before")
    }

    /// Every run that has not ended, those with these ids, and those newer than `newer_than`, oldest first.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn runs_to_watch(&self, ids: &[i64], newer_than: Option<i64>) -> Result<Vec<sync_run::Model>, ReadError> {
        let mut any = Condition::any().add(sync_run::Column::State.is_in(OPEN));
        if !ids.is_empty() {
            any = any.add(sync_run::Column::Id.is_in(padded(ids)));
        }
        if let Some(id) = newer_than {
            any = any.add(sync_run::Column::Id.gt(id));
        }
        let mut rows = sync_run::Entity::find()
            .filter(any)
            .order_by_desc(sync_run::Column::Id)
            .limit(MAX_UNDER_WAY)
            .all(self.connection())
            .await
            .reading("the runs under way")?;
        rows.reverse();
        Ok(rows)
    }

    /// The newest run of each source that has any.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn last_runs(&self) -> Result<Vec<sync_run::Model>, ReadError> {
        self.newest(newest_of_each()).await
    }

    /// The newest complete pass over all lists of each source that has one.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn last_complete_runs(&self) -> Result<Vec<sync_run::Model>, ReadError> {
        let complete = whole_passes().and_where(sync_run::Column::State.eq(RunState::Done)).take();
        self.newest(complete).await
    }

    /// Of each source the pass over all of its lists that fails again and again; none where one is complete since. While
    /// it is tried once more, or a new one begins, it is still the one to tell of.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn failing_runs(&self) -> Result<Vec<sync_run::Model>, ReadError> {
        use sync_run::Column;
        let saw_all = Column::State.is_in(SAW_ALL);
        let fails = Column::State.ne(RunState::Cancelled).and(Column::Failures.gte(FAILING));
        let newest = whole_passes().and_where(saw_all.or(fails)).take();
        let mut runs = self.newest(newest).await?;
        runs.retain(|run| !matches!(run.state, RunState::Done | RunState::WaitingForApproval));
        Ok(runs)
    }

    /// Of each source what its newest complete pass over all lists found changed. The first one of a source finds all of
    /// it, and says nothing.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn changes_found(&self) -> Result<Vec<ChangesFound>, ReadError> {
        use sync_run::Column;
        let mut numbered = Query::select()
            .column(Column::Id)
            .expr_as(Expr::cust("ROW_NUMBER() OVER (PARTITION BY \"source_id\" ORDER BY \"id\" DESC)"), "place")
            .from(sync_run::Entity)
            .take();
        let numbered = only_whole(&mut numbered).and_where(Column::State.is_in(SAW_ALL)).take();
        let is_of_two = Expr::col("place").lte(2_i64);
        let ids = Query::select().column("id").from_subquery(numbered, "numbered").and_where(is_of_two).take();
        let passes = sync_run::Entity::find()
            .select_only()
            .columns([Column::SourceId, Column::Id, Column::StartedAt, Column::Created, Column::Updated])
            .filter(Column::Id.in_subquery(ids))
            .order_by_asc(Column::SourceId)
            .order_by_desc(Column::Id)
            .into_model::<CompletePass>()
            .all(self.connection())
            .await
            .reading("what the newest passes found")?;
        let found = |passes: &[CompletePass]| match passes {
            [newest, before, ..] => ChangesFound::of(*newest, *before),
            _ => None,
        };
        Ok(passes.chunk_by(|one, next| one.source_id == next.source_id).filter_map(found).collect())
    }

    async fn newest(&self, ids: SelectStatement) -> Result<Vec<sync_run::Model>, ReadError> {
        sync_run::Entity::find()
            .filter(sync_run::Column::Id.in_subquery(ids))
            .all(self.connection())
            .await
            .reading("the newest runs")
    }

    /// What no page of these runs named, a page of each run, in the order in which it was found missing.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn deletion_candidates(
        &self,
        run_ids: &[i64],
        state: Option<CandidateState>,
        page: &ChildPage,
    ) -> Result<Vec<deletion_candidate::Model>, ReadError> {
        use deletion_candidate::Column;
        let mut numbered = Query::select()
            .column(Column::Id)
            .expr_as(page.window("run_id", "id"), "place")
            .from(deletion_candidate::Entity)
            .and_where(Column::RunId.is_in(padded(run_ids)))
            .cond_where(page.bounds(Expr::col((deletion_candidate::Entity, Column::Id))))
            .take();
        if let Some(state) = state {
            numbered.and_where(Column::State.eq(state));
        }
        let ids = Query::select().column("id").from_subquery(numbered, "numbered").and_where(page.numbered()).take();
        let query = deletion_candidate::Entity::find().filter(Column::Id.in_subquery(ids)).order_by_asc(Column::RunId);
        let query =
            if page.limit.is_forward() { query.order_by_asc(Column::Id) } else { query.order_by_desc(Column::Id) };
        query.all(self.connection()).await.reading("what pages of runs did not name")
    }
}

fn newest_of_each() -> SelectStatement {
    Query::select()
        .expr(Expr::col((sync_run::Entity, sync_run::Column::Id)).max())
        .from(sync_run::Entity)
        .group_by_col(sync_run::Column::SourceId)
        .take()
}

/// The newest pass over all lists of each source.
fn whole_passes() -> SelectStatement {
    only_whole(&mut newest_of_each()).take()
}

/// Leaves only passes over all lists of a source.
fn only_whole(runs: &mut SelectStatement) -> &mut SelectStatement {
    runs.and_where(sync_run::Column::Kind.eq(RunKind::Full))
        .and_where(sync_run::Column::IsPlan.eq(false))
        .and_where(sync_run::Column::ProfileType.is_null())
}
