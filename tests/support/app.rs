//! The service under test, in this process, with a simulated world upstream.

use super::clock::MovableClock;
use super::graphql::Client;
use super::picture::Picture;
use super::place::TestDatabase;
use super::socket::Subscription;
use super::world::{self, PublishedKeys, SOURCES, Terms};
use super::{answers, rows};
use entity::{DeliveryState, delivery, fetch_request, source_state, sync_run};
use profile_mirror::app::{self, AppOptions, Running, SyncError};
use profile_mirror::clock::Clock;
use profile_mirror::config::{Access, AccessKey, Config, Role, Secret};
use profile_mirror::db::Database;
use profile_mirror::inbox::Backlog;
use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder};
use serde_json::{Value, json};
use simulator::{ProviderKind, RetryPolicy, SignedWebhook, Simulator, TruthStatus};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The key of the role *admin*.
pub const ADMIN: &str = "admin-key-for-tests-0123456789abcdef";
/// The key of the role *reader*.
pub const READER: &str = "reader-key-for-tests-0123456789abcdef";

/// Longest wait until nothing is left to do. A page that is refused again and again is given up after a minute of pauses.
const DRAIN: Duration = Duration::from_secs(180);
/// So long a webhook is posted again that is not answered, or as *busy*.
const COMES_BACK: Duration = Duration::from_secs(60);
/// Longer than any worker looks for what is due.
const STANDSTILL: Duration = Duration::from_secs(3);

/// How long the backlog has been the same.
#[derive(Default)]
struct Standstill(Option<(Backlog, Instant)>);

impl Standstill {
    /// Whether it has been so for long; counts anew then.
    fn has_lasted(&mut self, left: Backlog) -> bool {
        let since = self.0.filter(|(known, _)| *known == left).map_or_else(Instant::now, |(_, since)| since);
        let has_lasted = since.elapsed() > STANDSTILL;
        self.0 = (!has_lasted).then_some((left, since));
        has_lasted
    }
}

type Reconfigure = Box<dyn FnOnce(&mut Config) + Send>;

/// What an application under test starts with.
pub struct Builder {
    database: TestDatabase,
    profiles: usize,
    tolerance_seconds: Option<u32>,
    configure: Vec<Reconfigure>,
}

impl Builder {
    /// About so many profiles upstream; 60 unless told otherwise.
    pub fn profiles(mut self, profiles: usize) -> Self {
        self.profiles = profiles;
        self
    }

    /// Leaves the age window of webhooks at each provider's own default. Otherwise it is a day, because waiting for
    /// pauses moves the clock ahead of the one that signs.
    pub fn default_age_window(mut self) -> Self {
        self.tolerance_seconds = None;
        self
    }

    /// Changes the configuration.
    pub fn configure(mut self, change: impl FnOnce(&mut Config) + Send + 'static) -> Self {
        self.configure.push(Box::new(change));
        self
    }

    /// Starts the world and the service, with an empty mirror.
    pub async fn start(self) -> TestApp {
        let simulator = Arc::new(world::start(7, self.profiles).await);
        for provider in ProviderKind::ALL {
            simulator.set_retry_policy(provider, persistent());
        }
        let mut config = configuration(&simulator, &self.database, self.tolerance_seconds);
        for change in self.configure {
            change(&mut config);
        }
        let clock = MovableClock::new();
        let running = run(&config, &clock, &simulator, "one").await;
        let app = TestApp { simulator, clock, config, running: Some(running), is_over: false };
        app.let_pass(0);
        app.register_webhooks();
        app
    }
}

/// The configuration of the three sources, one admin key and one reader key.
pub fn configuration(simulator: &Simulator, database: &TestDatabase, tolerance_seconds: Option<u32>) -> Config {
    let mut config = Config::default();
    config.server.listen = "127.0.0.1:0".to_owned();
    config.database.url = database.url.clone();
    // Whoever reads nothing while others import answers no ping, and is given up by nobody here.
    config.server.keep_alive_seconds = 600;
    config.sources = SOURCES.iter().map(|(provider, _)| world::source(simulator, *provider)).collect();
    for source in &mut config.sources {
        source.webhook.tolerance_seconds = tolerance_seconds;
    }
    let key =
        |name: &str, role, key: &str| AccessKey { name: name.to_owned(), role, key: Secret::Value(key.to_owned()) };
    config.access = Access { keys: vec![key("ops", Role::Admin, ADMIN), key("frontend", Role::Reader, READER)] };
    config
}

