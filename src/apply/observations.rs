//! The observations of deliveries: whom they name, and each handed to the module that takes its kind.

use super::batch::{Batch, Judged, Origin, Wanted};
use super::catalog::Catalog;
use super::read::Read;
use super::{absences, lifecycles, policy, profiles, relationships, subprofiles};
use crate::inbox::{Context, Settlement};
use crate::mirror::write::{Again, Asked, GivenUp, PageTally};
use entity::{Decision, RecordKind, fetch_request};
use provider::{Decoded, IdsSeen, Observation, Provider, Status, Target};
use std::collections::HashMap;

pub(super) fn decoded(deliveries: &[Read]) -> impl Iterator<Item = &Decoded> {
    deliveries.iter().filter_map(|delivery| delivery.decoded.as_ref().ok())
}

/// The lists of ids in a delivery.
pub(super) fn ids(delivery: &Read) -> impl Iterator<Item = &IdsSeen> {
    decoded(std::slice::from_ref(delivery)).flat_map(|decoded| &decoded.observations).filter_map(|observation| {
        match observation {
            Observation::Ids(seen) => Some(seen),
            _ => None,
        }
    })
}

pub(super) fn observations(deliveries: &[Read]) -> impl Iterator<Item = &Observation> {
    decoded(deliveries).flat_map(|decoded| &decoded.observations)
}

/// The observations, each with when its delivery was asked for.
pub(super) fn asked_observations(deliveries: &[Read]) -> Vec<(Asked, &Observation)> {
    let of_one = |delivery| observations(std::slice::from_ref(delivery));
    deliveries.iter().flat_map(|read| of_one(read).map(|observation| (read.origin.asked(), observation))).collect()
}

/// What the observations name: it must be in the batch before they are taken.
pub(super) fn wanted(provider: &dyn Provider, catalog: &Catalog, deliveries: &[Read]) -> Wanted {
    let mut wanted = Wanted::default();
    // What is ignored or cannot be read may name somebody who is erased.
    for delivery in deliveries.iter().filter(|delivery| delivery.observes_nothing()) {
        wanted.profiles.extend(delivery.subjects.profiles.iter().cloned());
        wanted.subprofiles.extend(delivery.subjects.subprofiles.iter().cloned());
    }
    for observation in observations(deliveries) {
        match observation {
            Observation::ProfileType(_)
            | Observation::CollectionFields { .. }
            | Observation::Unsubscribing { .. }
            | Observation::Ids(_)
            | Observation::MetadataNeeded { .. } => {}
            Observation::Profile(seen) => {
                wanted.profiles.insert(seen.external_id.clone());
                wanted.whole.insert(seen.external_id.clone());
                if seen.status == Some(Status::Anonymized) {
                    wanted.going.insert(seen.external_id.clone());
                }
                for relationship in seen.relationships.iter().flat_map(|(_, relationships)| relationships) {
                    wanted.profiles.extend([relationship.from.clone(), relationship.to.clone()]);
                    wanted.relationships.insert(relationship.external_id.clone());
                }
                let known_type = seen.profile_type.as_deref().and_then(|id| catalog.profile_type(id));
                let definitions = known_type.map(|known| known.fields.as_slice()).unwrap_or_default();
                if let Some(fields) = &seen.fields {
                    let derived = provider.derive(fields, definitions);
                    wanted.profiles.extend(derived.references.into_iter().map(|reference| reference.to));
                }
            }
            Observation::Subprofile(seen) => {
                wanted.profiles.insert(seen.profile.clone());
                wanted.subprofiles.insert(seen.external_id.clone());
            }
            Observation::Lifecycle(seen) => {
                wanted.profiles.insert(seen.profile.clone());
                if matches!(seen.to, Status::Deleted | Status::Anonymized) {
                    wanted.going.insert(seen.profile.clone());
                }
            }
            Observation::Touched { profile, .. } => {
                wanted.profiles.insert(profile.clone());
            }
            Observation::Missing { profile, .. } => {
                wanted.profiles.insert(profile.clone());
                wanted.going.insert(profile.clone());
            }
            Observation::SubprofileTouched { subprofile, .. } | Observation::SubprofileMissing { subprofile, .. } => {
                wanted.subprofiles.insert(subprofile.clone());
            }
            Observation::SubprofileGone { subprofile, profile, .. } => {
                wanted.subprofiles.insert(subprofile.clone());
                wanted.profiles.extend(profile.clone());
            }
            Observation::RelationshipGone { relationship } => {
                wanted.relationships.insert(relationship.clone());
            }
        }
    }
    wanted
}

pub(super) type Requests = HashMap<i64, fetch_request::Model>;

/// Takes one delivery and says how it ends.
pub(super) fn take_delivery(
    batch: &mut Batch<'_>,
    delivery: Read,
    requests: &Requests,
) -> (i64, Option<String>, Settlement) {
    if let Some(tally) = tally(&delivery) {
        batch.open_page(tally, &delivery.origin);
    }
    let Read { id, context, origin, decoded, .. } = delivery;
    let request = origin.request_id.and_then(|id| requests.get(&id));
    batch.watch.wanted_position = request.map_or(0, |request| request.wanted_position);
    let answered = origin.request_id.zip(origin.started_at);
    batch.done_requests.extend(answered);
    let decoded = match decoded {
        Ok(decoded) => decoded,
        Err(problem) => {
            let judged = Judged {
                record_kind: RecordKind::Profile,
                record_id: "",
                profile: None,
                decision: Decision::Parked,
                rule: &problem.0,
                observed: None,
                stored: None,
            };
            batch.judge(&origin, &judged);
            batch.close_page(true);
            let given_up = |(request_id, started_at)| GivenUp { request_id, started_at, problem: problem.0.clone() };
            batch.given_up.extend(answered.map(given_up));
            return (id, None, Settlement::Parked(problem.0));
        }
    };
    let settlement = match decoded.ignored {
        Some(reason) if decoded.observations.is_empty() => Settlement::Ignored(reason),
        _ if decoded.unknown.is_empty() => Settlement::Applied,
        _ => {
            let unknown: Vec<&str> = decoded.unknown.iter().map(|unknown| unknown.phrase()).collect();
            Settlement::AppliedWithUnknown(format!("this version does not know {}", unknown.join(", ")))
        }
    };
    for observation in decoded.observations {
        take_observation(batch, &origin, context.as_ref(), observation, request);
    }
    batch.close_page(false);
    (id, decoded.event, settlement)
}

