//! One loader a request: what its resolvers wait for at the same moment is read in one statement.
//!
//! Nothing is cached, so that nothing can be stale in a stream that lives for days.

use super::wave::Wave;
use crate::mirror::read::{
    ChildPage, DeletionsWaiting, DeliveryRow, Direction, InterestRow, LogPlace, PastError, PastProfile, Predicate,
    ProfileKey, ProvenanceRow, ReadError, Reader, RelationshipRow, Slice, SourceCount, SubprofileRow, Waiting,
};
use ::entity::{
    CandidateState, Moment, change, deletion_candidate, erasure, interest, lifecycle_transition, profile, source_state,
    sync_run,
};
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

/// A profile by its key in the database, placeholders too.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct ProfileById(pub i64);
/// The interests that a profile type offers.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct InterestsOfType(pub i32);
/// The interests that are on for a profile.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct InterestsOf(pub i64);
/// The lifecycle of a profile.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct TransitionsOf(pub i64);
/// Where the values of a profile and its subprofiles come from.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct ProvenanceOf(pub i64);
/// The receipt of the erasure of a profile.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct ErasureOf(pub i64);
/// A delivery.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct DeliveryById(pub i64);

/// The moving state of a source.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct StateOf(pub i32);
/// The pending deliveries of a source.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct PendingOf(pub i32);
/// The parked deliveries of a source.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct ParkedOf(pub i32);
/// The deletions of a source that wait for a person.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct DeletionsWaitingOf(pub i32);
/// The deletions of a run that wait for a person.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct DeletionsWaitingOfRun(pub i64);
/// The erasures of a source after which the database's files are not clean yet.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct PendingErasuresOf(pub i32);
/// The scheduled deletions of a source that are overdue.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct OverdueOf {
    pub source_id: i32,
    pub now: Moment,
}

/// The newest run of a source.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct LastRunOf(pub i32);
/// The newest complete pass over all lists of a source.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct LastCompleteRunOf(pub i32);
/// A change of a source by its revision.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct ChangeOf {
    pub source_id: i32,
    pub revision: i64,
}
/// What a delivery changed about a profile.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct ChangesBy {
    pub delivery_id: i64,
    pub profile_id: i64,
}

/// A page of children of one profile or run: pages of the same arguments are read together.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct ChildrenOf<A> {
    pub parent_id: i64,
    pub arguments: A,
    pub page: ChildPage,
}

/// Arguments of a list of subprofiles.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct SubprofileArguments {
    pub collection: Option<String>,
    pub fields: Option<FieldTests>,
}

/// Tests on fields, told apart by how they are written.
#[derive(Clone)]
pub(super) struct FieldTests {
    pub predicate: Predicate,
    text: String,
}

impl FieldTests {
    pub fn new(predicate: Predicate) -> Self {
        Self { text: format!("{predicate:?}"), predicate }
    }
}

impl PartialEq for FieldTests {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for FieldTests {}

impl Hash for FieldTests {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

/// Arguments of a list of relationships.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct RelationshipArguments {
    pub kind: Option<String>,
    pub direction: Option<Direction>,
    pub with_removed: bool,
}

/// Arguments of a list of candidates for deletion.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct CandidateArguments {
    pub state: Option<CandidateState>,
}

/// Arguments of a history.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct HistoryArguments {
    /// The last revision that is looked at.
    pub until: Option<i64>,
}

/// A profile as it was.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct PastOf {
    pub profile_id: i64,
    pub place: LogPlace,
}
/// The subprofiles that a profile had.
#[derive(Clone)]
pub(super) struct PastSubprofilesOf(pub Arc<PastProfile>);
/// The relationships that a profile had.
#[derive(Clone)]
pub(super) struct PastRelationshipsOf(pub Arc<PastProfile>);

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

macro_rules! by_id {
    ($key:ident, $value:ty, $read:ident) => {
        impl async_graphql::dataloader::Loader<$key> for Batch {
            type Value = Arc<$value>;
            type Error = ReadError;

            async fn load(&self, keys: &[$key]) -> Loaded<$key, Self::Value> {
                let ids: Vec<_> = keys.iter().map(|key| key.0).collect();
                Ok(self.0.$read(&ids).await?.into_iter().map(|row| ($key(row.id), Arc::new(row))).collect())
            }
        }
    };
}

