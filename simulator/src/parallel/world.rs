//! Parallel's store: profile types, profiles, relationships, and every change that can be made to them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, NaiveDate, Utc};
use rand::Rng;
use rand::distr::Alphanumeric;
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use crate::context::Refusal;

/// A field of a profile type.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    pub(crate) id: String,
    pub(crate) alias: Option<&'static str>,
    pub(crate) name: [&'static str; 2],
    pub(crate) kind: &'static str,
    pub(crate) is_expirable: bool,
    pub(crate) options: &'static [&'static str],
}

impl Field {
    /// The key of its value in the oracle.
    pub(crate) fn key(&self) -> &str {
        self.alias.unwrap_or(&self.id)
    }
}

/// A kind of profile, with the fields that make up its name.
#[derive(Debug)]
pub(crate) struct ProfileType {
    pub(crate) id: String,
    pub(crate) name: [&'static str; 2],
    pub(crate) fields: Vec<Field>,
    pub(crate) name_fields: &'static [&'static str],
    /// Places in `World::profiles` that lists show.
    pub(crate) listed: BTreeSet<u64>,
}

/// A kind of relationship.
#[derive(Debug, Clone)]
pub(crate) struct RelationshipType {
    pub(crate) id: String,
    pub(crate) alias: Option<&'static str>,
    pub(crate) name: [&'static str; 2],
    pub(crate) inverse_name: [&'static str; 2],
}

/// What a field of one profile holds.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    /// `content.value` in REST.
    pub(crate) value: Value,
    pub(crate) expires_at: Option<NaiveDate>,
    pub(crate) created_at: DateTime<Utc>,
}

/// A profile's status as REST tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Open,
    Closed,
    DeletionScheduled,
    /// One that nobody has heard of.
    Unheard(&'static str),
}

impl Status {
    pub(crate) fn wire_name(self) -> &'static str {
        match self {
            Self::Open => "OPEN",
            Self::Closed => "CLOSED",
            Self::DeletionScheduled => "DELETION_SCHEDULED",
            Self::Unheard(word) => word,
        }
    }
}

/// How a profile ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Anonymized,
    Vanished,
}

#[derive(Debug, Clone)]
pub(crate) struct Profile {
    pub(crate) id: String,
    pub(crate) kind: usize,
    pub(crate) status: Status,
    pub(crate) end: Option<End>,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) updated_at: DateTime<Utc>,
    pub(crate) closed_at: Option<DateTime<Utc>>,
    pub(crate) deletion_at: Option<DateTime<Utc>>,
    /// By place in the type's fields.
    pub(crate) values: BTreeMap<usize, Held>,
    pub(crate) relationships: Vec<String>,
}

#[derive(Debug, Clone)]
pub(crate) struct Relationship {
    pub(crate) kind: usize,
    /// Shows it with `inverse: false`.
    pub(crate) left: u64,
    pub(crate) right: u64,
}

/// Everything in one organization.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) types: Vec<ProfileType>,
    pub(crate) relationship_types: Vec<RelationshipType>,
    /// In order of creation.
    pub(crate) profiles: BTreeMap<u64, Profile>,
    pub(crate) places: HashMap<String, u64>,
    pub(crate) relationships: BTreeMap<String, Relationship>,
    pub(crate) next_place: u64,
    pub(crate) rng: ChaCha8Rng,
}

impl World {
    /// An opaque, case-sensitive id.
    pub(crate) fn new_id(&mut self) -> String {
        new_id(&mut self.rng)
    }

    /// The place of a profile that has not ended.
    pub(crate) fn living(&self, id: &str) -> Result<u64, Refusal> {
        let place = self.places.get(id).copied().ok_or_else(|| Refusal::because("Profile not found"))?;
        match self.profiles.get(&place) {
            Some(profile) if profile.end.is_none() => Ok(place),
            _ => Err(Refusal::because("Profile not found")),
        }
    }

    pub(crate) fn profile_mut(&mut self, id: &str) -> Result<&mut Profile, Refusal> {
        let place = self.living(id)?;
        self.profiles.get_mut(&place).ok_or_else(|| Refusal::because("Profile not found"))
    }

