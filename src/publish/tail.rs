//! Follows the change log: on each ring, and by polling where a ring was lost or another instance committed.

use super::Cursor;
use super::event::read_log;
use super::feed::{self, Feed, SubscribeError};
use super::hub::Hub;
use crate::causes::chain;
use crate::clock::SharedClock;
use crate::db::Database;
use crate::failpoint::Failpoint;
use crate::mirror::read::{ReadError, Reader};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

const POLL: Duration = Duration::from_millis(500);
/// One reading takes milliseconds: what takes so long hangs, and is begun anew.
const HANGS: Duration = Duration::from_secs(90);
/// Changes read at once; one commit may hold more, and the rest follows in the next reading.
const CHUNK: u64 = 500;

/// Why the log was not read on.
#[derive(Debug, thiserror::Error)]
enum TailError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("the database has not answered for {} s", HANGS.as_secs())]
    Hung,
}

/// Gives up a reading that hangs, so that a connection whose other end is gone silences no feed for ever.
async fn in_time<T>(reading: impl Future<Output = Result<T, ReadError>>) -> Result<T, TailError> {
    Ok(tokio::time::timeout(HANGS, reading).await.map_err(|_| TailError::Hung)??)
}

/// Reads each committed change once, and hands it to every feed.
pub struct Publisher {
    reader: Reader,
    clock: SharedClock,
    hub: Arc<Hub>,
    bell: Notify,
    stopped: CancellationToken,
}

impl Publisher {
    /// A publisher over this database. Feeds begin to move once it runs.
    pub fn new(db: Database, clock: SharedClock) -> Arc<Self> {
        Arc::new(Self {
            reader: Reader::new(db),
            clock,
            hub: Arc::new(Hub::new()),
            bell: Notify::new(),
            stopped: CancellationToken::new(),
        })
    }

    /// A reader of the same database, which shares what this one keeps in memory.
    pub fn reader(&self) -> Reader {
        self.reader.beside()
    }

    /// Tells that a commit changed what profiles are made of. Never waits.
    pub fn forget_catalog(&self) {
        self.reader.forget_catalog();
    }

    /// Tells that something was committed. Never waits.
    pub fn ring(&self) {
        self.bell.notify_one();
    }

    /// Follows the log until cancelled; then every feed ends.
    pub async fn run(&self, token: CancellationToken) {
        let mut is_failing = false;
        let mut forget_at = Instant::now() + POLL;
        loop {
            match self.read_on(&token).await {
                Ok(()) if is_failing => {
                    is_failing = false;
                    tracing::info!("the change log is read again");
                }
                Ok(()) => {}
                Err(error) if !is_failing => {
                    is_failing = true;
                    tracing::error!(error = chain(&error), "follow the change log; trying again");
                }
                Err(_) => {}
            }
            tokio::select! {
                () = token.cancelled() => break,
                () = self.bell.notified() => {}
                () = tokio::time::sleep(POLL) => {}
            }
            // What another instance has committed rings no bell here.
            if Instant::now() >= forget_at {
                self.reader.forget_catalog();
                forget_at = Instant::now() + POLL;
            }
        }
        self.end_feeds();
    }

    /// Ends every feed, each with the place from which it can be gone on with. The log is still followed.
    pub fn end_feeds(&self) {
        self.stopped.cancel();
    }

    async fn read_on(&self, token: &CancellationToken) -> Result<(), TailError> {
        let newest = in_time(self.reader.revisions()).await?;
        let mut behind = self.hub.advance(&newest);
        while !behind.is_empty() && !token.is_cancelled() {
            for (source_id, known) in behind {
                let events = in_time(read_log(&self.reader, source_id, known, CHUNK)).await?;
                let expected = known + 1;
                match events.first().map(|event| event.change.revision) {
                    Some(first) if first == expected => {}
                    found => {
                        // Feeds notice the gap and ask the log, which tells them that their cursor has expired.
                        tracing::error!(source_id, expected, found, "the change log has a gap");
                    }
                }
                self.observe_lag(&events);
                if events.is_empty() {
                    return Ok(());
                }
                self.hub.publish(source_id, events);
                Failpoint::Published.pass();
            }
            behind = self.hub.advance(&newest);
        }
        Ok(())
    }

    fn observe_lag(&self, events: &[Arc<super::Event>]) {
        let now = self.clock.now();
        for event in events {
            let lag_ms = u32::try_from(now.0.saturating_sub(event.change.at.0)).unwrap_or_default();
            metrics::histogram!("profile_mirror_change_to_subscriber_seconds").record(f64::from(lag_ms) / 1000.0);
        }
    }

    /// A feed of changes from `after` on, or from now on.
    ///
    /// # Errors
    /// [`SubscribeError`] where the cursor is not of this log, or the log cannot be read.
    pub async fn subscribe(&self, after: Option<Cursor>) -> Result<Feed, SubscribeError> {
        feed::open(self.reader.clone(), Arc::clone(&self.hub), self.stopped.clone(), self.clock.now(), after).await
    }

    /// Feeds that are open.
    pub fn subscribers(&self) -> usize {
        self.hub.subscribers()
    }

    /// Statements that this publisher and its feeds have sent.
    pub fn statements(&self) -> u64 {
        self.reader.statements()
    }
}
