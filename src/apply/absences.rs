//! Takes fetches that found nothing: asked again with growing pauses before absence is believed.
//!
//! A token that loses its right to a whole database is told of each record in it that it is not there. So what is not
//! found where the place that it belongs to is not found either stays as it is: the next full run compares it anew, or
//! puts it into quarantine with all the others of that place, where a person decides. The same goes for what is refused
//! where a refusal may mean either.

use super::batch::{Batch, Judged, Origin, Versioned};
use super::told::Values;
use super::{freshness, lifecycles, policy, subprofiles};
use crate::mirror::write::Again;
use entity::{CandidateState, Decision, FetchState, RecordKind, Status, fetch_request};
use provider::Target;

/// Why a record that is not found stays.
const UNVOUCHED: &str = "not found, but nothing vouches for that: left to the next full run";

/// Takes a fetch by id that found no such profile.
pub(super) fn observe_profile(
    batch: &mut Batch<'_>,
    origin: &Origin,
    id: &str,
    request: Option<&fetch_request::Model>,
    is_unvouched: bool,
) {
    let profile = batch.profile(id);
    let look = batch.look_at_profile(profile);
    let row = &batch.get(profile).row;
    let (row_id, stored, status, position, is_known) = (row.id, row.version(), row.status, row.position, row.is_known);
    let (decision, rule) = if matches!(status, Status::Deleted | Status::Anonymized) {
        // Somebody told of its end while a run asked for it: there is nothing to bury.
        batch.settle_candidate(RecordKind::Profile, row_id, CandidateState::Dismissed, origin);
        (Decision::Unchanged, "known to be gone")
    } else if origin.started_at.is_none_or(|at| at < position) {
        batch.wish_profile(id, origin, "news arrived while a fetch found nothing");
        (Decision::Stale, "news arrived while this was in flight")
    } else if batch.is_unlisted(row_id)
        && batch.settle_candidate(RecordKind::Profile, row_id, CandidateState::Absent, origin)
    {
        (Decision::Quarantined, "no page of the run named it, and it was not found by id")
    } else if batch.miss_profile(origin, profile) {
        (Decision::Quarantined, "not found by the run that named it; asked again before that is believed")
    } else if !is_believed(batch, origin, &Target::Profile { id: id.to_owned() }, request) {
        if request.is_none() {
            batch.wish_profile(id, origin, "not found; asked again before that is believed");
        }
        (Decision::Quarantined, "not found; asked again before that is believed")
    } else if batch.settle_candidate(RecordKind::Profile, row_id, CandidateState::Absent, origin) {
        (Decision::Quarantined, "a run named it, and it was not found by id, again and again")
    } else if is_unvouched {
        (Decision::Quarantined, UNVOUCHED)
    } else if is_known {
        let version = freshness::request_version(origin.started_at.unwrap_or(0), origin.position);
        lifecycles::mark_gone(batch, origin, profile, version, "not found by id".to_owned());
        (Decision::Applied, "not found by id, again and again")
    } else {
        (Decision::Unchanged, "never became visible")
    };
    batch.note_profile(origin, profile, decision, &look, true);
    batch.judge(
        origin,
        &Judged {
            record_kind: RecordKind::Profile,
            record_id: id,
            profile: Some(profile),
            decision,
            rule,
            observed: None,
            stored: Some(stored),
        },
    );
}

/// Takes a fetch by id that found no such subprofile.
pub(super) fn observe_subprofile(
    batch: &mut Batch<'_>,
    origin: &Origin,
    id: &str,
    request: Option<&fetch_request::Model>,
    is_unvouched: bool,
) {
    let target = Target::Subprofile { id: id.to_owned() };
    let (row_id, is_gone) =
        batch.subprofiles.get(id).map_or((0, true), |work| (work.row.id, work.row.deleted_at.is_some()));
    let known = batch.subprofiles.get(id).filter(|_| !is_gone);
    let known = known.map(|work| (work.row.position, work.profile, work.row.id));
    let is_new = !batch.subprofiles.contains_key(id);
    let (decision, rule) = match known {
        // News told of it: it may not be visible yet.
        None if is_new && request.is_some() && !is_believed(batch, origin, &target, request) => {
            (Decision::Quarantined, "not found; asked again before that is believed")
        }
        None => {
            batch.settle_candidate(RecordKind::Subprofile, row_id, CandidateState::Dismissed, origin);
            (Decision::Unchanged, "not known either")
        }
        Some((position, ..)) if origin.started_at.is_none_or(|at| at < position) => {
            (Decision::Stale, "news arrived while this was in flight")
        }
        Some((.., row_id))
            if batch.settle_candidate(RecordKind::Subprofile, row_id, CandidateState::Absent, origin) =>
        {
            (Decision::Quarantined, "no page of the run named it, and it was not found by id")
        }
        Some(_) if !is_believed(batch, origin, &target, request) => {
            (Decision::Quarantined, "not found; asked again before that is believed")
        }
        Some(_) if is_unvouched => (Decision::Quarantined, UNVOUCHED),
        Some(_) => {
            let version = freshness::request_version(origin.started_at.unwrap_or(0), origin.position);
            subprofiles::remove(batch, origin, id, version, Values::Told);
            (Decision::Applied, "not found by id, again and again")
        }
    };
    batch.judge(
        origin,
        &Judged {
            record_kind: RecordKind::Subprofile,
            record_id: id,
            profile: known.map(|(_, profile, _)| profile),
            decision,
            rule,
            observed: None,
            stored: None,
        },
    );
}

/// Counts the miss; true once it is the last that is needed. One that comes late, when the request was claimed anew or given
/// up, counts for nothing: it was asked for before the pause that the next is to keep. Nor does one that was under way when
/// newer news came: with that counting begins anew.
fn is_believed(
    batch: &mut Batch<'_>,
    origin: &Origin,
    target: &Target,
    request: Option<&fetch_request::Model>,
) -> bool {
    let (Some(request), Some(started_at)) = (request, origin.started_at) else { return false };
    let asked_at = batch.asked_at(target).map_or(request.wanted_position, |at| at.max(request.wanted_position));
    let is_overtaken = asked_at > started_at;
    let misses = if is_overtaken { 0 } else { request.misses + 1 };
    let is_its_answer = request.state == FetchState::Answered && request.started_position == started_at;
    if is_its_answer && misses >= policy::MISSES_UNTIL_BELIEVED {
        return true;
    }
    let again = Again {
        request_id: request.id,
        started_at,
        not_before: policy::after_miss(misses, batch.now),
        misses,
        attempts: request.attempts,
    };
    batch.ask_again(again);
    false
}
