//! Connects to SQLite or PostgreSQL, chosen by the URL, and brings the schema up to date.

use super::dialect::{self, Dialect};
use super::held::{Held, Shelf};
use super::precedence::Precedence;
use super::readers::Readers;
use migration::{Migrator, MigratorTrait};
use sea_orm::sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sea_orm::sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};
use sea_orm::{
    ConnectOptions, ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbErr, RuntimeErr, SqliteTransactionMode,
    SqlxPostgresConnector, TransactionOptions, TransactionTrait,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tracing::log::LevelFilter;

/// The server notices a client that is gone without a word, and lets go of its locks, within two minutes. Seconds.
const POSTGRES_KEEPALIVE: [(&str, &str); 3] =
    [("tcp_keepalives_idle", "60"), ("tcp_keepalives_interval", "10"), ("tcp_keepalives_count", "6")];
/// No statement, no wait for a lock and no pause within a transaction is endless. Milliseconds.
const POSTGRES_WRITER_LIMITS: [(&str, &str); 3] =
    [("statement_timeout", "120000"), ("lock_timeout", "10000"), ("idle_in_transaction_session_timeout", "60000")];
/// What a client waits for is over sooner. The planner knows nothing of the values of fields, which are kept out of its
/// statistics; were pages as slow to find as those of a turning disk, it would rather walk all profiles in their order than
/// look into the index of a field.
const POSTGRES_READER_LIMITS: [(&str, &str); 3] =
    [("statement_timeout", "60000"), ("idle_in_transaction_session_timeout", "60000"), ("random_page_cost", "1.1")];

/// Rows that SQLite's thread may be ahead of whoever reads them. It stands still beyond, and both wait for each other's
/// wake-up once a row: most that apply reads in one statement is less.
const ROWS_ON_THE_WAY: usize = 512;

/// Connections of a process to its database.
#[derive(Clone, Debug)]
pub struct Database {
    writer: DatabaseConnection,
    reader: Readers,
    primary: Readers,
    dialect: Dialect,
    file: Option<PathBuf>,
    precedence: Arc<Precedence>,
}

/// What can go wrong before the first query.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The URL names neither database.
    #[error("database.url: expected sqlite://FILE or postgres://…, got a URL that starts with {0:?}")]
    UnknownScheme(String),
    /// No connection.
    #[error(
        "connect to the {dialect} database: check that it runs, that the URL is right and that the user may connect"
    )]
    Connect {
        /// Which database.
        dialect: Dialect,
        /// Why.
        #[source]
        source: DbErr,
    },
    /// The schema could not be brought up to date.
    #[error("migrate the {dialect} database")]
    Migrate {
        /// Which database.
        dialect: Dialect,
        /// Why.
        #[source]
        source: DbErr,
    },
}

impl Database {
    /// The side for transactions that write.
    pub fn writer(&self) -> &DatabaseConnection {
        &self.writer
    }

    /// The side for queries of clients; on SQLite it cannot write, on PostgreSQL it may be a replica.
    pub fn reader(&self) -> &Readers {
        &self.reader
    }

    /// The side for reads that must see the newest commit: never a replica.
    pub fn primary(&self) -> &Readers {
        &self.primary
    }

    /// Which database this is.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The database file, on SQLite.
    pub fn file(&self) -> Option<&PathBuf> {
        self.file.as_ref()
    }

    /// Who writes first.
    pub fn precedence(&self) -> &Arc<Precedence> {
        &self.precedence
    }

    /// Opens a transaction that will write. On SQLite it holds the write lock from its first moment,
    /// so that it never fails half way with *locked*.
    ///
    /// # Errors
    /// The database's own error.
    pub async fn begin(&self) -> Result<DatabaseTransaction, DbErr> {
        match self.dialect {
            Dialect::Sqlite => {
                let sqlite_transaction_mode = Some(SqliteTransactionMode::Immediate);
                let options = TransactionOptions { sqlite_transaction_mode, ..TransactionOptions::default() };
                self.writer.begin_with_options(options).await
            }
            Dialect::Postgres => self.begin_for_certain().await,
        }
    }

    /// The driver forgets a transaction whose beginning is given up half way: the connection would go back into the pool
    /// with it, and what the next one writes would hold its locks and never be committed. So each beginning is seen
    /// through in a task of its own; a transaction that nobody takes any more is rolled back.
    async fn begin_for_certain(&self) -> Result<DatabaseTransaction, DbErr> {
        let writer = self.writer.clone();
        let begun = tokio::spawn(async move { writer.begin().await }).await;
        begun.unwrap_or_else(|error| Err(DbErr::Conn(RuntimeErr::Internal(error.to_string()))))
    }

