//! The rows that one transaction works on: loaded once, changed in memory, written once.

use super::catalog::Catalog;
use super::content::content_hash;
use super::drift::{Look, Note, Noted, Watch};
use super::erase::Erasing;
use super::told::{self, Told};
use crate::mirror::write::{self, Again, PageTally, RelationshipsOf, Wish};
use entity::{
    CandidateState, ChangeKind, Decision, Moment, ProfileKind, Purpose, RecordKind, Status, VersionRung, change,
    deletion_candidate, lifecycle_transition, profile, relationship, subprofile, verdict,
};
use provider::{DeliveryKind, InterestSeen, Provider, Target, Version};
use sea_orm::{ConnectionTrait, DbErr};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// Place of a profile in the batch.
pub(super) type Handle = usize;

/// The delivery that an observation comes from.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    /// Inbox position.
    pub position: i64,
    /// Webhook, page or fetch.
    pub kind: DeliveryKind,
    /// When it arrived.
    pub received_at: Moment,
    /// Inbox position when the request that brought it started; none for a webhook.
    pub started_at: Option<i64>,
    /// The fetch request that it answers.
    pub request_id: Option<i64>,
    /// The event's word, or the kind of delivery.
    pub cause: String,
}

/// A profile in the batch.
pub(super) struct ProfileWork {
    pub row: profile::Model,
    pub interests: Vec<InterestSeen>,
    pub told: Told,
    pub is_dirty: bool,
    pub has_new_interests: bool,
}

/// A subprofile in the batch.
pub(super) struct SubprofileWork {
    pub row: subprofile::Model,
    pub profile: Handle,
    pub is_dirty: bool,
}

/// A relationship in the batch.
pub(super) struct RelationshipWork {
    pub row: relationship::Model,
    pub from: Handle,
    pub to: Handle,
    pub is_dirty: bool,
}

struct PendingChange {
    row: change::Model,
    profile: Handle,
}

/// The page of a run that is being taken.
struct OpenPage {
    tally: PageTally,
    profiles: Vec<Handle>,
    subprofiles: Vec<String>,
    /// What it showed, where its run measures drift.
    notes: Option<Vec<Note>>,
    received_at: Moment,
}

/// A verdict on its way into the journal.
pub(super) struct Judged<'a> {
    pub record_kind: RecordKind,
    pub record_id: &'a str,
    pub profile: Option<Handle>,
    pub decision: Decision,
    pub rule: &'a str,
    pub observed: Option<Version>,
    pub stored: Option<Version>,
}

/// What a batch must load before its observations are taken.
#[derive(Default)]
pub(super) struct Wanted {
    /// Profiles that are named.
    pub profiles: HashSet<String>,
    /// Profiles whose whole state is told: what hangs on them is needed too.
    pub whole: HashSet<String>,
    /// Profiles that may go: their subprofiles are needed too.
    pub going: HashSet<String>,
    /// Subprofiles that are named.
    pub subprofiles: HashSet<String>,
    /// Relationships that are named.
    pub relationships: HashSet<String>,
}

/// The working set of one transaction.
pub(super) struct Batch<'a> {
    pub source_id: i32,
    pub provider: Arc<dyn Provider>,
    pub now: Moment,
    pub catalog: &'a mut Catalog,
    profiles: Vec<ProfileWork>,
    by_external_id: HashMap<String, Handle>,
    by_id: HashMap<i64, Handle>,
    pub subprofiles: BTreeMap<String, SubprofileWork>,
    pub relationships: BTreeMap<String, RelationshipWork>,
    changes: Vec<PendingChange>,
    transitions: Vec<(Handle, lifecycle_transition::Model)>,
    verdicts: Vec<(Option<Handle>, verdict::Model)>,
    wishes: BTreeMap<String, Wish>,
    pub again: BTreeMap<i64, Again>,
    /// Answered requests, each with the position at which its answer was asked for.
    pub done_requests: Vec<(i64, i64)>,
    cancelled: Vec<String>,
    pages: Vec<OpenPage>,
    is_page_open: bool,
    candidates: HashMap<(RecordKind, i64), deletion_candidate::Model>,
    settled_candidates: Vec<(i64, CandidateState, i64)>,
    /// Profiles whose rows were emptied; what tells of them elsewhere is emptied after the flush.
    pub erasing: Vec<Erasing>,
    /// What is looked at for drift.
    pub watch: Watch,
    revision: i64,
}

