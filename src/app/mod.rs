//! Wiring: the one module that knows every stage. Starts them, stops them in the opposite order.

mod source;

use self::source::{WiredSource, wire_source};
use crate::apply::Applier;
use crate::clock::{SharedClock, SystemClock};
use crate::config::{Config, ConfigError};
use crate::db::{self, Database, DatabaseError};
use crate::inbox::{self, Backlog, Inbox};
use crate::ingest::{
    self, Budget, DnsKeys, Door, Doors, ImportError, Importer, Progress, Puller, Schedule, ScheduleError,
};
use crate::publish::Publisher;
use crate::serve::{self, Access, ServeState};
use provider::{KeyLookup, SettingsError};
use sea_orm::DbErr;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
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
    importers: HashMap<String, Importer>,
    schedule: Schedule,
    stop_serving: CancellationToken,
    stop_working: CancellationToken,
    server: JoinHandle<std::io::Result<()>>,
    inbox_task: JoinHandle<()>,
    sockets: TaskTracker,
    workers: TaskTracker,
}

/// Starts the service.
///
/// # Errors
/// [`StartError`], with what to mend.
pub async fn start(config: Config, options: AppOptions) -> Result<Running, StartError> {
    let AppOptions { clock, key_lookup, instance } = options;
    let db = db::connect(&config.database.url, config.database.read_url.as_deref()).await?;
    if config.database.migrate {
        db.migrate().await?;
    }
    let listener = listen(&config.server.listen).await?;
    let address = listener.local_addr().map_err(|source| listen_error(&config.server.listen, source))?;
    let public_url = config.server.public_url.clone().unwrap_or_else(|| format!("http://{address}"));

    let mut sources = Vec::with_capacity(config.sources.len());
    for source in &config.sources {
        sources.push(wire_source(&db, &clock, &key_lookup, source).await?);
    }

    let stop_serving = CancellationToken::new();
    let stop_working = CancellationToken::new();
    let workers = TaskTracker::new();
    let wakes: HashMap<i32, Arc<Notify>> =
        sources.iter().map(|source| (source.id, source.apply_wake.clone())).collect();
    let (inbox, inbox_task) = Inbox::open(db.clone(), clock.clone(), stop_working.clone(), move |appended| {
        for wake in appended.iter().filter_map(|source_id| wakes.get(source_id)) {
            wake.notify_one();
        }
    });

    let publisher = Publisher::new(db.clone(), clock.clone());
    workers.spawn({
        let (publisher, stop) = (publisher.clone(), stop_working.clone());
        async move { publisher.run(stop).await }
    });
    let mut importers = HashMap::new();
    for source in &sources {
        spawn_applier(source, &db, &clock, &instance, &publisher, &workers, &stop_working);
        if let Some(importer) = spawn_puller(source, &db, &clock, &instance, &inbox, &workers, &stop_working) {
            importers.insert(source.config.name.clone(), importer);
        }
    }
    let schedule = schedule_imports(&sources, &importers, &workers, &stop_working).await?;

    let doors = Arc::new(Doors {
        by_source: sources.iter().map(|source| (source.config.name.clone(), door(source, &public_url))).collect(),
        inbox,
        clock: clock.clone(),
        budget: Budget::default(),
    });
    let sockets = TaskTracker::new();
    let router = ingest::router(doors).merge(serve::router(ServeState {
        db: db.clone(),
        publisher: publisher.clone(),
        clock: clock.clone(),
        access: Access::from_config(&config.access)?,
        server: config.server.clone(),
        stop: stop_serving.clone(),
        sockets: sockets.clone(),
    }));
    let graceful = stop_serving.clone();
    let server = tokio::spawn(
        axum::serve(listener, router).with_graceful_shutdown(async move { graceful.cancelled().await }).into_future(),
    );
    tracing::info!(%address, sources = sources.len(), database = %db.dialect(), "serving");
    Ok(Running {
        address,
        db,
        clock,
        publisher,
        importers,
        schedule,
        stop_serving,
        stop_working,
        server,
        inbox_task,
        sockets,
        workers,
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

    /// Passes through all lists of a source; resumes a pass that was interrupted.
    ///
    /// # Errors
    /// [`ImportError`]; a source without a token cannot be imported.
    pub async fn import(
        &self,
        source: &str,
        cause: &str,
        on_progress: impl Fn(&Progress) + Send + Sync,
    ) -> Result<Progress, ImportError> {
        let Some(importer) = self.importers.get(source) else {
            return Err(ImportError::NoToken { source_name: source.to_owned() });
        };
        let mut waits = 0;
        loop {
            match importer.run(cause, &self.stop_working, &on_progress).await {
                // Right after the start the lease is still on its way, or runs out with its last holder.
                Err(ImportError::HeldElsewhere) if waits < 300 => waits += 1,
                outcome => return outcome,
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Stops: no new requests, answers to those under way, the inbox flushed, the leases given back.
    pub async fn stop(self) {
        self.stop_serving.cancel();
        let finish = async {
            match tokio::time::timeout(REQUESTS_DEADLINE, self.server).await {
                Ok(Ok(Err(error))) => tracing::warn!(%error, "stop the server"),
                Ok(_) => {}
                Err(_) => tracing::warn!("some requests did not end in time and are given up"),
            }
            self.sockets.close();
            self.sockets.wait().await;
            self.schedule.stop().await;
            self.stop_working.cancel();
            self.workers.close();
            self.workers.wait().await;
            drop(self.importers);
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

async fn listen(address: &str) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|source| listen_error(address, source))
}

fn listen_error(address: &str, source: std::io::Error) -> StartError {
    StartError::Listen { address: address.to_owned(), source }
}

fn door(source: &WiredSource, public_url: &str) -> Door {
    Door {
        source_id: source.id,
        provider: source.provider.clone(),
        registered_url: format!("{}/webhooks/{}", public_url.trim_end_matches('/'), source.config.name),
        body_limit: source.config.webhook.body_limit.unwrap_or_else(|| source.provider.body_limit()),
    }
}

fn spawn_applier(
    source: &WiredSource,
    db: &Database,
    clock: &SharedClock,
    instance: &str,
    publisher: &Arc<Publisher>,
    workers: &TaskTracker,
    stop: &CancellationToken,
) {
    let (publisher, pull_wake) = (publisher.clone(), source.pull_wake.clone());
    let applier = Applier::new(
        db.clone(),
        clock.clone(),
        source.id,
        source.config.name.clone(),
        source.provider.clone(),
        instance.to_owned(),
        source.apply_wake.clone(),
        move || {
            publisher.ring();
            pull_wake.notify_one();
        },
    );
    workers.spawn(applier.run(stop.clone()));
}

/// Starts pulling for a source that has a token.
fn spawn_puller(
    source: &WiredSource,
    db: &Database,
    clock: &SharedClock,
    instance: &str,
    inbox: &Inbox,
    workers: &TaskTracker,
    stop: &CancellationToken,
) -> Option<Importer> {
    let upstream = source.upstream.clone()?;
    let puller = Puller {
        db: db.clone(),
        inbox: inbox.clone(),
        clock: clock.clone(),
        source_id: source.id,
        source_name: source.config.name.clone(),
        instance: instance.to_owned(),
        provider: source.provider.clone(),
        upstream: upstream.clone(),
        wake: source.pull_wake.clone(),
    };
    workers.spawn(puller.run(stop.clone()));
    Some(Importer {
        db: db.clone(),
        inbox: inbox.clone(),
        clock: clock.clone(),
        source_id: source.id,
        source_name: source.config.name.clone(),
        provider: source.provider.clone(),
        upstream,
        instance: instance.to_owned(),
    })
}

/// Scheduled sources are imported at their times, and once at the start where they never were or where
/// a pass was interrupted.
async fn schedule_imports(
    sources: &[WiredSource],
    importers: &HashMap<String, Importer>,
    workers: &TaskTracker,
    stop: &CancellationToken,
) -> Result<Schedule, StartError> {
    let schedule = Schedule::new().await?;
    for source in sources {
        let (Some(expression), Some(importer)) = (&source.config.sync.schedule, importers.get(&source.config.name))
        else {
            continue;
        };
        let (due, now) = (Arc::new(Notify::new()), importer.clone());
        let tick = due.clone();
        schedule.add(&source.config.name, expression, move || tick.notify_one()).await?;
        let stop = stop.clone();
        workers.spawn(async move {
            let mut failures = 0;
            while !stop.is_cancelled() && now.is_due_at_start().await.unwrap_or(true) {
                let pause_ms = match import_and_log(&now, "first import", &stop).await {
                    // Another instance holds the lease: if it goes, its pass is taken over here.
                    Imported::Elsewhere => 1_000,
                    Imported::Ended => break,
                    Imported::Failed => {
                        failures += 1;
                        u64::try_from(crate::backoff::pause_ms(failures, 2_000, 300_000)).unwrap_or(2_000)
                    }
                };
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(Duration::from_millis(pause_ms)) => {}
                }
            }
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = due.notified() => {
                        import_and_log(&now, "schedule", &stop).await;
                    }
                }
            }
        });
    }
    schedule.start().await?;
    Ok(schedule)
}

/// How an attempt at a pass ended.
enum Imported {
    /// It is done, or it stopped with the service and resumes at its checkpoint.
    Ended,
    /// Another instance holds the source's lease.
    Elsewhere,
    /// It failed.
    Failed,
}

async fn import_and_log(importer: &Importer, cause: &str, stop: &CancellationToken) -> Imported {
    match importer.run(cause, stop, &|_: &Progress| {}).await {
        Ok(_) | Err(ImportError::Stopped) => Imported::Ended,
        Err(ImportError::HeldElsewhere) => Imported::Elsewhere,
        Err(error) => {
            tracing::warn!(source = importer.source_name, %error, "import");
            Imported::Failed
        }
    }
}
