//! The handle that every statement for readers goes through.

use super::Sources;
use super::catalog_memory::Memory;
use super::indexes::Known;
use crate::db::{Database, Dialect, Readers};
pub(super) use crate::mirror::padded;
use sea_orm::DbErr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

/// Reads the mirror. Cheap to clone; clones share the count of statements and what is kept in memory.
#[derive(Clone)]
pub struct Reader {
    db: Database,
    statements: Arc<AtomicU64>,
    pub(super) sources: Arc<RwLock<Arc<Sources>>>,
    pub(super) catalog: Arc<Memory>,
    pub(super) indexes: Arc<RwLock<Option<Known>>>,
}

/// A statement that the database did not answer.
#[derive(Clone, Debug, thiserror::Error)]
#[error("read {what}")]
pub struct ReadError {
    what: &'static str,
    #[source]
    source: Arc<DbErr>,
}

impl ReadError {
    /// Whether the database could not be reached at all, so that trying again later may help.
    pub fn is_unreachable(&self) -> bool {
        matches!(*self.source, DbErr::ConnectionAcquire(_) | DbErr::Conn(_))
    }
}

/// Names what was read in an error.
pub(super) trait Reading<T> {
    fn reading(self, what: &'static str) -> Result<T, ReadError>;
}

impl<T> Reading<T> for Result<T, DbErr> {
    fn reading(self, what: &'static str) -> Result<T, ReadError> {
        self.map_err(|source| ReadError { what, source: Arc::new(source) })
    }
}

impl Reader {
    /// A reader of this database.
    pub fn new(db: Database) -> Self {
        Self {
            db,
            statements: Arc::default(),
            sources: Arc::default(),
            catalog: Arc::default(),
            indexes: Arc::default(),
        }
    }

    /// A reader that counts its own statements and shares what is kept in memory.
    pub fn beside(&self) -> Self {
        Self { statements: Arc::default(), ..self.clone() }
    }

    /// Statements sent so far.
    pub fn statements(&self) -> u64 {
        self.statements.load(Ordering::Relaxed)
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// [`ReadError`] where it does not.
    pub async fn ping(&self) -> Result<(), ReadError> {
        self.db.ping().await.reading("a sign of life")
    }

    /// The connection for the next statement, which is counted.
    pub(super) fn connection(&self) -> &Readers {
        self.statements.fetch_add(1, Ordering::Relaxed);
        self.db.reader()
    }

    /// The same for what must be of the newest commit: never on a replica.
    pub(super) fn primary(&self) -> &Readers {
        self.statements.fetch_add(1, Ordering::Relaxed);
        self.db.primary()
    }

    pub(super) fn dialect(&self) -> Dialect {
        self.db.dialect()
    }
}
