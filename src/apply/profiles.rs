//! Takes the whole state of a profile, as a webhook, page or fetch shows it.

use super::batch::{Batch, Handle, Judged, Origin, Versioned, sorted};
use super::content::{content_hash, differences, is_same_object};
use super::freshness::{self, Judgement, Observed, Stored};
use super::{lifecycle, lifecycles, relationships, subprofiles, told};
use entity::{ChangeKind, Decision, Moment, RecordKind, Status, lifecycle_transition, profile};
use provider::{DeliveryKind, InterestSeen, ProfileSeen, Reference, Rung, Target, Version};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// Characters of a name that is shown.
const MAX_NAME: usize = 600;
/// Bytes of an e-mail address; no mailbox has a longer one, and a text that is longer is none.
const MAX_EMAIL: usize = 320;

/// Takes an observation of a whole profile.
pub(super) fn observe(batch: &mut Batch<'_>, origin: &Origin, mut seen: ProfileSeen) {
    if seen.version.rung == Rung::RequestStarted {
        seen.version = freshness::request_version(origin.started_at.unwrap_or(0), origin.position);
    }
    let profile = batch.profile(&seen.external_id);
    let newer = who_is_newer(batch, origin, profile, &seen);
    if let Some(reason) = seen.refetch.take() {
        batch.wish_profile(&seen.external_id, origin, &reason);
    }
    let (row_id, was_known) = (batch.get(profile).row.id, batch.get(profile).row.is_known);
    batch.show_candidate(RecordKind::Profile, row_id, origin);
    let before = batch.revision();
    let look = batch.look_at_profile(profile);
    let (decision, rule) = settle_content(batch, origin, profile, &mut seen);
    let stored = batch.get(profile).row.version();
    if matches!(decision, Decision::Applied | Decision::Unchanged) {
        show_status(batch, origin, profile, &seen);
        let newer = if decision == Decision::Applied { Judgement::Observed(rule) } else { newer };
        show_upstream_status(batch, origin, profile, &seen, newer);
        batch.tell_rest(profile, origin);
    }
    let is_barred = matches!(decision, Decision::Suppressed | Decision::Tombstoned);
    if let (Some((scope, seen_relationships)), false) = (seen.relationships.take(), is_barred) {
        relationships::observe(batch, origin, profile, scope, seen_relationships);
    }
    let has_changed = decision == Decision::Unchanged && batch.revision() != before;
    let counted = if has_changed { Decision::Applied } else { decision };
    batch.count_profile(counted, was_known);
    let is_told = seen.status.is_none_or(|status| Status::from(status) == batch.get(profile).row.status);
    batch.note_profile(origin, profile, counted, &look, is_told);
    batch.judge(
        origin,
        &Judged {
            record_kind: RecordKind::Profile,
            record_id: &seen.external_id,
            profile: Some(profile),
            decision: counted,
            rule: if has_changed { "same content; its status or its relationships are others" } else { rule },
            observed: Some(seen.version),
            stored: Some(stored),
        },
    );
}

/// Decides whether the observed content becomes the stored content, and makes it so.
fn settle_content(
    batch: &mut Batch<'_>,
    origin: &Origin,
    profile: Handle,
    seen: &mut ProfileSeen,
) -> (Decision, &'static str) {
    let row = &batch.get(profile).row;
    let (status, is_known, position) = (row.status, row.is_known, row.position);
    let observed = Observed { version: seen.version, started_at: origin.started_at };
    let stored = Stored { version: row.version(), position };

    if status == Status::Anonymized {
        return (Decision::Suppressed, "anonymized profiles take nothing more");
    }
    if status == Status::Deleted {
        let is_found_alive = origin.kind == DeliveryKind::Fetch && origin.started_at.is_some_and(|at| at >= position);
        if !is_found_alive {
            if matches!(freshness::judge(observed, stored), Judgement::Stored(_)) {
                if origin.started_at.is_some_and(|at| at >= position) {
                    let target = Target::Profile { id: seen.external_id.clone() };
                    batch.wish_repair(target, origin, "a list names what was deleted");
                }
                return (Decision::Tombstoned, "older than the deletion");
            }
            batch.wish_profile(&seen.external_id, origin, "news of a deleted profile");
            return (Decision::Tombstoned, "only a fetch that finds it alive lifts a tombstone");
        }
        write_content(batch, origin, profile, seen);
        subprofiles::ask_for_buried(batch, origin, profile, position);
        return (Decision::Applied, "a fetch found it alive");
    }
    if !is_known {
        if batch.is_overtaken(origin, seen.version) {
            batch.wish_repair(Target::Profile { id: seen.external_id.clone() }, origin, freshness::OVERTAKEN);
            return (Decision::TieRefetched, freshness::OVERTAKEN);
        }
        write_content(batch, origin, profile, seen);
        return (Decision::Applied, "first seen");
    }
    // Equal hashes tell of what was written: whether the row still holds it is looked at as well.
    if hash_of(batch, profile, seen) == batch.get(profile).row.row_hash && is_stored(batch, profile, seen) {
        if freshness::is_newer(seen.version, stored.version) {
            let row = &mut batch.get_mut(profile).row;
            row.set_version(seen.version, origin);
            row.modified_at = seen.modified_at.or(row.modified_at.map(Moment::to_datetime)).map(Moment::from);
            row.mirrored_at = origin.received_at;
        }
        return (Decision::Unchanged, "same content");
    }
    match freshness::judge(observed, stored) {
        Judgement::Observed(rule) => {
            write_content(batch, origin, profile, seen);
            (Decision::Applied, rule)
        }
        Judgement::Stored(rule) => (Decision::Stale, rule),
        Judgement::Fetch(rule) => {
            batch.wish_profile(&seen.external_id, origin, rule);
            (Decision::TieRefetched, rule)
        }
    }
}

