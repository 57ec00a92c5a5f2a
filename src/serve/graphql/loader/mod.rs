//! One loader a request: what its resolvers wait for at the same moment is read in one statement.
//!
//! Nothing is cached, so that nothing can be stale in a stream that lives for days. Each file holds keys and how they
//! are read: `records` one by one, `children` by pages under their parents, `sources` what is told of sources, `past`
//! what was.

mod children;
mod past;
mod records;
mod sources;

pub(super) use children::{
    CandidateArguments, ChildrenOf, FieldTests, HistoryArguments, RelationshipArguments, SubprofileArguments,
};
pub(super) use past::{PastOf, PastRelationshipsOf, PastSubprofilesOf};
pub(super) use records::{
    ChangeOf, ChangesBy, DeliveryById, ErasureOf, InterestsOf, InterestsOfType, ProfileById, ProvenanceOf,
    TransitionsOf,
};
pub(super) use sources::{
    AllDeletionsWaiting, ChangesFoundOf, FailingRunOf, LastCompleteRunOf, LastRunOf, OverdueOf, ParkedOf,
    PendingErasuresOf, PendingOf, StateOf,
};

use super::wave::Wave;
use crate::mirror::read::{ReadError, Reader};
use async_graphql::dataloader::DataLoader;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

/// The loader as resolvers take it from the context.
pub(super) type Loader = DataLoader<Batch>;

/// Reads by keys.
pub(super) struct Batch(Reader);

/// Keys bound in one statement.
const MAX_KEYS: usize = 500;

/// A loader whose loads go out with the waves of a request.
pub(super) fn new(reader: Reader, wave: Wave) -> Loader {
    let put_off = move |load| wave.add(load);
    DataLoader::new(Batch(reader), put_off).delay(Duration::ZERO).max_batch_size(MAX_KEYS)
}

type Loaded<K, V> = Result<HashMap<K, V>, ReadError>;

fn grouped<K: Clone + Eq + Hash, R>(keys: &[K], rows: Vec<R>, key_of: impl Fn(&R) -> K) -> HashMap<K, Arc<Vec<R>>> {
    let mut groups: HashMap<K, Vec<R>> = keys.iter().map(|key| (key.clone(), Vec::new())).collect();
    for row in rows {
        if let Some(group) = groups.get_mut(&key_of(&row)) {
            group.push(row);
        }
    }
    groups.into_iter().map(|(key, rows)| (key, Arc::new(rows))).collect()
}
