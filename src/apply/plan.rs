//! A plan compares: its pages are applied one by one in transactions that are rolled back.
//!
//! What it keeps is counts, and of some changes whose they are and what would change, without values: a plan is
//! read by people for a while, and must not become another place where personal data lies. So the page that is compared
//! loses what it tells of whoever is erased, as one that is settled does: it was under way when they were.

use super::batch::Preview;
use super::erase::{self, Eraser};
use super::read;
use super::step::{self, Previewed};
use super::sweep::{PLAN_SAMPLES, Stepped};
use super::worker::ApplyError;
use crate::db::Database;
use crate::inbox::{self, Lease};
use crate::mirror::write::{self, PageTally};
use entity::{ChangeKind, Moment, RecordKind, sync_run};
use provider::Provider;
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

/// Changes that a plan tells one by one.
const SAMPLES: usize = 200;

/// What the pages of a plan have told so far, kept between steps: eight bytes a change. Pages overlap, a stream may be
/// read twice, and a relationship shows at both of its ends; carrying the plan out writes each change once.
pub(super) struct Told {
    run_id: i64,
    changes: HashSet<i64>,
}

/// Compares the next page of a plan.
pub(super) async fn compare(
    db: &Database,
    lease: &Lease,
    provider: &Arc<dyn Provider>,
    eraser: &Eraser,
    now: Moment,
    run: &sync_run::Model,
    told: &mut Option<Told>,
) -> Result<Stepped, ApplyError> {
    let Some(taken) = inbox::take_held(db, lease.source_id, run.id, run.sweep_after).await? else {
        return Ok(Stepped::Waits);
    };
    let position = taken.id;
    let reader = provider.clone();
    let read = tokio::task::spawn_blocking(move || read::read(reader.as_ref(), &taken))
        .await
        .map_err(|error| sea_orm::DbErr::Custom(format!("read a page: {error}")))?;
    let mut before = match told.take().filter(|told| told.run_id == run.id) {
        Some(before) => before,
        None => Told { run_id: run.id, changes: write::load_told(db.primary(), run.id).await? },
    };
    let Previewed { changes, mut tally, missed, hits } =
        step::preview(db, lease.source_id, provider, eraser, now, read, &before.changes).await?;
    let (again, previews): (Vec<Preview>, Vec<Preview>) =
        changes.into_iter().partition(|change| before.changes.contains(&change.number));
    count_again(&mut tally, &again);
    tally.told = previews.iter().map(|change| change.number).collect();
    before.changes.extend(&tally.told);

    let mut plan = run.plan.clone().unwrap_or_else(|| json!({}));
    if let Some(found) = plan.as_object_mut() {
        let kinds = found.entry("kinds").or_insert_with(|| json!({}));
        for preview in &previews {
            let word = json!(preview.kind).as_str().unwrap_or_default().to_uppercase();
            let count = kinds.get(&word).and_then(Value::as_i64).unwrap_or(0) + 1;
            if let Some(kinds) = kinds.as_object_mut() {
                kinds.insert(word, json!(count));
            }
        }
        let samples = found.entry("samples").or_insert_with(|| json!([]));
        if let Some(samples) = samples.as_array_mut() {
            let left = SAMPLES.saturating_sub(samples.len());
            samples.extend(
                previews
                    .into_iter()
                    .take(left)
                    .map(|preview| json!({"profile": preview.profile, "kind": preview.kind, "names": preview.names})),
            );
        }
    }
    let transaction = db.begin().await?;
    if lease.fence(&transaction, now, None).await?.is_none() {
        return Err(ApplyError::LeaseLost);
    }
    write::write_tallies(&transaction, vec![tally]).await?;
    let run = sync_run::Model { plan: Some(plan), ..run.clone() };
    write::note_candidates(&transaction, &run, RecordKind::Profile, &missed, PLAN_SAMPLES).await?;
    let candidates = run.candidates + i64::try_from(missed.len()).unwrap_or(i64::MAX);
    write::set_run_count(&transaction, run.id, sync_run::Column::Candidates, candidates).await?;
    write::set_run_count(&transaction, run.id, sync_run::Column::SweepAfter, position).await?;
    let (erasing, found) = (Vec::new(), erase::Found::default());
    let has_erased =
        erase::carry_out(&transaction, db, eraser, lease.source_id, provider.as_ref(), now, erasing, found, hits)
            .await?;
    transaction.commit().await?;
    if has_erased {
        eraser.cleaner.notify_one();
    }
    *told = Some(before);
    Ok(Stepped::On)
}

/// Counts profiles of which an earlier page has told the same as they would be found then: unchanged.
fn count_again(tally: &mut PageTally, again: &[Preview]) {
    let of = |is_created: bool| -> BTreeSet<&str> {
        let of_profiles = again.iter().filter(|change| change.is_of_profile);
        let wanted = of_profiles.filter(|change| !is_created || change.kind == ChangeKind::Created);
        wanted.map(|change| change.profile.as_str()).collect()
    };
    let count = |profiles: usize| i64::try_from(profiles).unwrap_or(i64::MAX);
    let (all, created) = (count(of(false).len()), count(of(true).len()));
    tally.created -= created;
    tally.updated -= all - created;
    tally.unchanged += all;
}
