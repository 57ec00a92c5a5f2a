//! Connections of SQLite that are kept over several statements.
//!
//! A pool asks each connection that comes back whether it still lives: one more round to the database's thread, begun by a
//! task that waits behind the requests of a busy process. That costs as much as a small statement does. So those that read are
//! kept on a [`Shelf`], and whoever has several groups of senders to answer keeps the one that writes ([`Held`]).

use sea_orm::sqlx::pool::PoolConnection;
use sea_orm::sqlx::{self, AssertSqlSafe, Executor, Sqlite, SqlitePool};
use sea_orm::{
    ConnAcquireErr, ConnectionTrait, DbBackend, DbErr, ExecResult, QueryResult, RuntimeErr, Statement, Values,
};
use sea_query_sqlx::SqlxValues;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Mutex as AsyncMutex, MutexGuard, Semaphore, SemaphorePermit};

/// A connection, kept from everybody else until this is dropped.
#[derive(Debug)]
pub struct Held {
    connection: AsyncMutex<PoolConnection<Sqlite>>,
    /// The database's thread is gone.
    is_lost: AtomicBool,
}

impl Held {
    /// Waits for a connection of the pool.
    pub(super) async fn of(pool: &SqlitePool) -> Result<Self, DbErr> {
        match pool.acquire().await {
            Ok(connection) => Ok(Self { connection: AsyncMutex::new(connection), is_lost: AtomicBool::new(false) }),
            Err(sqlx::Error::PoolTimedOut) => Err(DbErr::ConnectionAcquire(ConnAcquireErr::Timeout)),
            Err(sqlx::Error::PoolClosed) => Err(closed()),
            Err(error) => Err(DbErr::Conn(RuntimeErr::SqlxError(Arc::new(error)))),
        }
    }

    async fn connection(&self) -> MutexGuard<'_, PoolConnection<Sqlite>> {
        self.connection.lock().await
    }

    fn error(&self, error: sqlx::Error) -> RuntimeErr {
        if matches!(error, sqlx::Error::WorkerCrashed) {
            self.is_lost.store(true, Ordering::Relaxed);
        }
        RuntimeErr::SqlxError(Arc::new(error))
    }
}

fn closed() -> DbErr {
    DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed)
}

/// The statement for the driver. Values are moved, where SeaORM's own connections copy them.
fn query(sql: &str, values: Option<Values>) -> sqlx::query::Query<'_, Sqlite, SqlxValues> {
    sqlx::query_with(AssertSqlSafe(sql), SqlxValues(values.unwrap_or(Values(Vec::new()))))
}

#[async_trait::async_trait]
impl ConnectionTrait for Held {
    fn get_database_backend(&self) -> DbBackend {
        DbBackend::Sqlite
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        let mut connection = self.connection().await;
        let done = query(&statement.sql, statement.values).execute(&mut **connection).await;
        done.map(Into::into).map_err(|error| DbErr::Exec(self.error(error)))
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        let mut connection = self.connection().await;
        let done = (&mut **connection).execute(AssertSqlSafe(sql)).await;
        done.map(Into::into).map_err(|error| DbErr::Exec(self.error(error)))
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        let mut connection = self.connection().await;
        let row = query(&statement.sql, statement.values).fetch_optional(&mut **connection).await;
        row.map(|row| row.map(Into::into)).map_err(|error| DbErr::Query(self.error(error)))
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        let mut connection = self.connection().await;
        let rows = query(&statement.sql, statement.values).fetch_all(&mut **connection).await;
        let rows = rows.map_err(|error| DbErr::Query(self.error(error)))?;
        Ok(rows.into_iter().map(Into::into).collect())
    }
}

/// Connections of a pool, each kept as long as it works and lent for one statement at a time.
#[derive(Debug)]
pub struct Shelf {
    pool: SqlitePool,
    /// One for each connection that the pool may open.
    permits: Semaphore,
    longest_wait: Duration,
    free: Mutex<Vec<Held>>,
}

/// A connection lent by a shelf. One that is dropped instead of put back, because nobody waits for the answer to its
/// statement any more, goes through the pool, which waits for the end of the statement.
struct Lent<'a> {
    held: Held,
    _permit: SemaphorePermit<'a>,
}

impl Shelf {
    /// An empty shelf over all connections of a pool.
    pub(super) fn over(pool: SqlitePool) -> Self {
        let options = pool.options();
        let (permits, longest_wait) = (options.get_max_connections() as usize, options.get_acquire_timeout());
        Self { permits: Semaphore::new(permits), longest_wait, free: Mutex::default(), pool }
    }

