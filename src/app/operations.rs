//! Carries out what clients ask of the stages that serving does not know.

use super::source::WiredSource;
use crate::clock::SharedClock;
use crate::db::Database;
use crate::inbox::{self, Operation, Selection};
use crate::ingest::run::{self, RunRequest, RunRequestError};
use crate::ingest::{BudgetReading, Gate, PauseError, Paused, Upstream};
use crate::mirror::read::DeliveryFilter;
use crate::serve::{
    Budget, DeliveryOperation, Operations, Outcome, Refused, RunDecision, RunWish, TouchReach, Touched,
};
use entity::{RunKind, sync_run};
use futures::future::BoxFuture;
use sea_orm::{ActiveEnum, SqlErr};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::Notify;

/// The operations, over the sources of this process.
pub(super) struct StageOperations {
    db: Database,
    clock: SharedClock,
    sources: HashMap<String, Reach>,
}

/// What operations reach of a source.
struct Reach {
    id: i32,
    gate: Arc<Gate>,
    upstream: Option<Arc<Upstream>>,
    apply_wake: Arc<Notify>,
    run_wake: Arc<Notify>,
}

impl Reach {
    fn of(source: &WiredSource) -> Self {
        Self {
            id: source.id,
            gate: source.gate.clone(),
            upstream: source.upstream.clone(),
            apply_wake: source.apply_wake.clone(),
            run_wake: source.run_wake.clone(),
        }
    }

    /// Lets whoever carries runs out look now. On other instances they look by themselves within half a second.
    fn wake(&self) {
        self.run_wake.notify_one();
        self.apply_wake.notify_one();
    }

    /// Whether a run could be begun at all.
    async fn check_may_run(&self) -> Result<(), Refused> {
        if self.upstream.is_none() {
            return Err(Refused::NoToken);
        }
        match self.gate.paused().await.map_err(refused)? {
            Some(Paused { by, since, reason }) => Err(Refused::Paused { by, since, reason }),
            None => Ok(()),
        }
    }
}

impl StageOperations {
    /// Operations over these sources.
    pub fn over(db: Database, clock: SharedClock, sources: &[Arc<WiredSource>]) -> Arc<Self> {
        let reach = |source: &Arc<WiredSource>| (source.config.name.clone(), Reach::of(source));
        Arc::new(Self { db, clock, sources: sources.iter().map(reach).collect() })
    }

    fn reach(&self, source: &str) -> Result<&Reach, Refused> {
        self.sources.get(source).ok_or(Refused::NoSuchSource)
    }

    async fn request(
        &self,
        source: &str,
        by: &str,
        wish: RunWish,
        mutation_id: Option<&str>,
    ) -> Result<sync_run::Model, Refused> {
        let reach = self.reach(source)?;
        let is_named = !wish.profiles.is_empty();
        let request = RunRequest {
            kind: if is_named { RunKind::Named } else { RunKind::Full },
            profile_type: wish.profile_type,
            named: wish.profiles,
            requested_by: Some(by.to_owned()),
            is_plan: wish.is_plan,
            ..RunRequest::full("operator")
        };
        let now = self.clock.now();
        if let Some(id) = mutation_id
            && let Some(run) = run::find_run_once(&self.db, now, reach.id, &request, id).await.map_err(refused_run)?
        {
            return Ok(run);
        }
        reach.check_may_run().await?;
        // A new pass over the lists takes the decision away from whoever looks at the deletions of the last one.
        if !is_named && !request.is_plan {
            self.check_nothing_waits(reach).await?;
        }
        let run = match mutation_id {
            Some(id) => run::request_run_once(&self.db, now, reach.id, request, id).await,
            None => run::request_run(&self.db, now, reach.id, request).await,
        };
        let run = run.map_err(refused_run)?;
        tracing::info!(source, by, run = run.id, is_plan = run.is_plan, "run asked for");
        reach.wake();
        Ok(run)
    }

    async fn decide(
        &self,
        source: &str,
        run_id: i64,
        decision: RunDecision,
        by: &str,
    ) -> Result<sync_run::Model, Refused> {
        let (db, now) = (&self.db, self.clock.now());
        let outcome = match decision {
            RunDecision::Apply => {
                let reach = self.reach(source)?;
                reach.check_may_run().await?;
                self.check_nothing_waits(reach).await?;
                run::apply_plan(db, run_id, by).await
            }
            RunDecision::Cancel => run::cancel_run(db, now, run_id, by).await,
            RunDecision::Approve => run::approve_deletions(db, now, run_id, by).await,
            RunDecision::Reject => run::reject_deletions(db, now, run_id, by).await,
        };
        let run = outcome.map_err(refused_run)?;
        tracing::info!(source, by, run = run.id, ?decision, "run decided on");
        if let Some(reach) = self.sources.get(source) {
            reach.wake();
        }
        Ok(run)
    }

    async fn check_nothing_waits(&self, reach: &Reach) -> Result<(), Refused> {
        match run::waiting_for_approval(&self.db, reach.id).await.map_err(|error| Refused::Failed(error.into()))? {
            Some(run_id) => Err(Refused::DeletionsNeedApproval { run_id }),
            None => Ok(()),
        }
    }

