//! A connection of SQLite that is kept over several statements.
//!
//! A pool asks each connection that comes back whether it still lives: one more round to the database's thread, begun by a
//! task that waits behind the requests of a busy process. Where one statement follows the other, that was a third of the time.
//! Whoever keeps a connection keeps it from all others, so never while waiting for anything else.

use sea_orm::sqlx::pool::PoolConnection;
use sea_orm::sqlx::{self, AssertSqlSafe, Executor, Sqlite, SqlitePool};
use sea_orm::{ConnAcquireErr, ConnectionTrait, DbBackend, DbErr, ExecResult, QueryResult, RuntimeErr, Statement};
use sea_query_sqlx::SqlxValues;
use std::sync::Arc;
use tokio::sync::Mutex;

/// A connection, until this is dropped.
#[derive(Debug)]
pub struct Held(Mutex<PoolConnection<Sqlite>>);

impl Held {
    /// Waits for a connection of the pool.
    pub(super) async fn of(pool: &SqlitePool) -> Result<Self, DbErr> {
        match pool.acquire().await {
            Ok(connection) => Ok(Self(Mutex::new(connection))),
            Err(sqlx::Error::PoolTimedOut) => Err(DbErr::ConnectionAcquire(ConnAcquireErr::Timeout)),
            Err(sqlx::Error::PoolClosed) => Err(DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed)),
            Err(error) => Err(DbErr::Conn(RuntimeErr::SqlxError(Arc::new(error)))),
        }
    }
}

/// The statement for the driver. Values are moved, where SeaORM's own connections copy them.
fn query(sql: &str, values: Option<sea_orm::Values>) -> sqlx::query::Query<'_, Sqlite, SqlxValues> {
    sqlx::query_with(AssertSqlSafe(sql), SqlxValues(values.unwrap_or(sea_orm::Values(Vec::new()))))
}

fn exec_error(error: sqlx::Error) -> DbErr {
    DbErr::Exec(RuntimeErr::SqlxError(Arc::new(error)))
}

fn query_error(error: sqlx::Error) -> DbErr {
    DbErr::Query(RuntimeErr::SqlxError(Arc::new(error)))
}

#[async_trait::async_trait]
impl ConnectionTrait for Held {
    fn get_database_backend(&self) -> DbBackend {
        DbBackend::Sqlite
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        let mut connection = self.0.lock().await;
        let done = query(&statement.sql, statement.values).execute(&mut **connection).await;
        done.map(Into::into).map_err(exec_error)
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        let mut connection = self.0.lock().await;
        let done = (&mut **connection).execute(AssertSqlSafe(sql)).await;
        done.map(Into::into).map_err(exec_error)
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        let mut connection = self.0.lock().await;
        let row = query(&statement.sql, statement.values).fetch_optional(&mut **connection).await;
        row.map(|row| row.map(Into::into)).map_err(query_error)
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        let mut connection = self.0.lock().await;
        let rows = query(&statement.sql, statement.values).fetch_all(&mut **connection).await;
        rows.map(|rows| rows.into_iter().map(Into::into).collect()).map_err(query_error)
    }
}