/// The content that an observation leaves: what it does not tell stays as it is stored.
fn hash_of(batch: &Batch<'_>, profile: Handle, seen: &ProfileSeen) -> i64 {
    #[derive(serde::Serialize)]
    struct Content<'a> {
        fields: &'a Map<String, Value>,
        interests: &'a [InterestSeen],
        name: Option<&'a String>,
        r#type: Option<i32>,
    }
    let work = batch.get(profile);
    let told = seen.interests.clone().map(sorted);
    let profile_type =
        seen.profile_type.as_deref().and_then(|id| batch.catalog.profile_type(id)).map(|known| known.row.id);
    content_hash(&Content {
        fields: seen.fields.as_ref().unwrap_or_else(|| object(&work.row.fields)),
        interests: told.as_deref().unwrap_or(&work.interests),
        name: name_after(seen, &work.row),
        r#type: profile_type.or(work.row.profile_type_id),
    })
}

/// Whether the row holds what is seen, whatever its hash says.
fn is_stored(batch: &Batch<'_>, profile: Handle, seen: &ProfileSeen) -> bool {
    let work = batch.get(profile);
    let known_type = seen.profile_type.as_deref().and_then(|id| batch.catalog.profile_type(id));
    known_type.is_none_or(|known| work.row.profile_type_id == Some(known.row.id))
        && name_after(seen, &work.row) == work.row.upstream_name.as_ref()
        && seen.fields.as_ref().is_none_or(|fields| is_same_object(object(&work.row.fields), fields))
        && seen.interests.clone().is_none_or(|interests| is_same_interests(&work.interests, &sorted(interests)))
}

/// The name that an observation leaves.
fn name_after<'a>(seen: &'a ProfileSeen, row: &'a profile::Model) -> Option<&'a String> {
    match &seen.name {
        Some(name) => Some(name).filter(|name| !name.is_empty()),
        None => row.upstream_name.as_ref(),
    }
}

fn is_same_interests(stored: &[InterestSeen], seen: &[InterestSeen]) -> bool {
    // No group is stored as an empty one.
    let key = |interest: &InterestSeen| (interest.group.clone().unwrap_or_default(), interest.name.clone());
    let keys = |interests: &[InterestSeen]| interests.iter().map(key).collect::<BTreeSet<_>>();
    stored == seen || keys(stored) == keys(seen)
}

