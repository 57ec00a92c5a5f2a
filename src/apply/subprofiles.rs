//! Takes the whole state of a subprofile, and its going.

use super::batch::{Batch, Handle, Judged, Origin, SubprofileWork, Versioned};
use super::catalog::Catalog;
use super::content::{attribute, content_hash, differences, is_same_object};
use super::freshness::{self, Judgement, Observed, Stored};
use super::profiles::object;
use super::told::{Values, named_row, time};
use entity::{CandidateState, ChangeKind, Decision, Moment, RecordKind, Status, VersionRung, subprofile};
use provider::{DeliveryKind, Rung, SubprofileSeen, Target, Version};
use serde_json::{Map, Value};

/// Takes an observation of a whole subprofile.
pub(super) fn observe(batch: &mut Batch<'_>, origin: &Origin, mut seen: SubprofileSeen) {
    if seen.version.rung == Rung::RequestStarted {
        seen.version = freshness::request_version(origin.started_at.unwrap_or(0), origin.position);
    }
    let profile = batch.profile(&seen.profile);
    let stored = batch.subprofiles.get(&seen.external_id).map(|work| work.row.version());
    let row_id = batch.subprofiles.get(&seen.external_id).map_or(0, |work| work.row.id);
    batch.show_candidate(RecordKind::Subprofile, row_id, origin);
    let look = batch.look_at_subprofile(&seen.external_id);
    let (decision, rule) = settle(batch, origin, &mut seen);
    batch.note_subprofile(origin, profile, &seen.external_id, decision, &look);
    if !batch.get(profile).row.is_known && origin.kind != DeliveryKind::Page && decision == Decision::Applied {
        batch.wish_profile(&seen.profile, origin, "a subprofile came before its profile");
    }
    batch.judge(
        origin,
        &Judged {
            record_kind: RecordKind::Subprofile,
            record_id: &seen.external_id,
            profile: Some(profile),
            decision,
            rule,
            observed: Some(seen.version),
            stored,
        },
    );
}

fn settle(batch: &mut Batch<'_>, origin: &Origin, seen: &mut SubprofileSeen) -> (Decision, &'static str) {
    let profile = batch.profile(&seen.profile);
    match batch.get(profile).row.status {
        Status::Anonymized => return (Decision::Suppressed, "anonymized profiles take nothing more"),
        Status::Deleted => return settle_under_tombstone(batch, origin, seen),
        Status::Open | Status::Closed | Status::ScheduledForDeletion => {}
    }
    let Some(work) = batch.subprofiles.get(&seen.external_id) else {
        if batch.is_overtaken(origin, seen.version) {
            batch.wish_repair(Target::Subprofile { id: seen.external_id.clone() }, origin, freshness::OVERTAKEN);
            return (Decision::TieRefetched, freshness::OVERTAKEN);
        }
        write(batch, origin, seen);
        return (Decision::Applied, "first seen");
    };
    let observed = Observed { version: seen.version, started_at: origin.started_at };
    let stored = Stored { version: work.row.version(), position: work.row.position };
    let is_gone = work.row.deleted_at.is_some();
    let is_stored = hash_of(seen) == work.row.row_hash && is_same_object(object(&work.row.fields), &seen.fields);
    if !is_gone && work.profile == profile && is_stored {
        if freshness::is_newer(seen.version, stored.version)
            && let Some(work) = batch.subprofiles.get_mut(&seen.external_id)
        {
            work.is_dirty = true;
            work.row.set_version(seen.version, origin);
            work.row.modified_at = seen.modified_at.map(Moment::from).or(work.row.modified_at);
            work.row.mirrored_at = origin.received_at;
        }
        return (Decision::Unchanged, "same content");
    }
    let was_read_after = origin.started_at.is_some_and(|at| at >= stored.position);
    match freshness::judge(observed, stored) {
        _ if is_gone && was_read_after && origin.kind == DeliveryKind::Fetch => {
            write(batch, origin, seen);
            (Decision::Applied, "a fetch found it alive")
        }
        Judgement::Stored(rule) if is_gone && was_read_after => {
            batch.wish_repair(
                Target::Subprofile { id: seen.external_id.clone() },
                origin,
                "a list names what was deleted",
            );
            (Decision::Tombstoned, rule)
        }
        Judgement::Observed(rule) if !is_gone || origin.kind == DeliveryKind::Fetch => {
            write(batch, origin, seen);
            (Decision::Applied, rule)
        }
        Judgement::Stored(rule) => (if is_gone { Decision::Tombstoned } else { Decision::Stale }, rule),
        Judgement::Observed(rule) | Judgement::Fetch(rule) => {
            let target = Target::Subprofile { id: seen.external_id.clone() };
            batch.wish(target, origin, rule, 0, false);
            (if is_gone { Decision::Tombstoned } else { Decision::TieRefetched }, rule)
        }
    }
}

