//! Sources and how they stand.

use super::Fault;
use super::drift::Drift;
use super::fault::Answer;
use super::global_id::{self, Kind};
use super::guard::Needs;
use super::loader::{
    AllDeletionsWaiting, ChangesFoundOf, FailingRunOf, LastCompleteRunOf, LastRunOf, Loader, OverdueOf, ParkedOf,
    PendingErasuresOf, PendingOf, StateOf,
};
use super::run::SyncRun;
use super::scalar::DateTime;
use super::word::SourceState;
use crate::clock::SharedClock;
use crate::config::Role;
use crate::mirror::read::{DeletionsWaiting, Reader};
use crate::serve::estimate::Known;
use crate::serve::health::{Health, Signs};
use crate::serve::{Budget, Operations};
use ::entity::{source, source_state, sync_run};
use async_graphql::{Context, ID, Object, SimpleObject};
use std::sync::Arc;

/// One account at a provider.
pub struct Source {
    pub(super) row: Arc<source::Model>,
}

#[derive(Debug, thiserror::Error)]
#[error("find source {0} that a record names")]
struct NoSuchSource(i32);

/// The source of a record.
pub(super) async fn source_of(ctx: &Context<'_>, source_id: i32) -> Answer<Arc<source::Model>> {
    find_source(ctx.data_unchecked::<Reader>(), source_id).await
}

/// The source with this key; that there is none is a fault of ours.
pub(super) async fn find_source(reader: &Reader, source_id: i32) -> Answer<Arc<source::Model>> {
    let source = reader.source_by_id(source_id).await?;
    source.ok_or_else(|| Fault::internal(&NoSuchSource(source_id)))
}

impl Source {
    pub(super) fn new(row: Arc<source::Model>) -> Self {
        Self { row }
    }

    fn run(&self, row: &sync_run::Model) -> SyncRun {
        SyncRun { row: row.clone(), source: Arc::clone(&self.row) }
    }

    async fn health(&self, ctx: &Context<'_>) -> Answer<Health> {
        self.judge(ctx, |signs: &Signs<'_>| signs.judge()).await
    }

    async fn judge<T>(&self, ctx: &Context<'_>, read: impl FnOnce(&Signs<'_>) -> T) -> Answer<T> {
        let loader = ctx.data_unchecked::<Loader>();
        let (state, pending, waiting, failing, found) = futures::try_join!(
            loader.load_one(StateOf(self.row.id)),
            loader.load_one(PendingOf(self.row.id)),
            loader.load_one(AllDeletionsWaiting),
            loader.load_one(FailingRunOf(self.row.id)),
            loader.load_one(ChangesFoundOf(self.row.id))
        )?;
        let deletions = DeletionsWaiting::of(&waiting.unwrap_or_default(), self.row.id);
        let signs = Signs {
            name: &self.row.name,
            state: state.as_deref(),
            pending: pending.as_deref(),
            deletions: deletions.as_ref(),
            failing: failing.as_deref(),
            found: found.as_deref(),
            is_configured: ctx.data_unchecked::<Arc<dyn Operations>>().is_configured(&self.row.name),
            now: ctx.data_unchecked::<SharedClock>().now(),
        };
        Ok(read(&signs))
    }

    async fn state_row(&self, ctx: &Context<'_>) -> Answer<Option<Arc<source_state::Model>>> {
        Ok(ctx.data_unchecked::<Loader>().load_one(StateOf(self.row.id)).await?)
    }
}

/// One account at a provider.
#[Object]
impl Source {
    /// Opaque; stays the same when the mirror is built anew.
    pub async fn id(&self) -> ID {
        global_id::encode(Kind::Source, &self.row.name, "")
    }

    /// Its name in the configuration.
    async fn name(&self) -> &str {
        &self.row.name
    }

    /// Name of its provider.
    async fn provider(&self) -> &str {
        &self.row.provider
    }

    /// How it is.
    async fn state(&self, ctx: &Context<'_>) -> Answer<SourceState> {
        Ok(self.health(ctx).await?.state.into())
    }

    /// What is wrong with it, and the likely cause; null while it is RUNNING.
    async fn reason(&self, ctx: &Context<'_>) -> Answer<Option<String>> {
        Ok(self.health(ctx).await?.reason)
    }

