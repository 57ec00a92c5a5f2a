//! The rules of the budget: who may call now. A plain struct with the time as an argument.
//!
//! A call needs a place (calls under way at once), a token (calls a minute, where a figure is known) and room in the
//! window that upstream told of; and upstream may ask for a pause.

use super::bucket::Bucket;
use super::places::Places;
use super::turns::Turns;
use super::window::Window;
use entity::{Moment, Purpose};
use provider::Limits;

/// No pause is longer, whatever upstream says or a clock does, milliseconds.
pub(super) const MAX_PAUSE_MS: i64 = 3_600_000;
/// A pause that ends further ahead was written by a wrong clock, milliseconds: those of two instances may differ by
/// minutes.
pub const MAX_AHEAD_MS: i64 = MAX_PAUSE_MS + 300_000;
/// Times that come in by less out of order were read so by two threads, milliseconds. More is a clock that was set back.
const OUT_OF_ORDER_MS: i64 = 1_000;

#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Calls under way at once.
    pub concurrency: usize,
    /// Calls in any minute; none leaves it to upstream.
    pub per_minute: Option<u32>,
}

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
    per_minute: Option<u32>,
    places: Places,
    turns: Turns,
    bucket: Option<Bucket>,
    window: Option<Window>,
    paused_until: Moment,
    throttled_in_row: i32,
    /// The latest time that came in since the clock was last set back.
    seen_at: Moment,
}

impl Ledger {
    /// A budget that is not used yet.
    pub fn new(terms: Terms, now: Moment) -> Self {
        Self {
            per_minute: terms.per_minute,
            places: Places::new(terms.concurrency),
            turns: Turns::default(),
            bucket: terms.per_minute.map(|per_minute| Bucket::full(per_minute, now)),
            window: None,
            paused_until: Moment(0),
            throttled_in_row: 0,
            seen_at: now,
        }
    }

    /// Stands in line; [`Ledger::next`] grants the ticket.
    pub fn wait(&mut self, purpose: Purpose) -> u64 {
        self.turns.wait(purpose)
    }

    /// Leaves the line.
    pub fn give_up(&mut self, ticket: u64) {
        self.turns.give_up(ticket);
    }

    /// Whose turn it is. Call it until it grants nothing more.
    pub fn next(&mut self, now: Moment) -> Next {
        self.see(now);
        if !self.places.has_free() {
            return Next::Idle;
        }
        let mut soonest: Option<Moment> = None;
        let mut ready: Vec<Purpose> = Vec::with_capacity(3);
        for purpose in Purpose::ALL {
            if self.turns.count(purpose) == 0 {
                continue;
            }
            let at = self.ready_at(purpose, now).max(self.token_at(now));
            if at <= now {
                ready.push(purpose);
            }
            soonest = Some(soonest.map_or(at, |known| known.min(at)));
        }
        let Some(ticket) = self.turns.take(&ready) else { return soonest.map_or(Next::Idle, Next::Until) };
        self.charge();
        Next::Grant { ticket, call: self.places.take() }
    }

    /// Takes one call from what is left: a grant does, and a call that comes along with one.
    pub fn charge(&mut self) {
        if let Some(bucket) = &mut self.bucket {
            bucket.charge();
        }
        if let Some(window) = &mut self.window {
            window.charge();
        }
    }

    /// Gives a place back.
    pub fn release(&mut self) {
        self.places.release();
    }

    /// Takes in how a call ended and what its answer said.
    pub fn record(&mut self, now: Moment, call: u64, ending: Ending, limits: &Limits) {
        self.see(now);
        if let Some(window) = Window::told(self.window.as_ref(), now, limits, self.places.taken()) {
            self.window = Some(window);
        }
        match ending {
            Ending::Good => {
                self.throttled_in_row = 0;
                self.places.grow();
            }
            Ending::Strained { pause_ms } => {
                self.places.cut(call);
                if let Some(pause_ms) = pause_ms {
                    self.throttled_in_row += 1;
                    self.paused_until = self.paused_until.max(now.plus_ms(pause_ms.clamp(0, MAX_PAUSE_MS)));
                }
            }
            Ending::Other => {}
        }
    }

    /// Takes in a pause that upstream has asked another process for, until then by the clock of that one.
    pub fn hold_until(&mut self, now: Moment, until: Moment) {
        self.see(now);
        if !until.has_come(now, MAX_AHEAD_MS) {
            self.paused_until = self.paused_until.max(until.min(now.plus_ms(MAX_PAUSE_MS)));
        }
    }

    /// How often in a row upstream has asked for a pause.
    pub fn throttled_in_row(&self) -> i32 {
        self.throttled_in_row
    }

