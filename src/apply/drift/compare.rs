//! After the pages of a run: what the mirror holds against what the pages showed, bucket by bucket.
//!
//! Only records count of which a page told with certainty and no news came after it: there both sides must agree.

use crate::mirror::write::{self, Differing, Listed, NamedRows, Shown, Wish};
use entity::{Digest, DriftNature, Moment, Purpose, RecordKind, sync_run};
use provider::Target;
use sea_orm::{ConnectionTrait, DbErr};

/// Row ids whose showing is held in memory at a time: 16 bytes a row that was named.
const WINDOW: i64 = 1 << 20;

/// What the pages showed of the rows of one kind, for some of all row ids.
pub(in crate::apply) struct Window {
    kind: RecordKind,
    after: i64,
    upto: i64,
    shown: Shown,
}

impl Window {
    /// The window that holds the rows after `after` and up to `last`: the one at hand, or a new one.
    pub async fn over(
        known: Option<Self>,
        connection: &impl ConnectionTrait,
        run_id: i64,
        kind: RecordKind,
        after: i64,
        last: i64,
    ) -> Result<Self, DbErr> {
        let holds = |window: &Self| window.kind == kind && window.after <= after && window.upto >= last;
        if let Some(known) = known.filter(holds) {
            return Ok(known);
        }
        let upto = Ord::max(last, after.saturating_add(WINDOW));
        let shown = write::load_shown(connection, run_id, kind, after, upto).await?;
        Ok(Self { kind, after, upto, shown })
    }
}

/// Compares some rows, and asks for those that differ. `is_first` and `is_last` where no rows were compared before, and
/// none will be after.
#[expect(clippy::too_many_arguments, reason = "the parts of one transaction, passed through once")]
pub(in crate::apply) async fn compare(
    transaction: &impl ConnectionTrait,
    run: &sync_run::Model,
    named: &NamedRows,
    window: Option<&Window>,
    rows: &[Listed],
    is_first: bool,
    is_last: bool,
    now: Moment,
) -> Result<(), DbErr> {
    let mut measure = write::load_drift_run(transaction, run.source_id, run.id).await?;
    if is_first {
        measure.compared = 0;
        measure.remained = 0;
        measure.measured_at = None;
    }
    let sides = [&measure.mirror_before, &measure.mirror_after, &measure.upstream];
    let [mut before, mut after, mut upstream] =
        sides.map(|side| if is_first { Digest::default() } else { Digest::from_bytes(side) });
    let mut remaining = Vec::new();
    if let Some(window) = window {
        for row in rows.iter().filter(|row| row.is_missable) {
            // What was told since the run began by another delivery than its pages is newer than they are.
            let has_news = row.told_at > run.low_position && !named.pages.contains(row.told_at);
            let Some((shown, stored_before)) = window.shown.of(row.id).filter(|_| !has_news) else { continue };
            measure.compared += 1;
            upstream.add(&row.external_id, shown);
            after.add(&row.external_id, row.digest);
            before.add(&row.external_id, stored_before);
            if row.digest != shown {
                remaining.push(Differing {
                    profile_id: row.profile_id,
                    record_kind: window.kind,
                    record_id: row.external_id.clone(),
                    nature: DriftNature::Changed,
                    names: Vec::new(),
                });
            }
        }
    }
    measure.remained += i64::try_from(remaining.len()).unwrap_or(i64::MAX);
    measure.mirror_before = before.to_bytes();
    measure.mirror_after = after.to_bytes();
    measure.upstream = upstream.to_bytes();
    // Of a run of one type nothing is told as of the whole source: only what differed counts, and is repaired.
    if is_last && run.profile_type.is_none() {
        measure.measured_at = Some(now);
    }
    write::write_comparison(transaction, &measure).await?;
    if let (Some(window), false) = (window, remaining.is_empty()) {
        tracing::warn!(run = run.id, records = remaining.len(), "the mirror is not what the pages of the run showed");
        let asked = write::write_remaining(transaction, run.source_id, run.id, now, remaining).await?;
        let mut wishes: Vec<Wish> = asked
            .into_iter()
            .map(|id| Wish {
                target: match window.kind {
                    RecordKind::Subprofile => Target::Subprofile { id },
                    _ => Target::Profile { id },
                },
                within: None,
                position: run.low_position,
                reason: format!("it is not what a page of run {} showed", run.id),
                not_before: now,
                is_creation: false,
                purpose: Purpose::Repair,
            })
            .collect();
        write::locate_wishes(transaction, run.source_id, &mut wishes).await?;
        write::write_wishes(transaction, run.source_id, now, wishes).await?;
    }
    Ok(())
}
