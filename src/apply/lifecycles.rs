//! Takes lifecycle transitions that events tell, and buries what is gone.

use super::batch::{Batch, Handle, Judged, Origin, Versioned};
use super::content::{content_hash, differences};
use super::erase::Erasing;
use super::lifecycle::{Transition, judge_event};
use super::profiles::kind_of;
use super::told::{self, Values};
use super::{freshness, relationships, subprofiles};
use entity::{CandidateState, ChangeKind, Decision, Moment, RecordKind, Status, lifecycle_transition};
use provider::{DeliveryKind, LifecycleSeen, Rung, Version};
use serde_json::{Map, Value};

/// Takes a transition that an event tells.
pub(super) fn observe(batch: &mut Batch<'_>, origin: &Origin, seen: LifecycleSeen) {
    let profile = batch.profile(&seen.profile);
    let to = Status::from(seen.to);
    let at = Moment::from(seen.at);
    let row = &batch.get(profile).row;
    let stored = row.version();
    let version = Version::within_second(Rung::EventTime, seen.at);
    let row_id = row.id;
    if to == Status::Deleted
        && origin.kind == DeliveryKind::Fetch
        && batch.settle_candidate(RecordKind::Profile, row_id, CandidateState::Absent, origin)
    {
        // Whether so many may go at once is for the sweep to decide.
        let judged = Judged {
            record_kind: RecordKind::Profile,
            record_id: &seen.profile,
            profile: Some(profile),
            decision: Decision::Quarantined,
            rule: "no page of the run named it, and it is removed",
            observed: Some(version),
            stored: Some(stored),
        };
        return batch.judge(origin, &judged);
    }
    let row = &batch.get(profile).row;
    let is_there = !matches!(row.status, Status::Deleted | Status::Anonymized);
    if to == Status::Deleted && is_there && batch.miss_profile(origin, profile) {
        let judged = Judged {
            record_kind: RecordKind::Profile,
            record_id: &seen.profile,
            profile: Some(profile),
            decision: Decision::Quarantined,
            rule: "removed, as the run that named it finds; asked again before that is believed",
            observed: Some(version),
            stored: Some(stored),
        };
        return batch.judge(origin, &judged);
    }
    let row = &batch.get(profile).row;
    let outlived = to == Status::Deleted && row.is_known && is_there && freshness::is_newer(stored, version);
    let transition = if to == Status::Deleted && is_there && was_read_after(batch, origin, profile) {
        Transition::Effective
    } else if outlived {
        Transition::Unsettled
    } else {
        judge_event(row.status, row.status_since, row.status_position > 0, to, at)
    };
    // It goes through again, or after long tries: what is stored was told or read when this had arrived already.
    let is_behind = origin.position < row.status_position.abs();
    let transition = match transition {
        Transition::Effective | Transition::Confirmed if is_behind && to != Status::Anonymized => Transition::Late,
        transition => transition,
    };
    let (decision, rule) = match transition {
        Transition::Effective => {
            take_effect(batch, origin, profile, &seen, version);
            (Decision::Applied, "lifecycle event")
        }
        Transition::Confirmed => {
            journal(batch, origin, profile, &seen, true);
            let row = &mut batch.get_mut(profile).row;
            row.status_since = Some(at);
            row.status_position = origin.position;
            note_date(batch, profile, &seen);
            batch.tell_rest(profile, origin);
            (Decision::Applied, "in that status already, since then")
        }
        Transition::Repeated => {
            note_date(batch, profile, &seen);
            batch.tell_rest(profile, origin);
            (Decision::Unchanged, "already in that status")
        }
        Transition::Late => {
            journal(batch, origin, profile, &seen, false);
            let row = &batch.get(profile).row;
            let is_dated = to == Status::ScheduledForDeletion && seen.scheduled_for.is_some();
            if row.status == to && row.scheduled_for.is_none() && is_dated {
                // An answer may have shown the status first, and not the date. A later event may bring a later date.
                batch.get_mut(profile).row.status_since = Some(at);
                note_date(batch, profile, &seen);
                batch.tell_rest(profile, origin);
            }
            batch.wish_profile(&seen.profile, origin, "a lifecycle event came late");
            let rule = if is_behind {
                "arrived before the status that is stored was told or read"
            } else {
                "happened before the transition that is stored"
            };
            (Decision::Stale, rule)
        }
        Transition::Unsettled => {
            journal(batch, origin, profile, &seen, false);
            batch.wish_profile(&seen.profile, origin, "a lifecycle event that does not fit");
            (Decision::TieRefetched, "does not fit what is stored; a fetch settles it")
        }
        Transition::Final => {
            journal(batch, origin, profile, &seen, false);
            (Decision::Suppressed, "anonymized is final")
        }
    };
    if seen.fetch && batch.get(profile).row.status != Status::Anonymized {
        batch.wish_profile(&seen.profile, origin, &seen.cause);
    }
    batch.judge(
        origin,
        &Judged {
            record_kind: RecordKind::Profile,
            record_id: &seen.profile,
            profile: Some(profile),
            decision,
            rule,
            observed: Some(version),
            stored: Some(stored),
        },
    );
}