macro_rules! by_parent {
    ($key:ident, $value:ty, $read:ident, $parent:expr) => {
        impl async_graphql::dataloader::Loader<$key> for Batch {
            type Value = Arc<Vec<$value>>;
            type Error = ReadError;

            async fn load(&self, keys: &[$key]) -> Loaded<$key, Self::Value> {
                let ids: Vec<_> = keys.iter().map(|key| key.0).collect();
                Ok(grouped(keys, self.0.$read(&ids).await?, |row: &$value| $key(($parent)(row))))
            }
        }
    };
}

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
by_source!(LastRunOf, sync_run::Model, last_runs);
by_source!(LastCompleteRunOf, sync_run::Model, last_complete_runs);
by_id!(ProfileById, profile::Model, profiles_by_ids);
by_id!(DeliveryById, DeliveryRow, deliveries_by_ids);
by_parent!(InterestsOfType, interest::Model, interests_of_types, |row: &interest::Model| row.profile_type_id);
by_parent!(InterestsOf, InterestRow, interests, |row: &InterestRow| row.profile_id);
by_parent!(ProvenanceOf, ProvenanceRow, provenance, |row: &ProvenanceRow| row.profile_id);
by_parent!(ErasureOf, erasure::Model, erasures, |row: &erasure::Model| row.profile_id);
by_parent!(TransitionsOf, lifecycle_transition::Model, transitions, |row: &lifecycle_transition::Model| row.profile_id);

impl async_graphql::dataloader::Loader<DeletionsWaitingOf> for Batch {
    type Value = Arc<DeletionsWaiting>;
    type Error = ReadError;

    async fn load(&self, keys: &[DeletionsWaitingOf]) -> Loaded<DeletionsWaitingOf, Self::Value> {
        let waiting = self.0.deletions_waiting().await?;
        let of = |key: &DeletionsWaitingOf| Some((*key, Arc::new(DeletionsWaiting::of(&waiting, key.0)?)));
        Ok(keys.iter().filter_map(of).collect())
    }
}

impl async_graphql::dataloader::Loader<DeletionsWaitingOfRun> for Batch {
    type Value = i64;
    type Error = ReadError;

