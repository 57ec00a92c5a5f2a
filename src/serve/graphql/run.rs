//! Passes over a source's lists.

use super::global_id::{self, Kind};
use super::paging::connection;
use super::scalar::DateTime;
use super::source::Source;
use super::word::RunState;
use ::entity::{source, sync_run};
use async_graphql::{ID, InputObject, Object};
use std::sync::Arc;

/// A pass over a source's lists.
pub struct SyncRun {
    pub(super) row: sync_run::Model,
    pub(super) source: Arc<source::Model>,
}

/// A pass over a source's lists.
#[Object]
impl SyncRun {
    /// Opaque.
    pub async fn id(&self) -> ID {
        global_id::encode(Kind::Run, &self.source.name, &self.row.id.to_string())
    }

    /// Whose lists.
    async fn source(&self) -> Source {
        Source::new(Arc::clone(&self.source))
    }

    /// Where it stands.
    async fn state(&self) -> RunState {
        self.row.state.into()
    }

    /// Why it runs.
    async fn cause(&self) -> &str {
        &self.row.cause
    }

    /// When it began.
    async fn started_at(&self) -> DateTime {
        DateTime(self.row.started_at)
    }

    /// When it ended; null while it goes on.
    async fn finished_at(&self) -> Option<DateTime> {
        self.row.finished_at.map(DateTime)
    }

    /// Pages kept so far.
    async fn pages(&self) -> i64 {
        self.row.pages
    }

    /// Rows on those pages.
    async fn rows_seen(&self) -> i64 {
        self.row.rows_seen
    }

    /// Rows in all, where upstream told.
    async fn rows_expected(&self) -> Option<i64> {
        self.row.rows_expected
    }

    /// What stopped it; null where nothing did.
    async fn error(&self) -> Option<&str> {
        self.row.error.as_deref()
    }
}

connection!(
    /// A page of runs.
    SyncRunConnection,
    /// A run with its cursor.
    SyncRunEdge,
    SyncRun
);

/// Which runs. Everything that is given must hold.
#[derive(Clone, Debug, Default, InputObject)]
pub struct SyncRunFilter {
    /// Only of the source of this name.
    pub(super) source: Option<String>,
    /// Only in one of these states.
    pub(super) states: Option<Vec<RunState>>,
}