/// Whether an answer by id shows how things stood after all that is stored of a profile. What it says is removed is gone then,
/// whatever the time of its removal: a record may be modified after that.
fn was_read_after(batch: &Batch<'_>, origin: &Origin, profile: Handle) -> bool {
    let row = &batch.get(profile).row;
    let known_at = Ord::max(row.position, row.status_position.abs());
    origin.kind == DeliveryKind::Fetch && origin.started_at.is_some_and(|at| at >= known_at)
}

fn take_effect(batch: &mut Batch<'_>, origin: &Origin, profile: Handle, seen: &LifecycleSeen, version: Version) {
    let to = Status::from(seen.to);
    journal(batch, origin, profile, seen, true);
    let row = &mut batch.get_mut(profile).row;
    row.status = to;
    row.status_since = Some(Moment::from(seen.at));
    row.status_position = origin.position;
    row.scheduled_for = None;
    row.upstream_status.clone_from(&seen.upstream_status);
    note_date(batch, profile, seen);
    match to {
        Status::Deleted => {
            let stored = batch.get(profile).row.version();
            // What comes late about a record that was modified after its removal is not newer than the tombstone.
            bury(batch, origin, profile, if freshness::is_newer(stored, version) { stored } else { version });
        }
        Status::Anonymized => anonymize(batch, origin, profile),
        Status::Open | Status::Closed | Status::ScheduledForDeletion => {
            batch.change(profile, kind_of(to), (RecordKind::Profile, &seen.profile), Vec::new(), origin);
        }
    }
}

fn note_date(batch: &mut Batch<'_>, profile: Handle, seen: &LifecycleSeen) {
    if Status::from(seen.to) == Status::ScheduledForDeletion
        && let Some(date) = seen.scheduled_for
    {
        batch.get_mut(profile).row.scheduled_for = Some(Moment::from(date));
    }
}

fn journal(batch: &mut Batch<'_>, origin: &Origin, profile: Handle, seen: &LifecycleSeen, is_effective: bool) {
    let row = &batch.get(profile).row;
    let transition = lifecycle_transition::Model {
        id: 0,
        source_id: row.source_id,
        profile_id: 0,
        from_status: row.status_since.is_some().then_some(row.status),
        to_status: Status::from(seen.to),
        at: Moment::from(seen.at),
        recorded_at: batch.now,
        scheduled_for: seen.scheduled_for.map(Moment::from),
        cause: seen.cause.clone(),
        is_effective,
        delivery_id: origin.position,
    };
    batch.journal(profile, transition);
}

