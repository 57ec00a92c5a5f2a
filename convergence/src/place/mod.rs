//! A database for one test, of either kind, gone when the test ends.

mod cluster;
mod programs;

use self::cluster::Cluster;
use profile_mirror::db::{self, Database, Dialect};
use sea_orm::{ConnectOptions, ConnectionTrait, DatabaseConnection, Statement};
use std::future::Future;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

/// A database of its own for one test. Clones share it.
#[derive(Clone)]
pub struct TestDatabase {
    /// Which kind.
    pub dialect: Dialect,
    /// Its URL, as the configuration takes it.
    pub url: String,
    _place: Arc<Place>,
}

/// Name of a SQLite file.
const FILE: &str = "mirror.db";

enum Place {
    Folder(tempfile::TempDir),
    Server(String),
}

impl TestDatabase {
    /// Stack of each thread of a test: unoptimized, a batch that is applied takes more than the usual two megabytes.
    pub const STACK_BYTES: usize = 16 * 1024 * 1024;

    /// A copy of a migrated SQLite file, or of the migrated template on the PostgreSQL server.
    pub fn new(dialect: Dialect) -> Self {
        create(dialect)
    }

    /// Connects as the service does, and brings the schema up to date.
    pub async fn connect(&self) -> Database {
        let database = db::connect(&self.url, None).await.expect("connect");
        database.migrate().await.expect("migrate");
        database
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Self::Server(name) = self {
            let statement = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
            // On a thread of its own: a drop may happen inside a runtime.
            let dropped = std::thread::spawn(move || admin(async |admin| admin.execute_unprepared(&statement).await));
            if !matches!(dropped.join(), Ok(Ok(_))) && !std::thread::panicking() {
                panic!("the test's database could not be dropped");
            }
        }
    }
}

/// Stack of each thread of a test: unoptimized, a batch that is applied takes more than the usual two megabytes.
pub const STACK_BYTES: usize = 16 * 1024 * 1024;

/// Runs a test's body on a new database and a runtime of its own.
pub fn run_on<F: Future<Output = ()>>(dialect: Dialect, body: impl FnOnce(TestDatabase) -> F + Send) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let database = create(dialect);
    let run = move || {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(2).thread_stack_size(STACK_BYTES).enable_all().build().expect("runtime");
        runtime.block_on(body(database));
        runtime.shutdown_timeout(std::time::Duration::from_secs(5));
    };
    std::thread::scope(|scope| {
        let name = std::thread::current().name().unwrap_or("test").to_owned();
        let thread = std::thread::Builder::new().name(name).stack_size(STACK_BYTES).spawn_scoped(scope, run);
        if let Err(panic) = thread.expect("start a thread").join() {
            std::panic::resume_unwind(panic);
        }
    });
}

/// A copy of a migrated SQLite file, or of the migrated template on the PostgreSQL server.
fn create(dialect: Dialect) -> TestDatabase {
    match dialect {
        Dialect::Sqlite => {
            let folder = tempfile::tempdir().expect("make a folder");
            let file = folder.path().join(FILE);
            std::fs::write(&file, migrated_file()).expect("write the database");
            let url = format!("sqlite://{}", file.display());
            TestDatabase { dialect, url, _place: Arc::new(Place::Folder(folder)) }
        }
        Dialect::Postgres => {
            static NUMBER: AtomicU32 = AtomicU32::new(0);
            let name = format!("t_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
            let statement = format!("CREATE DATABASE {name} TEMPLATE {} STRATEGY FILE_COPY", template());
            admin(async |admin| admin.execute_unprepared(&statement).await).expect("copy the template database");
            let url = Cluster::shared().url(&name);
            TestDatabase { dialect, url, _place: Arc::new(Place::Server(name)) }
        }
    }
}

/// An empty PostgreSQL database or SQLite file, without a schema.
pub fn without_schema(dialect: Dialect) -> TestDatabase {
    let database = create(dialect);
    match &*database._place {
        Place::Folder(folder) => std::fs::remove_file(folder.path().join(FILE)).expect("remove the database"),
        Place::Server(name) => {
            for statement in [
                format!("DROP DATABASE {name}"),
                format!("CREATE DATABASE {name} TEMPLATE template0 STRATEGY FILE_COPY"),
            ] {
                admin(async |admin| admin.execute_unprepared(&statement).await).expect("make an empty database");
            }
        }
    }
    database
}

/// What a SQLite file holds that has been migrated and nothing else.
fn migrated_file() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| {
        let folder = tempfile::tempdir().expect("make a folder");
        let file = folder.path().join(FILE);
        let url = format!("sqlite://{}", file.display());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
        runtime.block_on(async {
            let database = db::connect(&url, None).await.expect("connect to the template");
            database.migrate().await.expect("migrate the template");
            database.close().await.expect("close the template");
        });
        assert!(!file.with_extension("db-wal").exists(), "its log is part of the file");
        std::fs::read(file).expect("read the template")
    })
}

/// Name of the template: made once for each state of the migrations, by whoever comes first.
fn template() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| {
        let name = format!("template_{:016x}", hash_of_migrations());
        admin(async |admin| {
            // Held until this connection closes.
            admin.execute_unprepared("SELECT pg_advisory_lock(20261121)").await?;
            let ready = format!("SELECT 1 FROM pg_database WHERE datname = '{name}' AND datistemplate");
            if admin.query_one_raw(Statement::from_string(sea_orm::DbBackend::Postgres, ready)).await?.is_some() {
                return Ok(());
            }
            admin.execute_unprepared(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await?;
            admin.execute_unprepared(&format!("CREATE DATABASE {name}")).await?;
            let database = db::connect(&Cluster::shared().url(&name), None).await.expect("connect to the template");
            database.migrate().await.expect("migrate the template");
            database.close().await?;
            let close = format!("ALTER DATABASE {name} IS_TEMPLATE true ALLOW_CONNECTIONS false");
            admin.execute_unprepared(&close).await.map(drop)
        })
        .expect("make the template database");
        name
    })
}

fn hash_of_migrations() -> u64 {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../migration/src");
    let mut files: Vec<_> =
        std::fs::read_dir(folder).expect("list the migrations").map(|entry| entry.expect("entry").path()).collect();
    files.sort();
    let mut hasher = DefaultHasher::new();
    for file in files {
        std::fs::read(file).expect("read a migration").hash(&mut hasher);
    }
    hasher.finish()
}

/// Does something with a single connection to the server, outside any runtime.
fn admin<T>(work: impl AsyncFnOnce(&DatabaseConnection) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    runtime.block_on(async {
        let mut options = ConnectOptions::new(Cluster::shared().admin_url());
        options.max_connections(1).sqlx_logging(false);
        let connection = sea_orm::Database::connect(options).await.expect("connect to the PostgreSQL server");
        let outcome = work(&connection).await;
        connection.close().await.expect("close");
        outcome
    })
}
