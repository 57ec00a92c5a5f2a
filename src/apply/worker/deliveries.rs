//! Applies the deliveries that were taken, part by part; one that cannot be applied stops no other.

use super::{Applier, ApplyError, in_time};
use crate::apply::catalog::Catalog;
use crate::apply::drift::Watching;
use crate::apply::erase;
use crate::apply::policy::{self, Failed};
use crate::apply::read::{Read, Readings};
use crate::apply::step;
use crate::apply::unwritten::Unwritten;
use crate::causes::chain;
use crate::db::dialect;
use crate::inbox::{self, Context, Lease, Settlement, Taken};
use crate::mirror::write::{self, GivenUp, PageTally};
use entity::Moment;
use futures::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Deliveries in one batch: one or two transactions where each tells of one record.
const MAX_BATCH: u64 = 128;
/// Body bytes in one batch: some pages of a sync, so that most are read while the one before is applied.
const MAX_BATCH_BYTES: i64 = 2 << 20;
/// Longest rest.
const MAX_REST: Duration = Duration::from_millis(500);

impl Applier {
    /// What is due, a batch of it.
    pub(super) async fn take(&self) -> Result<inbox::Due, ApplyError> {
        Ok(inbox::take(&self.db, self.source_id, self.clock.now(), MAX_BATCH, MAX_BATCH_BYTES).await?)
    }

    /// Applies a batch; if it fails, each delivery of it that is left on its own, so that one bad one stops no other.
    pub(super) async fn apply_taken(&mut self, taken: Vec<Taken>, stop: &CancellationToken) -> Result<(), ApplyError> {
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
pub(super) fn is_of_the_delivery(error: &ApplyError) -> bool {
    match error {
        ApplyError::LeaseLost | ApplyError::Hung => false,
        ApplyError::Panicked => true,
        ApplyError::Database(error) => !dialect::is_of_the_database(error),
    }
}