impl<'a> Batch<'a> {
    pub fn new(
        source_id: i32,
        provider: Arc<dyn Provider>,
        now: Moment,
        revision: i64,
        catalog: &'a mut Catalog,
    ) -> Self {
        Self {
            source_id,
            provider,
            now,
            catalog,
            profiles: Vec::new(),
            by_external_id: HashMap::new(),
            by_id: HashMap::new(),
            subprofiles: BTreeMap::new(),
            relationships: BTreeMap::new(),
            changes: Vec::new(),
            transitions: Vec::new(),
            verdicts: Vec::new(),
            wishes: BTreeMap::new(),
            again: BTreeMap::new(),
            done_requests: Vec::new(),
            cancelled: Vec::new(),
            pages: Vec::new(),
            is_page_open: false,
            candidates: HashMap::new(),
            settled_candidates: Vec::new(),
            erasing: Vec::new(),
            watch: Watch::default(),
            revision,
        }
    }

    /// The revision after the changes so far.
    pub fn revision(&self) -> i64 {
        self.revision
    }

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
        let subprofiles =
            write::load_subprofiles(transaction, self.source_id, &subprofile_names, &ids_of(&with_children)).await?;

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

    /// Loads which of the records in the batch are in quarantine. Only where the source has any.
    pub async fn load_candidates(&mut self, transaction: &impl ConnectionTrait) -> Result<(), DbErr> {
        let profiles: Vec<i64> = self.profiles.iter().map(|work| work.row.id).collect();
        let subprofiles: Vec<i64> = self.subprofiles.values().map(|work| work.row.id).collect();
        for (kind, ids) in [(RecordKind::Profile, profiles), (RecordKind::Subprofile, subprofiles)] {
            let found = write::load_candidates_of(transaction, self.source_id, kind, &ids).await?;
            self.candidates.extend(found.into_iter().map(|(id, row)| ((kind, id), row)));
        }
        Ok(())
    }

    /// Settles a record that is in quarantine; false where it is not.
    pub fn settle_candidate(&mut self, kind: RecordKind, id: i64, state: CandidateState, origin: &Origin) -> bool {
        let Some(candidate) = self.candidates.get(&(kind, id)) else { return false };
        self.settled_candidates.push((candidate.id, state, origin.position));
        true
    }

    /// A record that is in quarantine is shown: it is there where it was read by id, and nobody's candidate any more where
    /// a list names it that was asked for after it had not been found.
    pub fn show_candidate(&mut self, kind: RecordKind, id: i64, origin: &Origin) {
        let Some(candidate) = self.candidates.get(&(kind, id)) else { return };
        let is_later =
            candidate.delivery_id.is_some_and(|missed_at| origin.started_at.is_some_and(|at| at >= missed_at));
        let state = match origin.kind {
            DeliveryKind::Fetch => CandidateState::Present,
            DeliveryKind::Page if is_later => CandidateState::Dismissed,
            DeliveryKind::Page | DeliveryKind::Webhook => return,
        };
        self.settled_candidates.push((candidate.id, state, origin.position));
    }

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

    /// Counts a profile that the open page names.
    pub fn count_profile(&mut self, profile: Handle, decision: Decision, was_known: bool) {
        let Some(page) = self.pages.last_mut().filter(|_| self.is_page_open) else { return };
        page.profiles.push(profile);
        let count = match decision {
            Decision::Applied if was_known => &mut page.tally.updated,
            Decision::Applied => &mut page.tally.created,
            Decision::Stale | Decision::TieRefetched => &mut page.tally.conflicts,
            _ => &mut page.tally.unchanged,
        };
        *count += 1;
    }

    /// Notes a subprofile that the open page names.
    pub fn count_subprofile(&mut self, external_id: &str) {
        if let Some(page) = self.pages.last_mut().filter(|_| self.is_page_open) {
            page.subprofiles.push(external_id.to_owned());
        }
    }

    /// What the last page of a run named; for a plan. What it would create has no row: another number stands in for it,
    /// since the lists are held against their totals.
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