    /// On SQLite: the one writing connection, kept from everybody else. Whoever has it must let it go before asking for
    /// the writer in any other way.
    ///
    /// # Errors
    /// The database's own error.
    pub async fn hold_writer(&self) -> Result<Held, DbErr> {
        Held::of(self.writer.get_sqlite_connection_pool()).await
    }

    /// Brings the schema up to date, one process at a time.
    ///
    /// # Errors
    /// [`DatabaseError::Migrate`].
    pub async fn migrate(&self) -> Result<(), DatabaseError> {
        let migrated = async {
            let unhurried = self.unhurried("0").await?;
            let migrated = self.migrate_over(unhurried.connection()).await;
            migrated.and(unhurried.close().await)
        };
        migrated.await.map_err(|source| DatabaseError::Migrate { dialect: self.dialect, source })
    }

    async fn migrate_over(&self, connection: &DatabaseConnection) -> Result<(), DbErr> {
        let guard = dialect::lock_migrations(self, connection).await?;
        let outcome = Migrator::up(connection, None).await;
        guard.release().await?;
        outcome
    }

    /// Names of migrations that are not applied yet.
    ///
    /// # Errors
    /// [`DatabaseError::Migrate`].
    pub async fn pending_migrations(&self) -> Result<Vec<String>, DatabaseError> {
        let pending = Migrator::get_pending_migrations(&self.writer)
            .await
            .map_err(|source| DatabaseError::Migrate { dialect: self.dialect, source })?;
        Ok(pending.iter().map(|migration| migration.name().to_owned()).collect())
    }

    /// Whether a query is answered now.
    ///
    /// # Errors
    /// The database's own error.
    pub async fn ping(&self) -> Result<(), DbErr> {
        self.reader.execute_unprepared("SELECT 1").await.map(drop)
    }

    /// On SQLite: a connection of its own beside the writing one, which waits for nobody. To be closed by whoever
    /// asked for it.
    pub(super) async fn connect_aside(&self) -> Result<DatabaseConnection, DbErr> {
        let file = self.file.as_deref().unwrap_or_else(|| Path::new(""));
        let mut aside = options(&format!("sqlite://{}", file.display()));
        aside.max_connections(1);
        aside.map_sqlx_sqlite_opts(|options| {
            options
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .busy_timeout(Duration::from_millis(50))
                .pragma("secure_delete", "ON")
        });
        sea_orm::Database::connect(aside).await
    }

    /// A way to write on which a statement may take as long as it takes, for migrations, indexes and vacuums. On
    /// PostgreSQL it has two connections of its own, which wait for a lock so many milliseconds, or for ever with `0`. To be
    /// closed by whoever asked for it.
    ///
    /// # Errors
    /// The database's own error.
    pub async fn unhurried(&self, lock_timeout: &str) -> Result<Unhurried<'_>, DbErr> {
        if self.dialect == Dialect::Sqlite {
            return Ok(Unhurried::Writer(&self.writer));
        }
        let limits =
            [("statement_timeout", "0"), ("lock_timeout", lock_timeout), ("idle_in_transaction_session_timeout", "0")];
        let options = self.writer.get_postgres_connection_pool().connect_options();
        let options = PgConnectOptions::clone(&options).options(limits);
        let pool = PgPoolOptions::new().max_connections(2).acquire_timeout(Duration::from_secs(8));
        let pool =
            pool.connect_with(options).await.map_err(|error| DbErr::Conn(RuntimeErr::SqlxError(error.into())))?;
        Ok(Unhurried::Own(SqlxPostgresConnector::from_sqlx_postgres_pool(pool)))
    }

    /// Closes both sides. On SQLite the write-ahead log is folded into the file.
    ///
    /// # Errors
    /// The database's own error.
    pub async fn close(self) -> Result<(), DbErr> {
        self.reader.close().await?;
        self.writer.close().await
    }
}

/// A way to write without time limits.
pub enum Unhurried<'a> {
    /// The one writing connection, which knows none.
    Writer(&'a DatabaseConnection),
    /// Connections of its own.
    Own(DatabaseConnection),
}

impl Unhurried<'_> {
    /// Where to write.
    pub fn connection(&self) -> &DatabaseConnection {
        match self {
            Self::Writer(writer) => writer,
            Self::Own(own) => own,
        }
    }

    /// Closes connections of its own.
    ///
    /// # Errors
    /// The database's own error.
    pub async fn close(self) -> Result<(), DbErr> {
        match self {
            Self::Writer(_) => Ok(()),
            Self::Own(own) => own.close().await,
        }
    }
}