/// Makes the observed content the stored content. Its fields and interests move.
fn write_content(batch: &mut Batch<'_>, origin: &Origin, profile: Handle, seen: &mut ProfileSeen) {
    let hash = hash_of(batch, profile, seen);
    let known_type = seen.profile_type.as_deref().and_then(|id| batch.catalog.profile_type(id));
    let known_type = known_type.map(|known| (known.row.id, known.row.kind));
    let was_deleted = batch.get(profile).row.status == Status::Deleted;
    let was_known = batch.get(profile).row.is_known && !was_deleted;
    let mut changed = Vec::new();

    let work = batch.get_mut(profile);
    if let Some((id, kind)) = known_type {
        work.row.profile_type_id = Some(id);
        work.row.kind = kind;
    }
    work.row.upstream_name = name_after(seen, &work.row).cloned();
    // An event told of another status before the profile itself came: the word for this one is over.
    let is_over = !was_deleted
        && work.row.status_position > 0
        && seen.status.is_some_and(|status| Status::from(status) != work.row.status);
    if !was_known && !is_over && seen.upstream_status.is_some() {
        work.row.upstream_status.clone_from(&seen.upstream_status);
    }
    let has_fields = seen.fields.is_some();
    if let Some(fields) = seen.fields.take() {
        changed.extend(differences(&work.row.fields, &fields));
        work.row.fields = Value::Object(fields);
    }
    if let Some(interests) = seen.interests.take().map(sorted)
        && interests != work.interests
    {
        changed.push(told::interests(&work.interests, &interests));
        work.interests = interests;
        work.has_new_interests = true;
    }
    work.row.created_at = seen.created_at.map(Moment::from).or(work.row.created_at);
    work.row.modified_at = seen.modified_at.map(Moment::from).or(work.row.modified_at);
    work.row.mirrored_at = origin.received_at;
    work.row.is_known = true;
    work.row.row_hash = hash;
    // Content that a provider is still computing has no version yet: whatever comes next is newer.
    let version = if has_fields { seen.version } else { Version::at(seen.version.rung, 0) };
    work.row.set_version(version, origin);
    let id = work.row.external_id.clone();
    let references = derive_columns(batch, profile);

    if was_deleted {
        let to = seen.status.map_or(Status::Open, Status::from);
        set_status(batch, origin, profile, to, seen.scheduled_for.map(Moment::from));
        batch.change(profile, ChangeKind::Created, (RecordKind::Profile, &id), changed, origin);
        relationships::follow_fields(batch, origin, profile, references);
        return;
    }
    if !was_known {
        // Whatever an event told about its status before the profile itself came is kept.
        let told_before = batch.get(profile).row.status_position > 0;
        let status =
            if told_before { batch.get(profile).row.status } else { seen.status.map_or(Status::Open, Status::from) };
        if !told_before {
            set_status(batch, origin, profile, status, seen.scheduled_for.map(Moment::from));
        }
        if status == Status::Anonymized {
            lifecycles::anonymize(batch, origin, profile);
            return;
        }
        batch.change(profile, ChangeKind::Created, (RecordKind::Profile, &id), changed, origin);
        relationships::follow_fields(batch, origin, profile, references);
        announce_waiting(batch, origin, profile);
        return;
    }
    if changed.is_empty() {
        batch.tell_rest(profile, origin);
    } else {
        batch.change(profile, ChangeKind::Updated, (RecordKind::Profile, &id), changed, origin);
    }
    relationships::follow_fields(batch, origin, profile, references);
}

/// Subprofiles that came before their profile are told now.
fn announce_waiting(batch: &mut Batch<'_>, origin: &Origin, profile: Handle) {
    for id in batch.subprofiles_of(profile) {
        let fields = batch.subprofiles.get(&id).map(|work| subprofiles::told(batch.catalog, None, Some(&work.row)));
        let fields = fields.unwrap_or_default();
        batch.change(profile, ChangeKind::SubprofileCreated, (RecordKind::Subprofile, &id), fields, origin);
    }
}

/// The object in a JSON column.
pub(super) fn object(value: &Value) -> &Map<String, Value> {
    static EMPTY: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
    value.as_object().unwrap_or(&EMPTY)
}

/// Derives what only the metadata tells: kind, name, e-mail address, references to other profiles. Where there were none
/// before, readers saw its values untyped: they are told of it even if nothing else has changed. Subprofiles are not.
pub(super) fn derive(batch: &mut Batch<'_>, origin: &Origin, profile: Handle, is_first: bool) {
    // Who is gone has nothing left to derive from, and no change may come after that.
    if matches!(batch.get(profile).row.status, Status::Deleted | Status::Anonymized) {
        return;
    }
    let references = derive_columns(batch, profile);
    let before = batch.revision();
    batch.tell_rest(profile, origin);
    if is_first && batch.revision() == before {
        let id = batch.get(profile).row.external_id.clone();
        batch.change(profile, ChangeKind::Updated, (RecordKind::Profile, &id), Vec::new(), origin);
    }
    relationships::follow_fields(batch, origin, profile, references);
}

/// A name as it is shown and sorted by: what is longer is cut, since an index of PostgreSQL takes 2,700 bytes.
fn shortened(mut name: String) -> String {
    if let Some((end, _)) = name.char_indices().nth(MAX_NAME) {
        name.truncate(end);
    }
    name
}

fn derive_columns(batch: &mut Batch<'_>, profile: Handle) -> Vec<Reference> {
    let row = &batch.get(profile).row;
    if let Some(kind) = batch.catalog.kind(row.profile_type_id).filter(|kind| *kind != row.kind) {
        batch.get_mut(profile).row.kind = kind;
    }
    let row = &batch.get(profile).row;
    let provider = batch.provider.clone();
    let derived = provider.derive(object(&row.fields), batch.catalog.fields(row.profile_type_id));
    let row = &batch.get(profile).row;
    let display_name = row.upstream_name.clone().or(derived.display_name).map(shortened);
    let email = derived.email.filter(|email| email.len() <= MAX_EMAIL);
    if row.display_name != display_name || row.email != email {
        let row = &mut batch.get_mut(profile).row;
        row.display_name = display_name;
        row.email = email;
    }
    derived.references
}