/// A machine that stands still for seconds has the inbox answer *busy*: as providers do, and longer, the sender comes back.
fn persistent() -> RetryPolicy {
    RetryPolicy { attempts: 1_000, first_pause: chrono::Duration::zero(), timeout: Duration::from_secs(30) }
}

async fn run(config: &Config, clock: &Arc<MovableClock>, simulator: &Simulator, instance: &str) -> Running {
    let options =
        AppOptions { clock: clock.clone(), key_lookup: PublishedKeys::of(simulator), instance: instance.to_owned() };
    app::start(config.clone(), options).await.unwrap_or_else(|error| panic!("start the service: {error:#}"))
}

/// A running service. It must be ended with [`TestApp::finish`].
pub struct TestApp {
    /// The world upstream.
    pub simulator: Arc<Simulator>,
    /// The service's clock.
    pub clock: Arc<MovableClock>,
    /// The service's configuration.
    pub config: Config,
    running: Option<Running>,
    is_over: bool,
}

impl TestApp {
    /// A builder with the world of seed 7.
    pub fn builder(database: &TestDatabase) -> Builder {
        Builder { database: database.clone(), profiles: 60, tolerance_seconds: Some(86_400), configure: Vec::new() }
    }

    /// A service whose mirror holds the world already, for so long that what comes now was on none of the lists.
    pub async fn imported(database: &TestDatabase) -> Self {
        let app = Self::builder(database).start().await;
        app.import_all().await;
        app.let_pass(6_000);
        app
    }

    /// Lets time pass for the service, and sets the world's clock by the service's.
    pub fn let_pass(&self, ms: i64) {
        self.clock.advance_ms(ms);
        let behind = self.clock.now().0 - self.simulator.now().timestamp_millis();
        self.simulator.advance(chrono::Duration::milliseconds(behind));
    }

    /// Another instance on the same database, with the sources registered under the URL of the first.
    pub async fn another_instance(&self, name: &str, clock: &Arc<MovableClock>) -> Running {
        let mut config = self.config.clone();
        config.server.public_url = Some(format!("http://{}", self.address()));
        run(&config, clock, &self.simulator, name).await
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("the service runs")
    }

    /// Where the service listens.
    pub fn address(&self) -> SocketAddr {
        self.running().address()
    }

    /// The service's database.
    pub fn database(&self) -> &Database {
        self.running().database()
    }

    /// A client with the admin's key.
    pub fn client(&self) -> Client {
        Client::new(self.address(), Some(ADMIN))
    }

    /// The address at which a source's webhooks are registered.
    pub fn webhook_url(&self, source: &str) -> String {
        format!("http://{}/webhooks/{source}", self.address())
    }

    fn register_webhooks(&self) {
        for (provider, source) in SOURCES {
            self.simulator.point_webhooks(provider, &self.webhook_url(source));
        }
    }

    /// Sends every webhook that the world has queued until each is answered 200; what is answered *busy*, or not in time, is
    /// sent again.
    pub async fn send(&self) {
        let started = Instant::now();
        while self.simulator.queued_webhooks() > 0 {
            for status in self.simulator.send_all().await {
                assert!(matches!(status, 200 | 503 | 0), "a genuine webhook is accepted: {status}");
            }
            assert!(started.elapsed() < DRAIN, "the inbox is busy all the time");
        }
    }

    /// Posts one webhook and returns the status of the answer; comes back where the inbox is busy.
    pub async fn post(&self, webhook: &SignedWebhook) -> u16 {
        let started = Instant::now();
        loop {
            match self.simulator.send(webhook).await {
                Ok(503) | Err(_) if started.elapsed() < COMES_BACK => {
                    tokio::time::sleep(Duration::from_millis(50)).await
                }
                answer => return answer.expect("an answer"),
            }
        }
    }

    /// Waits until every delivery is settled, every fetch is answered and every run has ended. Where something
    /// waits for its moment, the clock is moved.
    pub async fn drain(&self) {
        let started = Instant::now();
        let mut standstill = Standstill::default();
        loop {
            assert!(
                started.elapsed() < DRAIN,
                "{:?} does not end: {}",
                self.running().backlog().await,
                self.open().await
            );
            if self.move_on(&mut standstill).await {
                return;
            }
        }
    }

    /// What is left to do, row by row.
    async fn open(&self) -> String {
        let requests = fetch_request::Entity::find().all(self.database().primary()).await.expect("fetch requests");
        let pending = delivery::Entity::find().filter(delivery::Column::State.eq(DeliveryState::Pending));
        let pending = pending.all(self.database().primary()).await.expect("deliveries");
        let pending: Vec<_> = pending.iter().map(|row| (row.id, row.kind, row.attempts, row.next_attempt_at)).collect();
        format!("at {:?} {requests:?} and deliveries {pending:?}", self.clock.now())
    }

