//! Cleans the database's files after an erasure: what the rows had held is in the write-ahead log or in old versions
//! of rows until then. Receipts say when it was done; one that is not clean yet is taken up again at the next start.

use crate::backoff;
use crate::clock::SharedClock;
use crate::db::{Database, dialect};
use crate::mirror::write;
use sea_orm::DbErr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Tables that an erasure writes.
const TABLES: [&str; 9] = [
    "profile",
    "profile_search",
    "profile_interest",
    "subprofile",
    "change",
    "delivery",
    "verdict",
    "fetch_request",
    "lifecycle_transition",
];
/// Looks for work at least this often: another instance may have died before it was done.
const POLL: Duration = Duration::from_secs(30);
/// Between two cleanings, at least: a flood of late deliveries is one.
const REST: Duration = Duration::from_secs(1);
/// Between two cleanings, as many times as long as the last one took: a large file is read through in each.
const REST_SHARE: u32 = 4;
/// A person should know of files that are not clean after this long, milliseconds.
const LATE_MS: i64 = 60_000;

/// Cleans the files of one database.
pub struct Cleaner {
    db: Database,
    clock: SharedClock,
    wake: Arc<Notify>,
}

impl Cleaner {
    /// A cleaner; `wake` is notified after each commit that erased something.
    pub fn new(db: Database, clock: SharedClock, wake: Arc<Notify>) -> Self {
        Self { db, clock, wake }
    }

    /// Cleans until told to stop.
    pub async fn run(self, stop: CancellationToken) {
        let mut failures = 0;
        loop {
            let mut is_idle = false;
            let started = Instant::now();
            let pause = match self.clean().await {
                Ok(Cleaned::Nothing) => {
                    is_idle = true;
                    POLL
                }
                Ok(Cleaned::All) => {
                    failures = 0;
                    REST.max(started.elapsed() * REST_SHARE)
                }
                // A reader of an old state keeps it from being done, for a moment mostly.
                Ok(Cleaned::HeldUp) => {
                    failures += 1;
                    pause(failures)
                }
                Err(error) => {
                    failures += 1;
                    tracing::warn!(%error, "clean the database's files after an erasure");
                    pause(failures)
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.wake.notified(), if is_idle => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn clean(&self) -> Result<Cleaned, DbErr> {
        let pending = write::pending_erasures(self.db.primary()).await?;
        let Some(oldest) = pending.iter().map(|receipt| receipt.at).min() else { return Ok(Cleaned::Nothing) };
        if !dialect::clean_files(&self.db, &TABLES).await? {
            let waiting_ms = self.clock.now().0.saturating_sub(oldest.0);
            if waiting_ms > LATE_MS {
                tracing::warn!(waiting_ms, "a long read keeps erased data in the database's files");
            }
            return Ok(Cleaned::HeldUp);
        }
        let now = self.clock.now();
        write::note_cleaned(self.db.writer(), now, &pending).await?;
        for receipt in pending.iter().filter(|receipt| receipt.late_deliveries == 0) {
            let waited_ms = u32::try_from(now.0.saturating_sub(receipt.at.0)).unwrap_or_default();
            metrics::histogram!("profile_mirror_erasure_duration_seconds").record(f64::from(waited_ms) / 1000.0);
        }
        tracing::info!(erasures = pending.len(), "the database's files are clean of what was erased");
        Ok(Cleaned::All)
    }
}

enum Cleaned {
    Nothing,
    All,
    HeldUp,
}

fn pause(failures: i32) -> Duration {
    Duration::from_millis(u64::try_from(backoff::pause_ms(failures, 100, 10_000)).unwrap_or(100))
}
