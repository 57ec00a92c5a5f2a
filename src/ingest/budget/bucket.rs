//! Tokens for calls, where the configuration names a number a minute.

use entity::Moment;

/// A tenth of a minute's calls may come at once; the rest comes evenly, so that no minute has more than its number.
#[derive(Debug)]
pub(super) struct Bucket {
    capacity: f64,
    per_ms: f64,
    tokens: f64,
    at: Moment,
}

impl Bucket {
    /// A bucket from which nothing is taken yet.
    pub fn full(per_minute: u32, now: Moment) -> Self {
        let per_minute = f64::from(per_minute.max(1));
        let burst = (per_minute / 10.0).floor();
        let capacity = burst.max(1.0);
        Self { capacity, per_ms: (per_minute - burst) / 60_000.0, tokens: capacity, at: now }
    }

    /// When there is a token for a call. Fills the bucket up to now.
    pub fn ready_at(&mut self, now: Moment) -> Moment {
        let elapsed_ms = now.0.saturating_sub(self.at.0).max(0);
        self.tokens = (self.tokens + elapsed_ms as f64 * self.per_ms).min(self.capacity);
        self.at = now;
        if self.tokens >= 1.0 {
            return now;
        }
        now.plus_ms(((1.0 - self.tokens) / self.per_ms).ceil() as i64)
    }

    /// The clock moved by this many milliseconds, and no time passed.
    pub fn shift(&mut self, ms: i64) {
        self.at = self.at.plus_ms(ms);
    }

    /// Takes a token, though there may be none.
    pub fn charge(&mut self) {
        self.tokens -= 1.0;
    }

    /// Tokens that are left.
    pub fn left(&self) -> u32 {
        self.tokens.max(0.0) as u32
    }

    /// The same as a share of a full bucket, 0 to 1.
    pub fn share(&self) -> f64 {
        (self.tokens / self.capacity).clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Moment = Moment(1_767_225_600_000);

    #[test]
    fn no_minute_has_more_calls_than_the_rate() {
        for per_minute in [1, 7, 60, 100, 1_000] {
            let mut bucket = Bucket::full(per_minute, START);
            let mut calls = Vec::new();
            for ms in (0..180_000).step_by(10) {
                let now = START.plus_ms(ms);
                while bucket.ready_at(now) <= now {
                    bucket.charge();
                    calls.push(ms);
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
}