    /// What the changes in the batch come to, for a plan: nothing of it is written.
    pub fn preview(&self) -> Vec<Preview> {
        let shown = |pending: &PendingChange| Preview {
            profile: self.profiles[pending.profile].row.external_id.clone(),
            kind: pending.row.kind,
            names: told::names(&pending.row.fields).map(str::to_owned).collect(),
        };
        self.changes.iter().map(shown).collect()
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
            let told = Told::of(&row);
            self.profiles.push(ProfileWork { row, interests, told, is_dirty: false, has_new_interests: false });
        }
        Ok(())
    }

    /// The profile with this external id; a placeholder where there is none yet.
    pub fn profile(&mut self, external_id: &str) -> Handle {
        if let Some(handle) = self.by_external_id.get(external_id) {
            return *handle;
        }
        let handle = self.profiles.len();
        self.by_external_id.insert(external_id.to_owned(), handle);
        let row = placeholder(self.source_id, external_id, self.now);
        let told = Told::default();
        self.profiles.push(ProfileWork { row, interests: Vec::new(), told, is_dirty: true, has_new_interests: false });
        handle
    }

    /// Whether a profile is in the batch.
    pub fn holds(&self, external_id: &str) -> bool {
        self.by_external_id.contains_key(external_id)
    }

    /// External ids of the profiles in the batch that are erased.
    pub fn erased_ids(&self) -> HashSet<&str> {
        let erased = self.profiles.iter().filter(|work| work.row.status == Status::Anonymized);
        erased.map(|work| work.row.external_id.as_str()).collect()
    }

    /// A profile in the batch.
    pub fn get(&self, handle: Handle) -> &ProfileWork {
        &self.profiles[handle]
    }

    /// A profile in the batch, to be written.
    pub fn get_mut(&mut self, handle: Handle) -> &mut ProfileWork {
        let work = &mut self.profiles[handle];
        work.is_dirty = true;
        work
    }

    /// Names of the alive subprofiles of a profile.
    pub fn subprofiles_of(&self, profile: Handle) -> Vec<String> {
        let is_alive = |work: &&SubprofileWork| work.profile == profile && work.row.deleted_at.is_none();
        self.subprofiles.values().filter(is_alive).map(|work| work.row.external_id.clone()).collect()
    }

    /// Notes a change. One of a profile tells its attributes as well. Nobody hears of a placeholder: its changes wait until
    /// it is known.
    pub fn change(
        &mut self,
        profile: Handle,
        kind: ChangeKind,
        record: (RecordKind, &str),
        mut fields: Vec<Value>,
        origin: &Origin,
    ) {
        if !self.profiles[profile].row.is_known {
            return;
        }
        if record.0 == RecordKind::Profile {
            let work = &mut self.profiles[profile];
            fields.extend(work.told.tell(&work.row, kind, |id| self.catalog.type_name(id)));
        }
        self.revision += 1;
        let revision = self.revision;
        let row = &mut self.get_mut(profile).row;
        row.revision = revision;
        let upstream_at = match record.0 {
            RecordKind::Subprofile => self.subprofiles.get(record.1).and_then(|work| work.row.modified_at),
            _ => row.modified_at,
        };
        let row = change::Model {
            source_id: self.source_id,
            revision,
            kind,
            profile_id: 0,
            record_kind: record.0,
            record_id: record.1.to_owned(),
            at: self.now,
            upstream_at,
            fields: Value::Array(fields),
            delivery_id: origin.position,
            cause: origin.cause.clone(),
            is_erased: false,
        };
        self.changes.push(PendingChange { row, profile });
    }

    /// Tells what has moved of a profile beside its content, where no change has told it.
    pub fn tell_rest(&mut self, profile: Handle, origin: &Origin) {
        let work = &self.profiles[profile];
        if work.told != Told::of(&work.row) {
            let id = work.row.external_id.clone();
            self.change(profile, ChangeKind::Updated, (RecordKind::Profile, &id), Vec::new(), origin);
        }
    }

    /// Notes a verdict. A page's *unchanged* is only counted, not told row by row.
    pub fn judge(&mut self, origin: &Origin, judged: &Judged<'_>) {
        if origin.kind == DeliveryKind::Page && judged.decision == Decision::Unchanged {
            return;
        }
        let shown = |version: Option<Version>| version.map(|v| format!("{:?} {}..{}", v.rung, v.from, v.until));
        let row = verdict::Model {
            id: 0,
            source_id: self.source_id,
            delivery_id: origin.position,
            profile_id: None,
            record_kind: judged.record_kind,
            record_id: judged.record_id.to_owned(),
            decision: judged.decision,
            rule: judged.rule.to_owned(),
            observed_version: shown(judged.observed),
            stored_version: shown(judged.stored),
            at: self.now,
        };
        self.verdicts.push((judged.profile, row));
    }

    /// Journals a lifecycle transition.
    pub fn journal(&mut self, profile: Handle, transition: lifecycle_transition::Model) {
        self.transitions.push((profile, transition));
    }

    /// Wishes to fetch a record; many wishes are one. What a page leaves open is repair, what news asks for is live.
    pub fn wish(&mut self, target: Target, origin: &Origin, reason: &str, delay_ms: u64, is_creation: bool) {
        let not_before = self.now.plus_ms(i64::try_from(delay_ms).unwrap_or(i64::MAX));
        let purpose = if origin.kind == DeliveryKind::Page { Purpose::Repair } else { Purpose::Live };
        let position = origin.position;
        let reason = reason.to_owned();
        let wish = Wish { target, within: None, position, reason, not_before, is_creation, purpose };
        match self.wishes.get_mut(&write::target_key(&wish.target)) {
            Some(known) => {
                known.position = known.position.max(wish.position);
                known.not_before = known.not_before.min(wish.not_before);
                known.is_creation |= wish.is_creation;
                known.purpose = known.purpose.min(wish.purpose);
            }
            None => {
                self.wishes.insert(write::target_key(&wish.target), wish);
            }
        }
    }

    /// Wishes to fetch a profile now.
    pub fn wish_profile(&mut self, external_id: &str, origin: &Origin, reason: &str) {
        self.wish(Target::Profile { id: external_id.to_owned() }, origin, reason, 0, false);
    }

    /// Drops what was wished for a profile: there is nothing to look up any more.
    pub fn cancel_wishes(&mut self, external_id: &str) {
        let key = write::target_key(&Target::Profile { id: external_id.to_owned() });
        self.wishes.remove(&key);
        self.cancelled.push(key);
    }

    /// Whether it leaves something to be fetched: wishes, or requests that go on.
    pub fn asks(&self) -> bool {
        !self.wishes.is_empty() || !self.again.is_empty() || !self.done_requests.is_empty()
    }

    /// Writes everything that changed, and tells what the pages of runs came to.
    pub async fn flush(mut self, transaction: &impl ConnectionTrait) -> Result<Vec<PageTally>, DbErr> {
        // The rows leave the batch as they are written.
        let mut wishes = std::mem::take(&mut self.wishes);
        for wish in wishes.values_mut() {
            wish.within = self.place_of(&wish.target);
        }
        self.wishes = wishes;
        let dirty = self.profiles.iter_mut().filter(|work| work.is_dirty).map(|work| {
            // Nothing asks for the fields any more: they go with the row instead of being copied.
            let fields = std::mem::take(&mut work.row.fields);
            profile::Model { fields, ..work.row.clone() }
        });
        let (placeholders, mut rows): (Vec<_>, Vec<_>) =
            dirty.partition(|row| row.id == 0 && row.position == 0 && !row.is_known);
        // Sorted keys touch neighbouring pages of the index.
        rows.sort_unstable_by(|a, b| a.external_id.cmp(&b.external_id));
        let mut ids = write::write_profiles(transaction, rows).await?;
        ids.extend(write::write_placeholders(transaction, placeholders).await?);
        for (external_id, id) in ids {
            if let Some(handle) = self.by_external_id.get(&external_id) {
                self.profiles[*handle].row.id = id;
            }
        }
        let interests = self
            .profiles
            .iter_mut()
            .filter(|work| work.has_new_interests)
            .map(|work| (work.row.id, std::mem::take(&mut work.interests)))
            .collect();
        write::write_interests(transaction, interests).await?;
        let id_of = |handle: Handle| self.profiles[handle].row.id;

        let subprofiles = std::mem::take(&mut self.subprofiles);
        let mut subprofile_ids: HashMap<String, i64> = HashMap::new();
        if !self.pages.is_empty() {
            subprofile_ids.extend(subprofiles.iter().map(|(external_id, work)| (external_id.clone(), work.row.id)));
        }
        let rows = subprofiles.into_values().filter(|work| work.is_dirty);
        let rows = rows.map(|work| subprofile::Model { profile_id: id_of(work.profile), ..work.row }).collect();
        subprofile_ids.extend(write::write_subprofiles(transaction, rows).await?);

        let relationships = std::mem::take(&mut self.relationships).into_values().filter(|work| work.is_dirty);
        let rows = relationships
            .map(|work| relationship::Model {
                from_profile_id: id_of(work.from),
                to_profile_id: id_of(work.to),
                ..work.row
            })
            .collect();
        write::write_relationships(transaction, rows).await?;

        let rows = std::mem::take(&mut self.transitions).into_iter();
        let rows =
            rows.map(|(profile, row)| lifecycle_transition::Model { profile_id: id_of(profile), ..row }).collect();
        write::write_transitions(transaction, rows).await?;

        let rows = std::mem::take(&mut self.changes).into_iter();
        let rows = rows.map(|pending| change::Model { profile_id: id_of(pending.profile), ..pending.row }).collect();
        write::write_changes(transaction, rows).await?;

        let rows = std::mem::take(&mut self.verdicts).into_iter();
        let rows = rows.map(|(profile, row)| verdict::Model { profile_id: profile.map(id_of), ..row }).collect();
        write::write_verdicts(transaction, rows).await?;

        let row_of = |record: &Noted| match record {
            Noted::Profile(profile) => (id_of(*profile), id_of(*profile)),
            Noted::Subprofile(profile, id) => (subprofile_ids.get(id).copied().unwrap_or(0), id_of(*profile)),
        };
        let mut finds = Vec::new();
        let tallies = std::mem::take(&mut self.pages).into_iter().map(|page| {
            let drift = page.notes.map(|notes| {
                let (drift, differing) = super::drift::tell_page(notes, row_of);
                finds.push((Some(page.tally.run_id), None, page.received_at, differing));
                drift
            });
            PageTally {
                profiles: page.profiles.into_iter().map(id_of).collect(),
                subprofiles: page.subprofiles.iter().filter_map(|id| subprofile_ids.get(id).copied()).collect(),
                drift,
                ..page.tally
            }
        });
        let tallies = tallies.collect();
        finds.extend(self.watch.flush(transaction, self.now, row_of).await?);
        for (run_id, sample_id, found_at, differing) in finds.into_iter().filter(|find| !find.3.is_empty()) {
            let place = write::Place { source_id: self.source_id, run_id, sample_id, found_at };
            write::write_find(transaction, place, self.now, differing).await?;
        }
        for (id, state, delivery_id) in std::mem::take(&mut self.settled_candidates) {
            write::settle_candidates(transaction, &[id], state, Some(delivery_id)).await?;
        }
        self.flush_requests(transaction).await?;
        Ok(tallies)
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
        let done: Vec<_> = self.done_requests.into_iter().filter(|(id, _)| !self.again.contains_key(id)).collect();
        let again: Vec<Again> = self.again.into_values().collect();
        write::settle_requests(transaction, self.now, &done, &again).await?;
        write::cancel_requests(transaction, self.source_id, &self.cancelled).await?;
        write::write_wishes(transaction, self.source_id, self.now, self.wishes.into_values().collect()).await
    }
}

