//! Passes over a source's lists, and what plans of them found.

use super::candidate::{DeletionCandidate, DeletionCandidateConnection};
use super::fault::Answer;
use super::global_id::{self, Kind};
use super::loader::{AllDeletionsWaiting, CandidateArguments, ChildrenOf, Loader};
use super::paging::{self, connection};
use super::plan::RunPlan;
use super::scalar::DateTime;
use super::source::Source;
use super::word::{CandidateState, RunKind, RunState, SweepStage};
use crate::mirror::read::Reader;
use ::entity::{source, sync_run};
use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use std::sync::Arc;

/// A pass over a source's lists, or over some of its profiles.
pub struct SyncRun {
    pub(super) row: sync_run::Model,
    pub(super) source: Arc<source::Model>,
}

/// What a run has counted so far. Of a plan: what carrying it out would count.
#[derive(SimpleObject)]
pub struct RunCounts {
    /// Rows on its pages.
    seen: i64,
    /// Profiles first seen on them.
    created: i64,
    /// Profiles that they changed.
    updated: i64,
    /// Profiles that were so already.
    unchanged: i64,
    /// Profiles about which they and newer news disagreed; each is fetched by id.
    conflicts: i64,
    /// Records that no page named: they are asked for by id before anything else is done.
    candidates: i64,
    /// Candidates that were not found by id either.
    absent: i64,
    /// Candidates that are deleted now.
    deleted: i64,
}

/// A pass over a source's lists, or over some of its profiles.
#[Object]
impl SyncRun {
    /// Opaque.
    pub async fn id(&self) -> ID {
        global_id::encode(Kind::Run, &self.source.name, &self.row.id.to_string())
    }

    /// Its number, as logs, messages and the command line call it.
    async fn number(&self) -> i64 {
        self.row.id
    }

    /// Whose lists.
    async fn source(&self) -> Source {
        Source::new(Arc::clone(&self.source))
    }

    /// What it passes through.
    async fn kind(&self) -> RunKind {
        self.row.kind.into()
    }

    /// It only compares: nothing is written until `applyResync`.
    async fn is_plan(&self) -> bool {
        self.row.is_plan
    }

    /// Upstream id of the one profile type that it is about; null where it is about all of the source.
    async fn profile_type(&self) -> Option<&str> {
        self.row.profile_type.as_deref()
    }

    /// How many profiles it was asked for by name; null where it is about lists.
    async fn named(&self) -> Option<usize> {
        self.row.named.as_ref().and_then(serde_json::Value::as_array).map(Vec::len)
    }

    /// Where it stands.
    async fn state(&self) -> RunState {
        self.row.state.into()
    }

    /// How far its sweep is: what no page named is looked at. Null before it.
    async fn stage(&self) -> Option<SweepStage> {
        self.row.sweep_stage.map(Into::into)
    }

    /// Share of its rows that are read and applied, 0 to 1. As long as upstream has not told of all lists how long they
    /// are, it is held against the full run before; null where there was none. It is 1 while the run sweeps; `stage` goes
    /// on from there.
    async fn progress(&self, ctx: &Context<'_>) -> Answer<Option<f64>> {
        let row = &self.row;
        let is_guessed =
            row.state == ::entity::RunState::Running && row.kind == ::entity::RunKind::Full && row.has_lists_to_begin();
        let before = match is_guessed {
            true => ctx.data_unchecked::<Reader>().rows_of_the_run_before(row).await?,
            false => None,
        };
        Ok(progress(row, before))
    }

    /// Why it runs: schedule, operator, gap.
    async fn cause(&self) -> &str {
        &self.row.cause
    }

    /// Name of the key that asked for it, or carried it out; null where nobody did.
    async fn requested_by(&self) -> Option<&str> {
        self.row.requested_by.as_deref()
    }

    /// For an incremental run: changes from then on. Null for others.
    async fn since(&self) -> Option<DateTime> {
        self.row.since.map(DateTime)
    }

    /// When it began, or was asked for while it has not begun.
    async fn started_at(&self) -> DateTime {
        DateTime(self.row.started_at)
    }

    /// When it ended; null while it goes on.
    async fn finished_at(&self) -> Option<DateTime> {
        self.row.finished_at.map(DateTime)
    }

    /// The how manieth try this is, from 1.
    async fn attempt(&self) -> i32 {
        self.row.attempt
    }

    /// When a failed run is tried again; null where it is not.
    async fn retry_at(&self) -> Option<DateTime> {
        self.row.retry_at.filter(|_| self.row.state == ::entity::RunState::Failed).map(DateTime)
    }

    /// Pages kept so far.
    async fn pages(&self) -> i64 {
        self.row.pages
    }

    /// Pages that are applied, or compared where it is a plan.
    async fn pages_settled(&self) -> i64 {
        self.row.pages_settled
    }

    /// Rows on those pages.
    async fn rows_seen(&self) -> i64 {
        self.row.rows_seen
    }

    /// Rows in all, where upstream told.
    async fn rows_expected(&self) -> Option<i64> {
        self.row.rows_expected
    }

