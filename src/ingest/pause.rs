//! A source that stands still: who paused it, why, and when it goes on.
//!
//! The row of the source says so, because every instance must know; a gate before its calls remembers it. An operator's
//! pause ends when an operator ends it. The service pauses a source by itself when its credential is refused, or when
//! many records in a row are: nothing that upstream answers then says anything about a record. It looks again with
//! growing pauses, and goes on by itself.
//!
//! A pause that upstream asks for is no standing still: the budget keeps it. The row has it too, for the process that
//! makes the calls next.

use super::budget::MAX_AHEAD_MS;
use super::upstream::{CallError, Upstream};
use crate::clock::SharedClock;
use crate::db::Database;
use crate::inbox;
use entity::{Moment, Purpose, source_state};
use provider::Call;
use sea_orm::sea_query::{Condition, Expr};
use sea_orm::{ColumnTrait, DbErr, EntityTrait, QueryFilter};
use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// How often the row is read, and how long a call that meets a closed gate is to wait, at least.
const LOOK: Duration = Duration::from_millis(500);
/// Refusals of different records in a row, without an answer between them, that are one lost permission.
const MANY_REFUSED: usize = 8;
/// Pauses before the service looks again whether its own pause may end, milliseconds; the last one repeats.
const PROBE_PAUSES_MS: [i64; 4] = [60_000, 300_000, 900_000, 3_600_000];
/// The longest of them.
const MAX_PROBE_PAUSE_MS: i64 = PROBE_PAUSES_MS[PROBE_PAUSES_MS.len() - 1];
/// Pauses of the service within this time are one trouble, and the pauses grow on, milliseconds.
const SAME_TROUBLE_MS: i64 = 3_600_000;
/// Calls that meet a closed gate are to come back after this long, seconds.
const COME_BACK_SECONDS: u64 = 2;
/// A pause that upstream asks for is written where it is at least so long, milliseconds: a shorter one is over before
/// another process makes calls.
const WRITTEN_PAUSE_MS: i64 = 5_000;

/// The gate before the calls of one source.
pub struct Gate {
    db: Database,
    clock: SharedClock,
    source_id: i32,
    source_name: String,
    seen: Mutex<Seen>,
    changed: Notify,
}

#[derive(Default)]
struct Seen {
    /// Why calls wait.
    closed: Option<String>,
    /// What was refused since the last answer.
    refused: BTreeSet<String>,
    /// When the service paused the source, lately.
    paused_at: VecDeque<Moment>,
    /// Until when upstream has asked for no more calls, as the row has it.
    throttled_until: Option<Moment>,
    /// The same, where the budget does not know of it yet.
    throttled_anew: Option<Moment>,
}

/// How a source was paused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paused {
    /// The access key that did; none where the service did by itself.
    pub by: Option<String>,
    /// Since when.
    pub since: Moment,
    /// Why.
    pub reason: String,
}

/// Why an operator cannot pause a source.
#[derive(Debug, thiserror::Error)]
pub enum PauseError {
    /// Another operator has.
    #[error("paused by {by} already")]
    PausedAlready {
        /// Who.
        by: String,
        /// Since when.
        since: Moment,
        /// Why.
        reason: String,
    },
    /// The database refused.
    #[error("pause or resume a source")]
    Database(#[from] DbErr),
}

impl Gate {
    /// The gate of a source, as its row has it.
    ///
    /// # Errors
    /// The database's own error.
    pub async fn open(
        db: Database,
        clock: SharedClock,
        source_id: i32,
        source_name: String,
    ) -> Result<Arc<Self>, DbErr> {
        let (seen, changed) = (Mutex::default(), Notify::new());
        let gate = Self { db, clock, source_id, source_name, seen, changed };
        gate.look().await?;
        Ok(Arc::new(gate))
    }

    /// Pauses the source for an operator, until one resumes it. A pause of the service's own becomes theirs.
    ///
    /// # Errors
    /// [`PauseError`].
    pub async fn pause(&self, by: &str, reason: &str) -> Result<(), PauseError> {
        use source_state::Column;
        let is_free = Condition::any().add(Column::PausedAt.is_null()).add(Column::PausedBy.is_null());
        let paused = self
            .write()
            .col_expr(Column::PausedAt, Expr::value(self.clock.now()))
            .col_expr(Column::PauseReason, Expr::value(reason))
            .col_expr(Column::PausedBy, Expr::value(by))
            .col_expr(Column::ProbeAt, Expr::value(None::<Moment>))
            .filter(is_free)
            .exec(self.db.writer())
            .await?;
        let row = self.look().await?;
        if paused.rows_affected == 0
            && let Some(row) = row
            && let (Some(since), Some(by)) = (row.paused_at, row.paused_by)
        {
            return Err(PauseError::PausedAlready { by, since, reason: row.pause_reason.unwrap_or_default() });
        }
        tracing::info!(source = self.source_name, by, reason, "paused");
        Ok(())
    }

