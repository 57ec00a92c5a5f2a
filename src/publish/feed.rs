//! One subscriber's view of the log: what is after its cursor from the log, then live, without a seam.

use super::Cursor;
use super::event::{Event, read_log};
use super::hub::{Hub, Taken, Ticket};
use super::snapshot::Snapshot;
use crate::mirror::read::{LogPlace, Predicate, ReadError, Reader};
use ::entity::Moment;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Changes that catching up reads at once.
const CATCH_UP: u64 = 200;
const MAX_RETRIES: u32 = 5;

/// What a feed brings.
#[derive(Clone, Debug)]
pub enum FeedItem {
    /// A change, and the cursor behind it.
    Change {
        /// The change.
        event: Arc<Event>,
        /// Where to go on after it.
        cursor: Cursor,
    },
    /// Everything up to here has been brought; what follows is live.
    CaughtUp {
        /// Where to go on.
        cursor: Cursor,
    },
    /// The log no longer holds what comes after the cursor. The last item.
    Expired {
        /// The oldest place from which the log can still be read.
        oldest: Cursor,
    },
    /// The log could not be read, several times over. The last item.
    Failed(ReadError),
    /// The service stops. The last item.
    Stopped {
        /// Where to go on, at another instance or later.
        cursor: Cursor,
    },
}

/// Why there is no feed.
#[derive(Debug, thiserror::Error)]
pub enum SubscribeError {
    /// The cursor is newer than the log: it is of another mirror.
    #[error("subscribe: the cursor is ahead of the log of source {source_name}")]
    CursorAhead {
        /// Which source.
        source_name: String,
    },
    /// The log cannot be read.
    #[error("subscribe: the change log cannot be read")]
    Unreadable(#[source] ReadError),
    /// The service is stopping.
    #[error("subscribe: the service is stopping")]
    Stopping,
}

/// Changes one after the other.
pub struct Feed {
    reader: Reader,
    hub: Arc<Hub>,
    stopped: CancellationToken,
    watch: watch::Receiver<u64>,
    _ticket: Ticket,
    /// Number of the next event in the ring.
    next: u64,
    /// How far each source has been brought.
    seen: HashMap<i32, i64>,
    /// Read from the log up to here before looking at the ring.
    goal: HashMap<i32, i64>,
    cursor: Cursor,
    /// How far the snapshot had come that it was opened inside of.
    snapshot_at: Option<i64>,
    opened_at: Moment,
    waiting: VecDeque<Arc<Event>>,
    /// How often the hub had wiped when those that wait were taken.
    wipes: usize,
    has_told_caught_up: bool,
    is_over: bool,
}

/// An event that is kept until somebody takes what was made of it.
#[derive(Clone)]
pub struct Kept {
    event: Arc<Event>,
    hub: Arc<Hub>,
    /// How often the hub had wiped when the event was brought.
    wipes: usize,
}

impl Kept {
    /// Whether it may tell what has been wiped since it was brought; the log has it without.
    pub fn is_wiped(&self) -> bool {
        self.hub.wipes() != self.wipes
            && self.hub.wiped_since(self.wipes).is_none_or(|wiped| self.event.may_tell_of(&wiped))
    }
}

pub(super) async fn open(
    reader: Reader,
    hub: Arc<Hub>,
    stopped: CancellationToken,
    now: Moment,
    after: Option<Cursor>,
) -> Result<Feed, SubscribeError> {
    // Counted before the place is taken, so that from that place on every event goes through the ring.
    let ticket = hub.enter();
    let mut watch = hub.watch();
    let joined = loop {
        if let Some(joined) = hub.join() {
            break joined;
        }
        tokio::select! {
            () = stopped.cancelled() => return Err(SubscribeError::Stopping),
            _ = watch.changed() => {}
        }
    };
    // The process may be a moment behind the log: only the log itself can tell what is there before now, and what is
    // ahead of it.
    let goal: HashMap<_, _> = reader.revisions().await.map_err(SubscribeError::Unreadable)?.into_iter().collect();
    let mut seen = joined.revisions;
    let snapshot_at = after.as_ref().and_then(Cursor::snapshot_at);
    let sources = reader.sources_with(goal.keys().copied()).await.map_err(SubscribeError::Unreadable)?;
    for (source_id, newest) in &goal {
        let Some(after) = &after else {
            let seen = seen.entry(*source_id).or_default();
            *seen = (*seen).max(*newest);
            continue;
        };
        let Some(source) = sources.by_id(*source_id) else { continue };
        let wanted = after.revision(&source.name);
        if wanted > *newest {
            return Err(SubscribeError::CursorAhead { source_name: source.name.clone() });
        }
        seen.insert(*source_id, wanted);
    }
    let mut cursor = Cursor::default();
    let sources = reader.sources_with(seen.keys().copied()).await.map_err(SubscribeError::Unreadable)?;
    for (source_id, revision) in &seen {
        if let Some(source) = sources.by_id(*source_id) {
            cursor.set(&source.name, *revision);
        }
    }
    Ok(Feed {
        reader,
        hub,
        stopped,
        watch,
        _ticket: ticket,
        next: joined.next,
        seen,
        goal,
        cursor,
        snapshot_at,
        opened_at: now,
        waiting: VecDeque::new(),
        wipes: 0,
        has_told_caught_up: false,
        is_over: false,
    })
}

impl Feed {
    /// The place behind everything brought so far.
    pub fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// What was there where the feed stands now, or the rest of it where the cursor that it was opened with is inside a
    /// snapshot.
    pub fn snapshot(&self, predicate: Option<Predicate>) -> Snapshot {
        let place = |(source_id, revision): (&i32, &i64)| LogPlace {
            source_id: *source_id,
            revision: *revision,
            at: self.opened_at,
        };
        let places = self.seen.iter().map(place).collect();
        Snapshot::new(self.reader.clone(), places, self.cursor.clone(), self.snapshot_at, predicate)
    }

