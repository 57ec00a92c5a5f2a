//! Deliveries that name somebody who is erased when they are settled: those of a batch, and one that is parked.

use super::named::subjects;
use super::redact::{delivery, empty};
use crate::apply::batch::Batch;
use crate::apply::worker::ApplyError;
use crate::inbox::erase;
use crate::inbox::{Context, Lease};
use crate::mirror::write;
use entity::{Moment, Status};
use provider::{Provider, Subjects};
use sea_orm::DatabaseTransaction;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// A delivery that names profiles which are erased when it is settled.
#[derive(Clone, Debug)]
pub(in crate::apply) struct Hit {
    pub(super) position: i64,
    pub(super) subjects: Subjects,
    /// The profiles themselves, also where only their subprofiles are named.
    pub(super) of: BTreeSet<String>,
}

/// Who is erased by the end of a part of a batch.
#[derive(Debug, Default)]
pub(in crate::apply) struct Erased {
    profiles: HashSet<String>,
    /// Their subprofiles, with the profile of each.
    subprofiles: HashMap<String, String>,
}

impl Erased {
    /// Notes who is erased once all observations of a part are taken.
    pub fn note(&mut self, batch: &Batch<'_>) {
        let erased = batch.erased_ids();
        if erased.is_empty() {
            return;
        }
        for (id, work) in &batch.subprofiles {
            let owner = batch.get(work.profile).row.external_id.as_str();
            if erased.contains(owner) {
                self.subprofiles.insert(id.clone(), owner.to_owned());
            }
        }
        self.profiles.extend(erased.into_iter().map(str::to_owned));
    }

    /// The deliveries of the part that name them: what came before somebody was erased tells of them too.
    pub fn hits(&self, told: &[(i64, Arc<Subjects>)]) -> Vec<Hit> {
        if self.profiles.is_empty() {
            return Vec::new();
        }
        told.iter().filter_map(|(position, told)| self.hit(*position, told)).collect()
    }

    fn hit(&self, position: i64, told: &Subjects) -> Option<Hit> {
        let profiles: BTreeSet<String> =
            told.profiles.iter().filter(|id| self.profiles.contains(*id)).cloned().collect();
        let owned = told.subprofiles.iter().filter_map(|id| Some((id, self.subprofiles.get(id)?)));
        let (mut subprofiles, mut of) = (BTreeSet::new(), profiles.clone());
        for (id, owner) in owned {
            subprofiles.insert(id.clone());
            of.insert(owner.clone());
        }
        (!of.is_empty()).then_some(Hit { position, subjects: Subjects { profiles, subprofiles }, of })
    }
}

/// Empties a delivery that is parked after apply failed on it, where it tells of somebody erased.
pub(in crate::apply) async fn empty_parked(
    transaction: &DatabaseTransaction,
    lease: &Lease,
    provider: &dyn Provider,
    now: Moment,
    position: i64,
) -> Result<bool, ApplyError> {
    let mut emptied = false;
    for kept in erase::take_bodies(transaction, &mut vec![position]).await? {
        let context = Context::from_json(kept.context.as_ref());
        let delivery = delivery(&kept, context.as_ref());
        let mut told = subjects(provider, &delivery, provider.decode(&delivery).ok().as_ref());
        let named: Vec<String> = told.profiles.iter().cloned().collect();
        let owners = write::load_subprofiles(
            transaction,
            lease.source_id,
            &told.subprofiles.iter().cloned().collect::<Vec<_>>(),
            &[],
        )
        .await?;
        let mut rows = write::load_profiles(transaction, lease.source_id, &named).await?;
        let parents: Vec<i64> = owners.iter().map(|row| row.profile_id).collect();
        rows.extend(write::load_profiles_by_id(transaction, &parents).await?);
        rows.retain(|row| row.status == Status::Anonymized);
        let erased: BTreeSet<i64> = rows.iter().map(|row| row.id).collect();
        told.profiles = rows.into_iter().map(|row| row.external_id).collect();
        told.subprofiles =
            owners.into_iter().filter(|row| erased.contains(&row.profile_id)).map(|row| row.external_id).collect();
        if !told.is_empty() {
            let done = empty(transaction, provider, now, &told, vec![position]).await?;
            emptied |= done.whole + done.slices > 0;
            write::count_late(transaction, &erased.into_iter().collect::<Vec<_>>()).await?;
        }
    }
    Ok(emptied)
}