    /// Lets the source go on, whoever paused it. One that is not paused stays as it is.
    ///
    /// # Errors
    /// [`PauseError::Database`].
    pub async fn resume(&self, by: &str) -> Result<(), PauseError> {
        self.lift(Condition::all()).await?;
        tracing::info!(source = self.source_name, by, "resumed");
        Ok(())
    }

    /// Who paused the source, since when and why; none while it goes on. Read now, since any instance may pause it.
    ///
    /// # Errors
    /// [`PauseError::Database`].
    pub async fn paused(&self) -> Result<Option<Paused>, PauseError> {
        let row = self.look().await?;
        Ok(row.and_then(|row| {
            let reason = row.pause_reason.unwrap_or_default();
            row.paused_at.map(|since| Paused { by: row.paused_by, since, reason })
        }))
    }

    /// Whether calls may be made, as far as is known here.
    pub fn is_open(&self) -> bool {
        self.seen().closed.is_none()
    }

    /// Lets a call through.
    ///
    /// # Errors
    /// [`CallError::Later`] while the source is paused.
    pub(super) fn check(&self) -> Result<(), CallError> {
        match &self.seen().closed {
            None => Ok(()),
            Some(reason) => Err(come_back(format!("the source is paused: {reason}"))),
        }
    }

    /// Upstream has asked for a pause, and the budget knows of it. A long one is written for who makes the calls after
    /// this process; of two the later one stays, unless a wrong clock wrote it.
    pub(super) async fn note_throttled(&self, pause_ms: i64) {
        use source_state::Column;
        if pause_ms < WRITTEN_PAUSE_MS {
            return;
        }
        let now = self.clock.now();
        let until = now.plus_ms(pause_ms);
        {
            let mut seen = self.seen();
            seen.throttled_until = seen.throttled_until.max(Some(until));
        }
        let is_over_sooner = Condition::any()
            .add(Column::ThrottledUntil.is_null())
            .add(Column::ThrottledUntil.lt(until))
            .add(Column::ThrottledUntil.gt(now.plus_ms(MAX_AHEAD_MS)));
        let written = self
            .write()
            .col_expr(Column::ThrottledUntil, Expr::value(until))
            .filter(is_over_sooner)
            .exec(self.db.writer())
            .await;
        if let Err(error) = written {
            tracing::warn!(source = self.source_name, %error, "keep that upstream asks for a pause");
        }
    }

    /// Until when upstream has asked another process for no more calls, where that is new. A source that was resumed
    /// waits for it all the same.
    pub(super) fn take_throttled_anew(&self) -> Option<Moment> {
        self.seen().throttled_anew.take()
    }

    /// Upstream has answered about a record, or said that there is none.
    pub(super) fn note_answer(&self) {
        self.seen().refused.clear();
    }

    /// The credential is refused, and a new JWT did not help: every call from here on waits.
    pub(super) async fn note_unauthorized(&self, error: &CallError) -> CallError {
        self.close(error.to_string()).await;
        come_back(format!("the source is paused: {error}"))
    }

    /// A call is refused. One record that may not be read is nothing; many in a row are a lost permission. Of a list it
    /// counts each time: it is asked for again and again.
    pub(super) async fn note_forbidden(&self, purpose: Purpose, call: &Call, error: &CallError) {
        let refused = {
            let refused = &mut self.seen().refused;
            let number = if purpose == Purpose::Sync { refused.len() } else { 0 };
            refused.insert(format!("{} {number} {:?}", call.path, call.query));
            refused.len()
        };
        if refused >= MANY_REFUSED {
            self.close(format!("upstream refuses one record after the other ({refused} in a row); {error}")).await;
        }
    }