/// An empty tally for what a run asked for.
pub(super) fn tally(delivery: &Read) -> Option<PageTally> {
    let context = delivery.context.as_ref()?;
    Some(PageTally {
        run_id: context.run_id?,
        delivery_id: delivery.id,
        stream: context.page.as_ref().map(|page| page.stream.clone()).unwrap_or_default(),
        expected: context.total.and_then(|total| i64::try_from(total).ok()),
        ..PageTally::default()
    })
}

fn take_observation(
    batch: &mut Batch<'_>,
    origin: &Origin,
    context: Option<&Context>,
    observation: Observation,
    request: Option<&fetch_request::Model>,
) {
    let is_unvouched = context.is_some_and(|context| context.is_unvouched);
    name(batch, &observation);
    match observation {
        Observation::ProfileType(_)
        | Observation::CollectionFields { .. }
        | Observation::Unsubscribing { .. }
        | Observation::Ids(_)
        | Observation::MetadataNeeded { .. } => {}
        Observation::Profile(seen) => profiles::observe(batch, origin, *seen),
        Observation::Subprofile(seen) => subprofiles::observe(batch, origin, *seen),
        Observation::Lifecycle(seen) => lifecycles::observe(batch, origin, seen),
        Observation::Touched { profile, reason, is_creation, delay_ms, .. } => {
            let target = Target::Profile { id: profile };
            match request {
                // The answer to a fetch says: not ready, ask again. Each time a little later. Calls that fail have tries
                // of their own left, however long that goes on.
                Some(request) if context.and_then(|context| context.target.as_ref()) == Some(&target) => {
                    let again = Again {
                        request_id: request.id,
                        started_at: origin.started_at.unwrap_or(0),
                        not_before: policy::after_miss(request.attempts + 1, batch.now),
                        misses: 0,
                        attempts: Ord::min(request.attempts + 1, policy::LONGEST_MISS_PAUSE),
                    };
                    batch.ask_again(again);
                }
                _ => touch(batch, origin, target, &reason, delay_ms, is_creation),
            }
        }
        Observation::SubprofileTouched { subprofile, reason, .. } => {
            batch.wish(Target::Subprofile { id: subprofile }, origin, &reason, 0, false);
        }
        Observation::SubprofileGone { subprofile, profile, collection, version } => {
            subprofiles::observe_gone(batch, origin, &subprofile, profile.as_deref(), collection.as_deref(), version);
        }
        Observation::RelationshipGone { relationship } => relationships::observe_gone(batch, origin, &relationship),
        Observation::Missing { profile, .. } => {
            absences::observe_profile(batch, origin, &profile, request, is_unvouched);
        }
        Observation::SubprofileMissing { subprofile, .. } => {
            absences::observe_subprofile(batch, origin, &subprofile, request, is_unvouched);
        }
    }
}

/// Notes the record that the open page names. It is on the list, whatever becomes of the rest of its row.
fn name(batch: &mut Batch<'_>, observation: &Observation) {
    match observation {
        Observation::Profile(seen) => batch.name_profile(&seen.external_id),
        Observation::Lifecycle(seen) => batch.name_profile(&seen.profile),
        Observation::Touched { profile, .. } | Observation::Missing { profile, .. } => batch.name_profile(profile),
        Observation::Subprofile(seen) => batch.name_subprofile(&seen.external_id),
        Observation::SubprofileTouched { subprofile, .. }
        | Observation::SubprofileGone { subprofile, .. }
        | Observation::SubprofileMissing { subprofile, .. } => batch.name_subprofile(subprofile),
        Observation::ProfileType(_)
        | Observation::CollectionFields { .. }
        | Observation::Unsubscribing { .. }
        | Observation::Ids(_)
        | Observation::MetadataNeeded { .. }
        | Observation::RelationshipGone { .. } => {}
    }
}

/// A thin event: the profile must be fetched, unless it is anonymized.
fn touch(batch: &mut Batch<'_>, origin: &Origin, target: Target, reason: &str, delay_ms: u64, is_creation: bool) {
    let Target::Profile { id } = &target else { return };
    let id = id.clone();
    let profile = batch.profile(&id);
    let is_final = batch.get(profile).row.status == entity::Status::Anonymized;
    let (decision, rule) = if is_final {
        (Decision::Suppressed, "anonymized profiles take nothing more")
    } else {
        batch.wish(target, origin, reason, delay_ms, is_creation);
        (Decision::Applied, "a hint: fetched by id")
    };
    let judged = Judged {
        record_kind: RecordKind::Profile,
        record_id: &id,
        profile: Some(profile),
        decision,
        rule,
        observed: None,
        stored: None,
    };
    batch.judge(origin, &judged);
}
