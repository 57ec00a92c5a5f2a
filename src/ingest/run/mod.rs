//! Runs: passes over a source's lists, page by page into the inbox, resumed at their checkpoints.
//!
//! A run begins as *planned*, when a schedule or a person asks for it (`request`, `due`). The holder of the
//! source's lease carries it out here: pages while it is *running*, then the proof that nothing is missing
//! (`proof`). A complete run is handed to apply, which *sweeps*: asks for what no page named, and only then
//! takes it for gone. What fails is tried again later, from its checkpoint.

mod checkpoint;
mod due;
mod once;
mod proof;
mod request;

pub use due::{Timetable, parse_cron};
pub use once::{request_run_once, waiting_for_approval};
pub use request::{
    MAX_NAMED, RunRequest, RunRequestError, apply_plan, approve_deletions, cancel_run, find_source, reject_deletions,
    request_run,
};

use self::checkpoint::Checkpoint;
use self::due::{Due, Past};
use self::proof::Proof;
use super::upstream::{CallError, Upstream};
use crate::backoff;
use crate::clock::SharedClock;
use crate::db::Database;
use crate::inbox::{self, Along, Context, Inbox, NewDelivery};
use entity::{
    DeliveryKind, Moment, Purpose, RunKind, RunState, SweepStage, profile, run_page, source_state, subprofile, sync_run,
};
use provider::{Page, PageRead, Provider, Target};
use sea_orm::sea_query::Expr;
use sea_orm::{ActiveEnum, ColumnTrait, DbErr, EntityTrait, ExprTrait, QueryFilter, QueryOrder, QuerySelect};
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Calls for one page without a usable answer before the run fails, to be tried again later.
const MAX_CALLS: i32 = 7;
/// Tries of a run before it is left to the schedule.
const MAX_ATTEMPTS: i32 = 6;
/// Deliveries of the source that may wait for apply before the next page is asked for.
const MAX_PENDING: u64 = 8;
/// Looks for something to do at least this often.
const POLL: Duration = Duration::from_millis(500);

/// Carries out the runs of one source.
pub struct Runner {
    /// The database.
    pub db: Database,
    /// The inbox that pages go to.
    pub inbox: Inbox,
    /// Our clock.
    pub clock: SharedClock,
    /// The source.
    pub source_id: i32,
    /// Its name, for logs.
    pub source_name: String,
    /// Its provider.
    pub provider: Arc<dyn Provider>,
    /// The way to its API.
    pub upstream: Arc<Upstream>,
    /// This instance.
    pub instance: String,
    /// When it is synced by itself; none where only people ask.
    pub timetable: Option<Timetable>,
    /// When some instance was last alive before this one came.
    pub alive_before: Option<Moment>,
    /// When this one came.
    pub came_at: Moment,
    /// Notified when somebody has asked for a run, or its time has come.
    pub wake: Arc<Notify>,
    /// Notified when apply has something to carry on with.
    pub apply_wake: Arc<Notify>,
}

