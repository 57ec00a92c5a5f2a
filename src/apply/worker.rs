//! Takes batches of pending deliveries and applies them, one source at a time under its lease.

use super::catalog::Catalog;
use super::policy::{self, Failed};
use super::step;
use crate::clock::SharedClock;
use crate::db::Database;
use crate::failpoint::Failpoint;
use crate::inbox::{self, Context, Lease, Settlement, Taken};
use crate::mirror::write;
use futures::FutureExt;
use provider::Provider;
use sea_orm::DbErr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Deliveries in one transaction.
const MAX_BATCH: u64 = 200;
/// Body bytes in one transaction: about one page of a sync, so that accepts never wait long behind it.
const MAX_BATCH_BYTES: i64 = 1 << 20;
/// Looks for work at least this often: retries that are due, work of an instance that died.
const POLL: Duration = Duration::from_millis(500);
/// Longest rest.
const MAX_REST: Duration = Duration::from_millis(100);

/// Why a batch was not applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Another instance holds the lease now; nothing was written.
    #[error("the lease on the source is lost")]
    LeaseLost,
    /// The database refused.
    #[error("apply a batch")]
    Database(#[from] DbErr),
    /// The code failed on what a delivery says.
    #[error("apply a batch: the service failed on it, the log has the place")]
    Panicked,
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
    on_commit: Box<dyn Fn() + Send + Sync>,
    lease: Option<Lease>,
    catalog: Option<Catalog>,
    rest: Duration,
}

impl Applier {
    /// An applier for a source. `wake` is notified after appends, `on_commit` is called after each
    /// commit that wrote changes or wishes.
    #[expect(clippy::too_many_arguments, reason = "wiring, called once by app")]
    pub fn new(
        db: Database,
        clock: SharedClock,
        source_id: i32,
        source_name: String,
        provider: Arc<dyn Provider>,
        instance: String,
        wake: Arc<Notify>,
        on_commit: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        let on_commit = Box::new(on_commit);
        let (lease, catalog, rest) = (None, None, Duration::ZERO);
        Self { db, clock, source_id, source_name, provider, instance, wake, on_commit, lease, catalog, rest }
    }