    async fn lend(&self) -> Result<Lent<'_>, DbErr> {
        let lend = async {
            let permit = self.permits.acquire().await.map_err(|_| closed())?;
            let free = self.free().pop();
            let held = match free {
                Some(held) => held,
                None => Held::of(&self.pool).await?,
            };
            Ok(Lent { held, _permit: permit })
        };
        let lent = tokio::time::timeout(self.longest_wait, lend).await;
        lent.unwrap_or(Err(DbErr::ConnectionAcquire(ConnAcquireErr::Timeout)))
    }

    fn put_back(&self, lent: Lent<'_>) {
        let mut free = self.free();
        if !lent.held.is_lost.load(Ordering::Relaxed) && !self.permits.is_closed() {
            free.push(lent.held);
        }
    }

    fn free(&self) -> std::sync::MutexGuard<'_, Vec<Held>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes all connections; those that are lent once they come back.
    pub(super) async fn close(&self) {
        self.permits.close();
        self.free().clear();
        self.pool.close().await;
    }
}

#[async_trait::async_trait]
impl ConnectionTrait for Shelf {
    fn get_database_backend(&self) -> DbBackend {
        DbBackend::Sqlite
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        let lent = self.lend().await?;
        let outcome = lent.held.execute_raw(statement).await;
        self.put_back(lent);
        outcome
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        let lent = self.lend().await?;
        let outcome = lent.held.execute_unprepared(sql).await;
        self.put_back(lent);
        outcome
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        let lent = self.lend().await?;
        let outcome = lent.held.query_one_raw(statement).await;
        self.put_back(lent);
        outcome
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        let lent = self.lend().await?;
        let outcome = lent.held.query_all_raw(statement).await;
        self.put_back(lent);
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sea_orm::sqlx::sqlite::SqlitePoolOptions;

    const SLOW: &str = "WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 400000) SELECT max(n) FROM number";

    async fn shelf() -> Arc<Shelf> {
        let options = SqlitePoolOptions::new().max_connections(2).acquire_timeout(Duration::from_secs(20));
        Arc::new(Shelf::over(options.connect("sqlite::memory:").await.unwrap()))
    }

    async fn ask(shelf: &Shelf, sql: &str) -> Result<i64, DbErr> {
        let row = shelf.query_one_raw(Statement::from_string(DbBackend::Sqlite, sql)).await?;
        row.expect("one row").try_get_by_index(0)
    }

    #[tokio::test]
    async fn connections_are_lent_again_and_never_more_than_the_pool_has() {
        let shelf = shelf().await;
        let asked = (0..20).map(|number| {
            let shelf = Arc::clone(&shelf);
            tokio::spawn(async move { (number, ask(&shelf, &format!("SELECT {number}")).await.unwrap()) })
        });
        for asked in asked.collect::<Vec<_>>() {
            let (number, answer) = asked.await.unwrap();
            assert_eq!(answer, number);
        }
        assert!(shelf.pool.size() <= 2);
        assert_eq!(shelf.free().len() as u32, shelf.pool.size(), "all are back");
    }

    #[tokio::test]
    async fn a_statement_that_nobody_waits_for_any_more_costs_the_shelf_nothing() {
        let shelf = shelf().await;
        for _ in 0..4 {
            let given_up = tokio::time::timeout(Duration::from_millis(1), ask(&shelf, SLOW)).await;
            assert!(given_up.is_err());
        }
        for number in 0..4 {
            assert_eq!(ask(&shelf, &format!("SELECT {number}")).await.unwrap(), number);
        }
        assert_eq!(shelf.permits.available_permits(), 2);
    }

    #[tokio::test]
    async fn a_close_waits_for_what_is_lent_and_lends_no_more() {
        let shelf = shelf().await;
        ask(&shelf, "SELECT 1").await.unwrap();
        let asked = tokio::spawn({
            let shelf = Arc::clone(&shelf);
            async move { ask(&shelf, SLOW).await }
        });
        while shelf.permits.available_permits() == 2 {
            tokio::task::yield_now().await;
        }
        tokio::time::timeout(Duration::from_secs(20), shelf.close()).await.expect("it closes");
        assert_eq!(asked.await.unwrap().unwrap(), 400_000);
        assert!(matches!(ask(&shelf, "SELECT 1").await, Err(DbErr::ConnectionAcquire(_))));
    }
}