/// Takes a profile for gone that nobody said is: the lists and a fetch by id do not know it.
pub(super) fn mark_gone(batch: &mut Batch<'_>, origin: &Origin, profile: Handle, version: Version, cause: String) {
    let now = batch.now;
    let row = &mut batch.get_mut(profile).row;
    row.status_since = Some(now);
    row.scheduled_for = None;
    let transition = lifecycle_transition::Model {
        id: 0,
        source_id: row.source_id,
        profile_id: 0,
        from_status: Some(row.status),
        to_status: Status::Deleted,
        at: now,
        recorded_at: now,
        scheduled_for: None,
        cause,
        is_effective: true,
        delivery_id: origin.position,
    };
    batch.journal(profile, transition);
    bury(batch, origin, profile, version);
}

/// Leaves a tombstone: the content is gone, the subprofiles and relationships go with it, and what
/// comes late finds the version of the deletion.
pub(super) fn bury(batch: &mut Batch<'_>, origin: &Origin, profile: Handle, version: Version) {
    for id in batch.subprofiles_of(profile) {
        subprofiles::remove(batch, origin, &id, version, Values::Told);
    }
    relationships::remove_all(batch, origin, profile, Values::Told);
    let work = batch.get(profile);
    let mut changed = differences(&work.row.fields, &Map::new());
    if !work.interests.is_empty() {
        changed.push(told::interests(&work.interests, &[]));
    }
    wipe(batch, profile);
    let row = &mut batch.get_mut(profile).row;
    row.status = Status::Deleted;
    row.set_version(version, origin);
    let id = row.external_id.clone();
    batch.change(profile, ChangeKind::Deleted, (RecordKind::Profile, &id), changed, origin);
}

/// Makes a profile that the mirror meets for the first time what the suppression list says it is.
pub(super) fn uphold(batch: &mut Batch<'_>, origin: &Origin, id: &str, at: Moment) {
    let profile = batch.profile(id);
    let origin = Origin { cause: "erased before".to_owned(), ..origin.clone() };
    let row = &mut batch.get_mut(profile).row;
    row.status = Status::Anonymized;
    row.status_since = Some(at);
    row.status_position = origin.position;
    let transition = lifecycle_transition::Model {
        id: 0,
        source_id: row.source_id,
        profile_id: 0,
        from_status: None,
        to_status: Status::Anonymized,
        at,
        recorded_at: batch.now,
        scheduled_for: None,
        cause: origin.cause.clone(),
        is_effective: true,
        delivery_id: origin.position,
    };
    batch.journal(profile, transition);
    anonymize(batch, &origin, profile);
}

/// Empties the rows of the profile, its subprofiles and relationships; the change tells no values. What tells of it
/// elsewhere is emptied in the same transaction (`erase`).
pub(super) fn anonymize(batch: &mut Batch<'_>, origin: &Origin, profile: Handle) {
    let subprofiles = batch.subprofiles_of(profile);
    let erasing = Erasing {
        external_id: batch.get(profile).row.external_id.clone(),
        reason: origin.cause.clone(),
        position: origin.position,
        interests: batch.get(profile).interests.len(),
        subprofiles: subprofiles.len(),
        relationships: 0,
    };
    for id in subprofiles {
        subprofiles::remove(batch, origin, &id, Version::at(Rung::RequestStarted, i64::MAX), Values::Untold);
    }
    let relationships = relationships::remove_all(batch, origin, profile, Values::Untold);
    batch.erasing.push(Erasing { relationships, ..erasing });
    wipe(batch, profile);
    let row = &mut batch.get_mut(profile).row;
    row.is_known = true;
    row.position = origin.position;
    row.delivery_id = Some(origin.position);
    let id = row.external_id.clone();
    batch.cancel_wishes(&id);
    batch.change(profile, ChangeKind::Anonymized, (RecordKind::Profile, &id), Vec::new(), origin);
}

fn wipe(batch: &mut Batch<'_>, profile: Handle) {
    let work = batch.get_mut(profile);
    work.has_new_interests = !work.interests.is_empty();
    work.interests.clear();
    work.row.fields = Value::Object(Map::new());
    work.row.display_name = None;
    work.row.upstream_name = None;
    work.row.email = None;
    work.row.upstream_status = None;
    work.row.scheduled_for = None;
    work.row.row_hash = content_hash(&Value::Null);
}
