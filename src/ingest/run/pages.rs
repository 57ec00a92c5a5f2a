//! The pages of a run: got one after the other, each kept with the checkpoint after it, until nothing is missing.

use super::checkpoint::Checkpoint;
use super::proof::{self, Proof};
use super::{Halt, POLL, Runner};
use crate::backoff;
use crate::inbox::{self, Along, Appended, Context, NewDelivery};
use crate::ingest::upstream::{Answered, CallError};
use entity::{DeliveryKind, Purpose, RunKind, RunState, sync_run};
use provider::{Page, PageRead, Target};
use sea_orm::{DbErr, EntityTrait};
use tokio_util::sync::CancellationToken;

/// Calls for one page without a usable answer before the run fails, to be tried again later.
const MAX_CALLS: i32 = 7;
/// Deliveries of the source that may wait for apply before the next page is asked for.
const MAX_PENDING: u64 = 8;
/// While apply is waited for, the run itself is looked at each so manieth time.
const LOOKS_AT_RUN: u64 = 20;

impl Runner {
    /// Gets the pages that are left, proves that they are all, and hands the run to apply.
    pub(super) async fn carry_out(&self, run: &sync_run::Model, stop: &CancellationToken) -> Result<(), Halt> {
        let mut checkpoint = Checkpoint::of(run).unwrap_or_default();
        let mut number = run.pages;
        tracing::info!(source = self.source_name, run = run.id, kind = ?run.kind, cause = run.cause, pages_left = checkpoint.pages.len(), "run");
        loop {
            while let Some(page) = checkpoint.next() {
                number += 1;
                self.bring_page(run, page, &mut checkpoint, number, stop).await?;
            }
            let settled = self.wait_until_settled(run, stop).await?;
            match proof::examine(&self.db, &settled, &checkpoint).await? {
                Proof::Complete => return self.hand_over(&settled).await,
                Proof::Unread(pages) => {
                    let problem = format!(
                        "{pages} of its pages could not be read or applied: look at the parked deliveries of this source. Nothing was deleted"
                    );
                    return Err(Halt::Incomplete(problem));
                }
                Proof::Short(short) => {
                    let is_new = |fall: &&proof::Shortfall| {
                        checkpoint.streams.get(&fall.stream).is_some_and(|stream| !stream.is_repeated)
                    };
                    let again: Vec<String> = short.iter().filter(is_new).map(|fall| fall.stream.clone()).collect();
                    if again.is_empty() {
                        return Err(Halt::Incomplete(tell_shortfall(&short)));
                    }
                    // Rows that went while they were paged leave a total too high: reading the stream once more tells.
                    for name in again {
                        if let Some(stream) = checkpoint.streams.get_mut(&name) {
                            stream.is_repeated = true;
                            // From its beginning to its end, so that the total is one of this time.
                            checkpoint.pages.push(Page { records: None, ..stream.first.clone() });
                        }
                    }
                }
            }
        }
    }

