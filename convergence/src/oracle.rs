//! What must hold at the end of a history, whatever happened in it.

use crate::picture::{Picture, ProfileShown};
use crate::rows;
use crate::stages::Stages;
use crate::world::Terms;
use entity::{
    CandidateState, ChangeKind, Moment, RecordKind, change, deletion_candidate, profile, profile_search, source_state,
    sync_run,
};
use profile_mirror::db::Database;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder};
use serde_json::Value;
use simulator::{Gone, ProviderKind, SignedWebhook, Simulator, TruthStatus};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What the world once was, as far as it matters to what the mirror may have done.
#[derive(Debug, Default)]
pub struct Memory {
    /// Profiles that were gone upstream, since when first.
    gone_profiles: BTreeMap<String, Moment>,
    /// Subprofiles that were gone upstream, since when first.
    gone_subprofiles: BTreeMap<String, Moment>,
    /// Profiles whose anonymization a webhook told.
    told_anonymized: BTreeSet<String>,
}

impl Memory {
    /// Notes what is gone upstream now.
    pub fn remember(&mut self, gone: Gone, now: Moment) {
        for id in gone.profiles {
            self.gone_profiles.entry(id).or_insert(now);
        }
        for id in gone.subprofiles {
            self.gone_subprofiles.entry(id).or_insert(now);
        }
    }

    /// Notes that a webhook has arrived.
    pub fn hear(&mut self, webhook: &SignedWebhook) {
        if webhook.event == "PROFILE_ANONYMIZED" {
            self.told_anonymized.insert(webhook.profile.clone());
        }
    }
}

/// What was found.
pub struct Findings {
    /// What is wrong, one line or more each.
    pub wrong: Vec<String>,
    /// Changes in the log.
    pub changes: u64,
}

/// Holds a mirror at rest against the world, and its change log against the mirror.
pub async fn check(
    db: &Database,
    stages: &Stages,
    simulator: &Simulator,
    kind: ProviderKind,
    memory: &Memory,
) -> Findings {
    let mut wanted = Picture::of_truth(&simulator.truth(kind), &Terms::of(simulator, kind));
    let found = rows::picture(db, &stages.name).await;
    let log = change::Entity::find()
        .filter(change::Column::SourceId.eq(stages.source_id))
        .order_by_asc(change::Column::Revision)
        .all(db.primary())
        .await
        .unwrap();
    let mut wrong = check_log(db, stages, &log, &found, memory).await;

    allow_for_untold(&mut wanted, &found, memory);
    wrong.extend(found.differences(&wanted));
    Findings { wrong, changes: log.len() as u64 }
}

/// Holds a mirror against the world to which all webhooks have come, and that no run has repaired since. Who ended without
/// a word is left out: only a run finds that.
pub async fn check_unrepaired(
    db: &Database,
    stages: &Stages,
    simulator: &Simulator,
    kind: ProviderKind,
    memory: &Memory,
) -> Vec<String> {
    let truth = simulator.truth(kind);
    let mut wanted = Picture::of_truth(&truth, &Terms::of(simulator, kind));
    let mut found = rows::picture(db, &stages.name).await;
    if kind != ProviderKind::Copernica {
        let silent = truth.profiles.iter().filter(|(_, profile)| profile.status == TruthStatus::Deleted);
        let silent = silent.map(|(id, _)| id.clone()).collect();
        wanted.forget(&silent);
        found.forget(&silent);
    }
    allow_for_untold(&mut wanted, &found, memory);
    found.differences(&wanted)
}

/// Nobody outside can tell an anonymized profile from a deleted one where the webhook was lost.
fn allow_for_untold(wanted: &mut Picture, found: &Picture, memory: &Memory) {
    for (id, profile) in &mut wanted.profiles {
        let is_untold = profile.status == "ANONYMIZED" && !memory.told_anonymized.contains(id);
        if is_untold && let Some(shown) = found.profiles.get(id).filter(|shown| shown.status == "DELETED") {
            *profile = shown.clone();
        }
    }
}

/// No run may suspect what the mirror has first seen after the run began.
///
/// # Errors
/// What was suspected.
pub async fn check_first_seen(db: &Database, stages: &Stages) -> Result<(), String> {
    let runs: HashMap<i64, sync_run::Model> = stages.runs().await.into_iter().map(|run| (run.id, run)).collect();
    let of_source = deletion_candidate::Column::SourceId.eq(stages.source_id);
    let candidates = deletion_candidate::Entity::find().filter(of_source).all(db.primary()).await.unwrap();
    let odd = candidates.iter().find(|candidate| {
        let run = &runs[&candidate.run_id];
        let last = match candidate.record_kind {
            RecordKind::Profile => run.last_profile_id,
            _ => run.last_subprofile_id,
        };
        candidate.record_id > last
    });
    odd.map_or(Ok(()), |odd| {
        let (kind, id, run) = (odd.record_kind, &odd.external_id, odd.run_id);
        Err(format!("{kind:?} {id} is a candidate of run {run}, and was first seen after it began"))
    })
}

