//! Wiring: the one module that knows every stage. Starts them, stops them in the opposite order.
//!
//! `source` makes one configured source ready, `operations` fills the handle that mutations call, `workers` knows what
//! works in the background and `crew` keeps it at work, `listen` takes connections.

mod crew;
mod listen;
mod operations;
mod source;
mod workers;

use self::crew::Crew;
use self::listen::Limits;
use self::operations::StageOperations;
pub use self::source::{WiredSource, wire_source};
use self::workers::Workplace;
use crate::clock::{SharedClock, SystemClock};
use crate::config::{Config, ConfigError};
use crate::db::{self, Database, DatabaseError};
use crate::inbox::{self, Backlog, Inbox};
use crate::ingest::run::{RunRequest, RunRequestError, request_run};
use crate::ingest::{self, BodyRoom, DnsKeys, Door, Doors, HttpWire, Refusals, Schedule, ScheduleError, Wire};
use crate::publish::Publisher;
use crate::serve::{self, Access, Registered, ServeState};
use entity::{RunState, sync_run};
use futures::future::BoxFuture;
use provider::{KeyLookup, SettingsError};
use sea_orm::{DbErr, EntityTrait};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Longest time that a stop takes.
const STOP_DEADLINE: Duration = Duration::from_secs(9);
/// Longest time of it that requests under way may take: a client that stalls must not keep the rest from stopping.
const REQUESTS_DEADLINE: Duration = Duration::from_secs(5);

/// What a process brings along beside its configuration.
pub struct AppOptions {
    /// Tells the time.
    pub clock: SharedClock,
    /// Looks up signing keys.
    pub key_lookup: Arc<dyn KeyLookup>,
    /// Name of this instance, unique among those on one database.
    pub instance: String,
}

impl Default for AppOptions {
    fn default() -> Self {
        let instance = format!("{}-{:08x}", std::process::id(), rand::random::<u32>());
        Self { clock: Arc::new(SystemClock), key_lookup: Arc::new(DnsKeys::default()), instance }
    }
}