/// Takes the status that a state shows, where nothing newer has told another.
fn show_status(batch: &mut Batch<'_>, origin: &Origin, profile: Handle, seen: &ProfileSeen) {
    let Some(to) = seen.status.map(Status::from) else { return };
    let row = &batch.get(profile).row;
    let scheduled_for = seen.scheduled_for.map(Moment::from);
    let (from, id) = (row.status, row.external_id.clone());
    let has_new_date =
        to == Status::ScheduledForDeletion && scheduled_for.is_some() && scheduled_for != row.scheduled_for;
    if from == to && !has_new_date {
        return;
    }
    let is_later = origin.started_at.is_some_and(|at| at >= row.status_position.abs());
    if !is_later || !lifecycle::allows_state(from, to) {
        if origin.started_at.is_some() && from != to {
            batch.wish_profile(&id, origin, "its status was told while this was in flight");
        }
        return;
    }
    set_status(batch, origin, profile, to, scheduled_for);
    if to == Status::Anonymized {
        lifecycles::anonymize(batch, origin, profile);
        return;
    }
    if from != to {
        // The provider's own word for the new status is part of the same change.
        let row = &mut batch.get_mut(profile).row;
        if seen.upstream_status.is_some() && seen.upstream_status != row.upstream_status {
            row.upstream_status.clone_from(&seen.upstream_status);
        }
        batch.change(profile, kind_of(to), (RecordKind::Profile, &id), Vec::new(), origin);
    }
}

/// The kind of change that a transition to this status is.
pub(super) fn kind_of(to: Status) -> ChangeKind {
    match to {
        Status::Open => ChangeKind::Reopened,
        Status::Closed => ChangeKind::Closed,
        Status::ScheduledForDeletion => ChangeKind::ScheduledForDeletion,
        Status::Anonymized => ChangeKind::Anonymized,
        Status::Deleted => ChangeKind::Deleted,
    }
}

/// Sets the status that a state shows, and journals it. Upstream did not say when it happened.
fn set_status(batch: &mut Batch<'_>, origin: &Origin, profile: Handle, to: Status, scheduled_for: Option<Moment>) {
    let now = batch.now;
    let row = &mut batch.get_mut(profile).row;
    let from = (row.status_since.is_some()).then_some(row.status);
    let has_moved = from != Some(to);
    row.status = to;
    row.scheduled_for = if to == Status::ScheduledForDeletion { scheduled_for } else { None };
    if !has_moved {
        return;
    }
    let at = match from {
        None => row.created_at.unwrap_or(origin.received_at),
        Some(_) => origin.received_at,
    };
    row.status_since = Some(at);
    row.status_position = if row.status_position > 0 { origin.position } else { -origin.position };
    let transition = lifecycle_transition::Model {
        id: 0,
        source_id: row.source_id,
        profile_id: 0,
        from_status: from,
        to_status: to,
        at,
        recorded_at: now,
        scheduled_for: row.scheduled_for,
        cause: "state".to_owned(),
        is_effective: true,
        delivery_id: origin.position,
    };
    batch.journal(profile, transition);
}

/// Which of the stored and the seen state is newer, whatever both say.
fn who_is_newer(batch: &Batch<'_>, origin: &Origin, profile: Handle, seen: &ProfileSeen) -> Judgement {
    let row = &batch.get(profile).row;
    let observed = Observed { version: seen.version, started_at: origin.started_at };
    freshness::judge(observed, Stored { version: row.version(), position: row.position })
}

/// Takes the provider's own word for the status. It is no part of the content, so that a state with the same content
/// may still be an older one.
fn show_upstream_status(batch: &mut Batch<'_>, origin: &Origin, profile: Handle, seen: &ProfileSeen, newer: Judgement) {
    let row = &batch.get(profile).row;
    if seen.upstream_status.is_none() || seen.upstream_status == row.upstream_status {
        return;
    }
    // An event told of another status since: the word for this one is over.
    if seen.status.is_some_and(|status| Status::from(status) != row.status) {
        return;
    }
    let (is_first, id) = (row.upstream_status.is_none(), row.external_id.clone());
    match newer {
        Judgement::Observed(_) => {}
        Judgement::Stored(_) => return,
        Judgement::Fetch(rule) => return batch.wish_profile(&id, origin, rule),
    }
    let work = batch.get_mut(profile);
    work.row.upstream_status.clone_from(&seen.upstream_status);
    if is_first {
        // It comes with the fetch that an event asked for, and the event's change has told what happened.
        work.told.take_upstream_status(&work.row);
    }
}
