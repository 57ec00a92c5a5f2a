//! The stages of one source, each taking a step when it is told to.

use crate::seam::{self, Held, HeldCall, Holds, VirtualClock};
use crate::world::{self, PublishedKeys};
use bytes::Bytes;
use chrono::Duration;
use entity::{
    DeliveryKind, DeliveryState, FetchState, Moment, Purpose, RunState, delivery, fetch_request, source_state, sync_run,
};
use futures::future::LocalBoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue, Response, Uri};
use profile_mirror::app::{WiredSource, wire_source};
use profile_mirror::apply::Applier;
use profile_mirror::clock::{Clock, SharedClock, SystemClock};
use profile_mirror::config;
use profile_mirror::db::Database;
use profile_mirror::inbox::{Along, Inbox, NewDelivery};
use profile_mirror::ingest::run::{self, RunRequest, RunRequestError};
use profile_mirror::ingest::{PauseError, Puller, Runner, Wire, WireError};
use provider::{Inbound, KeyLookup, Receipt, VerifyContext};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use simulator::{ProviderKind, SignedWebhook, Simulator};
use std::sync::Arc;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Calls that a source may have under way at once; more than the driver ever starts.
const CONCURRENCY: usize = 12;
/// Longest time that a step may take on the machine's clock: it never waits for anything that the driver holds.
const STUCK: std::time::Duration = std::time::Duration::from_secs(20);

/// What a source does to come true, and what it waits for.
pub struct Stages {
    /// Name of the source.
    pub name: String,
    /// Id of the source.
    pub source_id: i32,
    db: Database,
    simulator: Arc<Simulator>,
    clock: Arc<VirtualClock>,
    holds: Holds,
    wired: WiredSource,
    inbox: Inbox,
    instances: u32,
    applier: Applier,
    puller: Arc<Puller>,
    runner: Arc<Runner>,
    stop: CancellationToken,
    /// Fetches under way.
    pub fetches: Vec<Flight>,
    /// The run under way.
    pub run: Option<Flight>,
}

/// Work of a stage that has begun and waits for something.
pub struct Flight {
    /// What it is, for people.
    pub name: String,
    work: LocalBoxFuture<'static, Result<(), String>>,
    held: Waits,
}

enum Waits {
    /// The request is on its way to upstream.
    Asked(HeldCall),
    /// The answer is on its way back.
    Answered(HeldCall, Result<Response<Bytes>, WireError>),
    /// A pause.
    Pause(crate::seam::HeldPause),
}

impl std::fmt::Display for Waits {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::Asked(_) => "asking",
            Self::Answered(..) => "being answered",
            Self::Pause(_) => "pausing",
        })
    }
}

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

/// How far a flight came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leg {
    /// It waits for something again.
    Waits,
    /// It has ended, well or not.
    Ended(Result<(), String>),
}

impl Stages {
    /// Configures a source that mirrors a provider of the world, and starts its stages.
    pub async fn open(
        db: &Database,
        simulator: &Arc<Simulator>,
        kind: ProviderKind,
        name: String,
        brake: config::Brake,
    ) -> Self {
        let (clock, wire, holds) = seam::seams(simulator, Moment::from(simulator.now()));
        let mut config = world::source(simulator, kind);
        config.name.clone_from(&name);
        config.sync.concurrency = CONCURRENCY;
        config.sync.brake = brake;
        let lookup: Arc<dyn KeyLookup> = PublishedKeys::of(simulator);
        let (shared, wire): (SharedClock, Arc<dyn Wire>) = (clock.clone(), wire);
        let wired = wire_source(db, &shared, &lookup, &wire, &config).await.expect("the source is configured");
        let stop = CancellationToken::new();
        let (inbox, _) = Inbox::open(db.clone(), shared.clone(), stop.clone(), |_| {});
        let (applier, puller, runner) = start(db, &shared, &wired, &inbox, 1);
        Self {
            name,
            source_id: wired.id,
            db: db.clone(),
            simulator: simulator.clone(),
            clock,
            holds,
            wired,
            inbox,
            instances: 1,
            applier,
            puller,
            runner,
            stop,
            fetches: Vec::new(),
            run: None,
        }
    }

    /// The database.
    pub fn db(&self) -> &Database {
        &self.db
    }

    /// The time now.
    pub fn now(&self) -> Moment {
        self.clock.now()
    }

