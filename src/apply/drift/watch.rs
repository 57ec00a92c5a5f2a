//! What pages and sampled reads show of records, noted while their observations are taken.

use crate::apply::batch::{Handle, Origin};
use crate::apply::read::Read;
use crate::apply::told;
use crate::mirror::write::{self, Awaited, Differing, PageDrift};
use entity::{
    ChangeKind, Decision, DriftNature, Moment, RecordKind, SampleOutcome, Status, change, drift_difference, profile,
    subprofile,
};
use provider::DeliveryKind;
use sea_orm::{ConnectionTrait, DbErr};
use std::collections::BTreeSet;

/// What a batch has to look at beside what it writes.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::apply) struct Watching {
    /// Some records of the source are in quarantine.
    pub has_candidates: bool,
    /// The run whose pages are measured.
    pub measured_run: Option<i64>,
    /// Sampled reads or repairs are awaited.
    pub has_awaited: bool,
}

/// How a record stands before an observation of it is taken.
#[derive(Clone, Copy, Debug)]
pub(in crate::apply) struct Look {
    /// What is stored of it; 0 where nothing is.
    digest: u64,
    /// Inbox position of the newest delivery that told of it.
    told_at: i64,
    /// Changes in the batch so far.
    pub changes: usize,
}

impl Look {
    pub fn at_profile(row: &profile::Model, changes: usize) -> Self {
        let is_there = row.is_known && row.status != Status::Deleted;
        let digest = if is_there { write::digest_of_profile(row) } else { 0 };
        Self { digest, told_at: Ord::max(row.position, row.status_position), changes }
    }

    pub fn at_subprofile(row: Option<&subprofile::Model>, changes: usize) -> Self {
        let there = row.filter(|row| row.deleted_at.is_none());
        let digest = there.map_or(0, write::digest_of_subprofile);
        Self { digest, told_at: row.map_or(0, |row| row.position), changes }
    }
}

/// The record that a note is about.
#[derive(Clone, Debug)]
pub(in crate::apply) enum Noted {
    Profile(Handle),
    /// A subprofile of a profile, by its external id.
    Subprofile(Handle, String),
}

/// How a record differed.
#[derive(Clone, Debug)]
struct Found {
    nature: DriftNature,
    names: Vec<String>,
    before: u64,
}

impl Found {
    /// How a record differed whose observation took effect: what changed tells. Where no change can be seen, readers
    /// saw none either.
    fn read<'a>(
        kind: RecordKind,
        decision: Decision,
        before: u64,
        shown: u64,
        changes: impl Iterator<Item = &'a change::Model>,
    ) -> Option<Self> {
        if decision != Decision::Applied {
            return None;
        }
        let mut nature = None;
        let mut names = BTreeSet::new();
        for change in changes {
            nature.get_or_insert(DriftNature::Changed);
            let is_own = change.record_kind == kind;
            match change.kind {
                ChangeKind::Created | ChangeKind::SubprofileCreated if is_own => nature = Some(DriftNature::Missing),
                ChangeKind::Deleted | ChangeKind::SubprofileDeleted if is_own => nature = Some(DriftNature::Gone),
                ChangeKind::RelationshipCreated | ChangeKind::RelationshipRemoved => {
                    names.insert("relationships".to_owned());
                }
                ChangeKind::Anonymized => {
                    names.insert("status".to_owned());
                }
                _ if is_own => {
                    names.extend(told::names(&change.fields).map(str::to_owned));
                }
                _ => {}
            }
        }
        let nature = nature?;
        // Of what was not there, and of what should not be, every field differs: that tells nothing.
        let names = if nature == DriftNature::Changed { names.into_iter().collect() } else { Vec::new() };
        // A row that was changed behind its own hash, and one whose relationships differed: not as shown in any case.
        let before = if before == shown { !shown } else { before };
        Some(Self { nature, names, before })
    }
}

/// What a delivery shows of a record.
#[derive(Clone, Debug)]
pub(in crate::apply) struct Note {
    record: Noted,
    external_id: String,
    /// What it shows; 0 where that is not certain.
    shown: u64,
    /// How the stored record differed from it.
    found: Option<Found>,
    told_at: i64,
}

impl Note {
    pub fn of_profile<'a>(
        (profile, row): (Handle, &profile::Model),
        decision: Decision,
        look: &Look,
        is_told: bool,
        changes: impl Iterator<Item = &'a change::Model>,
    ) -> Self {
        let is_live = !matches!(row.status, Status::Deleted | Status::Anonymized);
        let is_certain = is_told && is_live && matches!(decision, Decision::Applied | Decision::Unchanged);
        let shown = if is_certain { write::digest_of_profile(row) } else { 0 };
        Self {
            record: Noted::Profile(profile),
            external_id: row.external_id.clone(),
            shown,
            found: Found::read(RecordKind::Profile, decision, look.digest, shown, changes),
            told_at: look.told_at,
        }
    }

    pub fn of_subprofile<'a>(
        (profile, external_id, row): (Handle, &str, Option<&subprofile::Model>),
        decision: Decision,
        look: &Look,
        changes: impl Iterator<Item = &'a change::Model>,
    ) -> Self {
        let is_certain = matches!(decision, Decision::Applied | Decision::Unchanged);
        let certain = row.filter(|row| is_certain && row.deleted_at.is_none());
        let shown = certain.map_or(0, write::digest_of_subprofile);
        Self {
            record: Noted::Subprofile(profile, external_id.to_owned()),
            external_id: external_id.to_owned(),
            shown,
            found: Found::read(RecordKind::Subprofile, decision, look.digest, shown, changes),
            told_at: look.told_at,
        }
    }

    fn kind(&self) -> RecordKind {
        match self.record {
            Noted::Profile(_) => RecordKind::Profile,
            Noted::Subprofile(..) => RecordKind::Subprofile,
        }
    }

    fn differing(self, profile_id: i64) -> Option<Differing> {
        let (record_kind, found) = (self.kind(), self.found?);
        Some(Differing {
            profile_id,
            record_kind,
            record_id: self.external_id,
            nature: found.nature,
            names: found.names,
        })
    }
}

