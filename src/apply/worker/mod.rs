//! Takes batches of pending deliveries and applies them, one source at a time under its lease.
//!
//! `deliveries` applies what is due; `other` is what there is to do besides. Deliveries come first.

mod deliveries;
mod other;

use super::catalog::Catalog;
use super::derive;
use super::drift::Pace;
use super::due::DueLook;
use super::erase::Eraser;
use super::plan;
use super::read::Stride;
use super::sweep::{self, Brake};
use crate::causes::chain;
use crate::clock::SharedClock;
use crate::db::Database;
use crate::failpoint::Failpoint;
use crate::inbox::{self, Lease};
use crate::mirror::write;
use futures::future::BoxFuture;
use provider::Provider;
use sea_orm::DbErr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Looks for work at least this often: retries that are due, work of an instance that died.
const POLL: Duration = Duration::from_millis(500);
/// After the last pending delivery the next one is waited for so long, before other work is looked for.
const LULL: Duration = Duration::from_millis(50);
/// A transaction and a sign of life take milliseconds: what takes so long hangs. No statement of PostgreSQL may take longer.
const HANGS: Duration = Duration::from_secs(180);

/// Why a batch was not applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Another instance holds the lease now; nothing was written.
    #[error("the lease on the source is lost")]
    LeaseLost,
    /// The database refused.
    #[error("apply a batch")]
    Database(#[from] DbErr),
    /// The database does not come to an end.
    #[error("the database has not answered for {} s", HANGS.as_secs())]
    Hung,
    /// The code failed on what a delivery says.
    #[error("apply a batch: the service failed on it, the log has the place")]
    Panicked,
}

/// What a commit brought that others wait for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// Changes, for those who follow the log.
    pub changes: bool,
    /// Wishes to fetch something, or the right to: for whoever carries them out.
    pub wishes: bool,
}

impl News {
    /// Both, where it is not known which.
    const ALL: Self = Self { changes: true, wishes: true };
}

/// What there is to do after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    /// More, at once.
    More,
    /// No delivery, as far as is known; other work has not been looked for.
    Unknown,
    /// Nothing.
    Nothing,
}

/// Applies the deliveries of one source.
pub struct Applier {
    db: Database,
    clock: SharedClock,
    source_id: i32,
    source_name: String,
    provider: Arc<dyn Provider>,
    instance: String,
    wake: Arc<Notify>,
    on_commit: Box<dyn Fn(News) + Send + Sync>,
    on_catalog: Box<dyn Fn() + Send + Sync>,
    brake: Brake,
    lease: Option<Lease>,
    /// The lease of another instance.
    watched: Option<inbox::Watched>,
    catalog: Option<Catalog>,
    /// What the pages of the run that sweeps have named.
    named: Option<sweep::Named>,
    /// What the pages of the plan that compares have told.
    told: Option<plan::Told>,
    /// Some records of the source are in quarantine.
    has_candidates: bool,
    /// A run was under way that apply carries on with.
    has_run: bool,
    /// When other work was last looked for.
    looked_at: Instant,
    /// Looks at how far the mirror is from upstream.
    pace: Pace,
    /// Profiles that the next step derives anew at most.
    derive_step: u64,
    rest: Duration,
    stride: Stride,
    eraser: Eraser,
    due: DueLook,
}

impl Applier {
    /// An applier for a source. `wake` is notified after appends, `cleaner` where the database's
    /// files are to be cleaned after an erasure, `on_commit` is called after each
    /// commit that may have brought news.
    #[expect(clippy::too_many_arguments, reason = "wiring, called once by app")]
    pub fn new(
        db: Database,
        clock: SharedClock,
        source_id: i32,
        source_name: String,
        provider: Arc<dyn Provider>,
        instance: String,
        brake: Brake,
        wake: Arc<Notify>,
        cleaner: Arc<Notify>,
        on_commit: impl Fn(News) + Send + Sync + 'static,
    ) -> Self {
        let (on_commit, stride) = (Box::new(on_commit), Stride::on(db.dialect()));
        Self {
            db,
            clock,
            source_id,
            source_name: source_name.clone(),
            provider,
            instance,
            wake,
            on_commit,
            on_catalog: Box::new(|| {}),
            brake,
            lease: None,
            watched: None,
            catalog: None,
            named: None,
            told: None,
            has_candidates: true,
            has_run: false,
            looked_at: Instant::now(),
            pace: Pace::new(0),
            derive_step: derive::STEP,
            rest: Duration::ZERO,
            stride,
            eraser: Eraser { source_name, cleaner },
            due: DueLook::default(),
        }
    }

    /// Reads so many profiles an hour at random, between runs, to see whether the mirror is right.
    #[must_use]
    pub fn reading(mut self, reads_per_hour: u32) -> Self {
        self.pace = Pace::new(reads_per_hour);
        self
    }