    /// Follows the row, and ends pauses of the service's own where upstream lets it in again.
    pub async fn watch(
        self: Arc<Self>,
        upstream: Option<Arc<Upstream>>,
        instance: String,
        wake: Arc<Notify>,
        stop: CancellationToken,
    ) {
        // Whoever starts the service anew has often mended the credential: that pause is not waited for.
        let mut is_fresh = !self.is_open();
        loop {
            is_fresh = self.tend(upstream.as_deref(), &instance, &wake, is_fresh).await;
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.changed.notified() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// Reads the row, and looks whether a pause of the service's own may end, where that is due or `is_at_once`. True
    /// where it is to be looked at once still.
    pub async fn tend(&self, upstream: Option<&Upstream>, instance: &str, wake: &Notify, is_at_once: bool) -> bool {
        match self.look().await {
            Ok(Some(row)) if row.paused_at.is_some() && row.paused_by.is_none() => {
                let is_due = row.probe_at.is_none_or(|at| at.has_come(self.clock.now(), MAX_PROBE_PAUSE_MS));
                let Some(upstream) = upstream.filter(|_| is_at_once || is_due) else { return is_at_once };
                if !self.holds_lease(instance).await {
                    return is_at_once;
                }
                self.probe(upstream, row.probes).await;
                wake.notify_one();
                false
            }
            Ok(_) => false,
            Err(error) => {
                tracing::warn!(source = self.source_name, %error, "see whether the source is paused");
                is_at_once
            }
        }
    }

    async fn probe(&self, upstream: &Upstream, probes: i32) {
        use source_state::Column;
        let written = match upstream.probe().await {
            Ok(()) => {
                tracing::info!(source = self.source_name, "upstream lets us in again");
                self.lift(Condition::all().add(Column::PausedBy.is_null())).await.map(drop)
            }
            Err(error) => {
                tracing::warn!(source = self.source_name, reason = %error, "still paused");
                let at = self.clock.now().plus_ms(probe_pause_ms(probes + 1));
                let mut update = self
                    .write()
                    .col_expr(Column::ProbeAt, Expr::value(Some(at)))
                    .col_expr(Column::Probes, Expr::value(probes + 1))
                    .filter(Column::PausedAt.is_not_null())
                    .filter(Column::PausedBy.is_null());
                if let CallError::Unauthorized(_) = &error {
                    update = update.col_expr(Column::PauseReason, Expr::value(error.to_string()));
                }
                update.exec(self.db.writer()).await.map(drop)
            }
        };
        if let Err(error) = written {
            tracing::warn!(source = self.source_name, %error, "keep what a probe found");
        }
    }

    async fn holds_lease(&self, instance: &str) -> bool {
        inbox::is_held(self.db.primary(), self.source_id, instance, self.clock.now()).await.unwrap_or(false)
    }

    /// Pauses the source for the service itself; a pause that is there already stays.
    async fn close(&self, reason: String) {
        use source_state::Column;
        let now = self.clock.now();
        let probes = {
            let mut seen = self.seen();
            if seen.closed.is_some() {
                return;
            }
            seen.closed = Some(reason.clone());
            seen.refused.clear();
            seen.paused_at.retain(|at| now.0 - at.0 < SAME_TROUBLE_MS);
            seen.paused_at.push_back(now);
            i32::try_from(seen.paused_at.len() - 1).unwrap_or(i32::MAX)
        };
        tracing::error!(source = self.source_name, reason, "pausing the source");
        let paused = self
            .write()
            .col_expr(Column::PausedAt, Expr::value(now))
            .col_expr(Column::PauseReason, Expr::value(reason))
            .col_expr(Column::PausedBy, Expr::value(None::<String>))
            .col_expr(Column::ProbeAt, Expr::value(now.plus_ms(probe_pause_ms(probes))))
            .col_expr(Column::Probes, Expr::value(probes))
            .filter(Column::PausedAt.is_null())
            .exec(self.db.writer())
            .await;
        if let Err(error) = paused {
            // The next look opens the gate again, and the next refusal closes it.
            tracing::warn!(source = self.source_name, %error, "keep that the source is paused");
        }
    }

    async fn lift(&self, only: Condition) -> Result<(), DbErr> {
        use source_state::Column;
        self.write()
            .col_expr(Column::PausedAt, Expr::value(None::<Moment>))
            .col_expr(Column::PauseReason, Expr::value(None::<String>))
            .col_expr(Column::PausedBy, Expr::value(None::<String>))
            .col_expr(Column::ProbeAt, Expr::value(None::<Moment>))
            .col_expr(Column::Probes, Expr::value(0))
            .filter(only)
            .exec(self.db.writer())
            .await?;
        self.look().await.map(drop)
    }

    fn write(&self) -> sea_orm::UpdateMany<source_state::Entity> {
        source_state::Entity::update_many().filter(source_state::Column::SourceId.eq(self.source_id))
    }

    /// Reads the row, and opens or closes the gate as it says. A pause that upstream has asked for is new where the row
    /// has another one than before.
    async fn look(&self) -> Result<Option<source_state::Model>, DbErr> {
        let row = source_state::Entity::find_by_id(self.source_id).one(self.db.primary()).await?;
        let closed = row.as_ref().and_then(|row| row.paused_at.map(|_| row.pause_reason.clone().unwrap_or_default()));
        let mut seen = self.seen();
        if closed.is_some() != seen.closed.is_some() {
            self.changed.notify_one();
        }
        seen.closed = closed;
        let throttled_until = row.as_ref().and_then(|row| row.throttled_until);
        if throttled_until != seen.throttled_until {
            seen.throttled_until = throttled_until;
            seen.throttled_anew = throttled_until;
        }
        drop(seen);
        Ok(row)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn come_back(reason: String) -> CallError {
    CallError::Later { reason, retry_after_seconds: Some(COME_BACK_SECONDS) }
}

fn probe_pause_ms(probes: i32) -> i64 {
    let index = usize::try_from(probes).unwrap_or(0).min(PROBE_PAUSES_MS.len() - 1);
    PROBE_PAUSES_MS[index]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_come_after_1_5_15_and_then_each_60_minutes() {
        let minutes: Vec<i64> = [0, 1, 2, 3, 4, 100].map(|probes| probe_pause_ms(probes) / 60_000).to_vec();
        assert_eq!(minutes, [1, 5, 15, 60, 60, 60]);
    }
}
