//! What comes into a batch: the rows that its observations will touch.

use super::{Batch, ProfileWork, RelationshipWork, SubprofileWork, Wanted, sorted};
use crate::apply::read::Read;
use crate::mirror::write::{self, RelationshipsOf};
use entity::{RecordKind, Status, profile};
use provider::Observation;
use sea_orm::{ConnectionTrait, DbErr};
use std::collections::HashSet;

impl Batch<'_> {
    /// Loads what the observations will touch.
    pub async fn load(&mut self, transaction: &impl ConnectionTrait, wanted: &Wanted) -> Result<(), DbErr> {
        let mut names: Vec<String> = wanted.profiles.iter().cloned().collect();
        names.retain(|name| !self.by_external_id.contains_key(name));
        names.sort_unstable();
        self.adopt_profiles(transaction, write::load_profiles(transaction, self.source_id, &names).await?).await?;

        let ids_of = |names: &HashSet<String>| -> Vec<i64> {
            let mut ids: Vec<i64> = names
                .iter()
                .filter_map(|name| self.by_external_id.get(name))
                .map(|handle| self.profiles[*handle].row.id)
                .filter(|id| *id != 0)
                .collect();
            ids.sort_unstable();
            ids
        };
        let placeholders = names
            .iter()
            .filter(|name| self.by_external_id.get(*name).is_some_and(|handle| !self.profiles[*handle].row.is_known));
        let with_children: HashSet<String> = wanted.going.iter().chain(placeholders).cloned().collect();
        let subprofile_names: Vec<String> =
            wanted.subprofiles.iter().filter(|name| !self.subprofiles.contains_key(*name)).cloned().collect();
        let mut subprofiles =
            write::load_subprofiles(transaction, self.source_id, &subprofile_names, &ids_of(&with_children)).await?;
        // Whoever is found alive asks for what went with them.
        let is_buried = |name: &&String| {
            let known = self.by_external_id.get(*name);
            known.is_some_and(|handle| self.profiles[*handle].row.status == Status::Deleted)
        };
        let buried: HashSet<String> = wanted.whole.iter().filter(is_buried).cloned().collect();
        subprofiles.extend(write::load_buried_subprofiles(transaction, &ids_of(&buried)).await?);

        let told: HashSet<String> = wanted.whole.union(&wanted.going).cloned().collect();
        let ends = RelationshipsOf {
            external_ids: wanted.relationships.iter().cloned().collect(),
            from_profiles: ids_of(&told),
            to_profiles: ids_of(&told),
        };
        let relationships = write::load_relationships(transaction, self.source_id, &ends).await?;

        // Both ends and every parent must be in the batch before rows can point at them.
        let mut missing: Vec<i64> = subprofiles
            .iter()
            .map(|row| row.profile_id)
            .chain(relationships.iter().flat_map(|row| [row.from_profile_id, row.to_profile_id]))
            .filter(|id| !self.by_id.contains_key(id))
            .collect();
        missing.sort_unstable();
        missing.dedup();
        self.adopt_profiles(transaction, write::load_profiles_by_id(transaction, &missing).await?).await?;

        for row in subprofiles {
            let Some(profile) = self.by_id.get(&row.profile_id).copied() else { continue };
            let work = SubprofileWork { profile, is_dirty: false, row };
            self.subprofiles.entry(work.row.external_id.clone()).or_insert(work);
        }
        for row in relationships {
            let ends = (self.by_id.get(&row.from_profile_id), self.by_id.get(&row.to_profile_id));
            let (Some(from), Some(to)) = ends else { continue };
            let work = RelationshipWork { from: *from, to: *to, is_dirty: false, row };
            self.relationships.entry(work.row.external_id.clone()).or_insert(work);
        }
        Ok(())
    }

    /// Loads what lists were read, where a delivery tells of a record that nobody knows.
    pub async fn load_lists(&mut self, transaction: &impl ConnectionTrait, deliveries: &[Read]) -> Result<(), DbErr> {
        let decoded = deliveries.iter().flat_map(|delivery| &delivery.decoded);
        let mut observations = decoded.flat_map(|decoded| &decoded.observations);
        let is_stranger = |observation: &Observation| match observation {
            Observation::Profile(seen) => {
                let known = self.by_external_id.get(&seen.external_id);
                known.is_none_or(|handle| !self.profiles[*handle].row.is_known)
            }
            Observation::Subprofile(seen) => !self.subprofiles.contains_key(&seen.external_id),
            _ => false,
        };
        if observations.any(is_stranger) {
            self.lists_read = write::load_lists_read(transaction, self.source_id, self.now).await?;
        }
        Ok(())
    }

    async fn adopt_profiles(
        &mut self,
        transaction: &impl ConnectionTrait,
        rows: Vec<profile::Model>,
    ) -> Result<(), DbErr> {
        let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
        let mut interests = write::load_interests(transaction, &ids).await?;
        for row in rows {
            let handle = self.profiles.len();
            self.by_external_id.insert(row.external_id.clone(), handle);
            self.by_id.insert(row.id, handle);
            let interests = sorted(interests.remove(&row.id).unwrap_or_default());
            self.profiles.push(ProfileWork::stored(row, interests));
        }
        Ok(())
    }

    /// Loads which of the records in the batch are in quarantine. Only where the source has any.
    pub async fn load_candidates(&mut self, transaction: &impl ConnectionTrait) -> Result<(), DbErr> {
        let profiles: Vec<i64> = self.profiles.iter().map(|work| work.row.id).collect();
        let subprofiles: Vec<i64> = self.subprofiles.values().map(|work| work.row.id).collect();
        for (kind, ids) in [(RecordKind::Profile, profiles), (RecordKind::Subprofile, subprofiles)] {
            let found = write::load_candidates_of(transaction, self.source_id, kind, &ids).await?;
            self.candidates.extend(found.into_iter().map(|(id, row)| ((kind, id), row)));
        }
        if !self.candidates.is_empty() {
            let runs: HashSet<i64> = self.candidates.values().map(|row| row.run_id).collect();
            self.named_runs = write::named_runs(transaction, runs).await?;
        }
        Ok(())
    }
}