/// A subprofile of a deleted profile leaves a tombstone: where a fetch finds the profile alive, it is asked for by that. Of a
/// profile that is there a page tells on its own list; that a webhook tells of its subprofile may be all that is heard.
fn settle_under_tombstone(batch: &mut Batch<'_>, origin: &Origin, seen: &SubprofileSeen) -> (Decision, &'static str) {
    let profile = batch.profile(&seen.profile);
    if !batch.subprofiles.contains_key(&seen.external_id) {
        bury_unseen(batch, origin, (&seen.external_id, profile), Some(&seen.collection), seen.version);
    }
    let row = &batch.get(profile).row;
    let observed = Observed { version: seen.version, started_at: origin.started_at };
    let stored = Stored { version: row.version(), position: row.position };
    let is_news = origin.kind == DeliveryKind::Webhook;
    if is_news && !matches!(freshness::judge(observed, stored), Judgement::Stored(_)) {
        batch.wish_profile(&seen.profile, origin, "news of a subprofile of a deleted profile");
    }
    (Decision::Tombstoned, "its profile is deleted")
}

/// Leaves a tombstone of a subprofile that was never seen alive.
fn bury_unseen(
    batch: &mut Batch<'_>,
    origin: &Origin,
    (id, profile): (&str, Handle),
    collection: Option<&str>,
    version: Version,
) {
    let mut row = blank(batch.source_id, id, batch.now);
    row.collection_id = collection.and_then(|id| batch.catalog.collection_id(id));
    row.deleted_at = Some(batch.now);
    row.set_version(version, origin);
    batch.subprofiles.insert(id.to_owned(), SubprofileWork { row, profile, is_dirty: true });
}

/// Asks for what went with a profile that is found alive after all, and for what was seen of it since: nothing else may
/// tell of them. `buried_at` is the inbox position at which the profile went.
pub(super) fn ask_for_buried(batch: &mut Batch<'_>, origin: &Origin, profile: Handle, buried_at: i64) {
    let went_along = |work: &&SubprofileWork| {
        work.profile == profile && work.row.deleted_at.is_some() && work.row.position >= buried_at
    };
    let buried: Vec<String> =
        batch.subprofiles.values().filter(went_along).map(|work| work.row.external_id.clone()).collect();
    for id in buried {
        batch.wish_repair(Target::Subprofile { id }, origin, "its profile is found alive");
    }
}

fn hash_of(seen: &SubprofileSeen) -> i64 {
    #[derive(serde::Serialize)]
    struct Content<'a> {
        collection: &'a str,
        fields: &'a Map<String, Value>,
    }
    content_hash(&Content { collection: &seen.collection, fields: &seen.fields })
}

fn write(batch: &mut Batch<'_>, origin: &Origin, seen: &mut SubprofileSeen) {
    let profile = batch.profile(&seen.profile);
    let collection_id = batch.catalog.collection_id(&seen.collection);
    let is_elsewhere = |work: &SubprofileWork| work.profile != profile && work.row.deleted_at.is_none();
    if batch.subprofiles.get(&seen.external_id).is_some_and(is_elsewhere) {
        // Each profile's own changes tell what it has: it goes from one and comes to the other.
        remove(batch, origin, &seen.external_id, seen.version, Values::Told);
    }
    let before = batch.subprofiles.get(&seen.external_id).map(|work| &work.row);
    let before = before.filter(|row| row.deleted_at.is_none()).cloned();
    let mut row = batch
        .subprofiles
        .remove(&seen.external_id)
        .map_or_else(|| blank(batch.source_id, &seen.external_id, batch.now), |work| work.row);
    row.collection_id = collection_id;
    row.row_hash = hash_of(seen);
    row.fields = Value::Object(std::mem::take(&mut seen.fields));
    row.created_at = seen.created_at.map(Moment::from).or(row.created_at);
    row.modified_at = seen.modified_at.map(Moment::from).or(row.modified_at);
    row.mirrored_at = origin.received_at;
    row.deleted_at = None;
    row.set_version(seen.version, origin);
    let changed = told(batch.catalog, before.as_ref(), Some(&row));
    let is_new = before.is_none();
    batch.subprofiles.insert(seen.external_id.clone(), SubprofileWork { row, profile, is_dirty: true });
    let kind = if is_new { ChangeKind::SubprofileCreated } else { ChangeKind::SubprofileUpdated };
    if is_new || !changed.is_empty() {
        batch.change(profile, kind, (RecordKind::Subprofile, &seen.external_id), changed, origin);
    }
}

