//! GetProfile's store: profiles by caller-chosen id, and how text becomes content step by step.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use crate::context::Refusal;

/// How far the vendor is with a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// New text is being read.
    Processing,
    /// Its summary is being written.
    Summarizing,
    /// Done.
    Ready,
    /// Done, in the older shape with bare values.
    Active,
    /// Done, in a word that nobody has heard of.
    Unheard(&'static str),
}

impl Progress {
    /// The word in `status`.
    pub fn wire_name(self) -> &'static str {
        match self {
            Self::Processing => "processing",
            Self::Summarizing => "summarizing",
            Self::Ready => "ready",
            Self::Active => "active",
            Self::Unheard(word) => word,
        }
    }
}

/// `core_info`, `interests`, `personality`, `memories`, `preferences`, `summary`, kept as JSON text: a tenth of the memory.
#[derive(Debug, Clone)]
pub(crate) struct Sections(Box<str>);

impl Sections {
    pub(crate) fn pack(sections: &Map<String, Value>) -> Self {
        Self(serde_json::to_string(sections).unwrap_or_default().into())
    }

    pub(crate) fn unpack(&self) -> Map<String, Value> {
        serde_json::from_str(&self.0).unwrap_or_default()
    }
}

/// One profile.
#[derive(Debug, Clone)]
pub(crate) struct Profile {
    /// What REST shows now.
    pub(crate) sections: Sections,
    /// What the sections become when processing is done.
    pub(crate) pending: Option<Map<String, Value>>,
    pub(crate) progress: Progress,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) last_updated: DateTime<Utc>,
    pub(crate) updates: u32,
}

/// One app's profiles.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) profiles: BTreeMap<String, Profile>,
    /// The same ids in order of creation, for pages of the listing.
    pub(crate) by_creation: BTreeSet<(DateTime<Utc>, String)>,
    /// Ids that are gone and not in use again.
    pub(crate) deleted: BTreeSet<String>,
}

impl World {
    pub(crate) fn get(&self, id: &str) -> Result<&Profile, Refusal> {
        self.profiles.get(id).ok_or_else(|| Refusal::because("Profile not found"))
    }

    pub(crate) fn insert(&mut self, id: &str, profile: Profile) {
        self.deleted.remove(id);
        self.by_creation.insert((profile.created_at, id.to_owned()));
        self.profiles.insert(id.to_owned(), profile);
    }

    /// Merges sections into what processing will make of a profile, and starts it; creates the profile where there is none.
    pub(crate) fn submit(&mut self, id: &str, sections: &Map<String, Value>, now: DateTime<Utc>) {
        if !self.profiles.contains_key(id) {
            let sections = Sections::pack(&Map::new());
            let progress = Progress::Processing;
            let profile = Profile { sections, pending: None, progress, created_at: now, last_updated: now, updates: 0 };
            self.insert(id, profile);
        }
        let Some(profile) = self.profiles.get_mut(id) else { return };
        let pending = profile.pending.get_or_insert_with(|| profile.sections.unpack());
        for (name, value) in sections {
            merge(pending.entry(name.clone()).or_insert(Value::Null), value);
        }
        profile.progress = Progress::Processing;
        profile.last_updated = now;
    }

    /// One step nearer to ready; None where nothing is under way.
    pub(crate) fn step(&mut self, id: &str, now: DateTime<Utc>) -> Option<Progress> {
        let profile = self.profiles.get_mut(id)?;
        profile.progress = match profile.progress {
            Progress::Processing => Progress::Summarizing,
            Progress::Summarizing => {
                if let Some(sections) = profile.pending.take() {
                    profile.sections = Sections::pack(&sections);
                }
                profile.updates += 1;
                Progress::Ready
            }
            Progress::Ready | Progress::Active | Progress::Unheard(_) => return None,
        };
        profile.last_updated = now;
        Some(profile.progress)
    }

    pub(crate) fn delete(&mut self, id: &str) -> Result<(), Refusal> {
        let gone = self.profiles.remove(id).ok_or_else(|| Refusal::because("Profile not found"))?;
        self.by_creation.remove(&(gone.created_at, id.to_owned()));
        self.deleted.insert(id.to_owned());
        Ok(())
    }
}

/// Objects are merged one level deep, everything else is replaced; null takes away.
fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (name, value) in from {
                if value.is_null() {
                    into.remove(name);
                } else {
                    into.insert(name.clone(), value.clone());
                }
            }
        }
        (into, from) => *into = from.clone(),
    }
}