/// Why a run does not go on.
#[derive(Debug, thiserror::Error)]
pub enum Halt {
    /// A page could not be had: it is tried again from here.
    #[error("get page {number} of {stream}: {problem}")]
    Page {
        /// Its stream.
        stream: String,
        /// Its place there.
        number: u32,
        /// Why.
        problem: String,
    },
    /// It has not seen everything: it is tried again from the start.
    #[error("{0}")]
    Incomplete(String),
    /// The database refused.
    #[error("keep the run: {0}")]
    Database(#[from] DbErr),
    /// The inbox refused.
    #[error("keep a page: {0}")]
    Inbox(#[from] inbox::AppendError),
    /// Another instance carries it out, or somebody ended it.
    #[error("it is not ours any more")]
    NotOurs,
    /// The service stops; it is resumed at its checkpoint.
    #[error("stopped at its checkpoint")]
    Stopped,
}

impl Runner {
    /// Carries runs out until told to stop.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            match self.carry_on(&stop).await {
                Ok(true) => continue,
                Ok(false) | Err(Halt::Stopped | Halt::NotOurs) => {}
                Err(error) => tracing::warn!(source = self.source_name, %error, "runs"),
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.wake.notified() => {}
                () = tokio::time::sleep(POLL) => {}
            }
        }
    }

    /// Carries the run that is under way to its sweep, or begins what is due; false where there is nothing to do.
    ///
    /// # Errors
    /// [`Halt`]; a run that failed is noted as such, and no error.
    pub async fn carry_on(&self, stop: &CancellationToken) -> Result<bool, Halt> {
        let now = self.clock.now();
        if stop.is_cancelled() || !inbox::is_held(&self.db, self.source_id, &self.instance, now).await? {
            return Ok(false);
        }
        let Some(run) = sync_run::under_way(self.source_id).one(self.db.primary()).await? else {
            return self.begin_due(now).await;
        };
        if run.state == RunState::Sweeping {
            return Ok(false);
        }
        let run = self.take_over(run).await?;
        match self.carry_out(&run, stop).await {
            Err(halt @ (Halt::Page { .. } | Halt::Incomplete(_))) => {
                self.fail(&run, &halt).await?;
                Ok(true)
            }
            outcome => outcome.map(|()| true),
        }
    }

    async fn begin_due(&self, now: Moment) -> Result<bool, Halt> {
        let past = self.past().await?;
        let due = due::retry(&past, now).or_else(|| self.timetable.as_ref()?.due(&past, now));
        self.show_next(now).await?;
        match due {
            None => Ok(false),
            Some(Due::Again(run_id)) => self.try_again(run_id).await,
            Some(Due::Start(request)) => {
                // Where the provider cannot tell what has changed there is nothing to pass through.
                let cannot =
                    request.since.is_some_and(|since| self.provider.changed_pages(since.to_datetime()).is_empty());
                if cannot {
                    return Ok(false);
                }
                match request_run(&self.db, now, self.source_id, request).await {
                    Ok(_) | Err(RunRequestError::UnderWay { .. }) => Ok(true),
                    Err(RunRequestError::Database(error)) => Err(error.into()),
                    Err(error) => Err(Halt::Incomplete(error.to_string())),
                }
            }
        }
    }

    async fn past(&self) -> Result<Past, DbErr> {
        use sync_run::Column;
        let of_source = sync_run::Entity::find()
            .filter(Column::SourceId.eq(self.source_id))
            .filter(Column::IsPlan.eq(false))
            .filter(Column::Kind.ne(RunKind::Named))
            .order_by_desc(Column::Id)
            .limit(1);
        let whole = of_source.clone().filter(Column::ProfileType.is_null());
        let began = |run: Option<sync_run::Model>| run.map(|run| run.started_at);
        let full = whole.clone().filter(Column::Kind.eq(RunKind::Full)).one(self.db.primary()).await?;
        let done = whole.filter(Column::State.eq(RunState::Done)).one(self.db.primary()).await?;
        let memory_ms = i64::from(self.provider.retry_memory_seconds()) * 1_000;
        let gap = self.alive_before.filter(|alive| self.came_at.0 - alive.0 > memory_ms);
        Ok(Past {
            newest: of_source.one(self.db.primary()).await?,
            full_began: began(full),
            done_began: began(done),
            gap: gap.map(|since| (since, self.came_at)),
        })
    }

    /// Shows when the next full run begins.
    async fn show_next(&self, now: Moment) -> Result<(), DbErr> {
        use source_state::Column;
        let next = self.timetable.as_ref().and_then(|timetable| timetable.next_full(now));
        let is_other = match next {
            Some(next) => Column::NextRunAt.is_null().or(Column::NextRunAt.ne(next)),
            None => Column::NextRunAt.is_not_null(),
        };
        let state = source_state::Entity::find_by_id(self.source_id).filter(is_other.clone());
        if state.one(self.db.primary()).await?.is_none() {
            return Ok(());
        }
        source_state::Entity::update_many()
            .col_expr(Column::NextRunAt, Expr::value(next))
            .filter(Column::SourceId.eq(self.source_id))
            .exec(self.db.writer())
            .await
            .map(drop)
    }

    /// Puts a failed run back to work, where no other has begun meanwhile.
    async fn try_again(&self, run_id: i64) -> Result<bool, Halt> {
        use sync_run::Column;
        let transaction = self.db.begin().await?;
        if sync_run::under_way(self.source_id).one(&transaction).await?.is_some() {
            return Ok(true);
        }
        sync_run::Entity::update_many()
            .col_expr(Column::State, Expr::value(RunState::Planned.to_value()))
            .col_expr(Column::Attempt, Expr::col(Column::Attempt).add(1))
            .col_expr(Column::RetryAt, Expr::value(Option::<Moment>::None))
            .col_expr(Column::FinishedAt, Expr::value(Option::<Moment>::None))
            .filter(Column::Id.eq(run_id))
            .filter(Column::State.eq(RunState::Failed))
            .exec(&transaction)
            .await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Makes the run this instance's, and begins it where it has not begun.
    async fn take_over(&self, run: sync_run::Model) -> Result<sync_run::Model, Halt> {
        use sync_run::Column;
        let transaction = self.db.begin().await?;
        let mut update = sync_run::Entity::update_many()
            .col_expr(Column::Holder, Expr::value(self.instance.clone()))
            .col_expr(Column::State, Expr::value(RunState::Running.to_value()))
            .filter(Column::Id.eq(run.id))
            .filter(Column::State.is_in([RunState::Planned, RunState::Running]));
        if Checkpoint::of(&run).is_none() {
            let first = Checkpoint::new(self.first_pages(&run));
            let head = inbox::head(&transaction, self.source_id).await?;
            let last_profile: Option<Option<i64>> = profile::Entity::find()
                .select_only()
                .column_as(profile::Column::Id.max(), "last")
                .into_tuple()
                .one(&transaction)
                .await?;
            let last_subprofile: Option<Option<i64>> = subprofile::Entity::find()
                .select_only()
                .column_as(subprofile::Column::Id.max(), "last")
                .into_tuple()
                .one(&transaction)
                .await?;
            run_page::Entity::delete_many().filter(run_page::Column::RunId.eq(run.id)).exec(&transaction).await?;
            request::discard_plans(&transaction, self.clock.now(), self.source_id, run.id).await?;
            update = update
                .col_expr(Column::Checkpoint, Expr::value(first.to_json()))
                .col_expr(Column::LowPosition, Expr::value(head))
                .col_expr(Column::LastProfileId, Expr::value(last_profile.flatten().unwrap_or(0)))
                .col_expr(Column::LastSubprofileId, Expr::value(last_subprofile.flatten().unwrap_or(0)))
                .col_expr(Column::StartedAt, Expr::value(self.clock.now()))
                .col_expr(Column::Error, Expr::value(Option::<String>::None));
            for column in [
                Column::Pages,
                Column::RowsSeen,
                Column::PagesSettled,
                Column::PagesParked,
                Column::Created,
                Column::Updated,
                Column::Unchanged,
                Column::Conflicts,
                Column::Candidates,
                Column::Absent,
            ] {
                update = update.col_expr(column, Expr::value(0_i64));
            }
        }
        let taken = update.exec(&transaction).await?;
        let taken_run = sync_run::Entity::find_by_id(run.id).one(&transaction).await?;
        transaction.commit().await?;
        taken_run.filter(|_| taken.rows_affected == 1).ok_or(Halt::NotOurs)
    }

    fn first_pages(&self, run: &sync_run::Model) -> Vec<Page> {
        match run.kind {
            RunKind::Full => self.provider.first_pages(),
            RunKind::Incremental => {
                run.since.map(|since| self.provider.changed_pages(since.to_datetime())).unwrap_or_default()
            }
            RunKind::Named => {
                let names: Vec<String> =
                    run.named.as_ref().and_then(|named| Vec::deserialize(named).ok()).unwrap_or_default();
                let page = |id: String| {
                    let call = self.provider.fetch(&Target::Profile { id: id.clone() });
                    Page { after: id, ..Page::first("named", call) }
                };
                names.into_iter().map(page).collect()
            }
        }
    }

    /// Gets the pages that are left, proves that they are all, and hands the run to apply.
    async fn carry_out(&self, run: &sync_run::Model, stop: &CancellationToken) -> Result<(), Halt> {
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
                            checkpoint.pages.push(stream.first.clone());
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
        self.wait_for_room(stop).await?;
        let started_at = inbox::head(self.db.primary(), self.source_id).await?;
        let answered = self.get(&page, stop).await?;
        let is_named = run.kind == RunKind::Named;
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
                checkpoint: checkpoint.to_json(),
                rows,
                rows_expected: checkpoint.expected(),
                is_held: run.is_plan,
            },
        };
        self.inbox.append(delivery).await?;
        Ok(())
    }

    /// Whether this instance still carries the run out, and the run is still wanted.
    async fn is_ours(&self, run_id: i64) -> Result<bool, DbErr> {
        let run = sync_run::Entity::find_by_id(run_id).one(self.db.primary()).await?;
        let is_ours =
            run.is_some_and(|run| run.holder.as_ref() == Some(&self.instance) && run.state == RunState::Running);
        Ok(is_ours && inbox::is_held(&self.db, self.source_id, &self.instance, self.clock.now()).await?)
    }

    /// Waits until apply has caught up: memory and the inbox stay small however large the source is.
    async fn wait_for_room(&self, stop: &CancellationToken) -> Result<(), Halt> {
        while inbox::count_pending(&self.db, self.source_id).await? >= MAX_PENDING {
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

    /// The pages are done: what they miss is for apply to look at. Only a full run may miss anything.
    async fn hand_over(&self, run: &sync_run::Model) -> Result<(), Halt> {
        use sync_run::Column;
        let is_full = run.kind == RunKind::Full;
        let mut update = sync_run::Entity::update_many()
            .filter(Column::Id.eq(run.id))
            .filter(Column::State.eq(RunState::Running))
            .filter(Column::Holder.eq(self.instance.clone()));
        update = if is_full {
            update
                .col_expr(Column::State, Expr::value(RunState::Sweeping.to_value()))
                .col_expr(Column::SweepStage, Expr::value(SweepStage::ListingProfiles.to_value()))
                .col_expr(Column::SweepAfter, Expr::value(0_i64))
        } else {
            update
                .col_expr(Column::State, Expr::value(RunState::Done.to_value()))
                .col_expr(Column::FinishedAt, Expr::value(self.clock.now()))
        };
        let moved = update.exec(self.db.writer()).await?;
        if moved.rows_affected == 0 {
            return Err(Halt::NotOurs);
        }
        tracing::info!(
            source = self.source_name,
            run = run.id,
            rows = run.rows_seen,
            pages = run.pages,
            "every page is in"
        );
        self.apply_wake.notify_one();
        Ok(())
    }

    async fn fail(&self, run: &sync_run::Model, halt: &Halt) -> Result<(), DbErr> {
        use sync_run::Column;
        let now = self.clock.now();
        tracing::warn!(source = self.source_name, run = run.id, error = %halt, "run failed");
        let retry_at =
            (run.attempt < MAX_ATTEMPTS).then(|| now.plus_ms(backoff::pause_ms(run.attempt, 30_000, 1_800_000)));
        let mut update = sync_run::Entity::update_many()
            .col_expr(Column::State, Expr::value(RunState::Failed.to_value()))
            .col_expr(Column::FinishedAt, Expr::value(now))
            .col_expr(Column::Error, Expr::value(halt.to_string()))
            .col_expr(Column::RetryAt, Expr::value(retry_at))
            .filter(Column::Id.eq(run.id))
            .filter(Column::State.eq(RunState::Running));
        if matches!(halt, Halt::Incomplete(_)) {
            update = update.col_expr(Column::Checkpoint, Expr::value(serde_json::json!({})));
        }
        update.exec(self.db.writer()).await.map(drop)
    }

    async fn get(&self, page: &Page, stop: &CancellationToken) -> Result<super::upstream::Answered, Halt> {
        let mut calls = 0;
        loop {
            let problem = match self.upstream.call(Purpose::Sync, &page.call).await {
                Ok(answered) => return Ok(answered),
                Err(error) => error,
            };
            let (pause_ms, is_over) = match &problem {
                CallError::Unauthorized(_) | CallError::Forbidden(_) => (0, true),
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
                let (stream, number) = (page.stream.clone(), page.number);
                return Err(Halt::Page { stream, number, problem: problem.to_string() });
            }
            tracing::info!(source = self.source_name, stream = page.stream, reason = %problem, pause_ms, "wait for a page");
            self.pause(stop, pause_ms).await?;
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
