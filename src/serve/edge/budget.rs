//! What the operations of a key may cost in a minute: a bucket for each key that fills steadily.

use crate::clock::SharedClock;
use crate::serve::Viewer;
use crate::serve::graphql::{Code, Fault};
use ::entity::Moment;
use serde::Serialize;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

const MINUTE_MS: i64 = 60_000;
/// More keys than that are not remembered at once, unless each has just asked.
const MAX_IDLE: usize = 4_096;

/// The buckets of all keys.
pub(super) struct Budget {
    /// Cost a minute; none for no limit.
    limit: Option<i64>,
    clock: SharedClock,
    buckets: Mutex<HashMap<Arc<str>, Bucket>>,
}

/// What an operation cost, as clients read it in `extensions.cost`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Cost {
    /// Values that it might have read, with pages as full as they can be. Lists without pages count once.
    pub estimated: u64,
    /// Values that the answer holds.
    pub actual: u64,
    /// What the key may spend in a minute; absent where there is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<i64>,
    /// What is left of it now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remaining: Option<i64>,
}

/// In parts of a minute, so that nothing is lost in rounding: a millisecond brings as many as the limit is.
struct Bucket {
    parts: i64,
    at: Moment,
}

impl Budget {
    pub fn new(per_minute: u64, clock: SharedClock) -> Self {
        let limit = i64::try_from(per_minute).unwrap_or(i64::MAX).min(i64::MAX / (2 * MINUTE_MS));
        Self { limit: (limit > 0).then_some(limit), clock, buckets: Mutex::default() }
    }

    /// Takes what an operation is expected to cost, or says when there is enough again.
    pub fn take(&self, viewer: &Viewer, estimated: u64) -> Result<(), Fault> {
        let Some(limit) = self.limit else { return Ok(()) };
        // What costs more than a minute brings may take the whole of it.
        let wanted = parts(estimated).min(limit * MINUTE_MS);
        self.with(viewer, limit, |bucket| {
            if bucket.parts >= wanted {
                bucket.parts -= wanted;
                return Ok(());
            }
            let wait_ms = (wanted - bucket.parts).unsigned_abs().div_ceil(limit.unsigned_abs());
            let seconds = wait_ms.div_ceil(1_000);
            let message = format!(
                "key {} may spend {limit} a minute; this costs {estimated}, and {} are left: ask again in {seconds} s",
                viewer.name,
                bucket.remaining()
            );
            Err(Fault { retry_after_seconds: Some(seconds), ..Fault::new(Code::RateLimited, message) })
        })
    }

    /// Settles what was taken with what it really cost, which may be more: the next operation waits for it then.
    pub fn settle(&self, viewer: &Viewer, estimated: u64, actual: u64) -> Cost {
        let remaining = self.limit.map(|limit| {
            self.with(viewer, limit, |bucket| {
                let taken = parts(estimated).min(limit * MINUTE_MS);
                bucket.parts =
                    (bucket.parts + taken).saturating_sub(parts(actual)).clamp(-limit * MINUTE_MS, limit * MINUTE_MS);
                bucket.remaining()
            })
        });
        Cost { estimated, actual, limit: self.limit, remaining }
    }

    /// The bucket of a key, filled up to now.
    fn with<T>(&self, viewer: &Viewer, limit: i64, change: impl FnOnce(&mut Bucket) -> T) -> T {
        let (now, full) = (self.clock.now(), limit * MINUTE_MS);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() > MAX_IDLE {
            buckets.retain(|_, bucket| bucket.filled(limit, now) < full);
        }
        let bucket = buckets.entry(Arc::clone(&viewer.name)).or_insert(Bucket { parts: full, at: now });
        *bucket = Bucket { parts: bucket.filled(limit, now), at: now };
        change(bucket)
    }
}

impl Bucket {
    fn filled(&self, limit: i64, now: Moment) -> i64 {
        // A clock that was set back brings nothing; one that was set ahead no more than a minute does.
        let elapsed_ms = (now.0 - self.at.0).clamp(0, 2 * MINUTE_MS);
        self.parts.saturating_add(elapsed_ms * limit).min(limit * MINUTE_MS)
    }

    fn remaining(&self) -> i64 {
        self.parts.max(0) / MINUTE_MS
    }
}

fn parts(cost: u64) -> i64 {
    i64::try_from(cost).unwrap_or(i64::MAX).saturating_mul(MINUTE_MS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::config::Role;

    fn viewer(name: &str) -> Viewer {
        Viewer::named(name, Role::Reader)
    }

    #[test]
    fn a_key_spends_its_minute_and_waits_for_the_next() {
        let clock = ManualClock::at(Moment(0));
        let budget = Budget::new(600, clock.clone());
        let (one, other) = (viewer("one"), viewer("other"));
        assert!(budget.take(&one, 600).is_ok());
        let refused = budget.take(&one, 15).unwrap_err();
        assert_eq!((refused.code, refused.retry_after_seconds), (Code::RateLimited, Some(2)));
        assert!(budget.take(&other, 15).is_ok(), "each key has its own");
        clock.advance_ms(1_499);
        assert!(budget.take(&one, 15).is_err());
        clock.advance_ms(1);
        assert!(budget.take(&one, 15).is_ok());
        clock.advance_ms(3_600_000);
        assert!(budget.take(&one, 600).is_ok() && budget.take(&one, 1).is_err(), "an hour brings a minute's worth");
    }

    #[test]
    fn what_was_not_read_is_given_back_and_what_was_read_is_owed() {
        let budget = Budget::new(600, ManualClock::at(Moment(0)));
        let one = viewer("one");
        budget.take(&one, 500).unwrap();
        let cost = budget.settle(&one, 500, 100);
        assert_eq!(cost, Cost { estimated: 500, actual: 100, limit: Some(600), remaining: Some(500) });
        budget.take(&one, 1).unwrap();
        assert_eq!(budget.settle(&one, 1, 700).remaining, Some(0));
        assert_eq!(budget.take(&one, 1).unwrap_err().retry_after_seconds, Some(21), "200 too many, and one");
    }

    #[test]
    fn little_by_little_is_as_much_as_at_once() {
        let clock = ManualClock::at(Moment(0));
        let budget = Budget::new(1, clock.clone());
        let one = viewer("one");
        budget.take(&one, 1).unwrap();
        for _ in 0..59_999 {
            clock.advance_ms(1);
            assert!(budget.take(&one, 1).is_err());
        }
        clock.advance_ms(1);
        assert!(budget.take(&one, 1).is_ok());
    }

    #[test]
    fn without_a_limit_everything_goes() {
        let budget = Budget::new(0, ManualClock::at(Moment(0)));
        let one = viewer("one");
        assert!((0..10).all(|_| budget.take(&one, u64::MAX).is_ok()));
        assert_eq!(budget.settle(&one, 5, 4), Cost { estimated: 5, actual: 4, limit: None, remaining: None });
    }
}
