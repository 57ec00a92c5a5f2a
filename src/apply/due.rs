//! Looks after deletions whose date has passed: upstream is asked what became of the profile, on the day and once a
//! day for as long as it stands.

use super::worker::ApplyError;
use crate::db::Database;
use crate::inbox::Lease;
use crate::mirror::write::{self, Wish};
use entity::{Moment, Purpose};
use provider::Target;

/// Between two looks, milliseconds.
const LOOK_MS: i64 = 10 * 60_000;
/// A profile is asked for once in this time, milliseconds.
const DAY_MS: i64 = 24 * 60 * 60_000;
/// Profiles asked for at once; the rest follows as soon as these are written.
const MAX_WISHES: u64 = 200;

/// How far the looking is.
#[derive(Debug, Default)]
pub(super) struct DueLook {
    /// The last look that came to its end; none after a start, so that every overdue profile is asked for then.
    last: Option<Moment>,
    /// The look under way, and the row up to which it is done.
    under_way: Option<(Moment, i64)>,
}

impl DueLook {
    /// Wishes to fetch profiles whose date has passed since the last look, or a number of whole days before it.
    /// Returns whether it wrote any.
    pub(super) async fn look(&mut self, db: &Database, lease: &Lease, now: Moment) -> Result<bool, ApplyError> {
        // What lies ahead was looked at by a clock that was set back since.
        self.last = self.last.filter(|last| *last <= now);
        let is_early = self.last.is_some_and(|last| now.0 - last.0 < LOOK_MS);
        if self.under_way.is_none() && is_early {
            return Ok(false);
        }
        let (until, after) = self.under_way.unwrap_or((now, 0));
        let since = self.last.filter(|last| *last <= until).unwrap_or(Moment(until.0 - DAY_MS));
        let due = write::load_due(db.primary(), lease.source_id, (since, until), DAY_MS, after, MAX_WISHES).await?;
        let Some(newest) = due.last().map(|row| row.id) else {
            (self.last, self.under_way) = (Some(until), None);
            return Ok(false);
        };
        let mut wishes: Vec<Wish> = due
            .into_iter()
            .map(|row| Wish {
                target: Target::Profile { id: row.external_id },
                within: None,
                position: row.position,
                reason: "the date of its deletion has passed".to_owned(),
                not_before: now,
                is_creation: false,
                purpose: Purpose::Repair,
            })
            .collect();
        write::locate_wishes(db.primary(), lease.source_id, &mut wishes).await?;
        let transaction = db.begin().await?;
        if lease.fence(&transaction, now, None).await?.is_none() {
            return Err(ApplyError::LeaseLost);
        }
        write::write_wishes(&transaction, lease.source_id, now, wishes).await?;
        transaction.commit().await?;
        self.under_way = Some((until, newest));
        Ok(true)
    }
}