/// Takes the news that a subprofile is gone. One that was never seen leaves a tombstone all the same.
pub(super) fn observe_gone(
    batch: &mut Batch<'_>,
    origin: &Origin,
    id: &str,
    profile: Option<&str>,
    collection: Option<&str>,
    version: Version,
) {
    let row_id = batch.subprofiles.get(id).map_or(0, |work| work.row.id);
    let is_held = origin.kind == DeliveryKind::Fetch
        && batch.settle_candidate(RecordKind::Subprofile, row_id, CandidateState::Absent, origin);
    let known = batch.subprofiles.get(id).map(|work| (work.row.version(), work.row.deleted_at.is_some(), work.profile));
    let position = batch.subprofiles.get(id).map_or(0, |work| work.row.position);
    // A record may be modified after its removal: an answer that was asked for later than all that is stored knows better.
    let was_read_after = origin.kind == DeliveryKind::Fetch && origin.started_at.is_some_and(|at| at >= position);
    let (decision, rule, handle) = match known {
        Some((_, true, profile)) => (Decision::Unchanged, "already gone", Some(profile)),
        Some((_, false, profile)) if is_held => {
            (Decision::Quarantined, "no page of the run named it, and it is removed", Some(profile))
        }
        Some((stored, false, profile)) if freshness::is_newer(stored, version) && !was_read_after => {
            batch.wish(Target::Subprofile { id: id.to_owned() }, origin, "older than what is stored", 0, false);
            (Decision::Stale, "changed after the deletion", Some(profile))
        }
        Some((stored, false, profile)) => {
            let version = if freshness::is_newer(stored, version) { stored } else { version };
            remove(batch, origin, id, version, Values::Told);
            (Decision::Applied, "deleted upstream", Some(profile))
        }
        None => {
            let Some(profile) = profile else { return };
            let profile = batch.profile(profile);
            bury_unseen(batch, origin, (id, profile), collection, version);
            (Decision::Applied, "gone before it was seen: a tombstone stays", Some(profile))
        }
    };
    batch.judge(
        origin,
        &Judged {
            record_kind: RecordKind::Subprofile,
            record_id: id,
            profile: handle,
            decision,
            rule,
            observed: Some(version),
            stored: known.map(|(stored, _, _)| stored),
        },
    );
}

/// What a change of a subprofile tells: its fields, its collection, when it was created.
pub(super) fn told(
    catalog: &Catalog,
    before: Option<&subprofile::Model>,
    after: Option<&subprofile::Model>,
) -> Vec<Value> {
    let fields = after.map_or(&Value::Null, |row| &row.fields);
    let mut told = differences(before.map_or(&Value::Null, |row| &row.fields), object(fields));
    let collection = |row: Option<&subprofile::Model>| row.and_then(|row| row.collection_id);
    if collection(before) != collection(after) {
        told.push(named_row("collection", (collection(before), collection(after)), |id| catalog.collection_name(id)));
    }
    let created_at = |row: Option<&subprofile::Model>| row.and_then(|row| row.created_at);
    if created_at(before) != created_at(after) {
        told.push(attribute("createdAt", time(created_at(before)), time(created_at(after))));
    }
    told
}

/// Leaves a tombstone where a subprofile was.
pub(super) fn remove(batch: &mut Batch<'_>, origin: &Origin, id: &str, version: Version, values: Values) {
    let now = batch.now;
    let Some(work) = batch.subprofiles.get_mut(id) else { return };
    let changed = match values {
        Values::Told => told(batch.catalog, Some(&work.row), None),
        Values::Untold => Vec::new(),
    };
    work.is_dirty = true;
    work.row.deleted_at = Some(now);
    work.row.fields = Value::Object(Map::new());
    work.row.row_hash = content_hash(&Value::Null);
    work.row.set_version(version, origin);
    let profile = work.profile;
    batch.change(profile, ChangeKind::SubprofileDeleted, (RecordKind::Subprofile, id), changed, origin);
}

fn blank(source_id: i32, external_id: &str, now: Moment) -> subprofile::Model {
    subprofile::Model {
        id: 0,
        source_id,
        external_id: external_id.to_owned(),
        profile_id: 0,
        collection_id: None,
        fields: Value::Object(Map::new()),
        created_at: None,
        modified_at: None,
        mirrored_at: now,
        deleted_at: None,
        version_rung: VersionRung::RequestStarted,
        version_from: 0,
        version_until: 0,
        position: 0,
        delivery_id: None,
        row_hash: 0,
    }
}
