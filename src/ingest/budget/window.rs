//! The window of calls that upstream tells of. What is left in it is not shared as turns are: sync stops at a fifth of
//! the window, repair at a tenth, live at nothing.

use super::ledger::MAX_PAUSE_MS;
use entity::{Moment, Purpose};
use provider::Limits;

/// A window whose end upstream does not tell ends after this long, milliseconds.
const WINDOW_MS: i64 = 60_000;
/// Ends of windows that differ by less are the same, milliseconds: they are told in whole seconds.
const SAME_WINDOW_MS: i64 = 2_000;

/// What upstream told of the window that runs.
#[derive(Debug)]
pub(super) struct Window {
    limit: Option<u32>,
    remaining: u32,
    resets_at: Moment,
}

impl Window {
    /// The window as it stands after an answer, with so many calls under way; none where the answer tells of none.
    pub fn told(known: Option<&Self>, now: Moment, limits: &Limits, under_way: usize) -> Option<Self> {
        let remaining = limits.remaining?;
        let wait_ms = limits.reset.map_or(WINDOW_MS, |reset| reset.ms_from(now.to_datetime()));
        let resets_at = now.plus_ms(wait_ms.clamp(0, MAX_PAUSE_MS));
        // Calls that are still under way may not be counted yet in what upstream has left.
        let others = u32::try_from(under_way.saturating_sub(1)).unwrap_or(u32::MAX);
        let fresh = remaining.saturating_sub(others);
        let is_same = |known: &&Self| known.is_running(now) && resets_at.0 - known.resets_at.0 < SAME_WINDOW_MS;
        // Of one window the lowest figure is the newest, whatever way the answers took.
        Some(match known.filter(is_same) {
            Some(known) => Self {
                limit: limits.limit.or(known.limit),
                remaining: known.remaining.min(remaining),
                resets_at: known.resets_at.max(resets_at),
            },
            None => Self { limit: limits.limit, remaining: fresh, resets_at },
        })
    }

    /// Calls in the whole window, where told.
    pub fn limit(&self) -> Option<u32> {
        self.limit
    }

    /// Calls that are left.
    pub fn left(&self) -> u32 {
        self.remaining
    }

    /// The same as a share of the whole window, 0 to 1, where its size was told.
    pub fn share(&self) -> Option<f64> {
        Some((f64::from(self.remaining) / f64::from(self.limit?.max(1))).clamp(0.0, 1.0))
    }

    /// Whether it has not ended.
    pub fn is_running(&self, now: Moment) -> bool {
        self.resets_at > now
    }

    /// Takes one call from what is left.
    pub fn charge(&mut self) {
        self.remaining = self.remaining.saturating_sub(1);
    }

    /// The clock moved by this many milliseconds, and no time passed.
    pub fn shift(&mut self, ms: i64) {
        self.resets_at = self.resets_at.plus_ms(ms);
    }

    /// When the next window begins, where this right has nothing left in this one.
    pub fn holds_back(&self, purpose: Purpose) -> Option<Moment> {
        let has_left = self.remaining > self.reserve(purpose);
        (!has_left).then_some(self.resets_at)
    }

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
}