    async fn load(&self, _keys: &[DeletionsWaitingOfRun]) -> Loaded<DeletionsWaitingOfRun, Self::Value> {
        let waiting = self.0.deletions_waiting().await?;
        Ok(waiting.into_iter().map(|run| (DeletionsWaitingOfRun(run.run_id), run.count)).collect())
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

/// Reads pages of children, one statement for each set of arguments.
async fn children<A: Clone + Eq + Hash, R, F: Future<Output = Result<Vec<R>, ReadError>>>(
    keys: &[ChildrenOf<A>],
    read: impl Fn(Vec<i64>, A, ChildPage) -> F,
    owner: impl Fn(&R) -> i64,
) -> Loaded<ChildrenOf<A>, Arc<Slice<R>>> {
    let mut groups: HashMap<(A, ChildPage), Vec<i64>> = HashMap::new();
    for key in keys {
        groups.entry((key.arguments.clone(), key.page.clone())).or_default().push(key.parent_id);
    }
    let mut loaded = HashMap::with_capacity(keys.len());
    for ((arguments, page), ids) in groups {
        let mut of: HashMap<i64, Vec<R>> = ids.iter().map(|id| (*id, Vec::new())).collect();
        for row in read(ids, arguments.clone(), page.clone()).await? {
            if let Some(rows) = of.get_mut(&owner(&row)) {
                rows.push(row);
            }
        }
        for (parent_id, rows) in of {
            let key = ChildrenOf { parent_id, arguments: arguments.clone(), page: page.clone() };
            loaded.insert(key, Arc::new(page.cut(rows)));
        }
    }
    Ok(loaded)
}

impl async_graphql::dataloader::Loader<ChildrenOf<SubprofileArguments>> for Batch {
    type Value = Arc<Slice<Arc<SubprofileRow>>>;
    type Error = ReadError;

    async fn load(
        &self,
        keys: &[ChildrenOf<SubprofileArguments>],
    ) -> Loaded<ChildrenOf<SubprofileArguments>, Self::Value> {
        let read = |ids: Vec<i64>, arguments: SubprofileArguments, page: ChildPage| async move {
            let SubprofileArguments { collection, fields } = arguments;
            let fields = fields.as_ref().map(|fields| &fields.predicate);
            let rows = self.0.subprofiles(&ids, collection.as_deref(), fields, &page).await?;
            Ok(rows.into_iter().map(Arc::new).collect())
        };
        children(keys, read, |row: &Arc<SubprofileRow>| row.profile_id).await
    }
}

impl async_graphql::dataloader::Loader<ChildrenOf<RelationshipArguments>> for Batch {
    type Value = Arc<Slice<RelationshipRow>>;
    type Error = ReadError;

    async fn load(
        &self,
        keys: &[ChildrenOf<RelationshipArguments>],
    ) -> Loaded<ChildrenOf<RelationshipArguments>, Self::Value> {
        let read = |ids: Vec<i64>, arguments: RelationshipArguments, page: ChildPage| async move {
            let RelationshipArguments { kind, direction, with_removed } = arguments;
            self.0.relationships(&ids, kind.as_deref(), direction, with_removed, &page).await
        };
        children(keys, read, |row: &RelationshipRow| row.owner_id).await
    }
}

impl async_graphql::dataloader::Loader<ChildrenOf<CandidateArguments>> for Batch {
    type Value = Arc<Slice<deletion_candidate::Model>>;
    type Error = ReadError;

    async fn load(
        &self,
        keys: &[ChildrenOf<CandidateArguments>],
    ) -> Loaded<ChildrenOf<CandidateArguments>, Self::Value> {
        let read = |ids: Vec<i64>, arguments: CandidateArguments, page: ChildPage| async move {
            self.0.deletion_candidates(&ids, arguments.state, &page).await
        };
        children(keys, read, |row: &deletion_candidate::Model| row.run_id).await
    }
}

impl async_graphql::dataloader::Loader<ProfileKey> for Batch {
    type Value = Arc<profile::Model>;
    type Error = ReadError;

    async fn load(&self, keys: &[ProfileKey]) -> Loaded<ProfileKey, Self::Value> {
        let rows = self.0.profiles_by_keys(keys).await?;
        let key = |row: &profile::Model| ProfileKey { source_id: row.source_id, external_id: row.external_id.clone() };
        Ok(rows.into_iter().map(|row| (key(&row), Arc::new(row))).collect())
    }
}

impl async_graphql::dataloader::Loader<ChangeOf> for Batch {
    type Value = Arc<change::Model>;
    type Error = ReadError;

    async fn load(&self, keys: &[ChangeOf]) -> Loaded<ChangeOf, Self::Value> {
        let wanted: Vec<(i32, i64)> = keys.iter().map(|key| (key.source_id, key.revision)).collect();
        let rows = self.0.changes_by_keys(&wanted).await?;
        let key = |row: &change::Model| ChangeOf { source_id: row.source_id, revision: row.revision };
        Ok(rows.into_iter().map(|row| (key(&row), Arc::new(row))).collect())
    }
}

impl async_graphql::dataloader::Loader<ChangesBy> for Batch {
    type Value = Arc<Vec<Arc<change::Model>>>;
    type Error = ReadError;

    async fn load(&self, keys: &[ChangesBy]) -> Loaded<ChangesBy, Self::Value> {
        let wanted: Vec<(i64, i64)> = keys.iter().map(|key| (key.delivery_id, key.profile_id)).collect();
        let rows = self.0.changes_by_deliveries(&wanted).await?.into_iter().map(Arc::new).collect();
        let key = |row: &Arc<change::Model>| ChangesBy { delivery_id: row.delivery_id, profile_id: row.profile_id };
        Ok(grouped(keys, rows, key))
    }
}

impl async_graphql::dataloader::Loader<ChildrenOf<HistoryArguments>> for Batch {
    type Value = Arc<Slice<change::Model>>;
    type Error = ReadError;

    async fn load(&self, keys: &[ChildrenOf<HistoryArguments>]) -> Loaded<ChildrenOf<HistoryArguments>, Self::Value> {
        let read = |ids: Vec<i64>, arguments: HistoryArguments, page: ChildPage| async move {
            self.0.history(&ids, arguments.until, &page).await
        };
        children(keys, read, |row: &change::Model| row.profile_id).await
    }
}

/// Profiles of the past are one key by their row and the place that they are seen from.
macro_rules! past_key {
    ($key:ident) => {
        impl $key {
            fn parts(&self) -> (LogPlace, i64) {
                (self.0.place, self.0.row.id)
            }
        }

        impl PartialEq for $key {
            fn eq(&self, other: &Self) -> bool {
                self.parts() == other.parts()
            }
        }

        impl Eq for $key {}

        impl Hash for $key {
            fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
                self.parts().hash(state);
            }
        }
    };
}

past_key!(PastSubprofilesOf);
past_key!(PastRelationshipsOf);

impl async_graphql::dataloader::Loader<PastOf> for Batch {
    type Value = Arc<PastProfile>;
    type Error = PastError;