/// A change that a plan shows: whose, what, and the names of what differs. Values stay where they are.
pub(super) struct Preview {
    pub profile: String,
    pub kind: ChangeKind,
    pub names: Vec<String>,
}

/// A number that no row has, always the same one for a record.
fn stand_in(external_id: &str) -> i64 {
    const NO_ROW: i64 = 1 << 62;
    NO_ROW | (content_hash(&Value::from(external_id)) & (NO_ROW - 1))
}

fn placeholder(source_id: i32, external_id: &str, now: Moment) -> profile::Model {
    profile::Model {
        id: 0,
        source_id,
        external_id: external_id.to_owned(),
        profile_type_id: None,
        is_known: false,
        kind: ProfileKind::Other,
        display_name: None,
        upstream_name: None,
        email: None,
        status: Status::Open,
        status_since: None,
        status_position: 0,
        scheduled_for: None,
        upstream_status: None,
        fields: Value::Object(Map::new()),
        created_at: None,
        modified_at: None,
        mirrored_at: now,
        version_rung: VersionRung::RequestStarted,
        version_from: 0,
        version_until: 0,
        position: 0,
        delivery_id: None,
        row_hash: 0,
        revision: 0,
    }
}

/// Interests in one order, each once.
pub(super) fn sorted(mut interests: Vec<InterestSeen>) -> Vec<InterestSeen> {
    interests.sort_unstable();
    interests.dedup();
    interests
}

/// Rows that carry the version of their content.
pub(super) trait Versioned {
    /// The version of the stored content.
    fn version(&self) -> Version;
    /// Notes where the stored content comes from.
    fn set_version(&mut self, version: Version, origin: &Origin);
}

macro_rules! versioned {
    ($model:ty) => {
        impl Versioned for $model {
            fn version(&self) -> Version {
                Version { rung: self.version_rung.into(), from: self.version_from, until: self.version_until }
            }

            fn set_version(&mut self, version: Version, origin: &Origin) {
                self.version_rung = version.rung.into();
                self.version_from = version.from;
                self.version_until = version.until;
                self.position = origin.position;
                self.delivery_id = Some(origin.position);
            }
        }
    };
}

versioned!(profile::Model);
versioned!(subprofile::Model);