    /// Since when it stands still; null while it does not.
    async fn paused_at(&self, ctx: &Context<'_>) -> Answer<Option<DateTime>> {
        Ok(self.state_row(ctx).await?.and_then(|state| state.paused_at).map(DateTime))
    }

    /// Why it stands still; null while it does not.
    async fn pause_reason(&self, ctx: &Context<'_>) -> Answer<Option<String>> {
        Ok(self.state_row(ctx).await?.and_then(|state| state.paused_at.and_then(|_| state.pause_reason.clone())))
    }

    /// Name of the key that paused it; null where it paused itself, or stands not still. For operators.
    #[graphql(guard = "Needs(Role::Operator)")]
    async fn paused_by(&self, ctx: &Context<'_>) -> Answer<Option<String>> {
        Ok(self.state_row(ctx).await?.and_then(|state| state.paused_at.and_then(|_| state.paused_by.clone())))
    }

    /// How fresh its records are.
    async fn freshness(&self, ctx: &Context<'_>) -> Answer<Freshness> {
        let freshness = |signs: &Signs<'_>| {
            let seconds = |ms: i64| ms as f64 / 1000.0;
            Freshness {
                last_webhook_at: signs.last_webhook_at().map(DateTime),
                last_applied_at: signs.state.and_then(|state| state.last_applied_at).map(DateTime),
                last_complete_sync_at: signs.state.and_then(|state| state.last_complete_sync_at).map(DateTime),
                lag_seconds: seconds(signs.lag_ms()),
                silence_seconds: signs.silence_ms().map(seconds),
                usual_gap_seconds: signs.state.and_then(|state| state.usual_gap_ms).map(seconds),
                refusals: signs.refusals(),
                last_refusal_at: signs.state.and_then(|state| state.last_refusal_at).map(DateTime),
            }
        };
        self.judge(ctx, freshness).await
    }

    /// Its calls to the provider, on this instance; null where it has no token and makes none. For operators.
    #[graphql(guard = "Needs(Role::Operator)")]
    async fn budget(&self, ctx: &Context<'_>) -> Option<RequestBudget> {
        ctx.data_unchecked::<Arc<dyn Operations>>().budget(&self.row.name).map(RequestBudget::from)
    }

    /// Deliveries that are kept and not applied yet.
    async fn pending(&self, ctx: &Context<'_>) -> Answer<i64> {
        Ok(ctx.data_unchecked::<Loader>().load_one(PendingOf(self.row.id)).await?.map_or(0, |waiting| waiting.count))
    }

    /// When the oldest of them arrived; null where none waits.
    async fn oldest_pending_at(&self, ctx: &Context<'_>) -> Answer<Option<DateTime>> {
        let waiting = ctx.data_unchecked::<Loader>().load_one(PendingOf(self.row.id)).await?;
        Ok(waiting.map(|waiting| DateTime(waiting.oldest_at)))
    }

    /// Deliveries that need a person.
    async fn parked(&self, ctx: &Context<'_>) -> Answer<i64> {
        Ok(ctx.data_unchecked::<Loader>().load_one(ParkedOf(self.row.id)).await?.map_or(0, |waiting| waiting.count))
    }

    /// Deletions that wait for a person, past the brake or with nothing that vouches for them, of all its runs that are
    /// WAITING_FOR_APPROVAL.
    async fn deletions_waiting(&self, ctx: &Context<'_>) -> Answer<i64> {
        let waiting = ctx.data_unchecked::<Loader>().load_one(AllDeletionsWaiting).await?.unwrap_or_default();
        Ok(DeletionsWaiting::of(&waiting, self.row.id).map_or(0, |waiting| waiting.count))
    }

    /// Profiles whose scheduled deletion was due more than a day ago, with no news that upstream has carried it out or
    /// called it off; `isOverdue` of the filter finds them.
    async fn deletions_overdue(&self, ctx: &Context<'_>) -> Answer<i64> {
        let now = ctx.data_unchecked::<SharedClock>().now();
        let key = OverdueOf { source_id: self.row.id, now };
        Ok(ctx.data_unchecked::<Loader>().load_one(key).await?.unwrap_or(0))
    }

    /// Erasures after which the database's files are not clean yet.
    async fn erasures_pending(&self, ctx: &Context<'_>) -> Answer<i64> {
        let pending = ctx.data_unchecked::<Loader>().load_one(PendingErasuresOf(self.row.id)).await?;
        Ok(pending.map_or(0, |pending| pending.count))
    }

    /// The newest run, plans and named profiles included; null before the first. For operators.
    #[graphql(guard = "Needs(Role::Operator)")]
    async fn last_run(&self, ctx: &Context<'_>) -> Answer<Option<SyncRun>> {
        let row = ctx.data_unchecked::<Loader>().load_one(LastRunOf(self.row.id)).await?;
        Ok(row.map(|row| self.run(&row)))
    }

    /// The newest complete pass over all of its lists; null before the first. For operators.
    #[graphql(guard = "Needs(Role::Operator)")]
    async fn last_complete_sync(&self, ctx: &Context<'_>) -> Answer<Option<SyncRun>> {
        let row = ctx.data_unchecked::<Loader>().load_one(LastCompleteRunOf(self.row.id)).await?;
        Ok(row.map(|row| self.run(&row)))
    }

    /// When the next full sync begins by itself; null where none is scheduled.
    async fn next_run_at(&self, ctx: &Context<'_>) -> Answer<Option<DateTime>> {
        Ok(self.state_row(ctx).await?.and_then(|state| state.next_run_at).map(DateTime))
    }

    /// How far its mirror was from upstream, and what became of it. For operators; null for others.
    #[graphql(guard = "Needs(Role::Operator)")]
    async fn drift(&self, ctx: &Context<'_>) -> Answer<Option<Drift>> {
        let complete_at = self.state_row(ctx).await?.and_then(|state| state.last_complete_sync_at);
        let now = ctx.data_unchecked::<SharedClock>().now();
        let known = Known::read(ctx.data_unchecked::<Reader>(), self.row.id, complete_at, now).await?;
        Ok(Some(Drift { source: Arc::clone(&self.row), known }))
    }
}