    async fn operate(
        &self,
        which: DeliveryFilter,
        operation: DeliveryOperation,
        by: &str,
        reach: TouchReach,
    ) -> Result<Touched, Refused> {
        let operation = match operation {
            DeliveryOperation::Retry => Operation::Retry,
            DeliveryOperation::Replay => Operation::Replay,
            DeliveryOperation::Discard { reason } => {
                Operation::Discard { reason: format!("discarded by {by}: {reason}") }
            }
        };
        if let Some(state) = which.states.iter().find(|state| !operation.takes().contains(state)) {
            let taken: Vec<String> = operation.takes().iter().map(word).collect();
            let message =
                format!("deliveries that are {} are not taken here, only {}", word(state), taken.join(" and "));
            return Err(Refused::BadInput { field: "filter.states", message });
        }
        let selection = Selection {
            source_id: which.source_id,
            ids: which.ids,
            kinds: which.kinds,
            states: which.states,
            received_from: which.received_from,
            received_before: which.received_before,
            has_reason: which.has_reason,
            after: reach.after,
        };
        let touched = if reach.is_dry_run {
            inbox::count_selected(&self.db, &selection, &operation).await
        } else {
            inbox::operate(&self.db, self.clock.now(), &selection, &operation).await
        };
        let touched = touched.map_err(|error| Refused::Failed(error.into()))?;
        if !reach.is_dry_run {
            tracing::info!(by, ?operation, count = touched.count, "deliveries touched");
            for reach in self.sources.values().filter(|reach| touched.sources.contains(&reach.id)) {
                reach.apply_wake.notify_one();
            }
        }
        Ok(Touched { count: touched.count, has_more: touched.has_more, last: touched.last })
    }
}

/// A state as the schema writes it.
fn word(state: &entity::DeliveryState) -> String {
    state.to_value().to_uppercase()
}

impl Operations for StageOperations {
    fn pause_source<'a>(&'a self, source: &'a str, by: &'a str, reason: &'a str) -> BoxFuture<'a, Outcome> {
        Box::pin(async move { self.reach(source)?.gate.pause(by, reason).await.map_err(refused) })
    }

    fn resume_source<'a>(&'a self, source: &'a str, by: &'a str) -> BoxFuture<'a, Outcome> {
        Box::pin(async move { self.reach(source)?.gate.resume(by).await.map_err(refused) })
    }

    fn request_run<'a>(
        &'a self,
        source: &'a str,
        by: &'a str,
        wish: RunWish,
        mutation_id: Option<&'a str>,
    ) -> BoxFuture<'a, Result<sync_run::Model, Refused>> {
        Box::pin(self.request(source, by, wish, mutation_id))
    }

    fn decide_run<'a>(
        &'a self,
        source: &'a str,
        run_id: i64,
        decision: RunDecision,
        by: &'a str,
    ) -> BoxFuture<'a, Result<sync_run::Model, Refused>> {
        Box::pin(self.decide(source, run_id, decision, by))
    }

    fn operate_deliveries<'a>(
        &'a self,
        which: DeliveryFilter,
        operation: DeliveryOperation,
        by: &'a str,
        reach: TouchReach,
    ) -> BoxFuture<'a, Result<Touched, Refused>> {
        Box::pin(self.operate(which, operation, by, reach))
    }

    fn is_configured(&self, source: &str) -> bool {
        self.sources.contains_key(source)
    }

    fn budget(&self, source: &str) -> Option<Budget> {
        let reading = self.sources.get(source)?.upstream.as_ref()?.budget();
        Some(shown(&reading))
    }
}

fn refused(error: PauseError) -> Refused {
    match error {
        PauseError::PausedAlready { by, since, reason } => Refused::PausedAlready { by, since, reason },
        PauseError::Database(error) => Refused::Failed(Box::new(error)),
    }
}

/// Two people at the same moment.
const AT_ONCE: &str = "another run of this source has begun at the same moment: look at it first";

fn refused_run(error: RunRequestError) -> Refused {
    match error {
        // It has ended since it stood in the way.
        RunRequestError::UnderWay { run_id: 0 } => Refused::RunState(AT_ONCE.to_owned()),
        RunRequestError::UnderWay { run_id } => Refused::RunInProgress { run_id },
        error @ RunRequestError::WrongState { .. } => Refused::RunState(error.to_string()),
        error @ RunRequestError::Unknown { .. } => Refused::BadInput { field: "run", message: error.to_string() },
        error @ RunRequestError::Named { .. } => {
            Refused::BadInput { field: "input.profiles", message: error.to_string() }
        }
        error @ RunRequestError::OtherRequest { .. } => {
            Refused::BadInput { field: "input.clientMutationId", message: error.to_string() }
        }
        // Two people at the same moment: the database lets one of them through.
        RunRequestError::Database(error) if matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_))) => {
            Refused::RunState(AT_ONCE.to_owned())
        }
        RunRequestError::Database(error) => Refused::Failed(error.into()),
    }
}

fn shown(reading: &BudgetReading) -> Budget {
    let [waiting_live, waiting_repair, waiting_sync] = reading.waiting;
    Budget {
        limit_per_minute: reading.limit_per_minute,
        remaining: reading.remaining,
        remaining_ratio: reading.remaining_ratio,
        concurrency: reading.concurrency,
        waiting_live,
        waiting_repair,
        waiting_sync,
        paused_until: reading.paused_until,
    }
}
