//! What is told of sources.

use super::{Batch, Loaded};
use crate::mirror::read::{ChangesFound, DeletionsWaiting, ReadError, SourceCount, Waiting};
use ::entity::{Moment, source_state, sync_run};
use std::collections::HashMap;
use std::sync::Arc;

/// The moving state of a source.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::serve::graphql) struct StateOf(pub i32);
/// The pending deliveries of a source.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::serve::graphql) struct PendingOf(pub i32);
/// The parked deliveries of a source.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::serve::graphql) struct ParkedOf(pub i32);
/// The deletions that wait for a person, by run: sources and their runs are told from the same rows.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::serve::graphql) struct AllDeletionsWaiting;
/// The erasures of a source after which the database's files are not clean yet.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::serve::graphql) struct PendingErasuresOf(pub i32);
/// The scheduled deletions of a source that are overdue.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::serve::graphql) struct OverdueOf {
    pub source_id: i32,
    pub now: Moment,
}

/// The pass over all lists of a source that fails again and again.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::serve::graphql) struct FailingRunOf(pub i32);
/// What the newest complete pass over all lists of a source found changed.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::serve::graphql) struct ChangesFoundOf(pub i32);
/// The newest run of a source.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::serve::graphql) struct LastRunOf(pub i32);
/// The newest complete pass over all lists of a source.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::serve::graphql) struct LastCompleteRunOf(pub i32);

/// Sources are few: whichever is asked for, all are read.
macro_rules! by_source {
    ($key:ident, $value:ty, $read:ident) => {
        impl async_graphql::dataloader::Loader<$key> for Batch {
            type Value = Arc<$value>;
            type Error = ReadError;

            async fn load(&self, _keys: &[$key]) -> Loaded<$key, Self::Value> {
                Ok(self.0.$read().await?.into_iter().map(|row| ($key(row.source_id), Arc::new(row))).collect())
            }
        }
    };
}

by_source!(StateOf, source_state::Model, source_states);
by_source!(PendingOf, Waiting, pending);
by_source!(ParkedOf, Waiting, parked);
by_source!(PendingErasuresOf, SourceCount, pending_erasures);
by_source!(FailingRunOf, sync_run::Model, failing_runs);
by_source!(ChangesFoundOf, ChangesFound, changes_found);
by_source!(LastRunOf, sync_run::Model, last_runs);
by_source!(LastCompleteRunOf, sync_run::Model, last_complete_runs);

impl async_graphql::dataloader::Loader<AllDeletionsWaiting> for Batch {
    type Value = Arc<Vec<DeletionsWaiting>>;
    type Error = ReadError;

    async fn load(&self, _keys: &[AllDeletionsWaiting]) -> Loaded<AllDeletionsWaiting, Self::Value> {
        let waiting = self.0.deletions_waiting().await?;
        Ok(HashMap::from([(AllDeletionsWaiting, Arc::new(waiting))]))
    }
}

impl async_graphql::dataloader::Loader<OverdueOf> for Batch {
    type Value = i64;
    type Error = ReadError;

    async fn load(&self, keys: &[OverdueOf]) -> Loaded<OverdueOf, Self::Value> {
        // The keys of one request are milliseconds apart.
        let Some(now) = keys.iter().map(|key| key.now).max() else { return Ok(HashMap::new()) };
        let overdue = self.0.overdue(now).await?;
        let of = |key: &OverdueOf| Some((*key, overdue.iter().find(|row| row.source_id == key.source_id)?.count));
        Ok(keys.iter().filter_map(of).collect())
    }
}
