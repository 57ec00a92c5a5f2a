//! Between runs: settles what was found once news can explain it no more, and draws profiles to read by id.

use crate::apply::worker::ApplyError;
use crate::db::Database;
use crate::inbox::Lease;
use crate::mirror::write::{self, Wish};
use entity::{Moment, Purpose, SampleOutcome, drift_sample};
use provider::Target;
use rand::Rng;
use sea_orm::DatabaseTransaction;

/// News that comes so long before or after a difference was found explains it, milliseconds. Webhooks are late by
/// seconds, after a failed try by minutes.
const NEWS_MS: i64 = 5 * 60_000;
/// Looks for what is due this often, milliseconds.
const CHECK_MS: i64 = 10_000;
/// Finds that are settled before deliveries get their turn again.
const SETTLED: usize = 20;
/// Shortest pause between reads, milliseconds; where more are allowed, several are drawn at a time.
const SHORTEST_MS: i64 = 5_000;
/// A read without an answer is given up after this long, milliseconds.
const UNANSWERED_MS: i64 = 24 * 3_600_000;
/// Reads are kept this long, milliseconds: longer than any estimate looks back.
const KEPT_MS: i64 = 8 * 24 * 3_600_000;
const HOUR_MS: i64 = 3_600_000;

/// When a source is looked at for drift, and what is known to be awaited.
#[derive(Debug)]
pub(in crate::apply) struct Pace {
    reads_per_hour: u32,
    next_check_at: Moment,
    next_read_at: Option<Moment>,
    has_awaited: bool,
    measured: Option<(i64, bool)>,
}

impl Pace {
    /// So many reads an hour; 0 for none.
    pub fn new(reads_per_hour: u32) -> Self {
        let next_check_at = Moment(i64::MIN);
        Self { reads_per_hour, next_check_at, next_read_at: None, has_awaited: true, measured: None }
    }

    /// Forgets what it knows: another instance has held the lease.
    pub fn start_over(&mut self) {
        *self = Self::new(self.reads_per_hour);
    }

    /// Some answer is awaited from now on.
    pub fn await_answers(&mut self) {
        self.has_awaited = true;
    }

    /// Whether some answer is awaited.
    pub fn has_awaited(&self) -> bool {
        self.has_awaited
    }

    /// The run, where its pages are measured.
    pub async fn measured(&mut self, db: &Database, run_id: Option<i64>) -> Result<Option<i64>, ApplyError> {
        let Some(run_id) = run_id else { return Ok(None) };
        let is_measured = match self.measured {
            Some((known, is_measured)) if known == run_id => is_measured,
            _ => write::is_measured(db.primary(), run_id).await?,
        };
        self.measured = Some((run_id, is_measured));
        Ok(is_measured.then_some(run_id))
    }

    /// Does what is due; true where there is more to do at once.
    pub async fn advance(&mut self, db: &Database, lease: &Lease, now: Moment) -> Result<bool, ApplyError> {
        // A clock that was set back must not stop it for long.
        let is_due = now >= self.next_check_at || now < self.next_check_at.plus_ms(-CHECK_MS);
        if !is_due {
            return Ok(false);
        }
        for _ in 0..SETTLED {
            let due = write::load_due_find(db.primary(), lease.source_id, now.plus_ms(-NEWS_MS)).await?;
            let Some(find) = due else {
                self.read(db, lease, now).await?;
                self.has_awaited = write::has_awaited(db.primary(), lease.source_id).await?;
                self.next_check_at = now.plus_ms(CHECK_MS);
                return Ok(false);
            };
            let profiles = write::profiles_of(&find);
            let explained = write::load_told_about(db.primary(), &profiles, find.found_at, NEWS_MS).await?;
            let transaction = begin(db, lease, now).await?;
            write::settle_find(&transaction, &find, &explained, now).await?;
            transaction.commit().await?;
        }
        Ok(true)
    }

    /// Asks for some profiles at random, where the time has come and nothing else is asked for.
    async fn read(&mut self, db: &Database, lease: &Lease, now: Moment) -> Result<(), ApplyError> {
        let Some((pause_ms, size)) = draws(self.reads_per_hour) else { return Ok(()) };
        let next_read_at = match self.next_read_at {
            Some(at) => at,
            None => {
                let last = write::load_last_sample_at(db.primary(), lease.source_id).await?;
                last.map_or(now, |last| last.plus_ms(pause_ms))
            }
        };
        self.next_read_at = Some(next_read_at);
        if !next_read_at.has_come(now, pause_ms) {
            return Ok(());
        }
        let Some(since) = write::load_quiet_since(db.primary(), lease.source_id).await? else { return Ok(()) };
        if write::has_requests(db.primary(), lease.source_id).await? {
            return Ok(());
        }
        let random = |below: u64| rand::rng().random_range(0..below.max(1));
        let drawn = write::draw_profiles(db.primary(), lease.source_id, size, since, random).await?;
        let transaction = begin(db, lease, now).await?;
        let sample = |drawn: &write::Drawn| drift_sample::Model {
            id: 0,
            source_id: lease.source_id,
            profile_id: drawn.id,
            position: drawn.position,
            asked_at: now,
            answered_at: None,
            outcome: SampleOutcome::Asked,
        };
        write::write_samples(&transaction, drawn.iter().map(sample).collect()).await?;
        let mut wishes: Vec<Wish> = drawn
            .into_iter()
            .map(|drawn| Wish {
                target: Target::Profile { id: drawn.external_id },
                within: None,
                position: drawn.position,
                reason: "drawn at random, to see whether the mirror is right".to_owned(),
                not_before: now,
                is_creation: false,
                purpose: Purpose::Repair,
            })
            .collect();
        write::locate_wishes(&transaction, lease.source_id, &mut wishes).await?;
        write::write_wishes(&transaction, lease.source_id, now, wishes).await?;
        let (unanswered, forgotten) = (now.plus_ms(-UNANSWERED_MS), now.plus_ms(-KEPT_MS));
        write::prune_samples(&transaction, lease.source_id, unanswered, forgotten).await?;
        transaction.commit().await?;
        self.next_read_at = Some(now.plus_ms(pause_ms));
        Ok(())
    }
}

/// A transaction of the holder of the lease.
async fn begin(db: &Database, lease: &Lease, now: Moment) -> Result<DatabaseTransaction, ApplyError> {
    let transaction = db.begin().await?;
    match lease.fence(&transaction, now, None).await? {
        Some(_) => Ok(transaction),
        None => Err(ApplyError::LeaseLost),
    }
}

/// The pause between draws, milliseconds, and how many profiles each draws; none where nothing is to be read.
fn draws(reads_per_hour: u32) -> Option<(i64, usize)> {
    let rate = i64::from(reads_per_hour);
    if rate == 0 {
        return None;
    }
    let pause_ms = Ord::max(HOUR_MS / rate, SHORTEST_MS);
    let size = Ord::max(rate * pause_ms / HOUR_MS, 1);
    Some((pause_ms, usize::try_from(size).unwrap_or(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_are_spread_over_the_hour_and_drawn_together_where_there_are_many() {
        assert_eq!(draws(0), None);
        assert_eq!(draws(20), Some((180_000, 1)));
        assert_eq!(draws(3_600), Some((5_000, 5)));
    }
}
