//! What a provider says in words of its own that this version does not know. None of it costs an update: it is kept,
//! read as far as it can be, and told apart so that somebody learns of it.

use crate::{FieldSeen, Observation};
use serde_json::{Map, Value};

/// What this version has no word for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unknown {
    /// The type of an event.
    EventType,
    /// A key of an event beside the documented ones.
    Key,
    /// The status of a profile.
    Status,
    /// The type of a field.
    FieldType,
    /// An id that does not look as documented.
    IdFormat,
}

impl Unknown {
    /// The word for metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EventType => "event_type",
            Self::Key => "key",
            Self::Status => "status",
            Self::FieldType => "field_type",
            Self::IdFormat => "id_format",
        }
    }

    /// The word in a sentence for people.
    pub fn phrase(self) -> &'static str {
        match self {
            Self::EventType => "its event type",
            Self::Key => "a key in it",
            Self::Status => "a status in it",
            Self::FieldType => "the type of a field in it",
            Self::IdFormat => "the form of an id in it",
        }
    }
}

/// The words that a provider's documents name.
pub(crate) struct Vocabulary {
    pub events: &'static [&'static str],
    pub event_keys: &'static [&'static str],
    pub statuses: &'static [&'static str],
    pub field_types: &'static [&'static str],
    pub is_id: fn(&str) -> bool,
}

impl Vocabulary {
    /// What is unknown in the envelope of an event that names these records.
    pub fn of_event(&self, body: &Map<String, Value>, event: &str, ids: &[&str]) -> Vec<Unknown> {
        let found = [
            (!self.events.contains(&event), Unknown::EventType),
            (body.keys().any(|key| !self.event_keys.contains(&key.as_str())), Unknown::Key),
            (ids.iter().any(|id| !(self.is_id)(id)), Unknown::IdFormat),
        ];
        found.into_iter().filter_map(|(is_found, unknown)| is_found.then_some(unknown)).collect()
    }

    /// What is unknown in what a delivery says, each once.
    pub fn of_observations(&self, observations: &[Observation]) -> Vec<Unknown> {
        let mut found: Vec<Unknown> = observations.iter().filter_map(|seen| self.of_observation(seen)).collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    fn of_observation(&self, observation: &Observation) -> Option<Unknown> {
        let fields: Vec<&FieldSeen> = match observation {
            Observation::Profile(seen) => {
                let status = seen.upstream_status.as_deref()?;
                return (!self.statuses.contains(&status)).then_some(Unknown::Status);
            }
            Observation::ProfileType(seen) => {
                let of_collections = seen.collections.iter().flatten().filter_map(|seen| seen.fields.as_ref());
                seen.fields.iter().chain(of_collections).flatten().collect()
            }
            Observation::CollectionFields { fields, .. } => fields.iter().collect(),
            _ => Vec::new(),
        };
        let is_known = |name: &str| name.is_empty() || self.field_types.contains(&name);
        fields.iter().any(|field| !is_known(&field.upstream_type)).then_some(Unknown::FieldType)
    }
}
