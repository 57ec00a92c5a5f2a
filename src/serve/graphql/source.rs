//! Sources and how they stand.

use super::Fault;
use super::fault::Answer;
use super::global_id::{self, Kind};
use super::guard::Needs;
use super::loader::{Loader, ParkedOf, PendingOf, StateOf};
use super::run::SyncRun;
use super::scalar::DateTime;
use super::word::SourceState;
use crate::config::Role;
use crate::mirror::read::{Limit, Reader, RunFilter};
use ::entity::{source, source_state};
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

    /// Whether changes are taken in.
    async fn state(&self, ctx: &Context<'_>) -> Answer<SourceState> {
        let is_paused = self.state_row(ctx).await?.is_some_and(|state| state.paused_at.is_some());
        Ok(if is_paused { SourceState::Paused } else { SourceState::Running })
    }

    /// Why it stands still; null while it does not.
    async fn pause_reason(&self, ctx: &Context<'_>) -> Answer<Option<String>> {
        Ok(self.state_row(ctx).await?.and_then(|state| state.paused_at.and_then(|_| state.pause_reason.clone())))
    }

    /// How fresh its records are.
    async fn freshness(&self, ctx: &Context<'_>) -> Answer<Freshness> {
        let state = self.state_row(ctx).await?;
        let state = state.as_deref();
        Ok(Freshness {
            last_webhook_at: state.and_then(|state| state.last_webhook_at).map(DateTime),
            last_applied_at: state.and_then(|state| state.last_applied_at).map(DateTime),
            last_complete_sync_at: state.and_then(|state| state.last_complete_sync_at).map(DateTime),
        })
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

    /// The newest run; null before the first. For operators.
    #[graphql(guard = "Needs(Role::Operator)")]
    async fn last_run(&self, ctx: &Context<'_>) -> Answer<Option<SyncRun>> {
        let filter = RunFilter { source_id: Some(self.row.id), states: Vec::new() };
        let runs = ctx.data_unchecked::<Reader>().sync_runs(&filter, None, Limit::First(1)).await?;
        Ok(runs.rows.into_iter().next().map(|row| SyncRun { row, source: Arc::clone(&self.row) }))
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
}