    /// Lets time pass, for the world as well.
    pub fn pass(&self, ms: i64) {
        self.clock.advance_ms(ms);
        self.simulator.advance(Duration::milliseconds(ms));
    }

    /// Kills the service and starts another instance on the same database: nothing in memory stays.
    pub fn kill(&mut self) {
        self.fetches.clear();
        self.run = None;
        while self.holds.try_recv().is_ok() {}
        self.instances += 1;
        let shared: SharedClock = self.clock.clone();
        let (applier, puller, runner) = start(&self.db, &shared, &self.wired, &self.inbox, self.instances);
        (self.applier, self.puller, self.runner) = (applier, puller, runner);
    }

    /// A webhook arrives. False where it is not the kind that is kept.
    pub async fn receive(&self, webhook: &SignedWebhook) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in &webhook.headers {
            headers.append(HeaderName::try_from(name.as_str()).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        let body = Bytes::from(webhook.body.clone());
        let url: Uri = webhook.url.parse().unwrap();
        let inbound = Inbound { method: "POST", path_and_query: url.path(), headers: &headers, body: &body };
        let context = VerifyContext { now: SystemClock.today(), registered_url: &webhook.url };
        let receipt = self.wired.provider.verify(&inbound, &context).await.expect("it is genuine");
        let Receipt::Accept { dedupe_key } = receipt else { return false };
        let media_type = webhook.header("content-type").unwrap().split(';').next().unwrap().to_owned();
        let delivery = NewDelivery {
            source_id: self.source_id,
            kind: DeliveryKind::Webhook,
            dedupe_key,
            media_type,
            headers: "{}".to_owned(),
            body,
            context: None,
            along: Along::Nothing,
        };
        self.inbox.append(delivery).await.expect("kept");
        true
    }

    /// Applies what is due, if this instance holds the lease.
    pub async fn apply(&mut self) {
        let stop = self.stop.clone();
        tokio::time::timeout(STUCK, self.applier.apply_pending(&stop)).await.expect("apply ends").expect("apply works");
    }

    /// Starts so many of the fetches that are due for each purpose, in the order of what they fetch. Returns how many.
    pub async fn start_fetches(&mut self, most: usize) -> usize {
        let upstream = self.wired.upstream.clone().expect("the source has a token");
        let places = Purpose::ALL.map(|purpose| (purpose, if upstream.is_ready(purpose) { most } else { 0 }));
        let mut claimed = self.puller.claim(places).await.expect("claim");
        claimed.sort_by_cached_key(|request| request.target_key.clone());
        let count = claimed.len();
        for request in claimed {
            let (puller, name) = (self.puller.clone(), format!("fetch {}", request.target_key));
            let work: LocalBoxFuture<'static, _> = Box::pin(async move {
                puller.fetch(request).await;
                Ok(())
            });
            if let (Some(flight), _) = self.take_off(name, work).await {
                self.fetches.push(flight);
            }
        }
        count
    }

    /// Starts to look whether the source's own pause may end, where that is due.
    pub async fn tend(&mut self) {
        let (gate, upstream, wake) =
            (self.wired.gate.clone(), self.wired.upstream.clone(), self.wired.pull_wake.clone());
        let instance = instance(self.instances);
        let work: LocalBoxFuture<'static, _> = Box::pin(async move {
            gate.tend(upstream.as_deref(), &instance, &wake, false).await;
            Ok(())
        });
        if let (Some(flight), _) = self.take_off("probe".to_owned(), work).await {
            self.fetches.push(flight);
        }
    }

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

    /// Starts to carry on the run that is under way, or what is due.
    pub async fn start_run(&mut self) -> Leg {
        let (runner, stop) = (self.runner.clone(), self.stop.clone());
        let work: LocalBoxFuture<'static, _> = Box::pin(async move {
            let ended = runner.carry_on(&stop).await;
            ended.map(drop).map_err(|error| error.to_string())
        });
        let (flight, leg) = self.take_off("run".to_owned(), work).await;
        self.run = flight;
        leg
    }

    async fn take_off(
        &mut self,
        name: String,
        mut work: LocalBoxFuture<'static, Result<(), String>>,
    ) -> (Option<Flight>, Leg) {
        match self.until_held(&name, &mut work).await {
            Ok(held) => (Some(Flight { name, work, held }), Leg::Waits),
            Err(ended) => (None, Leg::Ended(ended)),
        }
    }

    /// Lets work go on until it waits for the clock or the network, or ends.
    async fn until_held(
        &mut self,
        name: &str,
        work: &mut LocalBoxFuture<'static, Result<(), String>>,
    ) -> Result<Waits, Result<(), String>> {
        loop {
            tokio::select! {
                biased;
                ended = &mut *work => return Err(ended),
                held = self.holds.recv() => match held.expect("the seams are open") {
                    Held::Call(call) => return Ok(Waits::Asked(*call)),
                    Held::Pause(pause) if pause.is_over() => {}
                    Held::Pause(pause) => return Ok(Waits::Pause(pause)),
                },
                () = tokio::time::sleep(STUCK) => panic!("{name} waits for something that nobody holds"),
            }
        }
    }

    /// Lets a fetch come one leg further: the request arrives upstream, or its answer arrives here.
    pub async fn advance_fetch(&mut self, at: usize) -> Leg {
        let flight = self.fetches.remove(at);
        let (flight, leg) = self.advance(flight).await;
        if let Some(flight) = flight {
            self.fetches.insert(at, flight);
        }
        leg
    }

    /// Lets the run come one leg further.
    pub async fn advance_run(&mut self) -> Leg {
        let Some(flight) = self.run.take() else { return Leg::Ended(Err("there is none".to_owned())) };
        let (flight, leg) = self.advance(flight).await;
        self.run = flight;
        leg
    }

    async fn advance(&mut self, flight: Flight) -> (Option<Flight>, Leg) {
        let Flight { name, mut work, held } = flight;
        match held {
            Waits::Asked(call) => {
                let answer = seam::ask(&self.simulator, clone(&call.request)).await;
                return (Some(Flight { name, work, held: Waits::Answered(call, answer) }), Leg::Waits);
            }
            Waits::Answered(call, answer) => call.answer(answer),
            Waits::Pause(pause) => {
                self.pass((pause.until.0 - self.clock.now().0).max(0));
                pause.end();
            }
        }
        match self.until_held(&name, &mut work).await {
            Ok(held) => (Some(Flight { name, work, held }), Leg::Waits),
            Err(ended) => (None, Leg::Ended(ended)),
        }
    }

    /// Whether the run under way pauses.
    pub fn run_pauses(&self) -> bool {
        matches!(self.run, Some(Flight { held: Waits::Pause(_), .. }))
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

    /// Carries runs on until none is under way, and does everything that follows from them.
    ///
    /// # Errors
    /// They do not come to an end.
    pub async fn finish_runs(&mut self) -> Result<(), String> {
        for _ in 0..400 {
            if self.run.is_some() {
                if self.run_pauses() {
                    self.rest().await?;
                }
                self.apply().await;
                self.advance_run().await;
                continue;
            }
            self.rest().await?;
            let Some(run) = self.under_way().await else { return Ok(()) };
            if run.state == RunState::Sweeping {
                self.pass(500);
            } else {
                self.start_run().await;
            }
        }
        let run = self.under_way().await.map(|run| (run.id, run.state, run.sweep_stage, run.error));
        Err(format!("runs do not end: {run:?}"))
    }

    /// Does what is due until nothing is, moving the clock where something waits for its moment.
    ///
    /// # Errors
    /// It does not come to rest.
    pub async fn rest(&mut self) -> Result<(), String> {
        for _ in 0..300 {
            // One leg each: a fetch may wait for the place of another.
            let mut at = 0;
            while at < self.fetches.len() {
                if self.advance_fetch(at).await == Leg::Waits {
                    at += 1;
                }
            }
            if !self.fetches.is_empty() {
                // The run may have the only place that the budget has left.
                if self.run.is_some() && self.fetches.iter().all(|fetch| matches!(fetch.held, Waits::Pause(_))) {
                    self.advance_run().await;
                }
                continue;
            }
            self.apply().await;
            if self.start_fetches(CONCURRENCY).await > 0 {
                continue;
            }
            let Some(next) = self.next_due().await else { return Ok(()) };
            self.pass((next.0 - self.clock.now().0).max(1));
            self.apply().await;
            self.tend().await;
        }
        Err(format!("it does not come to rest: {}", self.tell_left().await))
    }

    /// What is left to do, for people.
    async fn tell_left(&self) -> String {
        let pending = delivery::Entity::find()
            .filter(delivery::Column::SourceId.eq(self.source_id))
            .filter(delivery::Column::State.eq(DeliveryState::Pending))
            .all(self.db.primary())
            .await
            .unwrap();
        let pending =
            pending.iter().map(|row| format!("{:?} {} after {} tries", row.kind, row.dedupe_key, row.attempts));
        let open = fetch_request::Entity::find()
            .filter(fetch_request::Column::SourceId.eq(self.source_id))
            .filter(fetch_request::Column::State.ne(FetchState::Parked))
            .all(self.db.primary())
            .await
            .unwrap();
        let open = open.iter().map(|row| {
            let (key, reason, error) = (&row.target_key, &row.reason, &row.last_error);
            format!("{:?} {key} ({reason}) after {} misses, {} tries, {error:?}", row.state, row.misses, row.attempts)
        });
        let flights = self.fetches.iter().chain(&self.run).map(|flight| format!("{} is {}", flight.name, flight.held));
        pending.chain(open).chain(flights).collect::<Vec<_>>().join("; ")
    }

    /// When the next delivery or fetch is due; none where nothing is left.
    async fn next_due(&self) -> Option<Moment> {
        let pending: Option<Option<i64>> = delivery::Entity::find()
            .filter(delivery::Column::SourceId.eq(self.source_id))
            .filter(delivery::Column::State.eq(DeliveryState::Pending))
            .select_only()
            .column_as(delivery::Column::NextAttemptAt.min(), "due")
            .into_tuple()
            .one(self.db.primary())
            .await
            .unwrap();
        let open = fetch_request::Entity::find()
            .filter(fetch_request::Column::SourceId.eq(self.source_id))
            .filter(fetch_request::Column::State.is_in([
                FetchState::Pending,
                FetchState::Running,
                FetchState::Answered,
            ]))
            .order_by_asc(fetch_request::Column::NotBefore)
            .all(self.db.primary())
            .await
            .unwrap();
        // Whoever has claimed one and is gone: the claim runs out.
        let due = |request: &fetch_request::Model| match request.state {
            FetchState::Running => request.claimed_until.plus_ms(1),
            _ => request.not_before,
        };
        let due = open.iter().map(due).chain(pending.flatten().map(Moment)).min();
        let state = source_state::Entity::find_by_id(self.source_id).one(self.db.primary()).await.unwrap();
        let probe = state.filter(|state| state.paused_by.is_none() && state.paused_at.is_some());
        match probe.and_then(|state| state.probe_at) {
            Some(at) => Some(at),
            // The budget may know better: a second at a time.
            None => due.map(|at| if at <= self.now() { self.now().plus_ms(1_000) } else { at }),
        }
    }

    /// Whether anything was given up that only a person or a run brings back.
    pub async fn has_given_up(&self) -> bool {
        let parked = fetch_request::Entity::find()
            .filter(fetch_request::Column::SourceId.eq(self.source_id))
            .filter(fetch_request::Column::State.eq(FetchState::Parked));
        let unread = delivery::Entity::find()
            .filter(delivery::Column::SourceId.eq(self.source_id))
            .filter(delivery::Column::State.eq(DeliveryState::Parked));
        parked.one(self.db.primary()).await.unwrap().is_some() || unread.one(self.db.primary()).await.unwrap().is_some()
    }

    /// Ends everything.
    pub fn close(self) {
        self.stop.cancel();
    }
}

fn start(
    db: &Database,
    clock: &SharedClock,
    wired: &WiredSource,
    inbox: &Inbox,
    number: u32,
) -> (Applier, Arc<Puller>, Arc<Runner>) {
    let instance = instance(number);
    let applier = wired.applier(db, clock, &instance, Arc::new(Notify::new()), |_| {});
    let puller = wired.puller(db, clock, inbox, &instance).expect("the source has a token");
    let runner = wired.runner(db, clock, inbox, &instance).expect("the source has a token");
    (applier, Arc::new(puller), Arc::new(runner))
}

fn instance(number: u32) -> String {
    format!("instance-{number}")
}

fn clone(request: &http::Request<Bytes>) -> http::Request<Bytes> {
    let mut copy = http::Request::new(request.body().clone());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    copy
}
