//! What apply knows of a source's metadata: profile types, fields, collections, relationship types.

use crate::mirror::write::{self, Asked, Definitions, KnownType};
use entity::{Moment, ProfileKind, relationship_type};
use provider::{FieldSeen, ProfileTypeSeen, RelationshipSeen, UnsubscribePlace};
use sea_orm::{ConnectionTrait, DbErr};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// A profile type whose fields or whose kind are others than before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Learned {
    /// Its row.
    pub profile_type_id: i32,
    /// No field was known.
    pub is_first: bool,
}

/// A source's metadata, kept between batches while the lease is held.
pub(super) struct Catalog {
    known: Definitions,
    has_news: bool,
}

impl Catalog {
    /// Loads it.
    pub async fn load(connection: &impl ConnectionTrait, source_id: i32) -> Result<Self, DbErr> {
        Ok(Self { known: write::load_catalog(connection, source_id).await?, has_news: false })
    }

    /// Whether something that readers keep in memory was written since this was asked last.
    pub fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.has_news)
    }

    /// The profile type with this external id.
    pub fn profile_type(&self, external_id: &str) -> Option<&KnownType> {
        self.known.types.get(external_id)
    }

    /// The fields of the profile type with this row id.
    pub fn fields(&self, profile_type_id: Option<i32>) -> &[FieldSeen] {
        let known = profile_type_id.and_then(|id| self.known.types.values().find(|known| known.row.id == id));
        known.map(|known| known.fields.as_slice()).unwrap_or_default()
    }

    /// What the profiles of the profile type with this row id are about.
    pub fn kind(&self, profile_type_id: Option<i32>) -> Option<ProfileKind> {
        let known = profile_type_id.and_then(|id| self.known.types.values().find(|known| known.row.id == id));
        known.map(|known| known.row.kind)
    }

    /// Name of the profile type with this row id.
    pub fn type_name(&self, id: i32) -> Option<String> {
        self.known.types.values().find(|known| known.row.id == id).map(|known| known.row.name.clone())
    }

    /// External id of the profile type with this row id.
    pub fn type_external_id(&self, id: i32) -> Option<String> {
        self.known.types.values().find(|known| known.row.id == id).map(|known| known.row.external_id.clone())
    }

    /// External id of the collection with this row id.
    pub fn collection_external_id(&self, id: i32) -> Option<String> {
        self.known.collections.values().find(|row| row.id == id).map(|row| row.external_id.clone())
    }

    /// Name of the collection with this row id.
    pub fn collection_name(&self, id: i32) -> Option<String> {
        self.known.collections.values().find(|row| row.id == id).map(|row| row.name.clone())
    }

    /// Name of the relationship type with this row id.
    pub fn relationship_type_name(&self, id: i32) -> Option<String> {
        self.known.relationship_types.values().find(|row| row.id == id).map(|row| row.name.clone())
    }

    /// Row id of the collection with this external id.
    pub fn collection_id(&self, external_id: &str) -> Option<i32> {
        self.known.collections.get(external_id).map(|row| row.id)
    }

    /// Row ids of the collections of the profile type with this row id.
    pub fn collections_of(&self, profile_type_id: i32) -> Vec<i32> {
        let of_type = self.known.collections.values().filter(|row| row.profile_type_id == Some(profile_type_id));
        of_type.map(|row| row.id).collect()
    }

    /// The relationship type with this external id.
    pub fn relationship_type(&self, external_id: &str) -> Option<&relationship_type::Model> {
        self.known.relationship_types.get(external_id)
    }

    /// Whether the relationship type of a relationship is known as it is told.
    pub fn knows_relationship_type(&self, seen: &RelationshipSeen) -> bool {
        let known = self.known.relationship_types.get(&seen.type_external_id);
        known.is_some_and(|known| known.name == seen.type_name && known.inverse_name == seen.type_inverse_name)
    }

    /// Makes sure that named profile types have a row. Returns those whose metadata must be fetched.
    pub async fn ensure_types(
        &mut self,
        transaction: &impl ConnectionTrait,
        source_id: i32,
        now: Moment,
        named: impl Iterator<Item = String>,
    ) -> Result<Vec<String>, DbErr> {
        let mut unknown: Vec<String> = named.filter(|name| !self.known.types.contains_key(name)).collect();
        unknown.sort_unstable();
        unknown.dedup();
        for row in write::ensure_profile_types(transaction, source_id, now, &unknown).await? {
            self.known.types.insert(row.external_id.clone(), KnownType { row, fields: Vec::new() });
            self.has_news = true;
        }
        Ok(unknown)
    }

    /// Makes sure that named collections have a row. Returns whether any was new.
    pub async fn ensure_collections(
        &mut self,
        transaction: &impl ConnectionTrait,
        source_id: i32,
        now: Moment,
        named: BTreeMap<String, Option<String>>,
    ) -> Result<bool, DbErr> {
        let unknown: Vec<(String, Option<i32>)> = named
            .into_iter()
            .filter(|(name, _)| !self.known.collections.contains_key(name))
            .map(|(name, of)| (name, of.and_then(|of| self.known.types.get(&of)).map(|known| known.row.id)))
            .collect();
        for row in write::ensure_collections(transaction, source_id, now, &unknown).await? {
            self.known.collections.insert(row.external_id.clone(), row);
            self.has_news = true;
        }
        Ok(!unknown.is_empty())
    }

    /// Whether an answer may say what a part of the metadata is: nothing is known of it that was asked for later.
    async fn takes(
        &mut self,
        transaction: &impl ConnectionTrait,
        source_id: i32,
        asked: Asked,
        part: String,
    ) -> Result<bool, DbErr> {
        if self.known.parts.get(&part).is_some_and(|known| asked < *known) {
            return Ok(false);
        }
        write::note_metadata_part(transaction, source_id, &part, asked).await?;
        self.known.parts.insert(part, asked);
        Ok(true)
    }

    /// Makes sure that named relationship types have a row that says what the newest delivery says.
    pub async fn ensure_relationship_types(
        &mut self,
        transaction: &impl ConnectionTrait,
        source_id: i32,
        named: &[(Asked, &RelationshipSeen)],
    ) -> Result<(), DbErr> {
        let mut changed = BTreeMap::new();
        for (asked, seen) in named {
            let part = || format!("relationship type {}", seen.type_external_id);
            if !self.knows_relationship_type(seen) && self.takes(transaction, source_id, *asked, part()).await? {
                let names = (seen.type_name.clone(), seen.type_inverse_name.clone());
                changed.insert(seen.type_external_id.clone(), names);
            }
        }
        let changed: Vec<_> = changed.into_iter().map(|(id, (name, inverse))| (id, name, inverse)).collect();
        for row in write::ensure_relationship_types(transaction, source_id, &changed).await? {
            self.known.relationship_types.insert(row.external_id.clone(), row);
        }
        Ok(())
    }

    /// Writes a profile type's metadata, but for what was asked for later. Returns the type where its fields or its kind
    /// changed, so that what is derived from them must be derived again.
    pub async fn learn(
        &mut self,
        transaction: &impl ConnectionTrait,
        source_id: i32,
        now: Moment,
        asked: Asked,
        seen: &ProfileTypeSeen,
    ) -> Result<Option<Learned>, DbErr> {
        self.has_news = true;
        let seen = &self.without_older(transaction, source_id, asked, seen).await?;
        let known = self.known.types.get(&seen.external_id);
        let old_fields = known.map(|known| known.fields.clone()).unwrap_or_default();
        let old_kind = known.map(|known| known.row.kind);
        let row = write::write_profile_type(transaction, source_id, now, seen, known.map(|known| &known.row)).await?;
        let (profile_type_id, kind) = (row.id, row.kind);
        let fields = seen.fields.clone().unwrap_or_else(|| old_fields.clone());
        let has_changed = fields != old_fields;
        if has_changed {
            write::replace_fields(transaction, source_id, Ok(profile_type_id), &fields).await?;
            let references: Vec<_> = fields
                .iter()
                .filter(|field| field.is_reference)
                .map(|field| (field.name.clone(), field.label.clone().unwrap_or_else(|| field.name.clone()), None))
                .collect();
            for row in write::ensure_relationship_types(transaction, source_id, &references).await? {
                self.known.relationship_types.insert(row.external_id.clone(), row);
            }
        }
        for collection in seen.collections.iter().flatten() {
            let id = &collection.external_id;
            if self.takes(transaction, source_id, asked, format!("collection {id}")).await? {
                let row = write::write_collection(transaction, source_id, now, profile_type_id, collection).await?;
                self.known.collections.insert(row.external_id.clone(), row);
            }
            if let Some(fields) = &collection.fields {
                self.learn_collection_fields(transaction, source_id, asked, id, fields).await?;
            }
        }
        if let Some(interests) = &seen.interests {
            write::replace_interests(transaction, source_id, profile_type_id, interests).await?;
        }
        self.known.types.insert(seen.external_id.clone(), KnownType { row, fields });
        let has_other_kind = old_kind.is_some_and(|old| old != kind);
        let learned = Learned { profile_type_id, is_first: has_changed && old_fields.is_empty() };
        Ok((has_changed || has_other_kind).then_some(learned))
    }

    /// What an answer says of a profile type, without the parts of which something is known that was asked for later.
    async fn without_older(
        &mut self,
        transaction: &impl ConnectionTrait,
        source_id: i32,
        asked: Asked,
        seen: &ProfileTypeSeen,
    ) -> Result<ProfileTypeSeen, DbErr> {
        let mut seen = seen.clone();
        let id = seen.external_id.clone();
        if !seen.name.is_empty() && !self.takes(transaction, source_id, asked, format!("profile type {id}")).await? {
            seen.name.clear();
        }
        if seen.fields.is_some()
            && !self.takes(transaction, source_id, asked, format!("fields of profile type {id}")).await?
        {
            seen.fields = None;
        }
        if seen.interests.is_some()
            && !self.takes(transaction, source_id, asked, format!("interests of profile type {id}")).await?
        {
            seen.interests = None;
        }
        Ok(seen)
    }

    /// Writes what unsubscribing does in a profile type or collection that is known.
    pub async fn learn_unsubscribing(
        &mut self,
        transaction: &impl ConnectionTrait,
        source_id: i32,
        asked: Asked,
        place: &UnsubscribePlace,
        action: &str,
        fields: &Map<String, Value>,
    ) -> Result<(), DbErr> {
        let part = match place {
            UnsubscribePlace::ProfileType(id) => format!("unsubscribing of profile type {id}"),
            UnsubscribePlace::Collection(id) => format!("unsubscribing of collection {id}"),
        };
        if self.takes(transaction, source_id, asked, part).await? {
            write::write_unsubscribing(transaction, source_id, place, action, fields).await?;
        }
        Ok(())
    }

    /// Writes the fields of a collection that is known.
    pub async fn learn_collection_fields(
        &mut self,
        transaction: &impl ConnectionTrait,
        source_id: i32,
        asked: Asked,
        collection: &str,
        fields: &[FieldSeen],
    ) -> Result<(), DbErr> {
        let Some(collection_id) = self.collection_id(collection) else { return Ok(()) };
        if self.takes(transaction, source_id, asked, format!("fields of collection {collection}")).await? {
            self.has_news = true;
            write::replace_fields(transaction, source_id, Err(collection_id), fields).await?;
        }
        Ok(())
    }
}