    async fn load(&self, keys: &[PastOf]) -> Result<HashMap<PastOf, Self::Value>, PastError> {
        let mut groups: HashMap<LogPlace, Vec<i64>> = HashMap::new();
        for key in keys {
            groups.entry(key.place).or_default().push(key.profile_id);
        }
        let mut loaded = HashMap::with_capacity(keys.len());
        for (place, ids) in groups {
            for past in self.0.past_profiles(place, &ids).await? {
                loaded.insert(PastOf { profile_id: past.row.id, place }, Arc::new(past));
            }
        }
        Ok(loaded)
    }
}

impl async_graphql::dataloader::Loader<PastSubprofilesOf> for Batch {
    type Value = Arc<Vec<Arc<SubprofileRow>>>;
    type Error = PastError;

    async fn load(&self, keys: &[PastSubprofilesOf]) -> Result<HashMap<PastSubprofilesOf, Self::Value>, PastError> {
        let mut loaded = HashMap::with_capacity(keys.len());
        for (place, profiles) in by_place(keys.iter().map(|key| &key.0)) {
            let rows = self.0.past_subprofiles(place, &profiles).await?.into_iter().map(Arc::new).collect();
            let ids: Vec<i64> = profiles.iter().map(|past| past.row.id).collect();
            let mut of = grouped(&ids, rows, |row: &Arc<SubprofileRow>| row.profile_id);
            for past in profiles {
                let rows = of.remove(&past.row.id).unwrap_or_default();
                loaded.insert(PastSubprofilesOf(past), rows);
            }
        }
        Ok(loaded)
    }
}

impl async_graphql::dataloader::Loader<PastRelationshipsOf> for Batch {
    type Value = Arc<Vec<RelationshipRow>>;
    type Error = PastError;

    async fn load(&self, keys: &[PastRelationshipsOf]) -> Result<HashMap<PastRelationshipsOf, Self::Value>, PastError> {
        let mut loaded = HashMap::with_capacity(keys.len());
        for (place, profiles) in by_place(keys.iter().map(|key| &key.0)) {
            let rows = self.0.past_relationships(place, &profiles).await?;
            let ids: Vec<i64> = profiles.iter().map(|past| past.row.id).collect();
            let mut of = grouped(&ids, rows, |row| row.owner_id);
            for past in profiles {
                let rows = of.remove(&past.row.id).unwrap_or_default();
                loaded.insert(PastRelationshipsOf(past), rows);
            }
        }
        Ok(loaded)
    }
}

fn by_place<'a>(profiles: impl Iterator<Item = &'a Arc<PastProfile>>) -> HashMap<LogPlace, Vec<Arc<PastProfile>>> {
    let mut groups: HashMap<LogPlace, Vec<Arc<PastProfile>>> = HashMap::new();
    for past in profiles {
        groups.entry(past.place).or_default().push(Arc::clone(past));
    }
    groups
}
