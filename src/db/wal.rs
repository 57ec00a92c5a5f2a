//! Copies SQLite's write-ahead log into the file while the writer goes on.
//!
//! Left to SQLite, the commit that finds the log long copies all of it, flushes the file, and every sender waits behind: a
//! fifth of the time of a first sync, and the slowest answers. A connection of its own does it here. SQLite flushes the file
//! only where all of the log is in it, and begins the log anew only where a transaction begins with it so: what the writer
//! has added meanwhile is copied at once, again and again, and the last little of it between two transactions. What was copied is
//! flushed in between, so that SQLite finds little to flush while the writer is held.
//!
//! SQLite must be 3.51.3 or newer: older ones take `NOOP` for `PASSIVE`, and may spoil a file where two copy the log while
//! a third begins it anew.

use super::Database;
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr, Statement};
use std::fs::File;
use std::path::Path;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Pages of the log that are worth a copy: less than half of what the writer lets it grow to. Of fewer, pages that are
/// written again and again are copied more often.
const WORTH: i32 = 12_000;
/// Copies in a row until the last of the log is copied while nobody writes. The first has most to copy; what it leaves while
/// it is flushed, the second copies, and leaves what a few transactions write.
const COPIES: u32 = 2;
/// Copies in a row until the rest is left to a commit.
const MAX_COPIES: u32 = 4;
/// Pages that may be copied while nobody writes: what some transactions add while a copy flushes the file.
const FEW: i32 = 2_000;
/// Between two looks at a log that grows: by 5 MB beside a sync.
const BUSY: Duration = Duration::from_millis(100);
/// Between two looks at one that does not.
const IDLE: Duration = Duration::from_millis(500);
/// After a failure.
const REST: Duration = Duration::from_secs(5);

/// Copies what has gathered, until told to stop. On PostgreSQL there is nothing to do.
pub async fn run(db: Database, stop: CancellationToken) {
    let Some(path) = db.file() else { return };
    let mut file = Flushed { path, open: None };
    while !stop.is_cancelled() {
        if let Err(error) = follow(&db, &mut file, &stop).await {
            tracing::warn!(%error, "copy the write-ahead log into the file; the writer does it meanwhile");
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(REST) => {}
            }
        }
    }
}

async fn follow(db: &Database, file: &mut Flushed<'_>, stop: &CancellationToken) -> Result<(), DbErr> {
    let aside = db.connect_aside().await?;
    let followed = async {
        let mut length = 0;
        loop {
            let log = look(&aside, "NOOP").await?;
            let has_grown = log.length != length;
            length = log.length;
            if log.length - log.copied >= WORTH {
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    copied = copy(db, &aside, file) => copied?,
                }
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(if has_grown { BUSY } else { IDLE }) => {}
            }
        }
    };
    let followed = followed.await;
    followed.and(aside.close().await)
}

/// Copies all of the log, the last of it while nobody writes. Where a reader needs what is in the log, or the writer is too far
/// ahead, nothing is lost: a later commit does the rest.
async fn copy(db: &Database, aside: &DatabaseConnection, file: &mut Flushed<'_>) -> Result<(), DbErr> {
    let mut copied = 0;
    for number in 1..=MAX_COPIES {
        look(aside, "PASSIVE").await?;
        file.flush().await?;
        let log = look(aside, "NOOP").await?;
        let is_little = log.length - log.copied <= FEW;
        if is_little && number >= COPIES {
            if let Ok(_writer) = db.hold_writer().await {
                look(aside, "PASSIVE").await?;
            }
            return Ok(());
        }
        if !is_little && log.copied == copied {
            return Ok(());
        }
        copied = log.copied;
    }
    Ok(())
}

/// The database's file, to be flushed beside SQLite.
struct Flushed<'a> {
    path: &'a Path,
    /// Never closed, not even at the end: with any descriptor of a file a process loses all its locks on it, and so those that
    /// SQLite has. Opened once there is something to flush.
    open: Option<&'static File>,
}

impl Flushed<'_> {
    async fn flush(&mut self) -> Result<(), DbErr> {
        let failed = |error: std::io::Error| DbErr::Custom(format!("flush {}: {error}", self.path.display()));
        let file = match self.open {
            Some(file) => file,
            None => self.open.insert(Box::leak(Box::new(File::open(self.path).map_err(failed)?))),
        };
        let flushed = tokio::task::spawn_blocking(|| file.sync_data()).await;
        flushed.map_err(std::io::Error::other).flatten().map_err(failed)
    }
}

/// How long the log is, and how much of it is copied. Pages.
#[derive(Debug)]
struct Log {
    length: i32,
    copied: i32,
}

/// Does what `mode` says (`NOOP`, `PASSIVE`: <https://sqlite.org/pragma.html#pragma_wal_checkpoint>).
async fn look(aside: &DatabaseConnection, mode: &str) -> Result<Log, DbErr> {
    let pragma = Statement::from_string(DbBackend::Sqlite, format!("PRAGMA wal_checkpoint({mode})"));
    let Some(row) = aside.query_one_raw(pragma).await? else { return Ok(Log { length: 0, copied: 0 }) };
    Ok(Log { length: row.try_get_by_index(1)?, copied: row.try_get_by_index(2)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_long_log_is_copied_though_a_transaction_is_open() {
        let folder = tempfile::tempdir().unwrap();
        let db = crate::db::connect(&format!("sqlite://{}", folder.path().join("x.db").display()), None).await.unwrap();
        let version = Statement::from_string(DbBackend::Sqlite, "SELECT sqlite_version()");
        let version: String = db.writer().query_one_raw(version).await.unwrap().unwrap().try_get_by_index(0).unwrap();
        let numbers: Vec<u32> = version.split('.').map(|number| number.parse().unwrap()).collect();
        assert!(numbers >= vec![3, 51, 3], "SQLite {version} copies wrongly");
        db.writer().execute_unprepared("CREATE TABLE blob (bytes)").await.unwrap();
        let stop = CancellationToken::new();
        let pages = WORTH + 1_000;
        let fill = format!("INSERT INTO blob VALUES (zeroblob({pages} * 4096))");
        db.writer().execute_unprepared(&fill).await.unwrap();
        let open = db.begin().await.unwrap();
        open.execute_unprepared("INSERT INTO blob VALUES (1)").await.unwrap();
        let copying = tokio::spawn(run(db.clone(), stop.clone()));

        let aside = db.connect_aside().await.unwrap();
        let copied = async {
            loop {
                let log = look(&aside, "NOOP").await.unwrap();
                assert!(log.length >= pages, "{log:?}");
                if log.copied == log.length {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), copied).await.expect("the log is copied");
        open.rollback().await.unwrap();
        stop.cancel();
        copying.await.unwrap();
    }
}
