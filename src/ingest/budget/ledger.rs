//! The rules of the budget: who may call now. A plain struct with the time as an argument.
//!
//! A call needs a place (calls under way at once), a token (calls a minute, where a figure is known) and room in the
//! window that upstream told of. Places and tokens go to the highest right that waits; a right that is passed over nine
//! times in a row has the next turn, so that each keeps a tenth of the calls however many wait above it. What upstream
//! has left is not shared like that: sync stops at a fifth of the window, repair at a tenth, live at nothing.

use entity::{Moment, Purpose};
use provider::Limits;
use std::collections::VecDeque;

/// Times in a row that a right may be passed over.
const PASSED_OVER: u32 = 9;
/// Good answers in a row after which one more call may be under way at once.
const GOOD_RUN: u32 = 10;
/// A window whose end upstream does not tell ends after this long, milliseconds.
const WINDOW_MS: i64 = 60_000;
/// Ends of windows that differ by less are the same, milliseconds: they are told in whole seconds.
const SAME_WINDOW_MS: i64 = 2_000;
/// No pause is longer, whatever upstream says or a clock does, milliseconds.
const MAX_PAUSE_MS: i64 = 3_600_000;

/// What a source may use at most.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Calls under way at once.
    pub concurrency: usize,
    /// Calls in any minute; none leaves it to upstream.
    pub per_minute: Option<u32>,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// This ticket may call, under this number.
    Grant {
        /// The ticket that was waiting.
        ticket: u64,
        /// Number of the call, ascending.
        call: u64,
    },
    /// Nobody before then.
    Until(Moment),
    /// Nobody waits, or all places are taken.
    Idle,
}

/// How a call ended, as far as the budget cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Upstream copes.
    Good,
    /// Upstream is busy or slow, and asks for this pause in milliseconds or for none.
    Strained {
        /// Milliseconds from now.
        pause_ms: Option<i64>,
    },
    /// Says nothing about how upstream copes.
    Other,
}

/// The budget at a moment, for people.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// Calls a minute: as configured, or as upstream told of its window.
    pub limit_per_minute: Option<u32>,
    /// Calls left now; none where nothing limits them.
    pub remaining: Option<u32>,
    /// The same as a share of what there is at most, 0 to 1.
    pub remaining_ratio: Option<f64>,
    /// Calls that may be under way at once, now.
    pub concurrency: usize,
    /// Calls that wait, by right: live, repair, sync.
    pub waiting: [usize; 3],
    /// No call before then.
    pub paused_until: Option<Moment>,
}

/// The state of a budget.
#[derive(Debug)]
pub struct Ledger {
    terms: Terms,
    bucket: Option<Bucket>,
    window: Option<Window>,
    paused_until: Moment,
    throttled_in_row: i32,
    concurrency: usize,
    good_in_row: u32,
    under_way: usize,
    calls: u64,
    tickets: u64,
    /// Calls up to this one belong to the strain that was answered by the last cut.
    cut_after: u64,
    waiting: [VecDeque<u64>; 3],
    passed_over: [u32; 3],
}

impl Ledger {
    /// A budget that is not used yet.
    pub fn new(terms: Terms, now: Moment) -> Self {
        let concurrency = terms.concurrency.max(1);
        Self {
            terms: Terms { concurrency, ..terms },
            bucket: terms.per_minute.map(|per_minute| Bucket::full(per_minute, now)),
            window: None,
            paused_until: Moment(0),
            throttled_in_row: 0,
            concurrency,
            good_in_row: 0,
            under_way: 0,
            calls: 0,
            tickets: 0,
            cut_after: 0,
            waiting: Default::default(),
            passed_over: [0; 3],
        }
    }

    /// Stands in line; [`Ledger::next`] grants the ticket.
    pub fn wait(&mut self, purpose: Purpose) -> u64 {
        self.tickets += 1;
        self.waiting[index(purpose)].push_back(self.tickets);
        self.tickets
    }

    /// Leaves the line.
    pub fn give_up(&mut self, ticket: u64) {
        for line in &mut self.waiting {
            line.retain(|waiting| *waiting != ticket);
        }
    }

