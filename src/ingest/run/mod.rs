//! Runs: passes over a source's lists, page by page into the inbox, resumed at their checkpoints.
//!
//! A run begins as *planned*, when a schedule or a person asks for it (`request`, `due`). The holder of the
//! source's lease carries it out here: pages while it is *running*, then the proof that nothing is missing
//! (`proof`). A complete run is handed to apply, which *sweeps*: asks for what no page named, and only then
//! takes it for gone. What fails is tried again later, from its checkpoint: until upstream is back, or a newer run
//! has seen as much. Only where the lists contradict themselves it starts over, and is left to the schedule after a
//! few tries.

mod begin;
mod checkpoint;
mod due;
mod end;
mod once;
mod pages;
mod proof;
mod request;
#[cfg(test)]
mod tests;

pub use due::{Timetable, parse_cron};
pub use once::{find_run_once, request_run_once, waiting_for_approval};
pub use request::{
    MAX_NAMED, RunRequest, RunRequestError, apply_plan, approve_deletions, cancel_run, find_source, reject_deletions,
    request_run,
};

use super::upstream::Upstream;
use crate::clock::SharedClock;
use crate::db::Database;
use crate::inbox::{self, Inbox};
use entity::{RunState, sync_run};
use futures::future::BoxFuture;
use provider::Provider;
use sea_orm::DbErr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

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
    /// Notified when somebody has asked for a run or ended one, or its time has come.
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
    pub fn carry_on<'a>(&'a self, stop: &'a CancellationToken) -> BoxFuture<'a, Result<bool, Halt>> {
        Box::pin(self.advance(stop))
    }

    async fn advance(&self, stop: &CancellationToken) -> Result<bool, Halt> {
        let now = self.clock.now();
        if stop.is_cancelled() || !inbox::is_held(self.db.primary(), self.source_id, &self.instance, now).await? {
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
}
