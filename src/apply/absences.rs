//! Takes fetches that found nothing: asked again with growing pauses before absence is believed.

use super::batch::{Batch, Judged, Origin, Versioned};
use super::{freshness, lifecycles, policy, subprofiles};
use crate::mirror::write::Again;
use entity::{Decision, Moment, RecordKind, Status, fetch_request, lifecycle_transition};

/// Takes a fetch by id that found no such profile.
pub(super) fn observe_profile(
    batch: &mut Batch<'_>,
    origin: &Origin,
    id: &str,
    request: Option<&fetch_request::Model>,
) {
    let profile = batch.profile(id);
    let row = &batch.get(profile).row;
    let (stored, status, position, is_known) = (row.version(), row.status, row.position, row.is_known);
    let (decision, rule) = if matches!(status, Status::Deleted | Status::Anonymized) {
        (Decision::Unchanged, "known to be gone")
    } else if origin.started_at.is_none_or(|at| at < position) {
        batch.wish_profile(id, origin, "news arrived while a fetch found nothing");
        (Decision::Stale, "news arrived while this was in flight")
    } else if !is_believed(batch, request) {
        (Decision::Quarantined, "not found; asked again before that is believed")
    } else if is_known {
        let from = status;
        let version = freshness::request_version(origin.started_at.unwrap_or(0), origin.position);
        let now = batch.now;
        let work = batch.get_mut(profile);
        work.row.status_since = Some(now);
        let source_id = work.row.source_id;
        batch.journal(profile, gone(source_id, Some(from), now, origin));
        lifecycles::bury(batch, origin, profile, version);
        (Decision::Applied, "not found by id, again and again")
    } else {
        (Decision::Unchanged, "never became visible")
    };
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

fn gone(source_id: i32, from: Option<Status>, at: Moment, origin: &Origin) -> lifecycle_transition::Model {
    lifecycle_transition::Model {
        id: 0,
        source_id,
        profile_id: 0,
        from_status: from,
        to_status: Status::Deleted,
        at,
        recorded_at: at,
        scheduled_for: None,
        cause: "not found by id".to_owned(),
        is_effective: true,
        delivery_id: origin.position,
    }
}

/// Takes a fetch by id that found no such subprofile.
pub(super) fn observe_subprofile(
    batch: &mut Batch<'_>,
    origin: &Origin,
    id: &str,
    request: Option<&fetch_request::Model>,
) {
    let known = batch.subprofiles.get(id).filter(|work| work.row.deleted_at.is_none());
    let known = known.map(|work| (work.row.position, work.profile));
    let (decision, rule) = match known {
        None => (Decision::Unchanged, "not known either"),
        Some((position, _)) if origin.started_at.is_none_or(|at| at < position) => {
            (Decision::Stale, "news arrived while this was in flight")
        }
        Some(_) if !is_believed(batch, request) => {
            (Decision::Quarantined, "not found; asked again before that is believed")
        }
        Some(_) => {
            let version = freshness::request_version(origin.started_at.unwrap_or(0), origin.position);
            subprofiles::remove(batch, origin, id, version);
            (Decision::Applied, "not found by id, again and again")
        }
    };
    batch.judge(
        origin,
        &Judged {
            record_kind: RecordKind::Subprofile,
            record_id: id,
            profile: known.map(|(_, profile)| profile),
            decision,
            rule,
            observed: None,
            stored: None,
        },
    );
}

/// Counts the miss; true once it is the last that is needed.
fn is_believed(batch: &mut Batch<'_>, request: Option<&fetch_request::Model>) -> bool {
    let Some(request) = request else { return false };
    let misses = request.misses + 1;
    if misses >= policy::MISSES_UNTIL_BELIEVED {
        return true;
    }
    let again = Again {
        request_id: request.id,
        not_before: policy::after_miss(misses, batch.now),
        misses,
        attempts: request.attempts,
    };
    batch.again.insert(request.id, again);
    false
}
