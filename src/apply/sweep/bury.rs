//! The last step: what is gone for certain becomes a tombstone.

use super::{Stepped, Terms, missed_by};
use crate::apply::batch::{Batch, Judged, Origin, Versioned, Wanted};
use crate::apply::catalog::Catalog;
use crate::apply::told::Values;
use crate::apply::worker::ApplyError;
use crate::apply::{freshness, lifecycles, subprofiles};
use crate::mirror::write::{self, Differing, Place};
use entity::{
    CandidateState, Decision, DriftNature, Moment, RecordKind, RunKind, RunState, Status, deletion_candidate, sync_run,
};
use provider::DeliveryKind;

/// Candidates that one step settles.
const SETTLED: u64 = 200;

impl Terms<'_> {
    /// Turns candidates that are gone into tombstones, unless news came since they were asked for.
    pub(super) async fn bury(&self, run: &sync_run::Model, catalog: &Catalog) -> Result<Stepped, ApplyError> {
        let gone = write::load_candidates(self.db.primary(), run.id, CandidateState::Absent, 0, SETTLED).await?;
        let Some((transaction, revision)) = self.begin(run).await? else { return Ok(Stepped::Over) };
        if gone.is_empty() {
            write::end_sweep(&transaction, run, self.now, RunState::Done, None, None).await?;
            transaction.commit().await?;
            return Ok(Stepped::Over);
        }
        let mut wanted = Wanted::default();
        for row in &gone {
            if row.record_kind == RecordKind::Profile {
                wanted.profiles.insert(row.external_id.clone());
                wanted.going.insert(row.external_id.clone());
            } else {
                wanted.subprofiles.insert(row.external_id.clone());
            }
        }
        let mut batch = Batch::new(run.source_id, self.provider.clone(), self.now, revision, catalog);
        batch.load(&transaction, &wanted).await?;
        let (mut buried, mut dismissed, mut differing) = (Vec::new(), Vec::new(), Vec::new());
        for row in &gone {
            let is_buried = match row.record_kind {
                RecordKind::Profile => bury_profile(&mut batch, run, row, self.now),
                _ => bury_subprofile(&mut batch, run, row, self.now),
            };
            if !is_buried {
                dismissed.push(row.id);
                continue;
            }
            buried.push(row.id);
            let parent = batch.subprofiles.get(&row.external_id).filter(|_| row.record_kind == RecordKind::Subprofile);
            differing.push(Differing {
                profile_id: parent.map_or(row.record_id, |work| batch.get(work.profile).row.id),
                record_kind: row.record_kind,
                record_id: row.external_id.clone(),
                nature: DriftNature::Gone,
                names: Vec::new(),
            });
        }
        let newest = batch.revision();
        batch.flush(&transaction).await?;
        write::settle_candidates(&transaction, &buried, CandidateState::Deleted, None).await?;
        write::settle_candidates(&transaction, &dismissed, CandidateState::Dismissed, None).await?;
        if write::is_measured(&transaction, run.id).await? && !differing.is_empty() {
            let place = Place { source_id: run.source_id, run_id: Some(run.id), sample_id: None, found_at: self.now };
            write::write_find(&transaction, place, self.now, differing).await?;
        }
        let deleted = run.deleted + i64::try_from(buried.len()).unwrap_or(i64::MAX);
        write::set_run_count(&transaction, run.id, sync_run::Column::Deleted, deleted).await?;
        if newest != revision && !write::advance_revision(&transaction, run.source_id, revision, newest).await? {
            return Err(ApplyError::LeaseLost);
        }
        transaction.commit().await?;
        Ok(Stepped::On)
    }
}

/// The answer by id that showed a candidate to be gone.
fn proof(row: &deletion_candidate::Model, now: Moment) -> Origin {
    let position = row.delivery_id.unwrap_or(0);
    Origin {
        position,
        kind: DeliveryKind::Fetch,
        received_at: now,
        started_at: Some(position),
        request_id: None,
        cause: "sync".to_owned(),
    }
}

fn bury_profile(batch: &mut Batch<'_>, run: &sync_run::Model, row: &deletion_candidate::Model, now: Moment) -> bool {
    let origin = proof(row, now);
    let profile = batch.profile(&row.external_id);
    let stored = batch.get(profile).row.clone();
    if matches!(stored.status, Status::Deleted | Status::Anonymized) {
        return true;
    }
    if !stored.is_known || stored.position > origin.position || stored.status_position.abs() > origin.position {
        return false;
    }
    let version = freshness::request_version(origin.position, origin.position);
    let cause = format!("{}, and it was not found by id", missed_by(run));
    lifecycles::mark_gone(batch, &origin, profile, version, cause);
    batch.judge(
        &origin,
        &Judged {
            record_kind: RecordKind::Profile,
            record_id: &row.external_id,
            profile: Some(profile),
            decision: Decision::Applied,
            rule: match run.kind {
                RunKind::Named => "a run named it and did not find it, and it was not found by id again",
                _ => "no page of a complete run named it, and it was not found by id",
            },
            observed: Some(version),
            stored: Some(stored.version()),
        },
    );
    true
}

fn bury_subprofile(batch: &mut Batch<'_>, run: &sync_run::Model, row: &deletion_candidate::Model, now: Moment) -> bool {
    let origin = proof(row, now);
    let Some(work) = batch.subprofiles.get(&row.external_id) else { return false };
    // It may have gone with its profile.
    if work.row.deleted_at.is_some() {
        return true;
    }
    if work.row.position > origin.position {
        return false;
    }
    let (profile, stored) = (work.profile, work.row.version());
    let version = freshness::request_version(origin.position, origin.position);
    subprofiles::remove(batch, &origin, &row.external_id, version, Values::Told);
    tracing::debug!(run = run.id, "a subprofile is gone");
    batch.judge(
        &origin,
        &Judged {
            record_kind: RecordKind::Subprofile,
            record_id: &row.external_id,
            profile: Some(profile),
            decision: Decision::Applied,
            rule: "no page of a complete run named it, and it was not found by id",
            observed: Some(version),
            stored: Some(stored),
        },
    );
    true
}