/// Why a sync has not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// The source has no token.
    #[error("source {source_name:?} has no token: set token in its configuration")]
    NoToken {
        /// The source.
        source_name: String,
    },
    /// It cannot be asked for.
    #[error(transparent)]
    Request(#[from] RunRequestError),
    /// It failed or was cancelled.
    #[error("run {run_id}: {problem}")]
    Ended {
        /// The run.
        run_id: i64,
        /// Why.
        problem: String,
    },
    /// The database refused.
    #[error("look at the run")]
    Database(#[from] DbErr),
    /// The service stops; the run resumes at its checkpoint after the next start.
    #[error("the service stops; the run goes on after the next start")]
    Stopped,
}

/// Why the service does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A source's settings are wrong.
    #[error("source {source_name:?}")]
    Settings {
        /// The source.
        source_name: String,
        /// Which setting, and what was expected.
        #[source]
        source: SettingsError,
    },
    /// The database cannot be reached or migrated.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The database refused.
    #[error("register the sources")]
    Register(#[from] DbErr),
    /// A schedule is wrong.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// The address cannot be listened on.
    #[error("listen on {address}: choose another with server.listen")]
    Listen {
        /// The address.
        address: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The HTTP client cannot be built.
    #[error("{0}")]
    Client(String),
}

/// A running service.
pub struct Running {
    address: SocketAddr,
    db: Database,
    clock: SharedClock,
    publisher: Arc<Publisher>,
    run_wakes: HashMap<String, (i32, Arc<Notify>)>,
    schedule: Schedule,
    stop_serving: CancellationToken,
    stop_working: CancellationToken,
    server: JoinHandle<()>,
    inbox_task: JoinHandle<()>,
    sockets: TaskTracker,
    crew: Crew,
}

/// Starts the service.
///
/// # Errors
/// [`StartError`], with what to mend.
pub fn start(config: Config, options: AppOptions) -> BoxFuture<'static, Result<Running, StartError>> {
    // Boxed, as the other entrances of the stages are: a crate that awaits the code itself compiles all of it again.
    Box::pin(start_here(config, options))
}

async fn start_here(config: Config, options: AppOptions) -> Result<Running, StartError> {
    let AppOptions { clock, key_lookup, instance } = options;
    let registered = Registered::from_config(&config.server).await?;
    let db = db::connect(&config.database.url, config.database.read_url.as_deref()).await?;
    if config.database.migrate {
        db.migrate().await?;
    }
    let listener = bind(&config.server.listen).await?;
    let address = listener.local_addr().map_err(|source| listen_error(&config.server.listen, source))?;
    let public_url = config.server.public_url.clone().unwrap_or_else(|| format!("http://{address}"));

    let wire: Arc<dyn Wire> = HttpWire::open().map_err(StartError::Client)?;
    let mut sources = Vec::with_capacity(config.sources.len());
    for source in &config.sources {
        sources.push(Arc::new(wire_source(&db, &clock, &key_lookup, &wire, source).await?));
    }

    let stop_serving = CancellationToken::new();
    let stop_working = CancellationToken::new();
    let crew = Crew::new(stop_working.clone());
    let wakes: HashMap<i32, Arc<Notify>> =
        sources.iter().map(|source| (source.id, source.apply_wake.clone())).collect();
    let (inbox, inbox_task) = Inbox::open(db.clone(), clock.clone(), stop_working.clone(), move |appended| {
        for wake in appended.iter().filter_map(|source_id| wakes.get(source_id)) {
            wake.notify_one();
        }
    });

    let inbox_task = crew.watch("inbox", stop_working.clone(), inbox_task);

    let publisher = Publisher::new(db.clone(), clock.clone());
    let refusals = Refusals::new(clock.clone());
    let work = Workplace {
        db: db.clone(),
        clock: clock.clone(),
        instance,
        inbox: inbox.clone(),
        publisher: publisher.clone(),
        refusals: refusals.clone(),
        cleaner_wake: Arc::new(Notify::new()),
        filterable: config.sources.iter().flat_map(|source| source.filterable.iter().cloned()).collect(),
    };
    work.start_shared(&crew);
    sources.iter().for_each(|source| work.start_source(source, &crew));
    let pulled = sources.iter().filter(|source| source.upstream.is_some());
    let run_wakes = pulled.map(|source| (source.config.name.clone(), (source.id, source.run_wake.clone()))).collect();
    let schedule = schedule_runs(&sources).await?;

    let doors = Arc::new(Doors { by_source: doors(&sources, &public_url), inbox, clock: clock.clone(), refusals });
    let access = Access::from_config(&config.access)?;
    Workplace::follow_keys(&access, &config.access, &crew);
    let sockets = TaskTracker::new();
    let router = ingest::router(doors).merge(serve::router(ServeState {
        publisher: publisher.clone(),
        clock: clock.clone(),
        operations: StageOperations::over(db.clone(), clock.clone(), &sources),
        access,
        registered,
        server: config.server.clone(),
        stop: stop_serving.clone(),
        sockets: sockets.clone(),
    }));
    let server = tokio::spawn(listen::serve(listener, router, Limits::default(), stop_serving.clone()));
    let server = crew.watch("server", stop_serving.clone(), server);
    tracing::info!(%address, sources = sources.len(), database = %db.dialect(), "serving");
    Ok(Running {
        address,
        db,
        clock,
        publisher,
        run_wakes,
        schedule,
        stop_serving,
        stop_working,
        server,
        inbox_task,
        sockets,
        crew,
    })
}

impl Running {
    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its database.
    pub fn database(&self) -> &Database {
        &self.db
    }

    /// The feed of changes.
    pub fn publisher(&self) -> &Arc<Publisher> {
        &self.publisher
    }

    /// What is still to be done, by its own clock.
    ///
    /// # Errors
    /// The database's own error.
    pub async fn backlog(&self) -> Result<Backlog, DbErr> {
        inbox::backlog(&self.db, self.clock.now()).await
    }

    /// Waits until nothing is due any more: no pending delivery, no fetch request. What is put off until
    /// later stays; its time is in the answer.
    ///
    /// # Errors
    /// The database's own error, or how much is left after `deadline`.
    pub async fn drain(&self, deadline: Duration) -> Result<Backlog, DbErr> {
        let wait = async {
            loop {
                let backlog = self.backlog().await?;
                if backlog.due == 0 {
                    return Ok(backlog);
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        match tokio::time::timeout(deadline, wait).await {
            Ok(outcome) => outcome,
            Err(_) => Err(DbErr::Custom(format!("still busy after {deadline:?}: {:?}", self.backlog().await?))),
        }
    }

    /// Runs a full sync of a source to its end, or joins the run that goes on. `on_progress` is told how far it is.
    ///
    /// # Errors
    /// [`SyncError`]; a source without a token cannot be synced.
    pub async fn sync(
        &self,
        source: &str,
        cause: &str,
        on_progress: impl Fn(&sync_run::Model) + Send + Sync,
    ) -> Result<sync_run::Model, SyncError> {
        let Some((source_id, wake)) = self.run_wakes.get(source) else {
            return Err(SyncError::NoToken { source_name: source.to_owned() });
        };
        let run_id = match request_run(&self.db, self.clock.now(), *source_id, RunRequest::full(cause)).await {
            Ok(run) => run.id,
            Err(RunRequestError::UnderWay { run_id }) => run_id,
            Err(error) => return Err(error.into()),
        };
        wake.notify_one();
        loop {
            let run = sync_run::Entity::find_by_id(run_id).one(self.db.primary()).await?;
            let Some(run) = run else { return Err(RunRequestError::Unknown { run_id }.into()) };
            on_progress(&run);
            match run.state {
                RunState::Done | RunState::WaitingForApproval => return Ok(run),
                RunState::Failed | RunState::Cancelled => {
                    return Err(SyncError::Ended { run_id, problem: run.error.unwrap_or_default() });
                }
                RunState::Planned | RunState::Running | RunState::Sweeping => {}
            }
            if self.stop_working.is_cancelled() {
                return Err(SyncError::Stopped);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until something has ended that the service cannot do without. It must be stopped then: what it would answer
    /// is no longer true.
    pub async fn lost(&self) {
        self.crew.lost().await;
    }

    /// Stops: no new requests, answers to those under way, the inbox flushed, the leases given back.
    pub async fn stop(self) {
        self.publisher.end_feeds();
        self.stop_serving.cancel();
        let finish = async {
            match tokio::time::timeout(REQUESTS_DEADLINE, self.server).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "stop the server"),
                Err(_) => tracing::warn!("some requests did not end in time and are given up"),
            }
            self.sockets.close();
            self.sockets.wait().await;
            self.schedule.stop().await;
            self.stop_working.cancel();
            self.crew.ended().await;
            if let Err(error) = self.inbox_task.await {
                tracing::warn!(%error, "stop the inbox");
            }
        };
        if tokio::time::timeout(STOP_DEADLINE, finish).await.is_err() {
            tracing::warn!(
                "some tasks did not stop in time; what they had not committed is done again after the start"
            );
        }
        if let Err(error) = self.db.close().await {
            tracing::warn!(%error, "close the database");
        }
    }
}

async fn bind(address: &str) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|source| listen_error(address, source))
}

fn listen_error(address: &str, source: std::io::Error) -> StartError {
    StartError::Listen { address: address.to_owned(), source }
}

/// The doors by name of their source.
fn doors(sources: &[Arc<WiredSource>], public_url: &str) -> HashMap<String, Door> {
    let door = |source: &Arc<WiredSource>| {
        let body_limit = source.config.webhook.body_limit.unwrap_or_else(|| source.provider.body_limit());
        Door {
            source_id: source.id,
            provider: source.provider.clone(),
            registered_url: format!("{}/webhooks/{}", public_url.trim_end_matches('/'), source.config.name),
            body_limit,
            body_room: BodyRoom::share(sources.len(), body_limit),
            accepted: OnceLock::new(),
        }
    };
    sources.iter().map(|source| (source.config.name.clone(), door(source))).collect()
}

/// Wakes the runners of scheduled sources at their times.
async fn schedule_runs(sources: &[Arc<WiredSource>]) -> Result<Schedule, StartError> {
    let schedule = Schedule::new().await?;
    for source in sources {
        let sync = &source.config.sync;
        for expression in sync.schedule.iter().chain(&sync.incremental) {
            let wake = source.run_wake.clone();
            schedule.add(&source.config.name, expression, move || wake.notify_one()).await?;
        }
    }
    schedule.start().await?;
    Ok(schedule)
}