    /// Calls this after each commit that wrote profile types, collections or field definitions.
    #[must_use]
    pub fn telling_of_catalog(mut self, on_catalog: impl Fn() + Send + Sync + 'static) -> Self {
        self.on_catalog = Box::new(on_catalog);
        self
    }

    /// Applies until told to stop, then gives the lease back.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut failures = 0;
        loop {
            let mut pause = POLL;
            match self.advance(&stop).await {
                Ok(Left::More) => {
                    failures = 0;
                    continue;
                }
                Ok(left) => {
                    failures = 0;
                    pause = if left == Left::Unknown { LULL } else { POLL };
                }
                Err(error) => {
                    failures += 1;
                    if matches!(error, ApplyError::LeaseLost) {
                        self.lease = None;
                    } else {
                        tracing::warn!(source = self.source_name, error = %chain(&error), "apply");
                    }
                }
            }
            if failures > 0 {
                let pause_ms = crate::backoff::pause_ms(failures, 200, 5_000);
                pause = Duration::from_millis(u64::try_from(pause_ms).unwrap_or(200));
            }
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.wake.notified(), if failures == 0 => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        if let Some(lease) = &self.lease
            && let Err(error) = lease.release(&self.db).await
        {
            tracing::warn!(source = self.source_name, %error, "release the lease");
        }
    }

    /// Applies everything that is due, if this instance holds the lease.
    ///
    /// # Errors
    /// [`ApplyError`]: what was not committed is still pending.
    pub fn apply_pending<'a>(&'a mut self, stop: &'a CancellationToken) -> BoxFuture<'a, Result<(), ApplyError>> {
        Box::pin(async move {
            while self.advance(stop).await? != Left::Nothing {}
            Ok(())
        })
    }

    /// Applies what is due in one batch, or, where nothing is, carries on with other work. Deliveries come first.
    async fn advance(&mut self, stop: &CancellationToken) -> Result<Left, ApplyError> {
        self.db.precedence().let_senders_go_first(self.rest).await;
        if stop.is_cancelled() || !in_time(self.hold_lease()).await? {
            return Ok(Left::Nothing);
        }
        in_time(self.look_for_due()).await?;
        let taken = in_time(self.take()).await?;
        if taken.deliveries.is_empty() {
            let has_more = self.do_other_work().await?;
            return Ok(if has_more { Left::More } else { Left::Nothing });
        }
        Failpoint::Taken.pass();
        self.apply_taken(taken.deliveries, stop).await?;
        // No stream of deliveries, however dense, keeps a run from its end.
        if self.looked_at.elapsed() >= POLL && self.do_other_work().await? {
            return Ok(Left::More);
        }
        // Who appends meanwhile wakes us. A run under way does not wait for the lull, and no work waits for ever where
        // there is none.
        let may_wait = !self.has_run && self.looked_at.elapsed() < POLL;
        Ok(if taken.is_all && may_wait { Left::Unknown } else { Left::More })
    }

    async fn hold_lease(&mut self) -> Result<bool, ApplyError> {
        let now = self.clock.now();
        if self.lease.as_ref().is_some_and(|lease| !lease.is_due(now)) {
            return Ok(true);
        }
        let memory_ms = i64::from(self.provider.retry_memory_seconds()) * 1_000;
        // What was set by a clock that was ahead is taken over like that of another instance.
        let held = self.lease.as_ref().filter(|lease| !lease.is_ahead(now)).map(|lease| lease.epoch);
        let renewed = inbox::renew(&self.db, self.source_id, &self.instance, now, memory_ms, held).await?;
        self.watched = match &renewed {
            Some(_) => None,
            None => inbox::free_unrenewed(&self.db, self.source_id, now, self.watched).await?,
        };
        let is_same = matches!((&self.lease, &renewed), (Some(old), Some(new)) if old.epoch == new.epoch);
        if !is_same {
            self.catalog = None;
            self.named = None;
            self.told = None;
            self.pace.start_over();
        }
        self.lease = renewed;
        if !is_same && self.lease.is_some() {
            // Pulls follow the lease.
            (self.on_commit)(News::ALL);
            // Until it is known.
            self.has_candidates = true;
            self.has_candidates = write::has_candidates(self.db.primary(), self.source_id).await?;
        }
        Ok(self.lease.is_some())
    }

    /// The lease in the middle of a batch: renewed where it is time, the same all through.
    async fn hold_on_to(&mut self, lease: &Lease) -> Result<Lease, ApplyError> {
        self.hold_lease().await?;
        self.lease.clone().filter(|held| held.epoch == lease.epoch).ok_or(ApplyError::LeaseLost)
    }
}

/// Gives up what hangs, so that a connection whose other end is gone holds nothing up for ever.
async fn in_time<T>(work: impl Future<Output = Result<T, ApplyError>>) -> Result<T, ApplyError> {
    tokio::time::timeout(HANGS, work).await.unwrap_or(Err(ApplyError::Hung))
}