    /// When upstream lets a call of this right through. Own rate and places are not asked.
    pub fn ready_at(&mut self, purpose: Purpose, now: Moment) -> Moment {
        self.see(now);
        let window = self.window.as_ref().and_then(|window| window.holds_back(purpose));
        window.map_or(self.paused_until, |next_window| self.paused_until.max(next_window))
    }

    /// The budget for people.
    pub fn read(&mut self, now: Moment) -> Reading {
        let paused_until = self.ready_at(Purpose::Live, now);
        self.token_at(now);
        let bucket = self.bucket.as_ref();
        let window = self.window.as_ref().filter(|window| window.is_running(now));
        Reading {
            limit_per_minute: self.per_minute.or(window.and_then(Window::limit)),
            remaining: scarcest(bucket.map(Bucket::left), window.map(Window::left)),
            remaining_ratio: scarcest(bucket.map(Bucket::share), window.and_then(Window::share)),
            concurrency: self.places.count(),
            waiting: Purpose::ALL.map(|purpose| self.turns.count(purpose)),
            paused_until: (paused_until > now).then_some(paused_until),
        }
    }

    /// Takes in the time. Where the clock was set back, all that is waited for is as far away as it was before.
    fn see(&mut self, now: Moment) {
        let step_ms = now.0.saturating_sub(self.seen_at.0);
        if step_ms >= -OUT_OF_ORDER_MS {
            self.seen_at = self.seen_at.max(now);
            return;
        }
        self.seen_at = now;
        self.paused_until = self.paused_until.plus_ms(step_ms);
        if let Some(bucket) = &mut self.bucket {
            bucket.shift(step_ms);
        }
        if let Some(window) = &mut self.window {
            window.shift(step_ms);
        }
    }

    fn token_at(&mut self, now: Moment) -> Moment {
        self.bucket.as_mut().map_or(Moment(0), |bucket| bucket.ready_at(now))
    }
}

fn scarcest<T: PartialOrd>(own: Option<T>, told: Option<T>) -> Option<T> {
    match (own, told) {
        (Some(own), Some(told)) => Some(if told < own { told } else { own }),
        (own, told) => own.or(told),
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
    fn what_is_waited_for_is_as_far_away_as_before_when_the_clock_is_set_back() {
        let back = START.plus_ms(-600_000);
        let told = [
            (Ending::Strained { pause_ms: Some(5_000) }, Limits::default()),
            (Ending::Good, window(100, 0, 5)),
            (Ending::Strained { pause_ms: Some(5_000) }, window(100, 0, 5)),
        ];
        for (ending, limits) in told {
            let mut ledger = ledger(4, None);
            ledger.wait(Purpose::Live);
            ledger.record(START, 0, ending, &limits);
            assert_eq!(ledger.next(START.plus_ms(-900)), Next::Until(START.plus_ms(5_000)), "read out of order");
            assert_eq!(ledger.ready_at(Purpose::Live, back), back.plus_ms(5_000));
            assert_eq!(ledger.next(back.plus_ms(4_999)), Next::Until(back.plus_ms(5_000)));
            assert!(granted(&mut ledger, back.plus_ms(5_000)).is_some());
        }
    }

    #[test]
    fn tokens_come_as_fast_as_before_when_the_clock_is_set_back() {
        let mut ledger = ledger(4, Some(1));
        ledger.wait(Purpose::Live);
        assert!(granted(&mut ledger, START).is_some());
        ledger.wait(Purpose::Live);
        // Seen by the ledger, and not by the bucket.
        ledger.ready_at(Purpose::Live, START.plus_ms(20_000));
        let back = START.plus_ms(-600_000);
        let Next::Until(at) = ledger.next(back) else { panic!() };
        assert!((40_000..=40_001).contains(&(at.0 - back.0)), "{at:?}");
        assert!(granted(&mut ledger, back.plus_ms(40_001)).is_some());
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
                now = now.plus_ms(60_000);
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
    fn a_pause_of_another_process_holds_for_an_hour_at_most_and_not_where_its_clock_was_wrong() {
        let ahead = [(7_000, 7_000), (MAX_AHEAD_MS, MAX_PAUSE_MS), (MAX_AHEAD_MS + 1, 0), (0, 0), (-1, 0)];
        for (ahead_ms, held_ms) in ahead {
            let mut ledger = ledger(4, None);
            ledger.hold_until(START, START.plus_ms(ahead_ms));
            assert_eq!(ledger.ready_at(Purpose::Live, START).max(START), START.plus_ms(held_ms), "{ahead_ms}");
        }
        let mut ledger = ledger(4, None);
        ledger.record(START, 0, Ending::Strained { pause_ms: Some(7_000) }, &Limits::default());
        ledger.hold_until(START, START.plus_ms(6_000));
        assert_eq!(ledger.ready_at(Purpose::Live, START), START.plus_ms(7_000), "the later one");
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