    /// What it counted so far.
    async fn counts(&self) -> RunCounts {
        let row = &self.row;
        RunCounts {
            seen: row.rows_seen,
            created: row.created,
            updated: row.updated,
            unchanged: row.unchanged,
            conflicts: row.conflicts,
            candidates: row.candidates,
            absent: row.absent,
            deleted: row.deleted,
        }
    }

    /// Deletions of it that wait for a person: `counts.absent` when it began to wait, less those of which news has come
    /// since. 0 unless it is WAITING_FOR_APPROVAL.
    async fn deletions_waiting(&self, ctx: &Context<'_>) -> Answer<i64> {
        if self.row.state != ::entity::RunState::WaitingForApproval {
            return Ok(0);
        }
        let waiting = ctx.data_unchecked::<Loader>().load_one(AllDeletionsWaiting).await?.unwrap_or_default();
        Ok(waiting.iter().find(|run| run.run_id == self.row.id).map_or(0, |run| run.count))
    }

    /// What stopped it, or what it waits for; null where nothing did.
    async fn error(&self) -> Option<&str> {
        self.row.error.as_deref()
    }

    /// Name of the key that approved or rejected its deletions, or cancelled it; null where nobody did.
    async fn decided_by(&self) -> Option<&str> {
        self.row.decided_by.as_deref()
    }

    /// When; null where nobody did.
    async fn decided_at(&self) -> Option<DateTime> {
        self.row.decided_at.map(DateTime)
    }

    /// What it would change; null for what never was a plan. It is complete once the plan is DONE.
    async fn plan(&self) -> Option<RunPlan> {
        (self.row.is_plan || self.row.plan.is_some()).then(|| RunPlan::of(&self.row, &self.source))
    }

    /// What none of its pages named, in the order in which it was missed. Empty for a plan: that tells some in `plan`.
    #[allow(clippy::too_many_arguments, reason = "the arguments of the schema")]
    async fn deletion_candidates(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only those in this state.")] state: Option<CandidateState>,
        #[graphql(desc = "That many from the start, at most 100; this or `last` is needed.")] first: Option<i32>,
        #[graphql(desc = "Only behind this cursor.")] after: Option<String>,
        #[graphql(desc = "That many from the end, at most 100; this or `first` is needed.")] last: Option<i32>,
        #[graphql(desc = "Only before this cursor.")] before: Option<String>,
    ) -> Answer<DeletionCandidateConnection> {
        let page = paging::child_page("candidate", (first, last), (after.as_deref(), before.as_deref()))?;
        let arguments = CandidateArguments { state: state.map(Into::into) };
        let key = ChildrenOf { parent_id: self.row.id, arguments, page };
        let Some(slice) = ctx.data_unchecked::<Loader>().load_one(key).await? else {
            return Ok(DeletionCandidateConnection::default());
        };
        let node = |row: &::entity::deletion_candidate::Model| {
            let source = Arc::clone(&self.source);
            (paging::encode("candidate", &row.id), DeletionCandidate { row: row.clone(), source })
        };
        let rows = slice.rows.iter().map(node);
        Ok(DeletionCandidateConnection::new(rows, slice.has_previous, slice.has_next))
    }
}

/// Share of a run's rows that are read and applied, where the full run before had so many; none where nobody knows how
/// many there are.
fn progress(run: &sync_run::Model, before: Option<i64>) -> Option<f64> {
    use ::entity::RunState;
    if matches!(run.state, RunState::Done | RunState::Sweeping | RunState::WaitingForApproval) {
        return Some(1.0);
    }
    let named = run.named.as_ref().and_then(serde_json::Value::as_array).map(Vec::len);
    let read = match named {
        Some(named) => share(run.pages, i64::try_from(named).unwrap_or(i64::MAX)),
        // More than the run before had, and more to come: nearly all, until the last list is begun.
        None if run.has_lists_to_begin() => share(run.rows_seen, before?.max(run.rows_seen + 1)),
        None => share(run.rows_seen, run.rows_expected.filter(|expected| *expected > 0)?),
    };
    Some(read * share(run.pages_settled, run.pages))
}

#[expect(clippy::cast_precision_loss, reason = "a share")]
fn share(part: i64, whole: i64) -> f64 {
    (part as f64 / whole.max(1) as f64).clamp(0.0, 1.0)
}

connection!(
    /// A page of runs.
    SyncRunConnection,
    /// A run with its cursor.
    SyncRunEdge,
    SyncRun
);

/// Which runs. Everything that is given must hold.
#[derive(Clone, Debug, Default, InputObject)]
pub struct SyncRunFilter {
    /// Only of the source of this name.
    pub(super) source: Option<String>,
    /// Only in one of these states.
    pub(super) states: Option<Vec<RunState>>,
    /// Only of one of these kinds.
    pub(super) kinds: Option<Vec<RunKind>>,
    /// Only plans, or only what is none.
    pub(super) is_plan: Option<bool>,
}
