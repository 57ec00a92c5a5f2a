//! One budget of calls a source: live fetches, repair and sync take their places from it, in that order of right.
//!
//! In: callers that name their purpose, and how each call ended. Out: a [`Permit`] when it is their turn. Guaranteed: no
//! call without a permit; a wait ends in time, one way or the other. The rules are in [`ledger`], with the time as an
//! argument; here callers wait for them. Deliberately absent: anything about HTTP.

mod bucket;
mod ledger;
mod places;
mod turns;
mod window;

pub use ledger::{Ending, MAX_AHEAD_MS, Reading, Terms};

use crate::clock::SharedClock;
use entity::{Moment, Purpose};
use ledger::{Ledger, Next};
use provider::Limits;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// Longest wait for a turn. With the longest call it stays below the time for which a fetch request is claimed.
const LONGEST_WAIT: Duration = Duration::from_secs(20);
/// A pause that is known to be longer is told to the caller at once, so that nothing is held up by it, milliseconds.
const SHORT_PAUSE_MS: i64 = 2_000;
/// The clock is looked at this often: it may be moved, and nobody is woken by that.
const LOOK: Duration = Duration::from_millis(100);

/// The budget of one source.
pub struct Budget {
    clock: SharedClock,
    longest_wait: Duration,
    line: Mutex<Line>,
}

struct Line {
    ledger: Ledger,
    waiting: HashMap<u64, oneshot::Sender<Permit>>,
}

/// No turn now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denied {
    /// Not before this many milliseconds from now.
    pub retry_after_ms: i64,
}

impl Budget {
    /// A budget with these terms.
    pub fn new(terms: Terms, clock: SharedClock) -> Arc<Self> {
        Arc::new(Self::with_longest_wait(LONGEST_WAIT, terms, clock))
    }

    fn with_longest_wait(longest_wait: Duration, terms: Terms, clock: SharedClock) -> Self {
        let ledger = Ledger::new(terms, clock.now());
        Self { clock, longest_wait, line: Mutex::new(Line { ledger, waiting: HashMap::new() }) }
    }

    /// Waits for a turn.
    ///
    /// # Errors
    /// [`Denied`], at once where upstream has asked for a longer pause, else after 20 s.
    pub async fn acquire(self: &Arc<Self>, purpose: Purpose) -> Result<Permit, Denied> {
        let deadline = Instant::now() + self.longest_wait;
        let mut place = self.stand_in_line(purpose);
        loop {
            let next = self.hand_out();
            if let Ok(permit) = place.granted.try_recv() {
                return Ok(permit);
            }
            let pause_ms = self.pause_ms(purpose);
            if pause_ms > SHORT_PAUSE_MS {
                return Err(Denied { retry_after_ms: pause_ms });
            }
            if Instant::now() >= deadline {
                return Err(Denied { retry_after_ms: SHORT_PAUSE_MS });
            }
            let look = next.map_or(LOOK, |at| LOOK.min(self.until(at)));
            tokio::select! {
                granted = &mut place.granted => match granted {
                    Ok(permit) => return Ok(permit),
                    Err(_) => return Err(Denied { retry_after_ms: SHORT_PAUSE_MS }),
                },
                () = self.clock.pause(u64::try_from(look.as_millis()).unwrap_or(1)) => {}
            }
        }
    }

    /// How long upstream has asked calls of this purpose to wait, milliseconds.
    pub fn pause_ms(&self, purpose: Purpose) -> i64 {
        let now = self.clock.now();
        (self.line().ledger.ready_at(purpose, now).0 - now.0).max(0)
    }

    /// Takes in a pause that upstream has asked another process for.
    pub fn hold_until(&self, until: Moment) {
        let now = self.clock.now();
        self.line().ledger.hold_until(now, until);
    }

    /// How often in a row upstream has asked for a pause.
    pub fn throttled_in_row(&self) -> i32 {
        self.line().ledger.throttled_in_row()
    }

