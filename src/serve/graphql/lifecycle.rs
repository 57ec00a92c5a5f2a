//! How a profile came to its status, step by step.

use super::fault::Answer;
use super::loader::{Loader, TransitionsOf};
use super::scalar::DateTime;
use super::word::LifecycleStatus;
use crate::clock::SharedClock;
use crate::mirror::read::overdue_before;
use ::entity::{Moment, Status, lifecycle_transition, profile};
use async_graphql::{Context, Object, SimpleObject};
use std::sync::Arc;

/// When a profile came to its status, and how.
pub struct Lifecycle {
    pub(super) row: Arc<profile::Model>,
    /// What was recorded later is not seen.
    pub(super) until: Option<Moment>,
}

/// When a profile came to its status, and how.
#[Object]
impl Lifecycle {
    /// Upstream time of the last transition, where told.
    async fn since(&self) -> Option<DateTime> {
        self.row.status_since.map(DateTime)
    }

    /// Date of the scheduled deletion, where told.
    async fn scheduled_for(&self) -> Option<DateTime> {
        self.row.scheduled_for.map(DateTime)
    }

    /// Whether the date of the scheduled deletion is more than a day ago and there is no news that upstream has
    /// carried it out or called it off.
    async fn is_overdue(&self, ctx: &Context<'_>) -> bool {
        let now = self.until.unwrap_or_else(|| ctx.data_unchecked::<SharedClock>().now());
        let before = overdue_before(now);
        self.row.status == Status::ScheduledForDeletion && self.row.scheduled_for.is_some_and(|due| due < before)
    }

    /// Its transitions, oldest first; the latest 100 at most.
    async fn history(&self, ctx: &Context<'_>) -> Answer<Vec<LifecycleTransition>> {
        let rows = ctx.data_unchecked::<Loader>().load_one(TransitionsOf(self.row.id)).await?.unwrap_or_default();
        let seen = rows.iter().filter(|row| self.until.is_none_or(|until| row.recorded_at <= until));
        Ok(seen.map(LifecycleTransition::read).collect())
    }
}

/// One step in the life of a profile.
#[derive(SimpleObject)]
pub struct LifecycleTransition {
    /// Status before; null for the first.
    from: Option<LifecycleStatus>,
    /// Status after.
    to: LifecycleStatus,
    /// Upstream time of the step; our own where upstream told none.
    at: DateTime,
    /// When the mirror recorded it.
    recorded_at: DateTime,
    /// Date of the scheduled deletion, where told.
    scheduled_for: Option<DateTime>,
    /// The provider's word for what caused it.
    cause: String,
    /// False for a step that came late or was not possible: it is kept, and did not change the status.
    is_effective: bool,
}

impl LifecycleTransition {
    fn read(row: &lifecycle_transition::Model) -> Self {
        Self {
            from: row.from_status.map(Into::into),
            to: row.to_status.into(),
            at: DateTime(row.at),
            recorded_at: DateTime(row.recorded_at),
            scheduled_for: row.scheduled_for.map(DateTime),
            cause: row.cause.clone(),
            is_effective: row.is_effective,
        }
    }
}
