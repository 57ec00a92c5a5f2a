//! What the pages of runs show, and what they come to.

use super::{Batch, Handle, Origin, PendingChange};
use crate::apply::content::content_hash;
use crate::apply::drift::{Look, Note};
use crate::apply::told;
use crate::mirror::write::{Missable, PageTally};
use entity::{ChangeKind, Decision, Moment, RecordKind, change};
use provider::DeliveryKind;
use serde_json::{Value, json};
use std::collections::HashSet;

/// The page of a run that is being taken.
pub(super) struct OpenPage {
    pub tally: PageTally,
    pub profiles: Vec<Handle>,
    pub subprofiles: Vec<String>,
    /// What it showed, where its run measures drift.
    pub notes: Option<Vec<Note>>,
    pub received_at: Moment,
}

/// A change that a plan shows: whose, what, and the names of what differs. Values stay where they are.
pub(in crate::apply) struct Preview {
    pub profile: String,
    pub kind: ChangeKind,
    pub names: Vec<String>,
    /// It is of the profile itself.
    pub is_of_profile: bool,
    /// Stands for the record and the kind.
    pub number: i64,
}

impl Batch<'_> {
    /// Begins to count what a page of a run names. Everything until [`Batch::close_page`] belongs to it.
    pub fn open_page(&mut self, tally: PageTally, origin: &Origin) {
        self.is_page_open = true;
        let is_measured = origin.kind == DeliveryKind::Page && self.watch.measured_run == Some(tally.run_id);
        let notes = is_measured.then(Vec::new);
        let received_at = origin.received_at;
        self.pages.push(OpenPage { tally, profiles: Vec::new(), subprofiles: Vec::new(), notes, received_at });
    }

    /// The page ends; it could not be read where `is_parked`.
    pub fn close_page(&mut self, is_parked: bool) {
        if let (true, Some(page)) = (self.is_page_open, self.pages.last_mut()) {
            page.tally.is_parked = is_parked;
        }
        self.is_page_open = false;
    }

    /// How a profile stands before an observation of it is taken.
    pub fn look_at_profile(&self, profile: Handle) -> Look {
        Look::at_profile(&self.profiles[profile].row, self.changes.len())
    }

    /// How a subprofile stands before an observation of it is taken.
    pub fn look_at_subprofile(&self, external_id: &str) -> Look {
        Look::at_subprofile(self.subprofiles.get(external_id).map(|work| &work.row), self.changes.len())
    }

    /// The changes since a record was looked at.
    fn changes_since(&self, look: &Look) -> impl Iterator<Item = &change::Model> {
        self.changes.iter().skip(look.changes).map(|pending| &pending.row)
    }

    /// Notes what the open page, or the answer to a read, shows of a profile. `is_told` where its status was taken.
    pub fn note_profile(&mut self, origin: &Origin, profile: Handle, decision: Decision, look: &Look, is_told: bool) {
        let is_page = self.is_page_open && self.pages.last().is_some_and(|page| page.notes.is_some());
        if !is_page && !self.watch.awaits(origin) {
            return;
        }
        let row = &self.profiles[profile].row;
        let note = Note::of_profile((profile, row), decision, look, is_told, self.changes_since(look));
        match self.pages.last_mut().and_then(|page| page.notes.as_mut()).filter(|_| is_page) {
            Some(notes) => notes.push(note),
            None => self.watch.answer(origin, (profile, row), note, decision),
        }
    }

    /// Notes what the open page, or the answer to a read, shows of a subprofile of a profile.
    pub fn note_subprofile(
        &mut self,
        origin: &Origin,
        profile: Handle,
        external_id: &str,
        decision: Decision,
        look: &Look,
    ) {
        let is_page = self.is_page_open && self.pages.last().is_some_and(|page| page.notes.is_some());
        if !is_page && !self.watch.awaits(origin) {
            return;
        }
        let row = self.subprofiles.get(external_id).map(|work| &work.row);
        let note = Note::of_subprofile((profile, external_id, row), decision, look, self.changes_since(look));
        match self.pages.last_mut().and_then(|page| page.notes.as_mut()).filter(|_| is_page) {
            Some(notes) => notes.push(note),
            None => self.watch.repaired(RecordKind::Subprofile, external_id, note, decision),
        }
    }

    /// Counts what an observation of a profile on the open page came to.
    pub fn count_profile(&mut self, decision: Decision, was_known: bool) {
        let Some(page) = self.pages.last_mut().filter(|_| self.is_page_open) else { return };
        let count = match decision {
            Decision::Applied if was_known => &mut page.tally.updated,
            Decision::Applied => &mut page.tally.created,
            Decision::Stale | Decision::TieRefetched => &mut page.tally.conflicts,
            _ => &mut page.tally.unchanged,
        };
        *count += 1;
    }

    /// Notes a profile that the open page names.
    pub fn name_profile(&mut self, external_id: &str) {
        if !self.is_page_open {
            return;
        }
        let profile = self.profile(external_id);
        if let Some(page) = self.pages.last_mut() {
            page.profiles.push(profile);
        }
    }

    /// Makes a profile that a run named and did not find a candidate of that run: whether so many may go at once is for
    /// its sweep to decide. False where it was asked for in another way.
    pub fn miss_profile(&mut self, origin: &Origin, profile: Handle) -> bool {
        let is_answer_to_run = origin.kind == DeliveryKind::Fetch && origin.request_id.is_none();
        let Some(page) = self.pages.last().filter(|_| self.is_page_open && is_answer_to_run) else { return false };
        let is_known = self.profiles[profile].row.is_known;
        if is_known {
            self.missed.push((page.tally.run_id, profile));
        }
        is_known
    }

    /// What runs over named profiles did not find, with the run of each.
    pub fn missed(&self) -> Vec<(i64, Missable)> {
        let missed = self.missed.iter().map(|(run_id, profile)| {
            let row = &self.profiles[*profile].row;
            (*run_id, Missable { id: row.id, external_id: row.external_id.clone() })
        });
        missed.collect()
    }

    /// Notes a subprofile that the open page names.
    pub fn name_subprofile(&mut self, external_id: &str) {
        if let Some(page) = self.pages.last_mut().filter(|_| self.is_page_open) {
            page.subprofiles.push(external_id.to_owned());
        }
    }

    /// What the last page of a run named; for a plan. What it would create has no row yet.
    pub fn tally(&self) -> PageTally {
        let Some(page) = self.pages.last() else { return PageTally::default() };
        let profile = |handle: &Handle| {
            let row = &self.profiles[*handle].row;
            if row.id > 0 { row.id } else { stand_in(&row.external_id) }
        };
        let subprofile = |id: &String| {
            let known = self.subprofiles.get(id).map(|work| work.row.id).filter(|id| *id > 0);
            known.unwrap_or_else(|| stand_in(id))
        };
        PageTally {
            profiles: page.profiles.iter().map(profile).collect(),
            subprofiles: page.subprofiles.iter().map(subprofile).collect(),
            ..page.tally.clone()
        }
    }

    /// Makes those of the profiles known that earlier pages of a plan would have created, so that what hangs on them is
    /// told.
    pub fn know<'n>(&mut self, names: impl Iterator<Item = &'n String>, told: &HashSet<i64>) {
        for name in names.filter(|name| told.contains(&number_of((RecordKind::Profile, name), ChangeKind::Created))) {
            let profile = self.profile(name);
            self.get_mut(profile).row.is_known = true;
        }
    }

    /// What the changes in the batch come to, for a plan: nothing of it is written.
    pub fn preview(&self) -> Vec<Preview> {
        let shown = |pending: &PendingChange| Preview {
            profile: self.profiles[pending.profile].row.external_id.clone(),
            kind: pending.row.kind,
            names: told::names(&pending.row.fields).map(str::to_owned).collect(),
            is_of_profile: pending.row.record_kind == RecordKind::Profile,
            number: number_of((pending.row.record_kind, &pending.row.record_id), pending.row.kind),
        };
        self.changes.iter().map(shown).collect()
    }
}

/// Stands for a record and what happens to it.
fn number_of((kind, id): (RecordKind, &str), change: ChangeKind) -> i64 {
    content_hash(&json!([kind, id, change]))
}

/// A number that no row has, always the same one for a record. It stands in for the row of what a page names and nothing is
/// kept of, such as a subprofile of a removed profile: the lists are held against their totals.
pub(super) fn stand_in(external_id: &str) -> i64 {
    const NO_ROW: i64 = 1 << 62;
    NO_ROW | (content_hash(&Value::from(external_id)) & (NO_ROW - 1))
}