/// How fresh the records of a source are.
#[derive(SimpleObject)]
pub struct Freshness {
    /// Last webhook that was kept.
    last_webhook_at: Option<DateTime>,
    /// Last batch that was applied.
    last_applied_at: Option<DateTime>,
    /// Start of the last complete sync.
    last_complete_sync_at: Option<DateTime>,
    /// How long the oldest delivery has waited to be applied, seconds; 0 where none waits.
    lag_seconds: f64,
    /// Since the last webhook that was kept, seconds; null before the first.
    silence_seconds: Option<f64>,
    /// The gap between webhooks in which a moment usually falls, seconds; null until two have come. Three times as long
    /// without one, and at least an hour, is taken for silence.
    usual_gap_seconds: Option<f64>,
    /// Webhooks that were refused since the last one that was kept; 0 again a day after the last of them.
    refusals: i64,
    /// Last webhook that was refused; null where none was.
    last_refusal_at: Option<DateTime>,
}

/// The calls to a provider that a source may make, at this moment and on the instance that answers.
#[derive(SimpleObject)]
pub struct RequestBudget {
    /// Calls a minute, as configured or as the provider told; null where no limit is known.
    limit_per_minute: Option<u32>,
    /// Calls left now; null where nothing limits them.
    remaining: Option<u32>,
    /// Calls that may be under way at once. It falls when the provider is busy and grows again.
    concurrency: usize,
    /// Fetches of fresh news that wait for their turn. They go first.
    waiting_live: usize,
    /// Calls for repair that wait for their turn. They go second.
    waiting_repair: usize,
    /// Pages of syncs that wait for their turn. They go last.
    waiting_sync: usize,
    /// No call before then: the provider said so. Null where it did not.
    paused_until: Option<DateTime>,
}

impl From<Budget> for RequestBudget {
    fn from(budget: Budget) -> Self {
        Self {
            limit_per_minute: budget.limit_per_minute,
            remaining: budget.remaining,
            concurrency: budget.concurrency,
            waiting_live: budget.waiting_live,
            waiting_repair: budget.waiting_repair,
            waiting_sync: budget.waiting_sync,
            paused_until: budget.paused_until.map(DateTime),
        }
    }
}