/// While a run waits for a person, none of what it found gone may be deleted.
///
/// # Errors
/// What was deleted.
pub async fn check_waiting(db: &Database, run: &sync_run::Model) -> Result<(), String> {
    let candidates = deletion_candidate::Entity::find()
        .filter(deletion_candidate::Column::RunId.eq(run.id))
        .filter(deletion_candidate::Column::State.eq(CandidateState::Deleted));
    match candidates.one(db.primary()).await.unwrap() {
        None if run.deleted == 0 => Ok(()),
        candidate => Err(format!("deleted in spite of the brake: {candidate:?}")),
    }
}

/// What a run over a world at rest did not find on its pages must be gone.
///
/// # Errors
/// What was there all the time.
pub async fn check_candidates(db: &Database, run: &sync_run::Model, memory: &Memory) -> Result<(), String> {
    let candidates = deletion_candidate::Entity::find().filter(deletion_candidate::Column::RunId.eq(run.id));
    let candidates = candidates.all(db.primary()).await.unwrap();
    let odd = candidates.iter().find(|candidate| match candidate.record_kind {
        RecordKind::Profile => !memory.gone_profiles.contains_key(&candidate.external_id),
        _ => !memory.gone_subprofiles.contains_key(&candidate.external_id),
    });
    odd.map_or(Ok(()), |odd| {
        Err(format!("{:?} {} is a candidate of run {}, and is there", odd.record_kind, odd.external_id, run.id))
    })
}

async fn check_log(
    db: &Database,
    stages: &Stages,
    log: &[change::Model],
    found: &Picture,
    memory: &Memory,
) -> Vec<String> {
    let mut wrong = Vec::new();
    let state = source_state::Entity::find_by_id(stages.source_id).one(db.primary()).await.unwrap();
    let revision = state.map_or(0, |state| state.revision);
    let is_dense = log.iter().zip(1..).all(|(change, due)| change.revision == due);
    if !is_dense || log.len() as i64 != revision {
        wrong.push(format!("the log has {} changes, and the source is at revision {revision}", log.len()));
    }
    let profiles = profile::Entity::find().filter(profile::Column::SourceId.eq(stages.source_id));
    let profiles = profiles.all(db.primary()).await.unwrap();
    let names: HashMap<i64, &str> = profiles.iter().map(|row| (row.id, row.external_id.as_str())).collect();
    wrong.extend(check_revisions(db, &profiles, log).await);

    let mut folded = Folded::default();
    for change in log {
        let profile = names.get(&change.profile_id).copied().unwrap_or_default();
        let since = match change.kind {
            ChangeKind::Deleted | ChangeKind::Anonymized => Some(memory.gone_profiles.get(profile)),
            ChangeKind::SubprofileDeleted => Some(memory.gone_subprofiles.get(&change.record_id)),
            _ => None,
        };
        if let Some(since) = since
            && since.is_none_or(|since| *since > change.at)
        {
            wrong.push(format!("{:?} of {} {}, which was there upstream", change.kind, profile, change.record_id));
        }
        if let Err(problem) = folded.add(profile, change) {
            wrong.push(format!("revision {}: {problem}", change.revision));
        }
    }
    wrong.extend(folded.differences(found));
    wrong
}

/// Each profile is at the revision of its newest change, and so are its words.
async fn check_revisions(db: &Database, profiles: &[profile::Model], log: &[change::Model]) -> Vec<String> {
    let newest: HashMap<i64, i64> = log.iter().map(|change| (change.profile_id, change.revision)).collect();
    let ids: Vec<i64> = profiles.iter().map(|row| row.id).collect();
    let mut words = HashMap::new();
    for ids in ids.chunks(500) {
        let some = profile_search::Entity::find().filter(profile_search::Column::ProfileId.is_in(ids.iter().copied()));
        words.extend(some.all(db.primary()).await.unwrap().into_iter().map(|row| (row.profile_id, row.revision)));
    }
    let mut wrong = Vec::new();
    for row in profiles {
        let newest = newest.get(&row.id).copied().unwrap_or(0);
        let of_words = words.get(&row.id).copied().unwrap_or(newest);
        if (row.revision, of_words) != (newest, newest) {
            let (id, revision) = (&row.external_id, row.revision);
            wrong.push(format!(
                "{id} is at revision {revision}, its words at {of_words}, its newest change is {newest}"
            ));
        }
    }
    wrong
}