    /// Whose turn it is. Call it until it grants nothing more.
    pub fn next(&mut self, now: Moment) -> Next {
        if self.under_way >= self.concurrency {
            return Next::Idle;
        }
        let mut soonest: Option<Moment> = None;
        let mut ready: Vec<usize> = Vec::with_capacity(3);
        for purpose in Purpose::ALL {
            if self.waiting[index(purpose)].is_empty() {
                continue;
            }
            let at = self.ready_at(purpose, now).max(self.token_at(now));
            if at <= now {
                ready.push(index(purpose));
            }
            soonest = Some(soonest.map_or(at, |known| known.min(at)));
        }
        let passed_over = |right: &&usize| self.passed_over[**right] >= PASSED_OVER;
        let Some(right) = ready.iter().rev().find(passed_over).or(ready.first()).copied() else {
            return soonest.map_or(Next::Idle, Next::Until);
        };
        let Some(ticket) = self.waiting[right].pop_front() else { return Next::Idle };
        for lower in ready.into_iter().filter(|lower| *lower > right) {
            self.passed_over[lower] += 1;
        }
        self.passed_over[right] = 0;
        self.under_way += 1;
        self.calls += 1;
        self.charge();
        Next::Grant { ticket, call: self.calls }
    }

    /// Takes one call from what is left: a grant does, and a call that comes along with one.
    pub fn charge(&mut self) {
        if let Some(bucket) = &mut self.bucket {
            bucket.tokens -= 1.0;
        }
        if let Some(window) = &mut self.window {
            window.remaining = window.remaining.saturating_sub(1);
        }
    }

    /// Gives a place back.
    pub fn release(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }

    /// Takes in how a call ended and what its answer said.
    pub fn record(&mut self, now: Moment, call: u64, ending: Ending, limits: &Limits) {
        self.learn(now, limits);
        match ending {
            Ending::Good => {
                self.throttled_in_row = 0;
                self.good_in_row += 1;
                if self.good_in_row >= GOOD_RUN && self.concurrency < self.terms.concurrency {
                    self.concurrency += 1;
                    self.good_in_row = 0;
                }
            }
            Ending::Strained { pause_ms } => {
                self.good_in_row = 0;
                // Calls that were under way together meet the same strain: they count once.
                if call > self.cut_after {
                    self.concurrency = (self.concurrency / 2).max(1);
                    self.cut_after = self.calls;
                }
                if let Some(pause_ms) = pause_ms {
                    self.throttled_in_row += 1;
                    self.paused_until = self.paused_until.max(now.plus_ms(pause_ms.clamp(0, MAX_PAUSE_MS)));
                }
            }
            Ending::Other => {}
        }
    }

    /// How often in a row upstream has asked for a pause.
    pub fn throttled_in_row(&self) -> i32 {
        self.throttled_in_row
    }

    /// When upstream lets a call of this right through. Own rate and places are not asked.
    pub fn ready_at(&self, purpose: Purpose, now: Moment) -> Moment {
        // A clock that was set back must not make a pause of years.
        let pause = self.paused_until.min(now.plus_ms(MAX_PAUSE_MS));
        match &self.window {
            Some(window) if window.remaining <= window.reserve(purpose) => pause.max(window.resets_at(now)),
            _ => pause,
        }
    }

    /// The budget for people.
    pub fn read(&mut self, now: Moment) -> Reading {
        self.token_at(now);
        let window = self.window.as_ref().filter(|window| window.resets_at > now);
        let tokens = self.bucket.as_ref().map(|bucket| bucket.tokens.max(0.0));
        let ratio = |part: f64, whole: f64| (part / whole).clamp(0.0, 1.0);
        let of_window =
            window.and_then(|window| Some(ratio(f64::from(window.remaining), f64::from(window.limit?.max(1)))));
        let of_bucket = self.bucket.as_ref().map(|bucket| ratio(bucket.tokens, bucket.capacity));
        let paused_until = self.ready_at(Purpose::Live, now);
        Reading {
            limit_per_minute: self.terms.per_minute.or(window.and_then(|window| window.limit)),
            remaining: match (tokens.map(|tokens| tokens as u32), window.map(|window| window.remaining)) {
                (Some(own), Some(told)) => Some(own.min(told)),
                (own, told) => own.or(told),
            },
            remaining_ratio: match (of_bucket, of_window) {
                (Some(own), Some(told)) => Some(own.min(told)),
                (own, told) => own.or(told),
            },
            concurrency: self.concurrency,
            waiting: [0, 1, 2].map(|right| self.waiting[right].len()),
            paused_until: (paused_until > now).then_some(paused_until),
        }
    }

