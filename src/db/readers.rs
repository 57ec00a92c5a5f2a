//! Connections for statements that read, one at a time, in either database.

use super::held::Shelf;
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr, ExecResult, QueryResult, Statement};
use std::sync::Arc;

/// Connections for reading. There is no transaction over them: what must be read together is one statement.
#[derive(Clone, Debug)]
pub enum Readers {
    /// On SQLite; they cannot write.
    Sqlite(Arc<Shelf>),
    /// On PostgreSQL.
    Postgres(DatabaseConnection),
}

impl Readers {
    /// Closes all of them.
    pub(super) async fn close(self) -> Result<(), DbErr> {
        match self {
            Self::Sqlite(shelf) => {
                shelf.close().await;
                Ok(())
            }
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

#[async_trait::async_trait]
impl ConnectionTrait for Readers {
    fn get_database_backend(&self) -> DbBackend {
        match self {
            Self::Sqlite(shelf) => shelf.get_database_backend(),
            Self::Postgres(pool) => pool.get_database_backend(),
        }
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        match self {
            Self::Sqlite(shelf) => shelf.execute_raw(statement).await,
            Self::Postgres(pool) => pool.execute_raw(statement).await,
        }
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        match self {
            Self::Sqlite(shelf) => shelf.execute_unprepared(sql).await,
            Self::Postgres(pool) => pool.execute_unprepared(sql).await,
        }
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        match self {
            Self::Sqlite(shelf) => shelf.query_one_raw(statement).await,
            Self::Postgres(pool) => pool.query_one_raw(statement).await,
        }
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        match self {
            Self::Sqlite(shelf) => shelf.query_all_raw(statement).await,
            Self::Postgres(pool) => pool.query_all_raw(statement).await,
        }
    }
}