    /// Whether it was opened with a cursor inside a snapshot, which is to go on first.
    pub fn is_inside_snapshot(&self) -> bool {
        self.snapshot_at.is_some()
    }

    /// The event that it has just brought, for those who keep what they make of it.
    pub fn keep(&self, event: Arc<Event>) -> Kept {
        Kept { event, hub: Arc::clone(&self.hub), wipes: self.wipes }
    }

    /// Completes once the service is stopping.
    pub async fn stopping(&self) {
        self.stopped.cancelled().await;
    }

    /// The next item; waits for it. None behind a last item.
    pub async fn next(&mut self) -> Option<FeedItem> {
        let mut failures = 0;
        loop {
            if self.is_over {
                return None;
            }
            if self.stopped.is_cancelled() {
                self.is_over = true;
                return Some(FeedItem::Stopped { cursor: self.cursor.clone() });
            }
            match self.step().await {
                Ok(Some(item)) => return Some(item),
                Ok(None) => failures = 0,
                Err(error) if failures >= MAX_RETRIES => {
                    self.is_over = true;
                    return Some(FeedItem::Failed(error));
                }
                Err(_) => {
                    failures += 1;
                    let pause = Duration::from_millis(100) * 2_u32.pow(failures);
                    tokio::select! {
                        () = self.stopped.cancelled() => {}
                        () = tokio::time::sleep(pause) => {}
                    }
                }
            }
        }
    }