    fn token_at(&mut self, now: Moment) -> Moment {
        self.bucket.as_mut().map_or(Moment(0), |bucket| bucket.ready_at(now))
    }

    fn learn(&mut self, now: Moment, limits: &Limits) {
        let Some(remaining) = limits.remaining else { return };
        let wait_ms = limits.reset.map_or(WINDOW_MS, |reset| reset.ms_from(now.to_datetime()));
        let resets_at = now.plus_ms(wait_ms.clamp(0, MAX_PAUSE_MS));
        // Calls that are still under way may not be counted yet in what upstream has left.
        let others = u32::try_from(self.under_way.saturating_sub(1)).unwrap_or(u32::MAX);
        let fresh = remaining.saturating_sub(others);
        let is_same = |known: &&Window| known.resets_at > now && resets_at.0 - known.resets_at.0 < SAME_WINDOW_MS;
        // Of one window the lowest figure is the newest, whatever way the answers took.
        let window = match self.window.as_ref().filter(is_same) {
            Some(known) => Window {
                limit: limits.limit.or(known.limit),
                remaining: known.remaining.min(remaining),
                resets_at: known.resets_at.max(resets_at),
            },
            None => Window { limit: limits.limit, remaining: fresh, resets_at },
        };
        self.window = Some(window);
    }
}

fn index(purpose: Purpose) -> usize {
    match purpose {
        Purpose::Live => 0,
        Purpose::Repair => 1,
        Purpose::Sync => 2,
    }
}

/// Tokens for calls. A tenth of a minute's calls may come at once; the rest comes evenly, so that no minute has more
/// than its number.
#[derive(Debug)]
struct Bucket {
    capacity: f64,
    per_ms: f64,
    tokens: f64,
    at: Moment,
}

impl Bucket {
    fn full(per_minute: u32, now: Moment) -> Self {
        let per_minute = f64::from(per_minute.max(1));
        let burst = (per_minute / 10.0).floor();
        let capacity = burst.max(1.0);
        Self { capacity, per_ms: (per_minute - burst) / 60_000.0, tokens: capacity, at: now }
    }

    fn ready_at(&mut self, now: Moment) -> Moment {
        let elapsed_ms = now.0.saturating_sub(self.at.0).max(0);
        self.tokens = (self.tokens + elapsed_ms as f64 * self.per_ms).min(self.capacity);
        self.at = now;
        if self.tokens >= 1.0 {
            return now;
        }
        now.plus_ms(((1.0 - self.tokens) / self.per_ms).ceil() as i64)
    }
}

/// What upstream told of the window that runs.
#[derive(Debug)]
struct Window {
    limit: Option<u32>,
    remaining: u32,
    resets_at: Moment,
}

impl Window {
    /// What a right leaves for those above it.
    fn reserve(&self, purpose: Purpose) -> u32 {
        let (share, least) = match purpose {
            Purpose::Live => return 0,
            Purpose::Repair => (10, 1),
            Purpose::Sync => (5, 2),
        };
        match self.limit {
            Some(limit) => (limit / share).max(least).min(limit.saturating_sub(1)),
            None => least,
        }
    }

