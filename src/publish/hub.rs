//! Recent events in a ring of bounded size, and how far the process has read each source.
//!
//! One lock guards both, so that a feed that joins sees either an event in the ring or a revision that covers it,
//! never neither. While nobody subscribes the revisions move on alone and the ring stays empty.

use super::Event;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Events kept for feeds that are a little behind; who is further behind reads the log.
const CAPACITY: usize = 4096;
/// Events that a feed takes out at once.
const TAKE: usize = 256;
/// Wiped profiles that are remembered for feeds that are behind.
const WIPED: usize = 1024;

pub(super) struct Hub {
    state: Mutex<State>,
    /// Sequence number of the next event; moves when there is something to take.
    next: watch::Sender<u64>,
    subscribers: AtomicUsize,
    /// How many events wiped what earlier ones of their profile told.
    wipes: AtomicUsize,
}

#[derive(Default)]
struct State {
    ring: VecDeque<Arc<Event>>,
    /// Sequence number of the first event in the ring.
    first: u64,
    /// Source and profile of the newest wipes.
    wiped: VecDeque<(i32, i64)>,
    /// How far each source has been read; none before the first reading.
    revisions: Option<HashMap<i32, i64>>,
}

/// What a feed finds in the ring.
pub(super) enum Taken {
    /// These events, and the number to go on with; none where there is nothing new.
    Events(Vec<Arc<Event>>, u64),
    /// The ring has moved past it: the log has what it missed.
    Behind,
}

/// Where a feed joins.
pub(super) struct Joined {
    /// Number of the first event that it will see in the ring.
    pub next: u64,
    /// How far each source had been read at that moment.
    pub revisions: HashMap<i32, i64>,
}

impl Hub {
    pub fn new() -> Self {
        Self {
            state: Mutex::default(),
            next: watch::Sender::new(0),
            subscribers: AtomicUsize::new(0),
            wipes: AtomicUsize::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a subscriber until the ticket is dropped.
    pub fn enter(self: &Arc<Self>) -> Ticket {
        let hub = Arc::clone(self);
        let _state = hub.lock();
        self.subscribers.fetch_add(1, Ordering::SeqCst);
        drop(_state);
        Ticket(hub)
    }

    pub fn subscribers(&self) -> usize {
        self.subscribers.load(Ordering::SeqCst)
    }

    /// Moves when events that were taken before may tell what has been wiped since.
    pub fn wipes(&self) -> usize {
        self.wipes.load(Ordering::SeqCst)
    }

    /// The profiles, with their sources, that were wiped after so many wipes; none where those were too many to remember.
    pub fn wiped_since(&self, wipes: usize) -> Option<HashSet<(i32, i64)>> {
        let state = self.lock();
        let newer = self.wipes().checked_sub(wipes)?;
        let skip = state.wiped.len().checked_sub(newer)?;
        Some(state.wiped.iter().skip(skip).copied().collect())
    }

    /// Tells when something may be there to take.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.next.subscribe()
    }

    /// Where a feed joins now; none before the first reading of the log's ends.
    pub fn join(&self) -> Option<Joined> {
        let state = self.lock();
        let revisions = state.revisions.clone()?;
        Some(Joined { next: state.first + state.ring.len() as u64, revisions })
    }

    pub fn take(&self, from: u64) -> Taken {
        let state = self.lock();
        let Some(skip) = from.checked_sub(state.first) else { return Taken::Behind };
        let events: Vec<_> =
            state.ring.iter().skip(usize::try_from(skip).unwrap_or(usize::MAX)).take(TAKE).cloned().collect();
        let next = from + events.len() as u64;
        Taken::Events(events, next)
    }

    /// The sources that are behind these revisions, with the revision to read on from. Where nobody subscribes
    /// nothing is to be read: the revisions are taken over as they are.
    pub fn advance(&self, newest: &[(i32, i64)]) -> Vec<(i32, i64)> {
        let mut state = self.lock();
        let is_first = state.revisions.is_none();
        let is_idle = self.subscribers.load(Ordering::SeqCst) == 0;
        let revisions = state.revisions.get_or_insert_default();
        let behind: Vec<_> = newest
            .iter()
            .map(|(source_id, revision)| (*source_id, revisions.get(source_id).copied().unwrap_or(0), *revision))
            .filter(|(_, known, revision)| known < revision)
            .collect();
        if !is_first && !is_idle {
            return behind.into_iter().map(|(source_id, known, _)| (source_id, known)).collect();
        }
        for (source_id, revision) in newest {
            revisions.insert(*source_id, *revision);
        }
        if !behind.is_empty() || is_first {
            // What is in the ring would no longer join up with what comes next.
            state.first += state.ring.len() as u64;
            state.ring.clear();
            let next = state.first;
            drop(state);
            self.next.send_replace(next);
        }
        Vec::new()
    }

    /// Hands events of one source to every feed.
    pub fn publish(&self, source_id: i32, events: Vec<Arc<Event>>) {
        let Some(last) = events.last() else { return };
        let revision = last.change.revision;
        let mut state = self.lock();
        let wiping: Vec<_> = events.iter().filter(|event| event.wipes()).map(|event| event.profile_key()).collect();
        if !wiping.is_empty() {
            // Older events may hold what was just wiped; slow feeds read the log instead, where it is gone.
            state.first += state.ring.len() as u64;
            state.ring.clear();
            self.wipes.fetch_add(wiping.len(), Ordering::SeqCst);
            state.wiped.extend(wiping);
            let surplus = state.wiped.len().saturating_sub(WIPED);
            state.wiped.drain(..surplus);
        }
        state.ring.extend(events);
        while state.ring.len() > CAPACITY {
            state.ring.pop_front();
            state.first += 1;
        }
        state.revisions.get_or_insert_default().insert(source_id, revision);
        let next = state.first + state.ring.len() as u64;
        drop(state);
        self.next.send_replace(next);
    }
}

/// A subscriber, counted while this lives.
pub(super) struct Ticket(Arc<Hub>);

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.subscribers.fetch_sub(1, Ordering::SeqCst);
    }
}