/// Connects to the database that `url` names. `read_url` may name a PostgreSQL replica for queries.
///
/// # Errors
/// [`DatabaseError::UnknownScheme`] or [`DatabaseError::Connect`].
pub async fn connect(url: &str, read_url: Option<&str>) -> Result<Database, DatabaseError> {
    let scheme = url.split(':').next().unwrap_or_default();
    match scheme {
        "sqlite" => connect_sqlite(url).await,
        "postgres" | "postgresql" => connect_postgres(url, read_url).await,
        other => Err(DatabaseError::UnknownScheme(other.to_owned())),
    }
}

fn options(url: &str) -> ConnectOptions {
    let mut options = ConnectOptions::new(url.to_owned());
    options
        .connect_timeout(Duration::from_secs(10))
        .acquire_timeout(Duration::from_secs(8))
        .sqlx_logging_level(LevelFilter::Trace)
        .sqlx_slow_statements_logging_settings(LevelFilter::Warn, Duration::from_secs(1))
        .record_stmt_in_spans(false);
    options
}

async fn connect_sqlite(url: &str) -> Result<Database, DatabaseError> {
    let failed = |source| DatabaseError::Connect { dialect: Dialect::Sqlite, source };
    let path = url.trim_start_matches("sqlite:").trim_start_matches("//");
    let file = PathBuf::from(path.split('?').next().unwrap_or(path));

    // Statements of many rows come in a few sizes each, none of which holds more than some hundred kilobytes: all of
    // them may stay prepared. The log may grow to 128 MB, because many pages are written again and again before each is
    // copied into the file once; `wal` begins to at less than half of it, and what it has not copied in the end holds up
    // senders. It keeps that size, so that it is not cut and lengthened again at each copy.
    let mut writing = options(url);
    writing.max_connections(1).idle_timeout(None).max_lifetime(None).test_before_acquire(false);
    writing.map_sqlx_sqlite_opts(|options| {
        options
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(5))
            .pragma("secure_delete", "ON")
            .pragma("temp_store", "MEMORY")
            .pragma("cache_size", "-16000")
            .pragma("wal_autocheckpoint", "32000")
            .pragma("journal_size_limit", "134217728")
            .row_buffer_size(ROWS_ON_THE_WAY)
            .statement_cache_capacity(192)
    });
    let writer = sea_orm::Database::connect(writing).await.map_err(failed)?;

    let mut reading = options(url);
    reading.max_connections(4).idle_timeout(None).max_lifetime(None).test_before_acquire(false);
    reading.map_sqlx_sqlite_opts(|options| {
        options
            .journal_mode(SqliteJournalMode::Wal)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(5))
            .pragma("query_only", "ON")
            .pragma("temp_store", "MEMORY")
            .pragma("cache_size", "-8000")
            .row_buffer_size(ROWS_ON_THE_WAY)
            .statement_cache_capacity(128)
    });
    let reader = sea_orm::Database::connect(reading).await.map_err(failed)?;
    let reader = Readers::Sqlite(Arc::new(Shelf::over(reader.get_sqlite_connection_pool().clone())));
    let (primary, file, precedence) = (reader.clone(), Some(file), Arc::default());
    Ok(Database { writer, reader, primary, dialect: Dialect::Sqlite, file, precedence })
}

async fn connect_postgres(url: &str, read_url: Option<&str>) -> Result<Database, DatabaseError> {
    let failed = |source| DatabaseError::Connect { dialect: Dialect::Postgres, source };
    let pool = |url: &str, size: u32, limits: &'static [(&'static str, &'static str)]| {
        let mut pool = options(url);
        pool.max_connections(size)
            .test_before_acquire_if_idle_for(Duration::from_secs(30))
            .max_lifetime(Duration::from_secs(15 * 60))
            .map_sqlx_postgres_opts(move |options| {
                let options = options.application_name("profile-mirror").statement_cache_capacity(256);
                options.options(POSTGRES_KEEPALIVE).options(limits.iter().copied())
            });
        pool
    };
    let writer = sea_orm::Database::connect(pool(url, 8, &POSTGRES_WRITER_LIMITS)).await.map_err(failed)?;
    let reading = pool(read_url.unwrap_or(url), 8, &POSTGRES_READER_LIMITS);
    let reader = sea_orm::Database::connect(reading).await.map_err(failed)?;
    let (reader, primary) = (Readers::Postgres(reader), Readers::Postgres(writer.clone()));
    Ok(Database { writer, reader, primary, dialect: Dialect::Postgres, file: None, precedence: Arc::default() })
}
