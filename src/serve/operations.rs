//! What clients may ask of the other stages: a handle that serving calls and wiring fills.
//!
//! Serving writes nothing itself and knows no stage that does. Each operation that a mutation needs is a method here.

use crate::mirror::read::DeliveryFilter;
use ::entity::{Moment, sync_run};
use futures::future::BoxFuture;

/// The named operations of the other stages, and what only they know from moment to moment.
pub trait Operations: Send + Sync {
    /// Pauses a source for an operator.
    fn pause_source<'a>(&'a self, source: &'a str, by: &'a str, reason: &'a str) -> BoxFuture<'a, Outcome>;

    /// Lets a source go on, whoever paused it.
    fn resume_source<'a>(&'a self, source: &'a str, by: &'a str) -> BoxFuture<'a, Outcome>;

    /// Asks for a run of a source, or for a plan of one. The same `mutation_id` of the same key within a day is answered
    /// with the same run.
    fn request_run<'a>(
        &'a self,
        source: &'a str,
        by: &'a str,
        wish: RunWish,
        mutation_id: Option<&'a str>,
    ) -> BoxFuture<'a, Result<sync_run::Model, Refused>>;

    /// Decides on a run of a source: it goes on, or it ends.
    fn decide_run<'a>(
        &'a self,
        source: &'a str,
        run_id: i64,
        decision: RunDecision,
        by: &'a str,
    ) -> BoxFuture<'a, Result<sync_run::Model, Refused>>;

    /// Retries, discards or replays deliveries, a bounded number at once; or tells how many it would be.
    fn operate_deliveries<'a>(
        &'a self,
        which: DeliveryFilter,
        operation: DeliveryOperation,
        by: &'a str,
        reach: TouchReach,
    ) -> BoxFuture<'a, Result<Touched, Refused>>;

    /// Whether this process is configured for a source. The database may know more.
    fn is_configured(&self, source: &str) -> bool;

    /// The budget of calls of a source on this instance; none where it makes no calls.
    fn budget(&self, source: &str) -> Option<Budget>;
}

/// What became of an operation.
pub type Outcome = Result<(), Refused>;

/// What a run is asked to pass through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunWish {
    /// Upstream id of the one profile type that it is about; none for all of the source.
    pub profile_type: Option<String>,
    /// Upstream ids of the profiles that it is about; empty where it is about lists.
    pub profiles: Vec<String>,
    /// Only compare.
    pub is_plan: bool,
}

/// What a person decides on a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunDecision {
    /// Carry a plan out.
    Apply,
    /// End it.
    Cancel,
    /// Delete what is gone.
    Approve,
    /// Keep what is gone.
    Reject,
}

/// What is done with deliveries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeliveryOperation {
    /// Parked ones are tried again.
    Retry,
    /// Parked ones are given up.
    Discard {
        /// Why.
        reason: String,
    },
    /// Settled ones go through apply again.
    Replay,
}

/// Deliveries that an operation touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touched {
    /// How many.
    pub count: u64,
    /// There are more.
    pub has_more: bool,
    /// The newest inbox position that was looked at; none where nothing was found.
    pub last: Option<i64>,
}

/// How far an operation on deliveries goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TouchReach {
    /// Only behind this inbox position.
    pub after: i64,
    /// Only count.
    pub is_dry_run: bool,
}

/// Why an operation is not carried out.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The configuration of this instance has no such source.
    #[error("no source of this name is configured")]
    NoSuchSource,
    /// An operator has paused the source.
    #[error("paused already")]
    PausedAlready {
        /// Who.
        by: String,
        /// Since when.
        since: Moment,
        /// Why.
        reason: String,
    },
    /// The source has no token, so that nothing can be asked for upstream.
    #[error("the source has no token")]
    NoToken,
    /// The source stands still.
    #[error("the source is paused")]
    Paused {
        /// Who; none where the service itself.
        by: Option<String>,
        /// Since when.
        since: Moment,
        /// Why.
        reason: String,
    },
    /// Another run of the source goes on.
    #[error("run {run_id} goes on")]
    RunInProgress {
        /// That run.
        run_id: i64,
    },
    /// Deletions of a run wait for a person.
    #[error("the deletions of run {run_id} wait for a person")]
    DeletionsNeedApproval {
        /// That run.
        run_id: i64,
    },
    /// The run is not in a state for this.
    #[error("{0}")]
    RunState(String),
    /// A value cannot be used.
    #[error("{field}: {message}")]
    BadInput {
        /// The argument.
        field: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// A fault of ours.
    #[error("carry out an operation")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The budget of calls of a source, at a moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// Calls a minute; none where no limit is known.
    pub limit_per_minute: Option<u32>,
    /// Calls left now; none where nothing limits them.
    pub remaining: Option<u32>,
    /// The same as a share of what there is at most, 0 to 1.
    pub remaining_ratio: Option<f64>,
    /// Calls that may be under way at once, now.
    pub concurrency: usize,
    /// Live fetches that wait for their turn.
    pub waiting_live: usize,
    /// Calls for repair that wait for their turn.
    pub waiting_repair: usize,
    /// Pages of syncs that wait for their turn.
    pub waiting_sync: usize,
    /// No call before then.
    pub paused_until: Option<Moment>,
}

#[cfg(test)]
pub(crate) mod fixture {
    //! A handle with no stage behind it.

    use super::*;

    pub(crate) struct NoStages;

    impl Operations for NoStages {
        fn pause_source<'a>(&'a self, _: &'a str, _: &'a str, _: &'a str) -> BoxFuture<'a, Outcome> {
            Box::pin(std::future::ready(Err(Refused::NoSuchSource)))
        }

        fn resume_source<'a>(&'a self, _: &'a str, _: &'a str) -> BoxFuture<'a, Outcome> {
            Box::pin(std::future::ready(Err(Refused::NoSuchSource)))
        }

        fn request_run<'a>(
            &'a self,
            _: &'a str,
            _: &'a str,
            _: RunWish,
            _: Option<&'a str>,
        ) -> BoxFuture<'a, Result<sync_run::Model, Refused>> {
            Box::pin(std::future::ready(Err(Refused::NoSuchSource)))
        }

        fn decide_run<'a>(
            &'a self,
            _: &'a str,
            _: i64,
            _: RunDecision,
            _: &'a str,
        ) -> BoxFuture<'a, Result<sync_run::Model, Refused>> {
            Box::pin(std::future::ready(Err(Refused::NoSuchSource)))
        }

        fn operate_deliveries<'a>(
            &'a self,
            _: DeliveryFilter,
            _: DeliveryOperation,
            _: &'a str,
            _: TouchReach,
        ) -> BoxFuture<'a, Result<Touched, Refused>> {
            Box::pin(std::future::ready(Err(Refused::NoSuchSource)))
        }

        fn is_configured(&self, _: &str) -> bool {
            true
        }

        fn budget(&self, _: &str) -> Option<Budget> {
            None
        }
    }
}
