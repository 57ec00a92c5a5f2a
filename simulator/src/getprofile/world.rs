//! GetProfile's store: profiles by caller-chosen id, and how text becomes content step by step.

use std::collections::BTreeMap;

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
}

impl Progress {
    /// The word in `status`.
    pub fn wire_name(self) -> &'static str {
        match self {
            Self::Processing => "processing",
            Self::Summarizing => "summarizing",
            Self::Ready => "ready",
            Self::Active => "active",
        }
    }
}

/// One profile; its sections are what REST shows now.
#[derive(Debug, Clone)]
pub(crate) struct Profile {
    /// `core_info`, `interests`, `personality`, `memories`, `preferences`, `summary`.
    pub(crate) sections: Map<String, Value>,
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
    /// Ids that are gone and not in use again.
    pub(crate) deleted: std::collections::BTreeSet<String>,
}

impl World {
    pub(crate) fn get(&self, id: &str) -> Result<&Profile, Refusal> {
        self.profiles.get(id).ok_or_else(|| Refusal::because("Profile not found"))
    }

    /// Merges sections into what processing will make of a profile, and starts it; creates the profile where there is none.
    pub(crate) fn submit(&mut self, id: &str, sections: &Map<String, Value>, now: DateTime<Utc>) {
        self.deleted.remove(id);
        let profile = self.profiles.entry(id.to_owned()).or_insert_with(|| Profile {
            sections: Map::new(),
            pending: None,
            progress: Progress::Processing,
            created_at: now,
            last_updated: now,
            updates: 0,
        });
        let pending = profile.pending.get_or_insert_with(|| profile.sections.clone());
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
                    profile.sections = sections;
                }
                profile.updates += 1;
                Progress::Ready
            }
            Progress::Ready | Progress::Active => return None,
        };
        profile.last_updated = now;
        Some(profile.progress)
    }

    pub(crate) fn delete(&mut self, id: &str) -> Result<(), Refusal> {
        self.profiles.remove(id).ok_or_else(|| Refusal::because("Profile not found"))?;
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
