//! Pages through a source's lists into the inbox. Resumes at its checkpoint; deletes nothing.

use super::upstream::{CallError, Upstream};
use crate::backoff;
use crate::clock::SharedClock;
use crate::db::Database;
use crate::inbox::{self, Along, Context, Inbox, NewDelivery};
use entity::{DeliveryKind, RunState, source_state, sync_run};
use provider::{Page, Provider};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveEnum, ActiveValue::NotSet, ActiveValue::Set, ColumnTrait, DbErr, EntityTrait, QueryFilter, QueryOrder,
};
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Calls for one page without a usable answer before the run fails.
const MAX_ATTEMPTS: i32 = 7;
/// Deliveries of the source that may wait for apply before the next page is asked for.
const MAX_PENDING: u64 = 8;

/// Imports one source.
#[derive(Clone)]
pub struct Importer {
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
}

/// How far a run is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Id of the run.
    pub run_id: i64,
    /// Pages kept so far.
    pub pages: i64,
    /// Rows on those pages.
    pub rows_seen: i64,
    /// Rows in all, where upstream told.
    pub rows_expected: Option<i64>,
}

/// Why an import stopped before its end.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A page could not be had.
    #[error("get page {number} of {stream}: {problem}")]
    Page {
        /// The stream.
        stream: String,
        /// Its page.
        number: u32,
        /// Why.
        problem: String,
    },
    /// The database refused.
    #[error("keep the run")]
    Database(#[from] DbErr),
    /// The inbox refused.
    #[error("keep a page: {0}")]
    Inbox(#[from] inbox::AppendError),
    /// Another instance carries the run out.
    #[error("another instance carries this run out")]
    HeldElsewhere,
    /// The source has no token.
    #[error("source {source_name:?} has no token: set token in its configuration")]
    NoToken {
        /// The source.
        source_name: String,
    },
    /// The service stops; the run resumes at its checkpoint.
    #[error("stopped at its checkpoint")]
    Stopped,
}

impl Importer {
    /// Whether a pass should run at once: none has ever ended, or one was interrupted.
    ///
    /// # Errors
    /// The database's own error.
    pub async fn is_due_at_start(&self) -> Result<bool, DbErr> {
        let state = source_state::Entity::find_by_id(self.source_id).one(self.db.primary()).await?;
        let interrupted = sync_run::Entity::find()
            .filter(sync_run::Column::SourceId.eq(self.source_id))
            .filter(sync_run::Column::State.eq(RunState::Running))
            .one(self.db.primary())
            .await?;
        Ok(interrupted.is_some() || state.is_none_or(|state| state.last_complete_sync_at.is_none()))
    }

    /// Runs a pass to its end, resuming one that was interrupted; `cause` says why for a new one.
    /// `on_progress` is called after each page.
    ///
    /// # Errors
    /// [`ImportError`]; but for a failed page the run stays where it is and can be resumed.
    pub async fn run(
        &self,
        cause: &str,
        stop: &CancellationToken,
        on_progress: &(impl Fn(&Progress) + Sync),
    ) -> Result<Progress, ImportError> {
        let run = self.claim(cause).await?;
        let mut pages = read_checkpoint(&run);
        let mut progress =
            Progress { run_id: run.id, pages: run.pages, rows_seen: run.rows_seen, rows_expected: run.rows_expected };
        tracing::info!(source = self.source_name, run = run.id, pages_left = pages.len(), cause = run.cause, "import");
        while !pages.is_empty() {
            let page = pages.remove(0);
            match self.import_page(&run, page, &mut pages, &mut progress, stop).await {
                Ok(()) => on_progress(&progress),
                Err(error) => {
                    if let ImportError::Page { .. } = &error {
                        self.finish(&run, RunState::Failed, Some(error.to_string())).await?;
                    }
                    return Err(error);
                }
            }
        }
        self.finish(&run, RunState::Done, None).await?;
        tracing::info!(source = self.source_name, run = run.id, rows = progress.rows_seen, "import done");
        Ok(progress)
    }

    /// Takes over the run that is under way, or starts one.
    async fn claim(&self, cause: &str) -> Result<sync_run::Model, ImportError> {
        use sync_run::Column;
        let now = self.clock.now();
        if !inbox::is_held(&self.db, self.source_id, &self.instance, now).await? {
            return Err(ImportError::HeldElsewhere);
        }
        let open = sync_run::Entity::find()
            .filter(Column::SourceId.eq(self.source_id))
            .filter(Column::State.eq(RunState::Running))
            .order_by_asc(Column::Id)
            .one(self.db.writer())
            .await?;
        let Some(run) = open else {
            let run = sync_run::ActiveModel {
                id: NotSet,
                source_id: Set(self.source_id),
                state: Set(RunState::Running),
                cause: Set(cause.to_owned()),
                started_at: Set(now),
                finished_at: Set(None),
                checkpoint: Set(serde_json::json!(self.provider.first_pages())),
                pages: Set(0),
                rows_seen: Set(0),
                rows_expected: Set(None),
                error: Set(None),
                holder: Set(Some(self.instance.clone())),
            };
            return Ok(sync_run::Entity::insert(run).exec_with_returning(self.db.writer()).await?);
        };
        let taken_over = sync_run::Entity::update_many()
            .col_expr(Column::Holder, Expr::value(self.instance.clone()))
            .filter(Column::Id.eq(run.id))
            .filter(Column::State.eq(RunState::Running))
            .exec(self.db.writer())
            .await?;
        if taken_over.rows_affected == 1 { Ok(run) } else { Err(ImportError::HeldElsewhere) }
    }

    /// Whether this instance still carries the run out, and the run is still wanted.
    async fn is_mine(&self, run_id: i64) -> Result<bool, DbErr> {
        let run = sync_run::Entity::find_by_id(run_id).one(self.db.primary()).await?;
        let is_mine =
            run.is_some_and(|run| run.holder.as_ref() == Some(&self.instance) && run.state == RunState::Running);
        Ok(is_mine && inbox::is_held(&self.db, self.source_id, &self.instance, self.clock.now()).await?)
    }

    async fn import_page(
        &self,
        run: &sync_run::Model,
        page: Page,
        pages: &mut Vec<Page>,
        progress: &mut Progress,
        stop: &CancellationToken,
    ) -> Result<(), ImportError> {
        self.wait_for_room(stop).await?;
        let started_at = inbox::head(self.db.primary(), self.source_id).await?;
        let answered = self.get(&page, stop).await?;
        let wrong = |problem: String| ImportError::Page { stream: page.stream.clone(), number: page.number, problem };
        let next = self.provider.next_pages(&page, &answered.body).map_err(|error| wrong(error.to_string()))?;
        pages.splice(0..0, next);
        if !self.is_mine(run.id).await? {
            return Err(ImportError::HeldElsewhere);
        }
        let rows = count_rows(&answered.body);
        if let Some(expected) = page.expected.and_then(|expected| i64::try_from(expected).ok()) {
            progress.rows_expected = Some(progress.rows_expected.unwrap_or(0).max(expected));
        }
        progress.pages += 1;
        progress.rows_seen += rows;
        let context = Context {
            started_at,
            request_id: None,
            target: None,
            page: Some(page.clone()),
            is_missing: answered.is_missing,
        };
        let delivery = NewDelivery {
            source_id: self.source_id,
            kind: DeliveryKind::Page,
            dedupe_key: format!("page:{}:{}", run.id, progress.pages),
            media_type: answered.media_type,
            headers: serde_json::json!({}),
            body: answered.body,
            context: Some(context.to_json()),
            along: Along::Checkpoint {
                run_id: run.id,
                pages_left: serde_json::json!(pages),
                rows,
                rows_expected: progress.rows_expected,
            },
        };
        self.inbox.append(delivery).await?;
        Ok(())
    }

    /// Waits until apply has caught up: memory and the inbox stay small however large the source is.
    async fn wait_for_room(&self, stop: &CancellationToken) -> Result<(), ImportError> {
        while inbox::count_pending(&self.db, self.source_id).await? >= MAX_PENDING {
            pause(stop, 5).await?;
        }
        if stop.is_cancelled() { Err(ImportError::Stopped) } else { Ok(()) }
    }

    async fn get(&self, page: &Page, stop: &CancellationToken) -> Result<super::upstream::Answered, ImportError> {
        let mut attempts = 0;
        loop {
            let problem = match self.upstream.call(&page.call).await {
                Ok(answered) => return Ok(answered),
                Err(error) => error,
            };
            let (pause_ms, is_over) = match &problem {
                CallError::Unauthorized(_) | CallError::Forbidden(_) => (0, true),
                CallError::Later { retry_after_seconds: Some(seconds), .. } => (seconds.min(&3_600) * 1_000, false),
                CallError::Later { .. } => {
                    attempts += 1;
                    let pause_ms = backoff::pause_ms(attempts, 1_000, 60_000);
                    (u64::try_from(pause_ms).unwrap_or(0), attempts >= MAX_ATTEMPTS)
                }
            };
            if is_over {
                let (stream, number) = (page.stream.clone(), page.number);
                return Err(ImportError::Page { stream, number, problem: problem.to_string() });
            }
            tracing::info!(source = self.source_name, stream = page.stream, reason = %problem, pause_ms, "wait for a page");
            pause(stop, pause_ms).await?;
        }
    }

    async fn finish(&self, run: &sync_run::Model, state: RunState, error: Option<String>) -> Result<(), DbErr> {
        use sync_run::Column;
        let transaction = self.db.begin().await?;
        sync_run::Entity::update_many()
            .col_expr(Column::State, Expr::value(state.to_value()))
            .col_expr(Column::FinishedAt, Expr::value(self.clock.now()))
            .col_expr(Column::Error, Expr::value(error))
            .filter(Column::Id.eq(run.id))
            .exec(&transaction)
            .await?;
        if state == RunState::Done {
            source_state::Entity::update_many()
                .col_expr(source_state::Column::LastCompleteSyncAt, Expr::value(Some(run.started_at)))
                .filter(source_state::Column::SourceId.eq(self.source_id))
                .exec(&transaction)
                .await?;
        }
        transaction.commit().await
    }
}

async fn pause(stop: &CancellationToken, ms: u64) -> Result<(), ImportError> {
    tokio::select! {
        () = stop.cancelled() => Err(ImportError::Stopped),
        () = tokio::time::sleep(Duration::from_millis(ms)) => Ok(()),
    }
}

fn read_checkpoint(run: &sync_run::Model) -> Vec<Page> {
    Vec::<Page>::deserialize(&run.checkpoint).unwrap_or_default()
}

/// Rows on a page: the longest list in its answer. Only for showing progress.
fn count_rows(body: &[u8]) -> i64 {
    let parsed: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let lists = parsed.as_object().into_iter().flat_map(|object| object.values()).filter_map(|value| value.as_array());
    let longest = parsed.as_array().into_iter().chain(lists).map(Vec::len).max();
    i64::try_from(longest.unwrap_or(0)).unwrap_or(0)
}
