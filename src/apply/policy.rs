//! What becomes of a delivery or a fetch that did not work out: again later, parked, or given up.
//! Nothing else decides that.

use crate::backoff;
use entity::Moment;

/// Applies of one delivery before it is parked.
pub const MAX_APPLY_ATTEMPTS: i32 = 8;

/// Answers in a row that say a record is not there, before that is believed.
pub const MISSES_UNTIL_BELIEVED: i32 = 4;

/// Pauses before a record that was not there is asked for again, milliseconds.
const MISS_PAUSES_MS: [i64; 4] = [2_000, 5_000, 15_000, 60_000];

/// After so many answers that say the same the pauses grow no more.
pub const LONGEST_MISS_PAUSE: i32 = 4;

/// What to do with a delivery whose apply failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failed {
    /// Try again then.
    Retry(Moment),
    /// A person must look at it; the sentence is for them.
    Park(String),
}

/// Decides after the `attempts`-th failed apply of a delivery.
pub fn after_failed_apply(attempts: i32, now: Moment, problem: &str) -> Failed {
    if attempts >= MAX_APPLY_ATTEMPTS {
        return Failed::Park(format!(
            "apply failed {attempts} times, last: {problem}. Retry it once the cause is mended."
        ));
    }
    Failed::Retry(now.plus_ms(backoff::pause_ms(attempts, 500, 60_000)))
}

/// Times that a run contradicts itself before it is left to the schedule.
const MAX_RESTARTS: i32 = 6;

/// When a run whose sweep failed is tried again, where that is its `restarts`-th time; none where it is left to the
/// schedule.
pub fn after_failed_sweep(restarts: i32, now: Moment) -> Option<Moment> {
    (restarts < MAX_RESTARTS).then(|| now.plus_ms(backoff::pause_ms(restarts, 30_000, 1_800_000)))
}

/// When to ask again for a record that was not there `misses` times in a row.
pub fn after_miss(misses: i32, now: Moment) -> Moment {
    let index = usize::try_from(misses.max(1) - 1).unwrap_or(0).min(MISS_PAUSES_MS.len() - 1);
    now.plus_ms(MISS_PAUSES_MS[index])
}

/// How many times as long as its last transaction apply rests while senders wait for the one writer, when the oldest
/// pending delivery has waited so long: a burst is taken in first, a flood is shared.
pub fn rest(waited_ms: i64) -> u32 {
    match waited_ms {
        ..5_000 => 36,
        5_000..30_000 => 4,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_is_retried_and_then_parked_with_a_sentence() {
        let now = Moment(1_000_000);
        for attempts in 1..MAX_APPLY_ATTEMPTS {
            assert!(matches!(after_failed_apply(attempts, now, "x"), Failed::Retry(at) if at > now));
        }
        let Failed::Park(reason) = after_failed_apply(MAX_APPLY_ATTEMPTS, now, "disk full") else { panic!() };
        assert!(reason.contains("disk full"));
    }

    #[test]
    fn a_missing_record_is_asked_for_with_growing_pauses() {
        assert_eq!(after_miss(1, Moment(0)), Moment(2_000));
        assert_eq!(after_miss(9, Moment(0)), Moment(60_000));
    }

    #[test]
    fn a_run_whose_sweep_fails_for_the_sixth_time_is_left_to_the_schedule() {
        let now = Moment(1_000_000);
        for restarts in 1..6 {
            assert!(after_failed_sweep(restarts, now).is_some_and(|at| at > now && at <= now.plus_ms(1_800_000)));
        }
        assert_eq!(after_failed_sweep(6, now), None);
    }
}