    /// Brings a page into the inbox, with the checkpoint after it in the same transaction.
    async fn bring_page(
        &self,
        run: &sync_run::Model,
        page: Page,
        checkpoint: &mut Checkpoint,
        number: i64,
        stop: &CancellationToken,
    ) -> Result<(), Halt> {
        self.wait_for_room(run.id, stop).await?;
        let started_at = inbox::head(self.db.primary(), self.source_id).await?;
        let (page, answered) = self.get_joining(run.id, page, checkpoint, stop).await?;
        let is_named = run.kind == RunKind::Named;
        let is_named_by_another = || self.provider.first_pages().iter().all(|first| first.stream != page.stream);
        if answered.is_missing && !is_named && is_named_by_another() {
            // It was there when that list was read. Another try begins with what is there now.
            return Err(Halt::Incomplete(format!("the list {} is not there any more", page.stream)));
        }
        let read = if is_named {
            PageRead { next: Vec::new(), rows: 1, total: None }
        } else {
            let wrong = |problem: String| Halt::Page { stream: page.stream.clone(), number: page.number, problem };
            self.provider.next_pages(&page, &answered.body).map_err(|error| wrong(error.to_string()))?
        };
        let (rows, total) = (i64::try_from(read.rows).unwrap_or(i64::MAX), read.total);
        checkpoint.turn(&page, read, run.profile_type.as_deref());
        if !self.is_ours(run.id).await? {
            return Err(Halt::NotOurs);
        }
        let target = is_named.then(|| Target::Profile { id: page.after.clone() });
        let context = Context {
            started_at,
            request_id: None,
            target,
            page: (!is_named).then_some(page),
            is_missing: answered.is_missing,
            // It is asked for again by a request that says where it belongs.
            is_unvouched: answered.is_missing,
            run_id: Some(run.id),
            total,
        };
        let delivery = NewDelivery {
            source_id: self.source_id,
            kind: if is_named { DeliveryKind::Fetch } else { DeliveryKind::Page },
            dedupe_key: format!("page:{}:{}:{number}", run.id, run.attempt),
            media_type: answered.media_type,
            headers: "{}".to_owned(),
            body: answered.body,
            context: Some(context.to_json()),
            along: Along::Checkpoint {
                run_id: run.id,
                holder: self.instance.clone(),
                number,
                checkpoint: checkpoint.to_json(),
                rows,
                rows_expected: checkpoint.expected(),
                is_held: run.is_plan,
            },
        };
        match self.inbox.append(delivery).await? {
            Appended::Kept(_) => Ok(()),
            // Another instance has got this page meanwhile, or an append of ours that seemed lost was not.
            Appended::Refused => Err(Halt::NotOurs),
            // The run has lost count of its pages; each try names its own.
            Appended::Duplicate(_) => Err(Halt::Incomplete(format!(
                "its page {number} is in the inbox already, and does not count for it again"
            ))),
        }
    }

    /// Whether this instance still carries the run out, and the run is still wanted.
    async fn is_ours(&self, run_id: i64) -> Result<bool, DbErr> {
        let is_ours = self.is_wanted(run_id).await?;
        Ok(is_ours && inbox::is_held(self.db.primary(), self.source_id, &self.instance, self.clock.now()).await?)
    }

    /// Whether nobody has ended the run, and no other instance has taken it over.
    async fn is_wanted(&self, run_id: i64) -> Result<bool, DbErr> {
        let run = sync_run::Entity::find_by_id(run_id).one(self.db.primary()).await?;
        Ok(run.is_some_and(|run| run.holder.as_ref() == Some(&self.instance) && run.state == RunState::Running))
    }

    /// Waits until apply has caught up, unless the run is not ours any more by then: memory and the inbox stay small
    /// however large the source is.
    pub(super) async fn wait_for_room(&self, run_id: i64, stop: &CancellationToken) -> Result<(), Halt> {
        let mut looks = 0_u64;
        while inbox::count_pending(&self.db, self.source_id).await? >= MAX_PENDING {
            looks += 1;
            if looks.is_multiple_of(LOOKS_AT_RUN) && !self.is_ours(run_id).await? {
                return Err(Halt::NotOurs);
            }
            self.pause(stop, 5).await?;
        }
        if stop.is_cancelled() { Err(Halt::Stopped) } else { Ok(()) }
    }

    async fn pause(&self, stop: &CancellationToken, ms: u64) -> Result<(), Halt> {
        tokio::select! {
            () = stop.cancelled() => Err(Halt::Stopped),
            () = self.clock.pause(ms) => Ok(()),
        }
    }

