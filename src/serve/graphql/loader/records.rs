//! Records by their keys, and what hangs on them where it is read as a whole.

use super::{Batch, Loaded, grouped};
use crate::mirror::read::{DeliveryRow, InterestRow, ProfileKey, ProvenanceRow, ReadError};
use ::entity::{change, erasure, interest, lifecycle_transition, profile};
use std::sync::Arc;

/// A profile by its key in the database, placeholders too.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::serve::graphql) struct ProfileById(pub i64);
/// The interests that a profile type offers.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::serve::graphql) struct InterestsOfType(pub i32);
/// The interests that are on for a profile.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::serve::graphql) struct InterestsOf(pub i64);
/// The lifecycle of a profile.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::serve::graphql) struct TransitionsOf(pub i64);
/// Where the values of a profile and its subprofiles come from.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::serve::graphql) struct ProvenanceOf(pub i64);
/// The receipt of the erasure of a profile.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::serve::graphql) struct ErasureOf(pub i64);
/// A delivery.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::serve::graphql) struct DeliveryById(pub i64);

/// A change of a source by its revision.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::serve::graphql) struct ChangeOf {
    pub source_id: i32,
    pub revision: i64,
}
/// What a delivery changed about a profile.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::serve::graphql) struct ChangesBy {
    pub delivery_id: i64,
    pub profile_id: i64,
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

by_id!(ProfileById, profile::Model, profiles_by_ids);
by_id!(DeliveryById, DeliveryRow, deliveries_by_ids);
by_parent!(InterestsOfType, interest::Model, interests_of_types, |row: &interest::Model| row.profile_type_id);
by_parent!(InterestsOf, InterestRow, interests, |row: &InterestRow| row.profile_id);
by_parent!(ProvenanceOf, ProvenanceRow, provenance, |row: &ProvenanceRow| row.profile_id);
by_parent!(ErasureOf, erasure::Model, erasures, |row: &erasure::Model| row.profile_id);
by_parent!(TransitionsOf, lifecycle_transition::Model, transitions, |row: &lifecycle_transition::Model| row.profile_id);

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