    fn resets_at(&self, now: Moment) -> Moment {
        self.resets_at.min(now.plus_ms(MAX_PAUSE_MS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use provider::Pause;

    const START: Moment = Moment(1_767_225_600_000);

    fn ledger(concurrency: usize, per_minute: Option<u32>) -> Ledger {
        Ledger::new(Terms { concurrency, per_minute }, START)
    }

    fn granted(ledger: &mut Ledger, now: Moment) -> Option<(u64, u64)> {
        match ledger.next(now) {
            Next::Grant { ticket, call } => Some((ticket, call)),
            _ => None,
        }
    }

    fn window(limit: u32, remaining: u32, reset: u64) -> Limits {
        Limits { limit: Some(limit), remaining: Some(remaining), reset: Some(Pause::Seconds(reset)), retry_after: None }
    }

    #[test]
    fn a_free_place_goes_to_the_highest_right_and_first_come_within_one() {
        let mut ledger = ledger(1, None);
        let sync = ledger.wait(Purpose::Sync);
        let repair = ledger.wait(Purpose::Repair);
        let (first, second) = (ledger.wait(Purpose::Live), ledger.wait(Purpose::Live));
        for wanted in [first, second, repair, sync] {
            assert_eq!(granted(&mut ledger, START).map(|(ticket, _)| ticket), Some(wanted));
            assert_eq!(ledger.next(START), Next::Idle, "one place");
            ledger.release();
        }
    }

    #[test]
    fn no_right_waits_for_ever() {
        let mut ledger = ledger(1, None);
        let (mut counts, mut of) = ([0; 3], std::collections::HashMap::new());
        for purpose in Purpose::ALL {
            for _ in 0..1_000 {
                of.insert(ledger.wait(purpose), index(purpose));
            }
        }
        for _ in 0..1_000 {
            let (ticket, _) = granted(&mut ledger, START).unwrap();
            counts[of[&ticket]] += 1;
            ledger.release();
        }
        assert!(counts[0] >= 750, "{counts:?}");
        assert!(counts[1] >= 90 && counts[2] >= 90, "{counts:?}");
    }

    #[test]
    fn a_ticket_that_is_given_up_is_not_granted() {
        let mut ledger = ledger(2, None);
        let (gone, stays) = (ledger.wait(Purpose::Live), ledger.wait(Purpose::Live));
        ledger.give_up(gone);
        assert_eq!(granted(&mut ledger, START).map(|(ticket, _)| ticket), Some(stays));
        assert_eq!(ledger.next(START), Next::Idle);
    }

    #[test]
    fn no_minute_has_more_calls_than_the_rate() {
        for per_minute in [1, 7, 60, 100, 1_000] {
            let mut ledger = ledger(1_000, Some(per_minute));
            let mut calls = Vec::new();
            for ms in (0..180_000).step_by(10) {
                let now = START.plus_ms(ms);
                ledger.wait(Purpose::Sync);
                while granted(&mut ledger, now).is_some() {
                    calls.push(ms);
                    ledger.release();
                }
            }
            let wanted = usize::try_from(per_minute).unwrap();
            for (at, start) in calls.iter().enumerate() {
                let within = calls[at..].iter().take_while(|call| **call < start + 60_000).count();
                assert!(within <= wanted, "{per_minute}: {within} calls from {start} ms on");
            }
            assert!(calls.len() >= wanted * 2, "{per_minute}: {} calls in three minutes", calls.len());
        }
    }

    #[test]
    fn a_clock_that_is_set_back_stops_nothing() {
        let mut ledger = ledger(4, Some(60));
        ledger.record(START, 0, Ending::Strained { pause_ms: Some(60_000) }, &window(100, 0, 60));
        let earlier = START.plus_ms(-365 * 86_400_000);
        ledger.wait(Purpose::Live);
        let Next::Until(at) = ledger.next(earlier) else { panic!() };
        assert!(at <= earlier.plus_ms(MAX_PAUSE_MS), "{at:?}");
        assert!(granted(&mut ledger, START.plus_ms(60_001)).is_some());
    }

    #[test]
    fn sync_stops_first_when_upstream_has_little_left_then_repair_live_last() {
        let mut ledger = ledger(8, None);
        let may = |ledger: &mut Ledger, purpose, now| {
            let ticket = ledger.wait(purpose);
            let outcome = granted(ledger, now);
            ledger.give_up(ticket);
            if outcome.is_some() {
                ledger.release();
            }
            outcome.is_some()
        };
        for (remaining, allowed) in
            [(25, [true; 3]), (20, [true, true, false]), (10, [true, false, false]), (0, [false; 3])]
        {
            ledger.record(START, 0, Ending::Good, &window(100, remaining, 30));
            for (purpose, allowed) in Purpose::ALL.into_iter().zip(allowed).rev() {
                assert_eq!(may(&mut ledger, purpose, START), allowed, "{remaining} left, {purpose:?}");
            }
        }
        let next_window = START.plus_ms(30_000);
        ledger.wait(Purpose::Sync);
        assert_eq!(ledger.next(START), Next::Until(next_window));
        assert!(granted(&mut ledger, next_window).is_some());
    }

    #[test]
    fn the_smallest_windows_let_every_right_through() {
        for limit in [Some(1), Some(2), Some(3), None] {
            let mut ledger = ledger(1, None);
            let mut now = START;
            ledger.wait(Purpose::Sync);
            for _ in 0..3 {
                let told = Limits { limit, remaining: Some(limit.unwrap_or(1)), ..Limits::default() };
                ledger.record(now, 0, Ending::Good, &told);
                now = now.plus_ms(WINDOW_MS);
            }
            assert!(granted(&mut ledger, now).is_some(), "{limit:?}");
        }
    }

    #[test]
    fn calls_under_way_count_before_upstream_says_so() {
        let mut ledger = ledger(8, None);
        ledger.record(START, 0, Ending::Good, &window(100, 2, 30));
        for _ in 0..4 {
            ledger.wait(Purpose::Live);
        }
        assert!(granted(&mut ledger, START).is_some() && granted(&mut ledger, START).is_some());
        assert_eq!(ledger.next(START), Next::Until(START.plus_ms(30_000)));
        // An older answer that arrives late does not give back what is used.
        ledger.record(START.plus_ms(500), 1, Ending::Good, &window(100, 2, 30));
        assert_eq!(ledger.next(START.plus_ms(500)), Next::Until(START.plus_ms(30_500)));
        ledger.record(START.plus_ms(31_000), 1, Ending::Good, &window(100, 99, 60));
        assert!(granted(&mut ledger, START.plus_ms(31_000)).is_some(), "another window");
    }

    #[test]
    fn a_pause_that_upstream_asks_for_holds_for_every_right() {
        let mut ledger = ledger(4, None);
        ledger.record(START, 0, Ending::Strained { pause_ms: Some(7_000) }, &Limits::default());
        ledger.record(START, 0, Ending::Strained { pause_ms: Some(2_000) }, &Limits::default());
        assert_eq!(ledger.throttled_in_row(), 2);
        ledger.wait(Purpose::Live);
        assert_eq!(ledger.next(START), Next::Until(START.plus_ms(7_000)));
        assert_eq!(ledger.read(START).paused_until, Some(START.plus_ms(7_000)));
        assert!(granted(&mut ledger, START.plus_ms(7_000)).is_some());
        ledger.record(START.plus_ms(8_000), 1, Ending::Good, &Limits::default());
        assert_eq!(ledger.throttled_in_row(), 0);
    }

    #[test]
    fn concurrency_is_halved_once_for_a_strain_and_grows_by_one() {
        let mut ledger = ledger(8, None);
        for _ in 0..8 {
            ledger.wait(Purpose::Live);
        }
        let calls: Vec<u64> = std::iter::from_fn(|| granted(&mut ledger, START)).map(|(_, call)| call).collect();
        assert_eq!(calls.len(), 8);
        for call in calls {
            ledger.record(START, call, Ending::Strained { pause_ms: None }, &Limits::default());
            ledger.release();
        }
        assert_eq!(ledger.read(START).concurrency, 4, "one strain");
        for halved in [2, 1, 1] {
            ledger.wait(Purpose::Live);
            let (_, call) = granted(&mut ledger, START).unwrap();
            ledger.record(START, call, Ending::Strained { pause_ms: None }, &Limits::default());
            ledger.release();
            assert_eq!(ledger.read(START).concurrency, halved);
        }
        for _ in 0..GOOD_RUN * 20 {
            ledger.record(START, 9, Ending::Good, &Limits::default());
        }
        assert_eq!(ledger.read(START).concurrency, 8, "never above what is configured");
    }

    #[test]
    fn people_read_the_scarcest_figure() {
        let mut ledger = ledger(4, Some(100));
        let reading = ledger.read(START);
        assert_eq!((reading.limit_per_minute, reading.remaining), (Some(100), Some(10)));
        ledger.record(START, 0, Ending::Good, &window(50, 5, 30));
        let reading = ledger.read(START);
        assert_eq!((reading.remaining, reading.remaining_ratio), (Some(5), Some(0.1)));
    }
}
