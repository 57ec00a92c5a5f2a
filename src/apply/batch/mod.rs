//! The rows that one transaction works on: loaded once, changed in memory, written once.
//!
//! `load` brings them in, `pages` counts what the pages of runs show, `wishes` are what is left to be fetched, `flush`
//! writes what has changed.

mod flush;
mod load;
mod pages;
mod wishes;

pub(super) use pages::Preview;

use self::pages::OpenPage;
use super::catalog::Catalog;
use super::drift::Watch;
use super::erase::Erasing;
use super::freshness;
use super::told::Told;
use crate::mirror::write::{Again, Asked, GivenUp, ListsRead, Wish};
use entity::{
    CandidateState, ChangeKind, Decision, Moment, ProfileKind, RecordKind, Status, VersionRung, change,
    deletion_candidate, lifecycle_transition, profile, relationship, subprofile, verdict,
};
use provider::{DeliveryKind, InterestSeen, Provider, Version};
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

impl Origin {
    /// When it was asked for; what nobody asked for, when it came.
    pub fn asked(&self) -> Asked {
        Asked { started_at: self.started_at.unwrap_or(self.position), position: self.position }
    }
}

/// A profile in the batch.
pub(super) struct ProfileWork {
    pub row: profile::Model,
    pub interests: Vec<InterestSeen>,
    pub told: Told,
    /// The revision under which it is stored.
    pub stored_revision: i64,
    /// More than its revision is to be written.
    pub is_dirty: bool,
    pub has_new_interests: bool,
}

impl ProfileWork {
    /// A row as it is stored.
    fn stored(row: profile::Model, interests: Vec<InterestSeen>) -> Self {
        let (told, stored_revision) = (Told::of(&row), row.revision);
        Self { row, interests, told, stored_revision, is_dirty: false, has_new_interests: false }
    }
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
    pub catalog: &'a Catalog,
    profiles: Vec<ProfileWork>,
    by_external_id: HashMap<String, Handle>,
    by_id: HashMap<i64, Handle>,
    pub subprofiles: BTreeMap<String, SubprofileWork>,
    pub relationships: BTreeMap<String, RelationshipWork>,
    changes: Vec<PendingChange>,
    transitions: Vec<(Handle, lifecycle_transition::Model)>,
    verdicts: Vec<(Option<Handle>, verdict::Model)>,
    wishes: BTreeMap<String, Wish>,
    /// Requests that must be asked again, by the answer that was asked for last.
    again: BTreeMap<i64, Again>,
    /// Answered requests, each with the position at which its answer was asked for.
    pub done_requests: Vec<(i64, i64)>,
    /// Those of them whose answers cannot be used.
    pub given_up: Vec<GivenUp>,
    cancelled: Vec<String>,
    pages: Vec<OpenPage>,
    is_page_open: bool,
    /// Profiles that runs over named ones did not find.
    missed: Vec<(i64, Handle)>,
    candidates: HashMap<(RecordKind, i64), deletion_candidate::Model>,
    /// Those of their runs that are over named profiles.
    named_runs: HashSet<i64>,
    settled_candidates: Vec<(i64, CandidateState, i64)>,
    /// Profiles whose rows were emptied; what tells of them elsewhere is emptied after the flush.
    pub erasing: Vec<Erasing>,
    /// What is looked at for drift.
    pub watch: Watch,
    /// What full runs have read of the source's lists; none before the first, or where nothing in the batch depends on it.
    lists_read: Option<ListsRead>,
    revision: i64,
}

impl<'a> Batch<'a> {
    pub fn new(source_id: i32, provider: Arc<dyn Provider>, now: Moment, revision: i64, catalog: &'a Catalog) -> Self {
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
            given_up: Vec::new(),
            cancelled: Vec::new(),
            pages: Vec::new(),
            is_page_open: false,
            missed: Vec::new(),
            candidates: HashMap::new(),
            named_runs: HashSet::new(),
            settled_candidates: Vec::new(),
            erasing: Vec::new(),
            watch: Watch::default(),
            lists_read: None,
            revision,
        }
    }

    /// The revision after the changes so far.
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// Whether lists may have been read since the news of an unknown record, and have missed it. It may have been removed
    /// without a word: only a fetch can tell. An answer that waited, parked or with an instance that stood still, was asked
    /// for before them.
    pub fn is_overtaken(&self, origin: &Origin, version: Version) -> bool {
        let Some(lists) = self.lists_read else { return false };
        match (origin.started_at, lists.low_position) {
            (None, _) => freshness::may_be_older_than_lists(version, lists.until),
            (Some(_), None) => false,
            // A page that was asked for at the begin of that run is its own.
            (Some(started_at), Some(low)) if origin.kind == DeliveryKind::Page => started_at < low,
            (Some(started_at), Some(low)) => started_at <= low,
        }
    }

    /// Whether a profile is in quarantine because the lists of a run left it out: one answer that does not find it is
    /// enough then. Where there is nothing but such answers it takes several.
    pub fn is_unlisted(&self, id: i64) -> bool {
        let candidate = self.candidates.get(&(RecordKind::Profile, id));
        candidate.is_some_and(|candidate| !self.named_runs.contains(&candidate.run_id))
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

    /// The profile with this external id; a placeholder where there is none yet.
    pub fn profile(&mut self, external_id: &str) -> Handle {
        if let Some(handle) = self.by_external_id.get(external_id) {
            return *handle;
        }
        let handle = self.profiles.len();
        self.by_external_id.insert(external_id.to_owned(), handle);
        let row = placeholder(self.source_id, external_id, self.now);
        let work = ProfileWork { is_dirty: true, ..ProfileWork::stored(row, Vec::new()) };
        self.profiles.push(work);
        handle
    }

    /// Whether a profile is in the batch.
    pub fn holds(&self, external_id: &str) -> bool {
        self.by_external_id.contains_key(external_id)
    }

    /// Whether a profile that the batch holds is only named by others so far: nothing of it was ever told.
    pub fn is_placeholder(&self, external_id: &str) -> bool {
        self.by_external_id.get(external_id).is_some_and(|profile| {
            let row = &self.profiles[*profile].row;
            !row.is_known && row.status_position == 0
        })
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
        let row = &mut self.profiles[profile].row;
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

    /// Whether everything stands as it is stored, and nothing is to be told or fetched.
    pub fn changes_nothing(&self) -> bool {
        let is_stored = |work: &ProfileWork| !work.is_dirty && work.row.revision == work.stored_revision;
        self.profiles.iter().all(is_stored)
            && !self.subprofiles.values().any(|work| work.is_dirty)
            && !self.relationships.values().any(|work| work.is_dirty)
            && self.changes.is_empty()
            && self.transitions.is_empty()
            && self.verdicts.is_empty()
            && self.settled_candidates.is_empty()
            && self.erasing.is_empty()
            && self.cancelled.is_empty()
            && self.watch.has_nothing()
            && !self.asks()
    }
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
