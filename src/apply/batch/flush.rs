//! What goes out of a batch: everything that changed, written once.

use super::pages::stand_in;
use super::{Batch, Handle, ProfileWork};
use crate::apply::drift::{self, Find, Noted};
use crate::mirror::write::{self, Again, Moved, PageTally, Writes};
use entity::{change, lifecycle_transition, profile, relationship, subprofile, verdict};
use provider::Target;
use sea_orm::{ConnectionTrait, DbErr};
use std::collections::{BTreeMap, HashMap};

impl Batch<'_> {
    /// Writes everything that changed, and tells what the pages of runs came to.
    pub async fn flush(mut self, transaction: &impl ConnectionTrait) -> Result<Vec<PageTally>, DbErr> {
        // The rows leave the batch as they are written.
        let mut wishes = std::mem::take(&mut self.wishes);
        for wish in wishes.values_mut() {
            wish.within = self.place_of(&wish.target);
        }
        self.wishes = wishes;
        self.give_ids(transaction).await?;
        let subprofile_ids = self.subprofile_ids();
        let missed = self.missed();

        let (mut profiles, mut interests) = (Vec::new(), Vec::new());
        for work in self.profiles.iter_mut().filter(|work| work.is_dirty) {
            if work.has_new_interests {
                interests.push((work.row.id, std::mem::take(&mut work.interests)));
            }
            // Nothing asks for the fields any more: they go with the row instead of being copied.
            let fields = std::mem::take(&mut work.row.fields);
            profiles.push(profile::Model { fields, ..work.row.clone() });
        }
        // Rows that lie together are written together, and FTS5 ends a segment wherever the ids of words do not rise.
        profiles.sort_unstable_by_key(|row| row.id);
        let id_of = |handle: Handle| self.profiles[handle].row.id;
        // Of most profiles whose subprofiles or relationships have changed nothing else has.
        let has_moved = |work: &&ProfileWork| !work.is_dirty && work.row.revision != work.stored_revision;
        let moved = self.profiles.iter().filter(has_moved).map(|work| Moved {
            profile_id: work.row.id,
            from: work.stored_revision,
            to: work.row.revision,
        });
        let moved = moved.collect();

        let rows = std::mem::take(&mut self.verdicts).into_iter();
        let verdicts = rows.map(|(profile, row)| verdict::Model { profile_id: profile.map(id_of), ..row }).collect();
        let rows = std::mem::take(&mut self.changes).into_iter();
        let changes = rows.map(|pending| change::Model { profile_id: id_of(pending.profile), ..pending.row }).collect();
        let rows = std::mem::take(&mut self.subprofiles).into_values().filter(|work| work.is_dirty);
        let subprofiles = rows.map(|work| subprofile::Model { profile_id: id_of(work.profile), ..work.row }).collect();
        let rows = std::mem::take(&mut self.relationships).into_values().filter(|work| work.is_dirty);
        let relationships = rows
            .map(|work| relationship::Model {
                from_profile_id: id_of(work.from),
                to_profile_id: id_of(work.to),
                ..work.row
            })
            .collect();
        let rows = std::mem::take(&mut self.transitions).into_iter();
        let transitions =
            rows.map(|(profile, row)| lifecycle_transition::Model { profile_id: id_of(profile), ..row }).collect();

        let mut writes = Writes::new(transaction);
        // What takes long to carry out goes first: the others are put together meanwhile.
        write::write_profiles(&mut writes, profiles);
        write::write_revisions(&mut writes, moved);
        write::write_changes(&mut writes, changes);
        write::write_verdicts(&mut writes, verdicts);
        write::write_interests(&mut writes, interests);
        write::write_subprofiles(&mut writes, subprofiles);
        write::write_relationships(&mut writes, relationships);
        write::write_transitions(transaction, &mut writes, transitions).await?;
        writes.carry_out(transaction).await?;

        let (tallies, mut finds) = self.tell_pages(&subprofile_ids);
        let mut watch = std::mem::take(&mut self.watch);
        let row_of = |record: &Noted| self.row_of(record, &subprofile_ids);
        finds.extend(watch.flush(transaction, self.now, row_of).await?);
        for (run_id, sample_id, found_at, differing) in finds.into_iter().filter(|find| !find.3.is_empty()) {
            let place = write::Place { source_id: self.source_id, run_id, sample_id, found_at };
            write::write_find(transaction, place, self.now, differing).await?;
        }
        for (id, state, delivery_id) in std::mem::take(&mut self.settled_candidates) {
            write::settle_candidates(transaction, &[id], state, Some(delivery_id)).await?;
        }
        for (run_id, missed) in missed {
            write::quarantine_named(transaction, run_id, missed).await?;
        }
        self.flush_requests(transaction).await?;
        Ok(tallies)
    }

    /// What the pages of runs came to, where everything stands as it is stored.
    pub fn into_tallies(mut self) -> Vec<PageTally> {
        let subprofile_ids = self.subprofile_ids();
        self.tell_pages(&subprofile_ids).0
    }

    /// The rows of its subprofiles, where pages of runs name any.
    fn subprofile_ids(&self) -> HashMap<String, i64> {
        if self.pages.is_empty() {
            return HashMap::new();
        }
        self.subprofiles.iter().map(|(external_id, work)| (external_id.clone(), work.row.id)).collect()
    }

    /// The row of a record, and that of its profile.
    fn row_of(&self, record: &Noted, subprofile_ids: &HashMap<String, i64>) -> (i64, i64) {
        let id_of = |handle: Handle| self.profiles[handle].row.id;
        match record {
            Noted::Profile(profile) => (id_of(*profile), id_of(*profile)),
            Noted::Subprofile(profile, id) => (subprofile_ids.get(id).copied().unwrap_or(0), id_of(*profile)),
        }
    }

    /// What the pages of runs came to, and which of their records differed. Every row has its id.
    fn tell_pages(&mut self, subprofile_ids: &HashMap<String, i64>) -> (Vec<PageTally>, Vec<Find>) {
        let pages = std::mem::take(&mut self.pages);
        let mut finds = Vec::new();
        let subprofile = |id: &String| subprofile_ids.get(id).copied().unwrap_or_else(|| stand_in(id));
        let tallies = pages.into_iter().map(|page| {
            let drift = page.notes.map(|notes| {
                let (drift, differing) = drift::tell_page(notes, |record| self.row_of(record, subprofile_ids));
                finds.push((Some(page.tally.run_id), None, page.received_at, differing));
                drift
            });
            PageTally {
                profiles: page.profiles.into_iter().map(|handle| self.profiles[handle].row.id).collect(),
                subprofiles: page.subprofiles.iter().map(subprofile).collect(),
                drift,
                ..page.tally
            }
        });
        (tallies.collect(), finds)
    }

    /// Gives every new row its id, so that rows can name each other before they are written. Placeholders are written for
    /// it: one may be there already.
    async fn give_ids(&mut self, transaction: &impl ConnectionTrait) -> Result<(), DbErr> {
        let is_placeholder = |row: &profile::Model| row.position == 0 && !row.is_known;
        let new = self.profiles.iter().filter(|work| work.row.id == 0);
        let placeholders = new.filter(|work| is_placeholder(&work.row)).map(|work| work.row.clone()).collect();
        for (external_id, id) in write::write_placeholders(transaction, placeholders).await? {
            if let Some(handle) = self.by_external_id.get(&external_id) {
                let work = &mut self.profiles[*handle];
                (work.row.id, work.is_dirty) = (id, false);
            }
        }
        let mut new: Vec<_> = self.profiles.iter_mut().map(|work| &mut work.row).filter(|row| row.id == 0).collect();
        // Sorted keys touch neighbouring pages of both indexes.
        new.sort_unstable_by(|a, b| a.external_id.cmp(&b.external_id));
        let ids = write::new_profile_ids(transaction, new.len()).await?;
        new.into_iter().zip(ids).for_each(|(row, id)| row.id = id);

        let new: Vec<_> = self.subprofiles.values_mut().map(|work| &mut work.row).filter(|row| row.id == 0).collect();
        let ids = write::new_subprofile_ids(transaction, new.len()).await?;
        new.into_iter().zip(ids).for_each(|(row, id)| row.id = id);
        Ok(())
    }

    /// The profile type of a profile, or the collection of a subprofile, as it stands after everything was taken.
    fn place_of(&self, target: &Target) -> Option<String> {
        match target {
            Target::Profile { id } => {
                let row = &self.get(*self.by_external_id.get(id)?).row;
                self.catalog.type_external_id(row.profile_type_id?)
            }
            Target::Subprofile { id } => {
                self.catalog.collection_external_id(self.subprofiles.get(id)?.row.collection_id?)
            }
            Target::Metadata { .. } | Target::Ids { .. } => None,
        }
    }

    async fn flush_requests(self, transaction: &impl ConnectionTrait) -> Result<(), DbErr> {
        // Of several answers to one request the one that was asked for last says how it goes on.
        let mut newest: BTreeMap<i64, i64> = BTreeMap::new();
        for (id, started_at) in self.done_requests {
            newest.entry(id).and_modify(|known| *known = Ord::max(*known, started_at)).or_insert(started_at);
        }
        let again = self.again.into_values().filter(|again| newest.get(&again.request_id) == Some(&again.started_at));
        let again: Vec<Again> = again.collect();
        let mut given_up = self.given_up;
        given_up.retain(|given_up| newest.get(&given_up.request_id) == Some(&given_up.started_at));
        let goes_on = again.iter().map(|again| again.request_id);
        for request_id in goes_on.chain(given_up.iter().map(|given_up| given_up.request_id)) {
            newest.remove(&request_id);
        }
        let done: Vec<_> = newest.into_iter().collect();
        write::settle_requests(transaction, self.now, &done, &again).await?;
        write::give_up_requests(transaction, self.now, &given_up).await?;
        write::cancel_requests(transaction, self.source_id, &self.cancelled).await?;
        write::write_wishes(transaction, self.source_id, self.now, self.wishes.into_values().collect()).await
    }
}