/// Tells the notes of a page by rows: what it showed, and the records that differed.
pub(in crate::apply) fn tell_page(
    notes: Vec<Note>,
    row_of: impl Fn(&Noted) -> (i64, i64),
) -> (PageDrift, Vec<Differing>) {
    let mut drift = PageDrift::default();
    let mut differing = Vec::new();
    for note in notes {
        let (row_id, profile_id) = row_of(&note.record);
        let (shown, before) = match note.record {
            Noted::Profile(_) => (&mut drift.profiles, &mut drift.profiles_before),
            Noted::Subprofile(..) => (&mut drift.subprofiles, &mut drift.subprofiles_before),
        };
        shown.push((row_id, note.shown));
        before.extend(note.found.as_ref().map(|found| (row_id, found.before)));
        differing.extend(note.differing(profile_id));
    }
    (drift, differing)
}

/// Records that one delivery showed to differ: the run or the read, when, which.
pub(in crate::apply) type Find = (Option<i64>, Option<i64>, Moment, Vec<Differing>);

/// An answer to a sampled read.
struct Answered {
    sample_id: i64,
    outcome: SampleOutcome,
    received_at: Moment,
    /// What differed, where it did.
    note: Option<Note>,
}

/// What a batch looks at for drift.
#[derive(Default)]
pub(in crate::apply) struct Watch {
    /// The run whose pages are measured.
    pub measured_run: Option<i64>,
    /// Inbox position of the newest delivery that asked for what is being answered.
    pub wanted_position: i64,
    awaited: Awaited,
    answered: Vec<Answered>,
    repaired: Vec<(drift_difference::Model, Vec<String>)>,
}

impl Watch {
    /// Begins to look at some deliveries.
    pub async fn open(
        &mut self,
        transaction: &impl ConnectionTrait,
        source_id: i32,
        watching: Watching,
        deliveries: &[Read],
    ) -> Result<(), DbErr> {
        self.measured_run = watching.measured_run;
        if watching.has_awaited && deliveries.iter().any(|delivery| delivery.origin.kind == DeliveryKind::Fetch) {
            self.awaited = write::load_awaited(transaction, source_id).await?;
        }
        Ok(())
    }

    /// Whether a delivery may be an answer that is awaited.
    pub fn awaits(&self, origin: &Origin) -> bool {
        let is_nothing = self.awaited.samples.is_empty() && self.awaited.differences.is_empty();
        origin.kind == DeliveryKind::Fetch && !is_nothing
    }

    /// Whether nothing became of reads and repairs.
    pub fn has_nothing(&self) -> bool {
        self.answered.is_empty() && self.repaired.is_empty()
    }

    /// Takes what the answer to a read shows of a profile.
    pub fn answer(&mut self, origin: &Origin, (_, row): (Handle, &profile::Model), note: Note, decision: Decision) {
        // Not found: asked again, until it is believed.
        if decision != Decision::Quarantined
            && let Some(sample) = self.awaited.samples.remove(&row.id)
        {
            let has_news = note.told_at > sample.position || self.wanted_position > sample.position;
            let is_gone = matches!(row.status, Status::Deleted | Status::Anonymized);
            let outcome = match decision {
                _ if has_news => SampleOutcome::Void,
                Decision::Applied if note.found.is_some() => SampleOutcome::Checking,
                Decision::Applied | Decision::Unchanged if !is_gone => SampleOutcome::Same,
                _ => SampleOutcome::Void,
            };
            let found = (outcome == SampleOutcome::Checking).then(|| note.clone());
            let received_at = origin.received_at;
            self.answered.push(Answered { sample_id: sample.id, outcome, received_at, note: found });
        }
        let external_id = note.external_id.clone();
        self.repaired(RecordKind::Profile, &external_id, note, decision);
    }

    /// Takes that a record is as upstream has it, where that was awaited.
    pub fn repaired(&mut self, kind: RecordKind, external_id: &str, note: Note, decision: Decision) {
        if !matches!(decision, Decision::Applied | Decision::Unchanged) {
            return;
        }
        if let Some(difference) = self.awaited.differences.remove(&(kind, external_id.to_owned())) {
            self.repaired.push((difference, note.found.map(|found| found.names).unwrap_or_default()));
        }
    }

    /// Writes what became of reads and repairs, and returns what reads showed to differ.
    pub async fn flush(
        &mut self,
        transaction: &impl ConnectionTrait,
        now: Moment,
        row_of: impl Fn(&Noted) -> (i64, i64),
    ) -> Result<Vec<Find>, DbErr> {
        let mut finds = Vec::new();
        for answered in std::mem::take(&mut self.answered) {
            write::settle_sample(transaction, answered.sample_id, answered.outcome, now).await?;
            let differing = answered.note.and_then(|note| {
                let (_, profile_id) = row_of(&note.record);
                note.differing(profile_id)
            });
            finds.extend(
                differing.map(|differing| (None, Some(answered.sample_id), answered.received_at, vec![differing])),
            );
        }
        for (difference, names) in std::mem::take(&mut self.repaired) {
            write::write_repair(transaction, &difference, names, now).await?;
        }
        Ok(finds)
    }
}
