//! A change together with what its subscribers want to see of it, read once for all of them.

use super::before::{Before, befores};
use crate::mirror::read::{ReadError, Reader};
use ::entity::{ChangeKind, RecordKind, change, profile, profile_type};
use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// A change and the profile as it was when the change was read.
#[derive(Clone, Debug)]
pub struct Event {
    /// The change.
    pub change: Arc<change::Model>,
    /// The profile as it is now; none where it is no longer kept.
    pub profile: Option<Arc<profile::Model>>,
    /// The profile as it was just before the change.
    pub before: Before,
    /// The profile's type, where known.
    pub profile_type: Option<Arc<profile_type::Model>>,
}

impl Event {
    /// Whether readers must not see it, because its profile is only a placeholder.
    pub fn is_hidden(&self) -> bool {
        self.profile.as_ref().is_some_and(|profile| !profile.is_known)
    }

    /// Source and profile that it is about.
    pub(super) fn profile_key(&self) -> (i32, i64) {
        (self.change.source_id, self.change.profile_id)
    }

    /// Whether it may tell what these profiles were: it is about one of them, or about a relationship, whose other end may be.
    pub(super) fn may_tell_of(&self, wiped: &HashSet<(i32, i64)>) -> bool {
        let is_of = |(source_id, _): &(i32, i64)| *source_id == self.change.source_id;
        let names_another = self.change.record_kind == RecordKind::Relationship;
        wiped.contains(&self.profile_key()) || (names_another && wiped.iter().any(is_of))
    }

    /// Whether it took personal data away, so that older events of the process must not be shown any more.
    pub(super) fn wipes(&self) -> bool {
        matches!(self.change.kind, ChangeKind::Anonymized | ChangeKind::Erased)
    }
}

/// Reads changes of one source in commit order, with their profiles: three statements at most, and what their types
/// take where the catalog is not in memory.
pub(super) async fn read_log(
    reader: &Reader,
    source_id: i32,
    after: i64,
    limit: u64,
) -> Result<Vec<Arc<Event>>, ReadError> {
    let changes = reader.log(source_id, after, limit).await?;
    let ids: BTreeSet<i64> = changes.iter().map(|change| change.profile_id).collect();
    let profiles = reader.profiles_by_ids(&ids.into_iter().collect::<Vec<_>>()).await?;
    let mut types = HashMap::new();
    for id in profiles.iter().filter_map(|profile| profile.profile_type_id) {
        if let Entry::Vacant(place) = types.entry(id) {
            place.insert(reader.in_catalog(|catalog| catalog.profile_type(id)).await?);
        }
    }
    let profiles: HashMap<i64, _> = profiles.into_iter().map(|row| (row.id, Arc::new(row))).collect();
    let befores = befores(reader, source_id, &changes, &profiles).await?;
    let event = |(change, before): (change::Model, Before)| {
        let profile = profiles.get(&change.profile_id).cloned();
        let of_type = profile.as_ref().and_then(|profile| profile.profile_type_id);
        let profile_type = of_type.and_then(|id| types.get(&id).cloned().flatten());
        Arc::new(Event { change: Arc::new(change), profile, before, profile_type })
    };
    Ok(changes.into_iter().zip(befores).map(event).collect())
}
