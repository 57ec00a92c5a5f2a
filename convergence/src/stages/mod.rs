//! The stages of one source, each taking a step when it is told to.
//!
//! `steps` is what can be told, `flight` the work that has begun and waits for the clock or the network, `operate` what
//! people do, `rest` goes on until nothing is due.

mod flight;
mod operate;
mod rest;
mod steps;

pub use flight::{Flight, Leg};
pub use operate::Decision;

use crate::seam::{self, Holds, VirtualClock};
use crate::world::{self, PublishedKeys};
use chrono::Duration;
use entity::Moment;
use profile_mirror::app::{WiredSource, wire_source};
use profile_mirror::apply::Applier;
use profile_mirror::clock::{Clock, SharedClock};
use profile_mirror::config;
use profile_mirror::db::{Database, Dialect};
use profile_mirror::inbox::Inbox;
use profile_mirror::ingest::{Puller, Runner, Wire};
use provider::KeyLookup;
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use simulator::{ProviderKind, Simulator};
use std::sync::Arc;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Calls that a source may have under way at once; more than the driver ever starts.
const CONCURRENCY: usize = 12;
/// Seconds that a step may take: it never waits for anything that the driver holds.
const PATIENCE: u32 = 20;
/// How long the sessions of a server are looked for.
const LOOK: std::time::Duration = std::time::Duration::from_secs(5);
/// A service that finds no room in its database when it starts ends, and is started again as often.
const STARTS: usize = 5;

/// Ends once a step has had all the time that it may take. Where the whole machine stands still, for however long, that
/// counts as one second: nothing could have gone on meanwhile.
async fn patience() {
    for _ in 0..PATIENCE {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
}

/// What the server does for this database, where it is PostgreSQL: whether a step waits for it, and what for.
async fn tell_sessions(db: &Database) -> String {
    const SESSIONS: &str = "SELECT concat_ws(' ', pid, state, wait_event_type, wait_event, \
        round(extract(epoch FROM clock_timestamp() - state_change)::numeric, 1), 's:', left(query, 90)) \
        FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() ORDER BY state_change";
    if db.dialect() != Dialect::Postgres {
        return "the database is in this process".to_owned();
    }
    let statement = Statement::from_string(DbBackend::Postgres, SESSIONS);
    let sessions = tokio::time::timeout(LOOK, db.primary().query_all_raw(statement)).await;
    match sessions {
        Ok(Ok(rows)) => {
            let told = rows.iter().map(|row| row.try_get_by_index::<String>(0).unwrap_or_default());
            told.collect::<Vec<_>>().join("; ")
        }
        Ok(Err(error)) => format!("its sessions cannot be read: {error}"),
        Err(_) => "its sessions cannot be read either".to_owned(),
    }
}

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
        let mut wired = wire_source(db, &shared, &lookup, &wire, &config).await;
        for _ in 1..STARTS {
            if wired.is_err() {
                wired = wire_source(db, &shared, &lookup, &wire, &config).await;
            }
        }
        let wired = wired.expect("the source is configured");
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
