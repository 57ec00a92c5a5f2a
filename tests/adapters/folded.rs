//! Observations put on top of each other in the order in which they come: a mirror without time.

use crate::support::world::Terms;
use provider::{
    FieldSeen, InterestSeen, Observation, ProfileSeen, Provider, RelationshipSeen, Status, SubprofileSeen,
    UnsubscribePlace,
};
use simulator::{Truth, TruthStatus, TruthSubprofile};
use std::collections::{BTreeMap, BTreeSet};

/// What observations add up to.
#[derive(Default)]
pub struct Folded {
    profiles: BTreeMap<String, ProfileSeen>,
    subprofiles: BTreeMap<String, SubprofileSeen>,
    relationships: BTreeMap<String, RelationshipSeen>,
    fields_of_type: BTreeMap<String, Vec<FieldSeen>>,
    fields_of_collection: BTreeMap<String, Vec<FieldSeen>>,
    interests_of_type: BTreeMap<String, Vec<InterestSeen>>,
    unsubscribing_of_type: BTreeMap<String, String>,
}

impl Folded {
    pub fn add(&mut self, observation: Observation) {
        match observation {
            Observation::ProfileType(seen) => {
                if let Some(fields) = seen.fields {
                    self.fields_of_type.insert(seen.external_id.clone(), fields);
                }
                if let Some(interests) = seen.interests {
                    self.interests_of_type.insert(seen.external_id.clone(), interests);
                }
                for collection in seen.collections.into_iter().flatten() {
                    if let Some(fields) = collection.fields {
                        self.fields_of_collection.insert(collection.external_id, fields);
                    }
                }
            }
            Observation::Profile(seen) => {
                for relationship in seen.relationships.iter().flat_map(|(_, list)| list) {
                    self.relationships.insert(relationship.external_id.clone(), relationship.clone());
                }
                self.profiles.insert(seen.external_id.clone(), *seen);
            }
            Observation::Subprofile(seen) => {
                self.subprofiles.insert(seen.external_id.clone(), *seen);
            }
            Observation::Unsubscribing { place: UnsubscribePlace::ProfileType(id), action, .. } => {
                self.unsubscribing_of_type.insert(id, action);
            }
            Observation::Unsubscribing { action, .. } => assert_eq!(action, "nothing", "in a collection"),
            other => panic!("a page says {other:?}"),
        }
    }

    /// Holds it against what the provider knows, live records only: nothing else is listed.
    pub fn assert_shows(&self, truth: &Truth, terms: &Terms, adapter: &dyn Provider) {
        let living: BTreeMap<_, _> = truth.profiles.iter().filter(|(_, profile)| !profile.status.is_gone()).collect();
        assert_eq!(self.profiles.keys().collect::<Vec<_>>(), living.keys().copied().collect::<Vec<_>>(), "ids");
        let mut related: BTreeSet<_> = self.relationships.values().map(ends).collect();
        for (id, wanted) in living {
            let seen = &self.profiles[id];
            let type_id = terms.profile_type(&wanted.type_id);
            assert_eq!(seen.profile_type.as_deref(), Some(type_id), "type of {id}");
            let fields: BTreeMap<_, _> = seen.fields.clone().unwrap_or_default().into_iter().collect();
            assert_eq!(fields, wanted.fields, "fields of {id}");
            assert_eq!(status_of(seen), wanted.status, "status of {id}");
            assert_eq!(seen.upstream_status, wanted.upstream_status, "upstream status of {id}");
            assert_eq!(self.interests(seen, type_id), wanted.interests, "interests of {id}");
            let definitions = self.fields_of_type.get(type_id).map_or(&[][..], Vec::as_slice);
            let derived = adapter.derive(&fields.into_iter().collect(), definitions);
            let name = seen.name.clone().filter(|name| !name.is_empty());
            assert_eq!(name.or(derived.display_name), wanted.name, "name of {id}");
            assert_eq!(derived.email, wanted.email, "email of {id}");
            related.extend(derived.references.iter().map(|to| (to.field.clone(), id.clone(), to.to.clone())));
            self.assert_shows_subprofiles(id, &wanted.subprofiles);
        }
        let wanted: BTreeSet<_> = truth
            .relationships
            .values()
            .map(|wanted| (wanted.type_name.clone(), wanted.from.clone(), wanted.to.clone()))
            .collect();
        let odd: Vec<_> = related.symmetric_difference(&wanted).collect();
        assert!(odd.is_empty(), "relationships on one side only: {odd:?}");
    }

    /// What unsubscribing does, by the external id of each profile type that a page told of.
    pub fn unsubscribing(&self) -> &BTreeMap<String, String> {
        &self.unsubscribing_of_type
    }

    fn assert_shows_subprofiles(&self, id: &str, wanted: &BTreeMap<String, TruthSubprofile>) {
        let children: BTreeMap<_, _> = self.subprofiles.iter().filter(|(_, child)| child.profile == id).collect();
        assert_eq!(children.keys().copied().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>(), "of {id}");
        for (child, wanted) in wanted {
            let seen = children[child];
            assert_eq!(seen.collection, wanted.collection_id, "collection of {child}");
            let fields: BTreeMap<_, _> = seen.fields.clone().into_iter().collect();
            assert_eq!(fields, wanted.fields, "fields of {child}");
            let defined = self.fields_of_collection.get(&wanted.collection_id).expect("its fields are defined");
            assert!(fields.keys().all(|name| defined.iter().any(|field| field.name == *name)), "{child}");
        }
    }

    /// Active interests; a group that the profile does not tell is the one of its type.
    fn interests(&self, seen: &ProfileSeen, type_id: &str) -> BTreeSet<(Option<String>, String)> {
        let offered = self.interests_of_type.get(type_id);
        let group = |name: &str| offered?.iter().find(|interest| interest.name == name)?.group.clone();
        let active = seen.interests.iter().flatten();
        active
            .map(|interest| (interest.group.clone().or_else(|| group(&interest.name)), interest.name.clone()))
            .collect()
    }
}

fn ends(seen: &RelationshipSeen) -> (String, String, String) {
    (seen.type_external_id.clone(), seen.from.clone(), seen.to.clone())
}

fn status_of(seen: &ProfileSeen) -> TruthStatus {
    match seen.status {
        None | Some(Status::Open) => TruthStatus::Open,
        Some(Status::Closed) => TruthStatus::Closed,
        Some(Status::ScheduledForDeletion) => TruthStatus::ScheduledForDeletion,
        Some(Status::Anonymized) => TruthStatus::Anonymized,
        Some(Status::Deleted) => TruthStatus::Deleted,
    }
}
