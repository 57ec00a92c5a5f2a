//! A clock that follows the machine's and can be moved ahead: pauses pass as fast as a test likes, while
//! signatures made by the machine's clock stay good.

use entity::Moment;
use profile_mirror::clock::{Clock, SystemClock};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// The machine's time and so many milliseconds.
#[derive(Debug, Default)]
pub struct MovableClock {
    ahead_ms: AtomicI64,
}

impl MovableClock {
    /// One that shows the machine's time.
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// Another one, so far ahead of this one.
    pub fn ahead_ms(&self, ms: i64) -> Arc<Self> {
        Arc::new(Self { ahead_ms: AtomicI64::new(self.ahead_ms.load(Ordering::SeqCst) + ms) })
    }

    /// Moves it, back where negative.
    pub fn advance_ms(&self, ms: i64) {
        self.ahead_ms.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for MovableClock {
    fn now(&self) -> Moment {
        SystemClock.now().plus_ms(self.ahead_ms.load(Ordering::SeqCst))
    }
}
