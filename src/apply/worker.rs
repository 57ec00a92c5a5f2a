//! Takes batches of pending deliveries and applies them, one source at a time under its lease.

use super::catalog::Catalog;
use super::derive;
use super::drift::{Pace, Watching};
use super::due::DueLook;
use super::erase::{self, Eraser};
use super::plan;
use super::policy::{self, Failed};
use super::read::{Read, Readings, Stride};
use super::step;
use super::sweep::{self, Brake, Stepped};
use super::unwritten::Unwritten;
use crate::causes::chain;
use crate::clock::SharedClock;
use crate::db::{Database, dialect};
use crate::failpoint::Failpoint;
use crate::inbox::{self, Context, Lease, Settlement, Taken};
use crate::mirror::write::{self, GivenUp, PageTally};
use entity::{Moment, RunState};
use futures::FutureExt;
use futures::future::BoxFuture;
use provider::Provider;
use sea_orm::DbErr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Deliveries in one batch: one or two transactions where each tells of one record.
const MAX_BATCH: u64 = 128;
/// Body bytes in one batch: some pages of a sync, so that most are read while the one before is applied.
const MAX_BATCH_BYTES: i64 = 2 << 20;
/// Looks for work at least this often: retries that are due, work of an instance that died.
const POLL: Duration = Duration::from_millis(500);
/// After the last pending delivery the next one is waited for so long, before other work is looked for.
const LULL: Duration = Duration::from_millis(50);
/// A transaction and a sign of life take milliseconds: what takes so long hangs. No statement of PostgreSQL may take longer.
const HANGS: Duration = Duration::from_secs(180);
/// Longest rest.
const MAX_REST: Duration = Duration::from_millis(500);

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

    /// A step of what there is to do besides deliveries; true where there is more at once.
    async fn do_other_work(&mut self) -> Result<bool, ApplyError> {
        self.looked_at = Instant::now();
        // What a run compares and sweeps follows its metadata already.
        if in_time(self.derive()).await? {
            return Ok(true);
        }
        Ok(in_time(self.carry_on_run()).await? || in_time(self.measure_drift()).await?)
    }

    /// Takes a step of deriving anew what profiles show of metadata that has changed; true where there was one.
    async fn derive(&mut self) -> Result<bool, ApplyError> {
        let Some(lease) = self.lease.clone() else { return Ok(false) };
        let catalog = match self.catalog.take() {
            Some(catalog) => catalog,
            None => Catalog::load(self.db.primary(), self.source_id).await?,
        };
        // A step that does not come to its end is followed by shorter ones, also where it is given up from outside.
        let most = std::mem::replace(&mut self.derive_step, 1);
        let now = self.clock.now();
        let step = derive::advance(&self.db, &lease, &self.provider, &catalog, now, most);
        let stepped = AssertUnwindSafe(step).catch_unwind().await.unwrap_or(Err(ApplyError::Panicked));
        match stepped {
            Ok(news) => {
                self.derive_step = (most * 2).min(derive::STEP);
                self.catalog = Some(catalog);
                let Some(news) = news else { return Ok(false) };
                (self.on_commit)(news);
                Ok(true)
            }
            Err(error) if most == 1 && is_of_the_delivery(&error) => {
                tracing::error!(source = self.source_name, error = %chain(&error), "derive a profile anew");
                derive::skip(&self.db, &lease, now).await?;
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }

    async fn take(&self) -> Result<inbox::Due, ApplyError> {
        Ok(inbox::take(&self.db, self.source_id, self.clock.now(), MAX_BATCH, MAX_BATCH_BYTES).await?)
    }

    /// Carries the run that sweeps or compares on by one step; true where there is more to do at once.
    async fn carry_on_run(&mut self) -> Result<bool, ApplyError> {
        let Some(lease) = self.lease.clone() else { return Ok(false) };
        let run = write::load_run_for_apply(self.db.primary(), self.source_id).await?;
        self.has_run = run.is_some();
        if run.as_ref().is_none_or(|run| run.state != RunState::Running) {
            self.told = None;
        }
        let Some(run) = run else { return Ok(false) };
        let now = self.clock.now();
        let stepped = if run.state == RunState::Running {
            let told = &mut self.told;
            plan::compare(&self.db, &lease, &self.provider, &self.eraser, now, &run, told).await?
        } else {
            self.has_candidates = true;
            self.pace.await_answers();
            let catalog = match self.catalog.take() {
                Some(catalog) => catalog,
                None => Catalog::load(self.db.primary(), self.source_id).await?,
            };
            let terms = sweep::Terms { db: &self.db, lease: &lease, provider: &self.provider, now, brake: self.brake };
            let stepped = terms.advance(&run, &catalog, &mut self.named).await?;
            self.catalog = Some(catalog);
            stepped
        };
        if stepped == Stepped::Over {
            self.has_candidates = write::has_candidates(self.db.primary(), self.source_id).await?;
        }
        (self.on_commit)(News::ALL);
        Ok(stepped == Stepped::On)
    }

    /// Asks upstream for what became of deletions that are due.
    async fn look_for_due(&mut self) -> Result<(), ApplyError> {
        let Some(lease) = &self.lease else { return Ok(()) };
        if self.due.look(&self.db, lease, self.clock.now()).await? {
            (self.on_commit)(News::ALL);
        }
        Ok(())
    }

    /// Settles what differed and asks for reads; true where there is more to do at once.
    async fn measure_drift(&mut self) -> Result<bool, ApplyError> {
        let Some(lease) = self.lease.clone() else { return Ok(false) };
        let had_awaited = self.pace.has_awaited();
        let has_more = self.pace.advance(&self.db, &lease, self.clock.now()).await?;
        if !had_awaited && self.pace.has_awaited() {
            (self.on_commit)(News::ALL);
        }
        Ok(has_more)
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

    /// Applies a batch; if it fails, each delivery of it that is left on its own, so that one bad one stops no other.
    async fn apply_taken(&mut self, taken: Vec<Taken>, stop: &CancellationToken) -> Result<(), ApplyError> {
        let mut left: Vec<Arc<Taken>> = taken.into_iter().map(Arc::new).collect();
        match self.try_batch(&mut left, stop).await {
            Err(error) if is_of_the_delivery(&error) => {
                for delivery in left {
                    let (id, attempts) = (delivery.id, delivery.attempts + 1);
                    let context = Context::from_json(delivery.context.as_ref());
                    match self.try_batch(&mut vec![delivery], stop).await {
                        Err(error) if is_of_the_delivery(&error) => self.put_off(id, context, attempts, &error).await?,
                        outcome => outcome?,
                    }
                }
                Ok(())
            }
            outcome => outcome,
        }
    }

    /// Applies a batch. What is committed is no longer in `left`; of what is not, nothing is kept, in memory neither.
    async fn try_batch(&mut self, left: &mut Vec<Arc<Taken>>, stop: &CancellationToken) -> Result<(), ApplyError> {
        let mut unwritten = Unwritten::default();
        let work = AssertUnwindSafe(self.apply_batch(left, &mut unwritten, stop)).catch_unwind();
        let outcome = work.await.unwrap_or(Err(ApplyError::Panicked));
        left.drain(..unwritten.settled());
        if outcome.is_err() {
            self.catalog = None;
        }
        outcome
    }

    /// Applies a batch part by part. Told to stop, it leaves what is not begun: a page of which a part is left is applied again.
    async fn apply_batch(
        &mut self,
        deliveries: &[Arc<Taken>],
        unwritten: &mut Unwritten,
        stop: &CancellationToken,
    ) -> Result<(), ApplyError> {
        let Some(mut lease) = self.lease.clone() else { return Err(ApplyError::LeaseLost) };
        let mut catalog = match self.catalog.take() {
            Some(catalog) => catalog,
            None => in_time(async { Ok(Catalog::load(self.db.primary(), self.source_id).await?) }).await?,
        };
        let mut readings = Readings::of(&self.provider, deliveries);
        let mut is_first = true;
        // They have gone first when the batch was taken.
        let mut rest = Duration::ZERO;
        while let Some(part) = in_time(async { Ok(readings.next(self.stride.length()).await?) }).await? {
            if !std::mem::take(&mut is_first) {
                if stop.is_cancelled() {
                    break;
                }
                lease = in_time(self.hold_on_to(&lease)).await?;
                rest = self.rest;
            }
            let now = self.clock.now();
            let waited_ms = part.first().map_or(0, |oldest| now.0 - oldest.origin.received_at.0);
            let run_id = part.iter().find_map(|delivery| delivery.context.as_ref()?.run_id);
            let watching = Watching {
                has_candidates: self.has_candidates,
                measured_run: in_time(self.pace.measured(&self.db, run_id)).await?,
                has_awaited: self.pace.has_awaited(),
            };
            let count = part.iter().map(Read::count).sum();
            let terms = self.terms(&lease, watching, now, rest);
            // Boxed: unoptimized it is a good part of what the stack of a thread holds.
            let applied = Box::pin(in_time(terms.apply(&mut catalog, part, unwritten))).await?;
            self.stride.learn(count, applied.took);
            self.rest = (applied.worked * policy::rest(waited_ms)).min(MAX_REST);
            if catalog.take_news() {
                (self.on_catalog)();
            }
            (self.on_commit)(applied.news);
        }
        if unwritten.is_waiting() {
            lease = in_time(self.hold_on_to(&lease)).await?;
            let terms = self.terms(&lease, Watching::default(), self.clock.now(), self.rest);
            in_time(terms.settle(unwritten)).await?;
        }
        self.catalog = Some(catalog);
        Ok(())
    }

    fn terms<'a>(&'a self, lease: &'a Lease, watching: Watching, now: Moment, rest: Duration) -> step::Terms<'a> {
        step::Terms { db: &self.db, lease, provider: &self.provider, eraser: &self.eraser, watching, now, rest }
    }

    /// Puts a delivery off or parks it. A fetch request whose answer is parked is given up: news asks for another.
    async fn put_off(
        &self,
        id: i64,
        context: Option<Context>,
        attempts: i32,
        error: &ApplyError,
    ) -> Result<(), ApplyError> {
        let Some(lease) = &self.lease else { return Err(ApplyError::LeaseLost) };
        let now = self.clock.now();
        tracing::error!(source = self.source_name, delivery = id, attempts, error = %chain(error), "apply a delivery");
        let settlement = match policy::after_failed_apply(
            attempts,
            now,
            "the database or the service failed on what it says; the log has the cause",
        ) {
            Failed::Retry(at) => Settlement::Retried(at, attempts),
            Failed::Park(reason) => Settlement::Parked(reason),
        };
        let transaction = self.db.begin().await?;
        // Whoever holds the lease now may have applied it already.
        if lease.fence(&transaction, now, None).await?.is_none() {
            return Err(ApplyError::LeaseLost);
        }
        if let (Settlement::Parked(problem), Some(context)) = (&settlement, context) {
            if let Some(request_id) = context.request_id {
                let given_up = GivenUp { request_id, started_at: context.started_at, problem: problem.clone() };
                write::give_up_requests(&transaction, now, &[given_up]).await?;
            }
            if let Some(run_id) = context.run_id {
                let page = PageTally { run_id, delivery_id: id, is_parked: true, ..PageTally::default() };
                write::write_tallies(&transaction, vec![page]).await?;
            }
        }
        let is_parked = matches!(settlement, Settlement::Parked(_));
        inbox::settle(&transaction, now, &[(id, None, settlement)]).await?;
        let has_erased = is_parked && erase::empty_parked(&transaction, lease, self.provider.as_ref(), now, id).await?;
        transaction.commit().await?;
        if has_erased {
            self.eraser.cleaner.notify_one();
        }
        Ok(())
    }
}

/// Whether it is the delivery's fault, and not the database's that cannot be reached or is busy.
fn is_of_the_delivery(error: &ApplyError) -> bool {
    match error {
        ApplyError::LeaseLost | ApplyError::Hung => false,
        ApplyError::Panicked => true,
        ApplyError::Database(error) => !dialect::is_of_the_database(error),
    }
}

/// Gives up what hangs, so that a connection whose other end is gone holds nothing up for ever.
async fn in_time<T>(work: impl Future<Output = Result<T, ApplyError>>) -> Result<T, ApplyError> {
    tokio::time::timeout(HANGS, work).await.unwrap_or(Err(ApplyError::Hung))
}