    /// Finds a type by id, English name, or alias-like lower-case name.
    pub(crate) fn find_type(&self, id_or_name: &str) -> Result<usize, Refusal> {
        let fits = |known: &ProfileType| known.id == id_or_name || known.name[0].eq_ignore_ascii_case(id_or_name);
        self.types.iter().position(fits).ok_or_else(|| Refusal::because("Profile type not found"))
    }

    pub(crate) fn find_field(&self, kind: usize, key: &str) -> Result<usize, Refusal> {
        let fits =
            |known: &Field| known.alias == Some(key) || known.id == key || known.name[0].eq_ignore_ascii_case(key);
        self.types[kind].fields.iter().position(fits).ok_or_else(|| Refusal::because("Field not found"))
    }

    pub(crate) fn create(&mut self, kind: usize, id: String, now: DateTime<Utc>) -> u64 {
        self.next_place += 1;
        let place = self.next_place;
        self.places.insert(id.clone(), place);
        self.types[kind].listed.insert(place);
        let profile = Profile {
            id,
            kind,
            status: Status::Open,
            end: None,
            created_at: now,
            updated_at: now,
            closed_at: None,
            deletion_at: None,
            values: BTreeMap::new(),
            relationships: Vec::new(),
        };
        self.profiles.insert(place, profile);
        place
    }

    /// Sets or empties one field; says whether its value changed.
    pub(crate) fn set_value(&mut self, place: u64, field: usize, value: Option<Value>, now: DateTime<Utc>) -> bool {
        let Some(profile) = self.profiles.get_mut(&place) else { return false };
        let value = value.filter(|value| !value.is_null());
        let before = profile.values.get(&field);
        if before.map(|held| &held.value) == value.as_ref() {
            return false;
        }
        let expires_at = before.and_then(|held| held.expires_at);
        match value {
            Some(value) => profile.values.insert(field, Held { value, expires_at, created_at: now }),
            None => profile.values.remove(&field),
        };
        profile.updated_at = now;
        true
    }

    /// Ends a profile and every relationship it is in; returns those relationships.
    pub(crate) fn end(&mut self, place: u64, end: End, still_listed: bool) -> Vec<(String, Relationship)> {
        let Some(profile) = self.profiles.get_mut(&place) else { return Vec::new() };
        profile.end = Some(end);
        profile.values.clear();
        profile.deletion_at = None;
        let kind = profile.kind;
        let ids = std::mem::take(&mut profile.relationships);
        if !still_listed {
            self.types[kind].listed.remove(&place);
        }
        ids.into_iter().filter_map(|id| self.unlink(&id).map(|relationship| (id, relationship))).collect()
    }

    pub(crate) fn link(&mut self, id: String, kind: usize, left: u64, right: u64) {
        for place in [left, right] {
            if let Some(profile) = self.profiles.get_mut(&place) {
                profile.relationships.push(id.clone());
            }
        }
        self.relationships.insert(id, Relationship { kind, left, right });
    }

    pub(crate) fn unlink(&mut self, id: &str) -> Option<Relationship> {
        let relationship = self.relationships.remove(id)?;
        for place in [relationship.left, relationship.right] {
            if let Some(profile) = self.profiles.get_mut(&place) {
                profile.relationships.retain(|known| known != id);
            }
        }
        Some(relationship)
    }

    /// A profile's name: the values of the type's name fields.
    pub(crate) fn name(&self, profile: &Profile) -> String {
        let kind = &self.types[profile.kind];
        let part = |alias: &&str| {
            let at = kind.fields.iter().position(|field| field.alias == Some(*alias))?;
            profile.values.get(&at)?.value.as_str().map(str::to_owned)
        };
        let parts: Vec<String> = kind.name_fields.iter().filter_map(part).collect();
        parts.join(" ").trim().to_owned()
    }
}

pub(crate) fn new_id(rng: &mut ChaCha8Rng) -> String {
    (0..20).map(|_| char::from(rng.sample(Alphanumeric))).collect()
}
