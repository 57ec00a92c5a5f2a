//! Whom a delivery names, and whom it erases.

use crate::apply::read::Read;
use provider::{Decoded, Delivery, Observation, Provider, Subjects};
use ring::digest;

/// Whom a delivery names: by its observations, and by whatever can be found in it where they do not tell all of it.
pub(in crate::apply) fn subjects(
    provider: &dyn Provider,
    delivery: &Delivery<'_>,
    decoded: Option<&Decoded>,
) -> Subjects {
    let Some(decoded) = decoded.filter(|decoded| !decoded.observations.is_empty()) else {
        return provider.names(delivery);
    };
    let mut subjects = if decoded.is_partial { provider.names(delivery) } else { Subjects::default() };
    for observation in &decoded.observations {
        match observation {
            Observation::Profile(seen) => {
                subjects.profiles.insert(seen.external_id.clone());
                let ends = seen.relationships.iter().flat_map(|(_, relationships)| relationships);
                subjects.profiles.extend(ends.flat_map(|end| [end.from.clone(), end.to.clone()]));
            }
            Observation::Subprofile(seen) => {
                subjects.profiles.insert(seen.profile.clone());
                subjects.subprofiles.insert(seen.external_id.clone());
            }
            Observation::Lifecycle(seen) => drop(subjects.profiles.insert(seen.profile.clone())),
            Observation::Touched { profile, .. } | Observation::Missing { profile, .. } => {
                subjects.profiles.insert(profile.clone());
            }
            Observation::SubprofileTouched { subprofile, profile, .. }
            | Observation::SubprofileGone { subprofile, profile, .. } => {
                subjects.subprofiles.insert(subprofile.clone());
                subjects.profiles.extend(profile.clone());
            }
            Observation::SubprofileMissing { subprofile, .. } => {
                subjects.subprofiles.insert(subprofile.clone());
            }
            Observation::ProfileType(_)
            | Observation::RelationshipGone { .. }
            | Observation::CollectionFields { .. }
            | Observation::Unsubscribing { .. }
            | Observation::Ids(_)
            | Observation::MetadataNeeded { .. } => {}
        }
    }
    subjects
}

/// The names of records as they are kept beside a delivery.
pub(in crate::apply) fn names(subjects: &Subjects) -> Vec<u8> {
    let profiles = subjects.profiles.iter().map(|id| name(b"p", id));
    profiles.chain(subjects.subprofiles.iter().map(|id| name(b"s", id))).flatten().collect()
}

/// The name of one record.
pub(super) fn name(kind: &[u8], id: &str) -> [u8; 8] {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(kind);
    context.update(id.as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&context.finish().as_ref()[..8]);
    first
}

/// Whether a delivery erases somebody, as far as it says.
pub(in crate::apply) fn erases(delivery: &Read) -> bool {
    erased_by(delivery).next().is_some()
}

/// Whom a delivery erases, as far as it says.
pub(super) fn erased_by(delivery: &Read) -> impl Iterator<Item = &String> {
    let observations = delivery.decoded.as_ref().ok().into_iter().flat_map(|decoded| &decoded.observations);
    observations.filter_map(|observation| match observation {
        Observation::Lifecycle(seen) if seen.to == provider::Status::Anonymized => Some(&seen.profile),
        Observation::Profile(seen) if seen.status == Some(provider::Status::Anonymized) => Some(&seen.external_id),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_and_a_subprofile_of_one_id_have_two_names() {
        let both = Subjects { profiles: ["7".to_owned()].into(), subprofiles: ["7".to_owned()].into() };
        assert_eq!(names(&both), [name(b"p", "7"), name(b"s", "7")].concat());
        assert_ne!(name(b"p", "7"), name(b"s", "7"));
    }
}