    /// Waits before a page is asked for again, unless somebody ends the run meanwhile: whoever does so here rings, and
    /// elsewhere we look.
    async fn pause_while_wanted(&self, run_id: i64, stop: &CancellationToken, ms: u64) -> Result<(), Halt> {
        let mut pause = self.clock.pause(ms);
        loop {
            let is_over = tokio::select! {
                biased;
                () = stop.cancelled() => return Err(Halt::Stopped),
                () = &mut pause => true,
                () = self.wake.notified() => false,
                () = tokio::time::sleep(POLL) => false,
            };
            if !self.is_wanted(run_id).await? {
                // The ring may have been for a run that waits for this one.
                self.wake.notify_one();
                return Err(Halt::NotOurs);
            }
            if is_over {
                return Ok(());
            }
        }
    }

    /// Waits until apply has taken every page of the run.
    async fn wait_until_settled(
        &self,
        run: &sync_run::Model,
        stop: &CancellationToken,
    ) -> Result<sync_run::Model, Halt> {
        loop {
            let now = sync_run::Entity::find_by_id(run.id).one(self.db.primary()).await?.ok_or(Halt::NotOurs)?;
            if now.state != RunState::Running || now.holder.as_ref() != Some(&self.instance) {
                return Err(Halt::NotOurs);
            }
            if now.pages_settled >= now.pages {
                return Ok(now);
            }
            self.apply_wake.notify_one();
            self.pause(stop, 5).await?;
        }
    }

    /// Gets a page, or, where a while has passed since the one before it, one that joins that.
    async fn get_joining(
        &self,
        run_id: i64,
        page: Page,
        checkpoint: &mut Checkpoint,
        stop: &CancellationToken,
    ) -> Result<(Page, Answered), Halt> {
        let rejoin = |page: &Page| self.provider.rejoin(page).filter(|_| checkpoint.is_apart(self.clock.now()));
        let mut before = rejoin(&page);
        let mut got = self.get(run_id, before.clone().unwrap_or(page), stop).await?;
        if before.is_none() {
            // It may have waited for its turn, or for upstream.
            before = rejoin(&got.0);
            if let Some(before) = &before {
                got = self.get(run_id, before.clone(), stop).await?;
            }
        }
        checkpoint.came(self.clock.now(), before.is_some());
        Ok(got)
    }

    /// Gets a page, or a smaller one where its answer is too large: the page that came, and what came.
    async fn get(&self, run_id: i64, mut page: Page, stop: &CancellationToken) -> Result<(Page, Answered), Halt> {
        let mut calls = 0;
        loop {
            let problem = match self.upstream.call(Purpose::Sync, &page.call).await {
                Ok(answered) => return Ok((page, answered)),
                Err(error) => error,
            };
            let (pause_ms, is_over) = match &problem {
                CallError::Unauthorized(_) | CallError::Forbidden(_) => (0, true),
                CallError::TooLarge(_) => match self.provider.smaller(&page) {
                    Some(smaller) => {
                        page = smaller;
                        (0, false)
                    }
                    None => (0, true),
                },
                CallError::Later { retry_after_seconds: Some(seconds), .. } => {
                    (Ord::min(*seconds, 3_600) * 1_000, false)
                }
                CallError::Later { .. } => {
                    calls += 1;
                    let pause_ms = backoff::pause_ms(calls, 1_000, 60_000);
                    (u64::try_from(pause_ms).unwrap_or(0), calls >= MAX_CALLS)
                }
            };
            if is_over {
                return Err(Halt::Page { stream: page.stream, number: page.number, problem: problem.to_string() });
            }
            tracing::info!(source = self.source_name, stream = page.stream, reason = %problem, pause_ms, "wait for a page");
            self.pause_while_wanted(run_id, stop, pause_ms).await?;
        }
    }
}

fn tell_shortfall(short: &[proof::Shortfall]) -> String {
    let told: Vec<String> =
        short.iter().take(5).map(|fall| format!("{} of {} in {}", fall.seen, fall.total, fall.stream)).collect();
    format!(
        "the lists brought fewer records than they count, twice: {}. What came is mirrored, nothing was deleted",
        told.join(", ")
    )
}