    async fn step(&mut self) -> Result<Option<FeedItem>, ReadError> {
        let wipes = self.hub.wipes();
        if self.wipes != wipes {
            self.forget_wiped();
            self.wipes = wipes;
        }
        if let Some(event) = self.waiting.pop_front() {
            return self.bring(event).await;
        }
        let behind = self.goal.iter().find(|(source_id, goal)| self.seen.get(source_id).copied().unwrap_or(0) < **goal);
        if let Some((&source_id, &goal)) = behind {
            return self.catch_up(source_id, goal).await;
        }
        if !self.has_told_caught_up {
            self.has_told_caught_up = true;
            return Ok(Some(FeedItem::CaughtUp { cursor: self.cursor.clone() }));
        }
        self.watch.mark_unchanged();
        match self.hub.take(self.next) {
            Taken::Events(events, next) if events.is_empty() => {
                self.next = next;
                tokio::select! {
                    () = self.stopped.cancelled() => {}
                    changed = self.watch.changed() => self.is_over = changed.is_err(),
                }
            }
            Taken::Events(events, next) => {
                self.next = next;
                self.waiting.extend(events);
            }
            Taken::Behind => self.rejoin(),
        }
        Ok(None)
    }

    /// What waits may hold what was wiped since it was taken: the log has it without, from the first such event on. What is
    /// before it goes on, so that a feed comes further while erasures follow each other.
    fn forget_wiped(&mut self) {
        let wiped = self.hub.wiped_since(self.wipes);
        let may_tell = |event: &Arc<Event>| wiped.as_ref().is_none_or(|wiped| event.may_tell_of(wiped));
        if let Some(first) = self.waiting.iter().position(may_tell) {
            self.waiting.truncate(first);
            self.rejoin();
        }
    }

    /// Goes on with the log up to where the process stands, and with the ring from there.
    fn rejoin(&mut self) {
        if let Some(joined) = self.hub.join() {
            self.next = joined.next;
            self.goal = joined.revisions;
        }
    }

    /// Hands an event on where it is the next of its source, skips one that was brought already, and has the log
    /// read where something is missing before it.
    async fn bring(&mut self, event: Arc<Event>) -> Result<Option<FeedItem>, ReadError> {
        let (source_id, revision) = (event.change.source_id, event.change.revision);
        let seen = self.seen.get(&source_id).copied().unwrap_or(0);
        if revision <= seen {
            return Ok(None);
        }
        if revision > seen + 1 {
            let goal = self.goal.entry(source_id).or_default();
            *goal = (*goal).max(revision - 1);
            self.waiting.push_front(event);
            return self.catch_up(source_id, revision - 1).await;
        }
        match self.reader.source_by_id(source_id).await {
            Ok(Some(source)) => self.cursor.set(&source.name, revision),
            Ok(None) => {}
            Err(error) => {
                self.waiting.push_front(event);
                return Err(error);
            }
        }
        self.seen.insert(source_id, revision);
        Ok((!event.is_hidden()).then(|| FeedItem::Change { event, cursor: self.cursor.clone() }))
    }

    async fn catch_up(&mut self, source_id: i32, goal: i64) -> Result<Option<FeedItem>, ReadError> {
        let seen = self.seen.get(&source_id).copied().unwrap_or(0);
        let wanted = u64::try_from(goal - seen).unwrap_or(0).min(CATCH_UP);
        let events = read_log(&self.reader, source_id, seen, wanted).await?;
        if events.first().is_none_or(|event| event.change.revision != seen + 1) {
            self.is_over = true;
            return Ok(Some(FeedItem::Expired { oldest: self.oldest().await? }));
        }
        for event in events.into_iter().rev() {
            self.waiting.push_front(event);
        }
        Ok(None)
    }

    /// The place just before the oldest change that the log holds of each source.
    async fn oldest(&self) -> Result<Cursor, ReadError> {
        let mut oldest = Cursor::default();
        let kept: HashMap<_, _> = self.reader.oldest_revisions().await?.into_iter().collect();
        for (source_id, newest) in self.reader.revisions().await? {
            if let Some(source) = self.reader.source_by_id(source_id).await? {
                oldest.set(&source.name, kept.get(&source_id).map_or(newest, |revision| revision - 1));
            }
        }
        Ok(oldest)
    }
}
