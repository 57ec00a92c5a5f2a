//! Profiles as they were, and what hung on them.

use super::{Batch, grouped};
use crate::mirror::read::{LogPlace, PastError, PastProfile, RelationshipRow, SubprofileRow};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

/// A profile as it was.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::serve::graphql) struct PastOf {
    pub profile_id: i64,
    pub place: LogPlace,
}
/// The subprofiles that a profile had.
#[derive(Clone)]
pub(in crate::serve::graphql) struct PastSubprofilesOf(pub Arc<PastProfile>);
/// The relationships that a profile had.
#[derive(Clone)]
pub(in crate::serve::graphql) struct PastRelationshipsOf(pub Arc<PastProfile>);

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
