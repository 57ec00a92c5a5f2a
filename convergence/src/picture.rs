//! A picture of what a source holds, taken from the truth or from the mirror, so that the two compare.

use crate::world::Terms;
use serde_json::Value;
use simulator::{Truth, TruthProfile, TruthStatus};
use std::collections::{BTreeMap, BTreeSet};

/// What a source holds, without anything that only the mirror knows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Picture {
    /// By external id. A profile that is gone upstream shows its status and nothing else.
    pub profiles: BTreeMap<String, ProfileShown>,
    /// (external id of the type, left end, right end).
    pub relationships: BTreeSet<(String, String, String)>,
}

/// One profile.
#[derive(Clone, Debug, PartialEq)]
pub struct ProfileShown {
    /// `OPEN`, `CLOSED`, …
    pub status: String,
    /// None where the profile is gone.
    pub content: Option<Content>,
}

/// What a living profile shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Content {
    /// External id of its type.
    pub profile_type: String,
    /// The provider's own word.
    pub upstream_status: Option<String>,
    /// Raw values by name.
    pub fields: BTreeMap<String, Value>,
    /// Active interests as (group, name).
    pub interests: BTreeSet<(Option<String>, String)>,
    /// Collection and values by external id.
    pub subprofiles: BTreeMap<String, (String, BTreeMap<String, Value>)>,
    /// Display name.
    pub name: Option<String>,
    /// E-mail address.
    pub email: Option<String>,
}

impl Picture {
    /// The picture that a perfect mirror shows.
    pub fn of_truth(truth: &Truth, terms: &Terms) -> Self {
        let shown = |(id, profile): (&String, &TruthProfile)| (id.clone(), show(profile, terms));
        let relationships = truth.relationships.values();
        Self {
            profiles: truth.profiles.iter().map(shown).collect(),
            relationships: relationships
                .map(|seen| (seen.type_name.clone(), seen.from.clone(), seen.to.clone()))
                .collect(),
        }
    }

    /// The same with plain values as the API writes them as text; lists and objects stay.
    #[must_use]
    pub fn readable(mut self) -> Self {
        let content = self.profiles.values_mut().filter_map(|shown| shown.content.as_mut());
        for content in content {
            let children = content.subprofiles.values_mut().map(|(_, fields)| fields);
            for value in children.chain([&mut content.fields]).flat_map(BTreeMap::values_mut) {
                if value.is_number() || value.is_boolean() {
                    *value = Value::String(value.to_string());
                }
            }
        }
        self
    }

    /// Takes profiles out, and the relationships that they have.
    pub fn forget(&mut self, ids: &BTreeSet<String>) {
        self.profiles.retain(|id, _| !ids.contains(id));
        self.relationships.retain(|(_, from, to)| !ids.contains(from) && !ids.contains(to));
    }

    /// Panics with the differences where this picture of the mirror is not the one of the truth.
    pub fn assert_equals(&self, truth: &Self, place: &str) {
        let odd = self.differences(truth).join("\n");
        let shown: String = odd.chars().take(6_000).collect();
        assert!(odd.is_empty(), "{place}: the mirror is not the world\n{shown}");
    }

    /// What this picture of the mirror shows other than the one of the truth, one line a record.
    ///
    /// A profile that is gone upstream and that the mirror never saw is no difference.
    pub fn differences(&self, truth: &Self) -> Vec<String> {
        let mut odd = Vec::new();
        let ids: BTreeSet<_> = self.profiles.keys().chain(truth.profiles.keys()).collect();
        for id in ids {
            match (self.profiles.get(id), truth.profiles.get(id)) {
                (None, Some(gone)) if gone.content.is_none() => {}
                (mirror, truth) if mirror == truth => {}
                (mirror, truth) => {
                    odd.push(format!("profile {id}\n  mirror {mirror:?}\n  world  {truth:?}"));
                }
            }
        }
        for only in self.relationships.difference(&truth.relationships) {
            odd.push(format!("relationship {only:?} is in the mirror only"));
        }
        for only in truth.relationships.difference(&self.relationships) {
            odd.push(format!("relationship {only:?} is in the world only"));
        }
        odd
    }
}

fn show(profile: &TruthProfile, terms: &Terms) -> ProfileShown {
    let subprofile = |(id, seen): (&String, &simulator::TruthSubprofile)| {
        (id.clone(), (seen.collection_id.clone(), seen.fields.clone()))
    };
    let content = Content {
        profile_type: terms.profile_type(&profile.type_id).to_owned(),
        upstream_status: profile.upstream_status.clone(),
        fields: profile.fields.clone(),
        interests: profile.interests.clone(),
        subprofiles: profile.subprofiles.iter().map(subprofile).collect(),
        name: profile.name.clone(),
        email: profile.email.clone(),
    };
    let status = match profile.status {
        TruthStatus::Open => "OPEN",
        TruthStatus::Closed => "CLOSED",
        TruthStatus::ScheduledForDeletion => "SCHEDULED_FOR_DELETION",
        TruthStatus::Anonymized => "ANONYMIZED",
        TruthStatus::Deleted => "DELETED",
    };
    ProfileShown { status: status.to_owned(), content: (!profile.status.is_gone()).then_some(content) }
}
