//! What people do about a source: pauses, runs, and decisions about these.

use super::Stages;
use entity::sync_run;
use profile_mirror::ingest::PauseError;
use profile_mirror::ingest::run::{self, RunRequest, RunRequestError};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder};

/// What a person decides about a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Its deletions are right.
    Approve,
    /// They are not.
    Reject,
    /// It is not wanted any more.
    Cancel,
    /// The plan is carried out.
    ApplyPlan,
}

impl Stages {
    /// An operator pauses the source, or lets it go on.
    pub async fn set_paused(&self, is_paused: bool) {
        let gate = &self.wired.gate;
        let done = if is_paused { gate.pause("somebody", "a try").await } else { gate.resume("somebody").await };
        match done {
            Ok(()) | Err(PauseError::PausedAlready { .. }) => {}
            Err(PauseError::Database(error)) => panic!("pause or resume: {error}"),
        }
    }

    /// Asks for a run.
    ///
    /// # Errors
    /// Another one is under way, with its id.
    pub async fn request(&self, request: RunRequest) -> Result<i64, i64> {
        match run::request_run(&self.db, self.now(), self.source_id, request).await {
            Ok(run) => Ok(run.id),
            Err(RunRequestError::UnderWay { run_id }) => Err(run_id),
            Err(error) => panic!("ask for a run: {error}"),
        }
    }

    /// The run that is under way, carried on or not.
    pub async fn under_way(&self) -> Option<sync_run::Model> {
        sync_run::under_way(self.source_id).one(self.db.primary()).await.unwrap()
    }

    /// The run of an id.
    pub async fn run_of(&self, id: i64) -> sync_run::Model {
        sync_run::Entity::find_by_id(id).one(self.db.primary()).await.unwrap().expect("it is there")
    }

    /// All runs, in the order in which they were asked for.
    pub async fn runs(&self) -> Vec<sync_run::Model> {
        let of_source = sync_run::Entity::find().filter(sync_run::Column::SourceId.eq(self.source_id));
        of_source.order_by_asc(sync_run::Column::Id).all(self.db.primary()).await.unwrap()
    }

    /// A person decides about a run: approves or rejects its deletions, carries a plan out, or cancels it. False where
    /// there is nothing to decide.
    pub async fn decide(&self, run: &sync_run::Model, decision: Decision) -> bool {
        let (db, now, by) = (&self.db, self.now(), "somebody");
        let decided = match decision {
            Decision::Approve => run::approve_deletions(db, now, run.id, by).await,
            Decision::Reject => run::reject_deletions(db, now, run.id, by).await,
            Decision::Cancel => run::cancel_run(db, now, run.id, by).await,
            Decision::ApplyPlan => run::apply_plan(db, run.id, by).await,
        };
        match decided {
            Ok(_) => true,
            Err(RunRequestError::Database(error)) => panic!("decide about a run: {error}"),
            Err(_) => false,
        }
    }
}