    /// Applies until told to stop, then gives the lease back.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut failures = 0;
        loop {
            match self.apply_pending(&stop).await {
                Ok(()) => failures = 0,
                Err(error) => {
                    failures += 1;
                    if matches!(error, ApplyError::LeaseLost) {
                        self.lease = None;
                    } else {
                        tracing::warn!(source = self.source_name, error = %chain(&error), "apply");
                    }
                }
            }
            let pause = if failures == 0 {
                POLL
            } else {
                Duration::from_millis(u64::try_from(crate::backoff::pause_ms(failures, 200, 5_000)).unwrap_or(200))
            };
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
    async fn apply_pending(&mut self, stop: &CancellationToken) -> Result<(), ApplyError> {
        loop {
            self.db.precedence().let_senders_go_first(self.rest).await;
            if stop.is_cancelled() || !self.hold_lease().await? {
                return Ok(());
            }
            let taken = inbox::take(&self.db, self.source_id, self.clock.now(), MAX_BATCH, MAX_BATCH_BYTES).await?;
            if taken.is_empty() {
                return Ok(());
            }
            Failpoint::Taken.pass();
            let waited_ms = taken.first().map_or(0, |oldest| self.clock.now().0 - oldest.received_at.0);
            let started = Instant::now();
            self.apply_taken(taken).await?;
            self.rest = (started.elapsed() * policy::rest(waited_ms)).min(MAX_REST);
        }
    }

    async fn hold_lease(&mut self) -> Result<bool, ApplyError> {
        let now = self.clock.now();
        if self.lease.as_ref().is_some_and(|lease| !lease.is_due(now)) {
            return Ok(true);
        }
        let renewed = inbox::renew(&self.db, self.source_id, &self.instance, now).await?;
        let is_same = matches!((&self.lease, &renewed), (Some(old), Some(new)) if old.epoch == new.epoch);
        if !is_same {
            self.catalog = None;
            if renewed.is_some() {
                inbox::take_over_requests(&self.db, self.source_id).await?;
            }
        }
        self.lease = renewed;
        if !is_same && self.lease.is_some() {
            // Pulls follow the lease.
            (self.on_commit)();
        }
        Ok(self.lease.is_some())
    }

    /// Applies a batch; if it fails, each delivery on its own, so that one bad one stops no other.
    async fn apply_taken(&mut self, taken: Vec<Taken>) -> Result<(), ApplyError> {
        match self.try_batch(taken.clone()).await {
            Err(error) if is_of_the_delivery(&error) => {
                for delivery in taken {
                    let (id, attempts) = (delivery.id, delivery.attempts + 1);
                    let context = Context::from_json(delivery.context.as_ref());
                    match self.try_batch(vec![delivery]).await {
                        Err(error) if is_of_the_delivery(&error) => self.put_off(id, context, attempts, &error).await?,
                        outcome => outcome?,
                    }
                }
                Ok(())
            }
            outcome => outcome,
        }
    }

    /// Applies a batch. Whatever fails, nothing of it is kept, in memory neither.
    async fn try_batch(&mut self, taken: Vec<Taken>) -> Result<(), ApplyError> {
        let outcome = AssertUnwindSafe(self.apply_batch(taken)).catch_unwind().await;
        let outcome = outcome.unwrap_or(Err(ApplyError::Panicked));
        if outcome.is_err() {
            self.catalog = None;
        }
        outcome
    }

    async fn apply_batch(&mut self, taken: Vec<Taken>) -> Result<(), ApplyError> {
        let Some(lease) = self.lease.clone() else { return Err(ApplyError::LeaseLost) };
        let provider = self.provider.clone();
        let bytes: usize = taken.iter().map(|delivery| delivery.body.len()).sum();
        let read =
            move || taken.into_iter().map(|delivery| step::read(provider.as_ref(), delivery)).collect::<Vec<_>>();
        // A page is milliseconds of parsing: not on a thread that answers requests.
        let deliveries = if bytes > 64 << 10 {
            tokio::task::spawn_blocking(read)
                .await
                .map_err(|error| DbErr::Custom(format!("decode panicked: {error}")))?
        } else {
            read()
        };
        let mut catalog = match self.catalog.take() {
            Some(catalog) => catalog,
            None => Catalog::load(self.db.primary(), self.source_id).await?,
        };
        let now = self.clock.now();
        step::apply(&self.db, &lease, &self.provider, &mut catalog, now, &deliveries).await?;
        self.catalog = Some(catalog);
        (self.on_commit)();
        Ok(())
    }

    /// Puts a delivery off or parks it. A fetch request whose answer is parked is over: news asks for another.
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
        if let (Settlement::Parked(_), Some(context)) = (&settlement, context)
            && let Some(request_id) = context.request_id
        {
            write::settle_requests(&transaction, now, &[(request_id, context.started_at)], &[]).await?;
        }
        inbox::settle(&transaction, now, &[(id, None, settlement)]).await?;
        transaction.commit().await?;
        Ok(())
    }
}

/// Whether it is the delivery's fault, and not the database's that cannot be reached or is busy.
fn is_of_the_delivery(error: &ApplyError) -> bool {
    match error {
        ApplyError::LeaseLost | ApplyError::Database(DbErr::Conn(_) | DbErr::ConnectionAcquire(_)) => false,
        ApplyError::Panicked => true,
        ApplyError::Database(other) => {
            let text = other.to_string();
            let signs = ["database is locked", "deadlock", "disk", "connection", "Connection", "I/O", "shutting down"];
            !signs.iter().any(|sign| text.contains(sign))
        }
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}