/// What the change log adds up to: what a client that took every change would show.
#[derive(Default)]
struct Folded {
    profiles: BTreeMap<String, FoldedProfile>,
    relationships: BTreeMap<String, (String, String, String)>,
}

#[derive(Default)]
struct FoldedProfile {
    status: String,
    fields: BTreeMap<String, Value>,
    interests: BTreeSet<String>,
    subprofiles: BTreeMap<String, BTreeMap<String, Value>>,
}

impl Folded {
    fn add(&mut self, profile: &str, change: &change::Model) -> Result<(), String> {
        let known = self.profiles.entry(profile.to_owned()).or_default();
        if known.status == "ANONYMIZED" && change.record_kind != RecordKind::Relationship {
            return Err(format!("{:?} of {profile} after it was anonymized", change.kind));
        }
        match change.kind {
            ChangeKind::Anonymized | ChangeKind::Deleted | ChangeKind::Erased => {
                let status = if change.kind == ChangeKind::Deleted { "DELETED" } else { "ANONYMIZED" };
                *known = FoldedProfile { status: status.to_owned(), ..FoldedProfile::default() };
            }
            ChangeKind::SubprofileCreated | ChangeKind::SubprofileUpdated => {
                write(known.subprofiles.entry(change.record_id.clone()).or_default(), &change.fields);
            }
            ChangeKind::SubprofileDeleted => {
                known.subprofiles.remove(&change.record_id);
            }
            ChangeKind::RelationshipCreated => {
                let after = |name: &str| {
                    let told = parts(&change.fields).find(|part| part["name"] == name);
                    told.and_then(|part| part["after"].as_str()).unwrap_or_default().to_owned()
                };
                self.relationships.insert(change.record_id.clone(), (after("type"), after("from"), after("to")));
            }
            ChangeKind::RelationshipRemoved => {
                self.relationships.remove(&change.record_id);
            }
            ChangeKind::Created
            | ChangeKind::Updated
            | ChangeKind::Closed
            | ChangeKind::Reopened
            | ChangeKind::ScheduledForDeletion => {
                write(&mut known.fields, &change.fields);
                for part in parts(&change.fields).filter(|part| part["attribute"] == true) {
                    match part["name"].as_str() {
                        Some("status") => known.status = part["after"].as_str().unwrap_or_default().to_owned(),
                        Some("interests") => {
                            let names = part["after"].as_array().into_iter().flatten();
                            let names = names.filter_map(|interest| interest["name"].as_str());
                            known.interests = names.map(str::to_owned).collect();
                        }
                        _ => {}
                    }
                }
            }
        }
        Ok(())
    }

    fn differences(&self, found: &Picture) -> Vec<String> {
        let mut wrong = Vec::new();
        for (id, shown) in &found.profiles {
            let Some(known) = self.profiles.get(id) else {
                wrong.push(format!("{id} is in the mirror, and no change tells of it"));
                continue;
            };
            if !known.is(shown) {
                wrong.push(format!(
                    "the log of {id} adds up to {} {:?} {:?} {:?}, the mirror shows {shown:?}",
                    known.status, known.fields, known.interests, known.subprofiles
                ));
            }
        }
        let folded: BTreeSet<_> = self.relationships.values().map(|(_, from, to)| (from, to)).collect();
        let shown: BTreeSet<_> = found.relationships.iter().map(|(_, from, to)| (from, to)).collect();
        for odd in folded.symmetric_difference(&shown) {
            wrong.push(format!("relationship {odd:?} is in the log or in the mirror only"));
        }
        wrong
    }
}

impl FoldedProfile {
    fn is(&self, shown: &ProfileShown) -> bool {
        let Some(content) = &shown.content else { return self.status == shown.status };
        let interests: BTreeSet<&String> = content.interests.iter().map(|(_, name)| name).collect();
        let subprofiles = content.subprofiles.iter().map(|(id, (_, fields))| (id, fields));
        self.status == shown.status
            && self.fields == content.fields
            && self.interests.iter().eq(interests)
            && self.subprofiles.iter().eq(subprofiles)
    }
}

fn parts(fields: &Value) -> impl Iterator<Item = &Value> {
    fields.as_array().into_iter().flatten()
}

/// Puts changed fields over those before; null takes one away.
fn write(fields: &mut BTreeMap<String, Value>, changed: &Value) {
    for part in parts(changed).filter(|part| part["attribute"] != true) {
        let name = part["name"].as_str().unwrap_or_default().to_owned();
        if part["after"].is_null() {
            fields.remove(&name);
        } else {
            fields.insert(name, part["after"].clone());
        }
    }
}