    /// Moves the clock to the next moment where nothing happens before it; true where there is none and nothing is
    /// left to do.
    async fn move_on(&self, standstill: &mut Standstill) -> bool {
        let left = self.running().backlog().await.expect("the backlog");
        match left.next_due {
            None if left.due == 0 => return true,
            // A run may wait for what is put off.
            Some(next) if left.due == left.runs => self.clock.advance_ms((next.0 - self.clock.now().0).max(1)),
            // What is due may wait for a pause of the budget, of which the backlog does not know.
            _ if standstill.has_lasted(left) => self.clock.advance_ms(1_000),
            _ => {}
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
        false
    }

    /// Syncs a source to the end of the run, moving the clock where it waits.
    pub async fn sync(&self, source: &str) -> Result<sync_run::Model, SyncError> {
        let mut sync = std::pin::pin!(self.running().sync(source, "test", |_| {}));
        let started = Instant::now();
        let mut standstill = Standstill::default();
        loop {
            tokio::select! {
                outcome = &mut sync => return outcome,
                _ = self.move_on(&mut standstill) => assert!(started.elapsed() < DRAIN, "a run of {source} does not end"),
            }
        }
    }

    /// The newest run of a source.
    pub async fn newest_run(&self, source: &str) -> sync_run::Model {
        self.runs(source).await.into_iter().next().expect("a run")
    }

    /// A run by its id.
    pub async fn run_of(&self, id: i64) -> sync_run::Model {
        sync_run::Entity::find_by_id(id).one(self.database().primary()).await.unwrap().expect("the run")
    }

    /// Moves the clock to the moment at which a failed run is tried again, and waits for its end.
    pub async fn tried_again(&self, failed: &sync_run::Model) -> sync_run::Model {
        let retry_at = failed.retry_at.expect("it is tried again");
        self.clock.advance_ms((retry_at.0 - self.clock.now().0).max(0));
        let started = Instant::now();
        while self.run_of(failed.id).await.attempt == failed.attempt {
            assert!(started.elapsed() < DRAIN, "it is not tried again");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.drain().await;
        self.run_of(failed.id).await
    }

    /// Row id of a source.
    pub async fn source_id(&self, source: &str) -> i32 {
        profile_mirror::ingest::run::find_source(self.database(), source).await.unwrap().expect("a source")
    }

    /// What moves about a source.
    pub async fn source_state(&self, source: &str) -> source_state::Model {
        let id = self.source_id(source).await;
        source_state::Entity::find_by_id(id).one(self.database().primary()).await.unwrap().expect("a state")
    }

    /// Posts one webhook and returns the whole answer.
    pub async fn raw_post(&self, webhook: &SignedWebhook) -> reqwest::Response {
        let client = reqwest::Client::builder().tls_certs_only([]).build().expect("build a client");
        let mut request = client.post(&webhook.url).body(webhook.body.clone());
        for (name, value) in &webhook.headers {
            request = request.header(name, value);
        }
        request.send().await.expect("an answer")
    }

    /// What `/readyz` tells of a source.
    pub async fn readiness(&self, source: &str) -> Value {
        let client = reqwest::Client::builder().tls_certs_only([]).build().expect("build a client");
        let request = client.get(format!("http://{}/readyz", self.address())).bearer_auth(ADMIN);
        let answer = request.send().await.expect("an answer");
        let mut readiness: Value = answer.json().await.expect("its JSON");
        readiness["sources"][source].take()
    }

    /// How many deliveries the inbox holds, over all sources.
    pub async fn deliveries_in_all(&self) -> u64 {
        delivery::Entity::find().count(self.database().reader()).await.unwrap()
    }

    /// How many deliveries are still to be applied, due or not.
    pub async fn unsettled_in_all(&self) -> u64 {
        let pending = delivery::Entity::find().filter(delivery::Column::State.eq(DeliveryState::Pending));
        pending.count(self.database().reader()).await.unwrap()
    }

    /// How much is due now.
    pub async fn running_backlog(&self) -> u64 {
        self.running().backlog().await.expect("the backlog").due
    }

    /// Subscriptions that follow the change log.
    pub fn followers(&self) -> usize {
        self.running().publisher().subscribers()
    }

    /// Waits until nothing is due; what is put off stays put off.
    pub async fn drain_what_is_due(&self) {
        self.running().drain(DRAIN).await.expect("nothing is due in time");
    }

    /// Sends what is queued and waits until all of it is in the mirror.
    pub async fn settle(&self) {
        self.send().await;
        self.drain().await;
    }

    /// Runs a full import of a source and waits for its end.
    pub async fn import(&self, source: &str) {
        self.sync(source).await.unwrap_or_else(|error| panic!("import {source}: {error}"));
        self.drain().await;
    }

    /// Asks for a full run of a source and leaves the clock alone. [`Self::import`] joins that run.
    pub async fn begin_sync(&self, source: &str) {
        let document = "mutation($source: String!) { resync(input: { source: $source }) { problems { message } } }";
        let answer = self.client().query(document, json!({ "source": source })).await;
        assert_eq!(answer["resync"]["problems"], json!([]), "a run of {source}");
    }

    /// Imports all three sources.
    pub async fn import_all(&self) {
        for (_, source) in SOURCES {
            self.import(source).await;
        }
    }

    /// Stops the service and starts it again on the same database.
    pub async fn restart(&mut self) {
        self.running.take().expect("the service runs").stop().await;
        self.running = Some(run(&self.config, &self.clock, &self.simulator, "one").await);
        self.register_webhooks();
    }

    /// The same, with so much time between the stop and the start.
    pub async fn restart_after(&mut self, pause: Duration) {
        self.running.take().expect("the service runs").stop().await;
        self.clock.advance_ms(i64::try_from(pause.as_millis()).expect("a pause"));
        self.running = Some(run(&self.config, &self.clock, &self.simulator, "one").await);
        self.register_webhooks();
    }

    /// All runs of a source, the newest first.
    pub async fn runs(&self, source: &str) -> Vec<sync_run::Model> {
        let id = self.source_id(source).await;
        let runs = sync_run::Entity::find().filter(sync_run::Column::SourceId.eq(id));
        runs.order_by_desc(sync_run::Column::Id).all(self.database().primary()).await.unwrap()
    }

    /// Subscribes with the reader's key.
    pub async fn subscribe(&self, document: &str, variables: Value) -> Subscription {
        Subscription::open(self.address(), READER, document, variables).await
    }

    /// Holds the tables of every source against the world.
    pub async fn assert_rows_equal_world(&self) {
        for (provider, source) in SOURCES {
            let picture = rows::picture(self.database(), source).await;
            picture.assert_equals(&self.truth(provider), source);
        }
    }

    /// The same, but for profiles that ended upstream without a word: only a sweep finds those.
    pub async fn assert_rows_equal_world_but_for_silent_ends(&self, seed: u64) {
        for (provider, source) in SOURCES {
            let mut wanted = self.truth(provider);
            let mut found = rows::picture(self.database(), source).await;
            if provider != ProviderKind::Copernica {
                let truth = self.simulator.truth(provider);
                let silent = truth.profiles.iter().filter(|(_, profile)| profile.status == TruthStatus::Deleted);
                let silent = silent.map(|(id, _)| id.clone()).collect();
                wanted.forget(&silent);
                found.forget(&silent);
            }
            found.assert_equals(&wanted, &format!("{source} (PROFILE_MIRROR_TEST_SEED={seed})"));
        }
    }

    /// Holds what the API answers, all pages of every source, against the world.
    pub async fn assert_answers_equal_world(&self) {
        let client = self.client();
        for (provider, source) in SOURCES {
            let picture = answers::picture(&client, source).await;
            picture.assert_equals(&self.truth(provider).readable(), source);
        }
    }

    /// The picture of a perfect mirror of a provider.
    pub fn truth(&self, provider: ProviderKind) -> Picture {
        Picture::of_truth(&self.simulator.truth(provider), &Terms::of(&self.simulator, provider))
    }

    /// Ends the test: everything sent, nothing left to do, and the mirror equal to the world.
    pub async fn finish(mut self) {
        self.settle().await;
        self.assert_rows_equal_world().await;
        self.assert_answers_equal_world().await;
        self.stop().await;
    }

    /// Ends a test whose world the mirror cannot know, with nothing left to do.
    pub async fn finish_apart_from_world(mut self) {
        self.drain().await;
        self.stop().await;
    }

    async fn stop(&mut self) {
        self.is_over = true;
        if let Some(running) = self.running.take() {
            running.stop().await;
        }
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        assert!(self.is_over || std::thread::panicking(), "end the test with finish()");
    }
}