    /// The budget for people.
    pub fn read(&self) -> Reading {
        let now = self.clock.now();
        self.line().ledger.read(now)
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stand_in_line(self: &Arc<Self>, purpose: Purpose) -> Place {
        let (grant, granted) = oneshot::channel();
        let mut line = self.line();
        let ticket = line.ledger.wait(purpose);
        line.waiting.insert(ticket, grant);
        Place { budget: self.clone(), ticket, granted }
    }

    /// Gives every place that is free to whose turn it is. Returns when the next may be given, where that is known.
    fn hand_out(self: &Arc<Self>) -> Option<Moment> {
        let now = self.clock.now();
        let mut grants = Vec::new();
        let next = {
            let mut line = self.line();
            loop {
                match line.ledger.next(now) {
                    Next::Grant { ticket, call } => {
                        let permit = Permit { budget: self.clone(), call };
                        grants.push((line.waiting.remove(&ticket), permit));
                    }
                    Next::Until(at) => break Some(at),
                    Next::Idle => break None,
                }
            }
        };
        // Outside the lock: a permit that nobody takes any more gives its place back.
        for (waiting, permit) in grants {
            if let Some(waiting) = waiting {
                drop(waiting.send(permit));
            }
        }
        next
    }

    fn until(&self, at: Moment) -> Duration {
        Duration::from_millis(u64::try_from(at.0 - self.clock.now().0).unwrap_or(0).max(1))
    }
}

/// A place in line; leaves it when dropped.
struct Place {
    budget: Arc<Budget>,
    ticket: u64,
    granted: oneshot::Receiver<Permit>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut line = self.budget.line();
        line.waiting.remove(&self.ticket);
        line.ledger.give_up(self.ticket);
    }
}

/// The right to make one call now. Gives its place back when dropped.
pub struct Permit {
    budget: Arc<Budget>,
    call: u64,
}

impl Permit {
    /// Pays for another call that goes along with this one: a token that is exchanged, a second try.
    pub fn charge(&self) {
        self.budget.line().ledger.charge();
    }

    /// Tells how the call ended and what its answer said.
    pub fn record(&self, ending: Ending, limits: &Limits) {
        let now = self.budget.clock.now();
        self.budget.line().ledger.record(now, self.call, ending, limits);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.budget.line().ledger.release();
        self.budget.hand_out();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    const START: Moment = Moment(1_767_225_600_000);

    fn budget(concurrency: usize, per_minute: Option<u32>) -> (Arc<Budget>, Arc<ManualClock>) {
        let clock = ManualClock::at(START);
        let terms = Terms { concurrency, per_minute };
        (Arc::new(Budget::with_longest_wait(Duration::from_millis(300), terms, clock.clone())), clock)
    }

    #[tokio::test]
    async fn a_place_that_is_given_back_wakes_who_waits_with_the_highest_right() {
        let (budget, _) = budget(1, None);
        let held = budget.acquire(Purpose::Sync).await.unwrap();
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut waiting = Vec::new();
        for purpose in [Purpose::Sync, Purpose::Repair, Purpose::Live] {
            let (waits_at, order) = (budget.clone(), order.clone());
            waiting.push(tokio::spawn(async move {
                let permit = waits_at.acquire(purpose).await.unwrap();
                order.lock().unwrap().push(purpose);
                drop(permit);
            }));
            while budget.read().waiting.iter().sum::<usize>() < waiting.len() {
                tokio::task::yield_now().await;
            }
        }
        assert_eq!(budget.read().waiting, [1, 1, 1]);
        drop(held);
        for one in waiting {
            one.await.unwrap();
        }
        assert_eq!(*order.lock().unwrap(), Purpose::ALL);
    }

    #[tokio::test]
    async fn a_wait_ends_in_time_and_leaves_nothing_behind() {
        let (budget, _) = budget(1, None);
        let held = budget.acquire(Purpose::Live).await.unwrap();
        assert!(budget.acquire(Purpose::Live).await.is_err());
        assert_eq!(budget.read().waiting, [0; 3]);
        // One who stops waiting, in whatever moment, takes no place along.
        let gone = tokio::time::timeout(Duration::from_millis(10), budget.acquire(Purpose::Live)).await;
        assert!(gone.is_err());
        drop(held);
        budget.acquire(Purpose::Sync).await.unwrap();
    }

    #[tokio::test]
    async fn a_long_pause_is_told_and_a_short_one_waited_for() {
        let (budget, clock) = budget(2, None);
        let permit = budget.acquire(Purpose::Live).await.unwrap();
        permit.record(Ending::Strained { pause_ms: Some(30_000) }, &Limits::default());
        assert_eq!(budget.acquire(Purpose::Live).await.err(), Some(Denied { retry_after_ms: 30_000 }));
        drop(permit);
        clock.advance_ms(29_900);
        let (granted, ()) = tokio::join!(budget.acquire(Purpose::Live), async {
            tokio::task::yield_now().await;
            clock.advance_ms(100);
        });
        assert!(granted.is_ok());
    }

    #[tokio::test]
    async fn the_clock_that_is_handed_in_fills_the_budget() {
        let (budget, clock) = budget(4, Some(10));
        drop(budget.acquire(Purpose::Sync).await.unwrap());
        assert!(budget.acquire(Purpose::Sync).await.is_err(), "time stands");
        clock.advance_ms(60_000);
        assert!(budget.acquire(Purpose::Sync).await.is_ok());
    }
}
