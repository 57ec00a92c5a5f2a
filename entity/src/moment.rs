//! A moment in time as the database keeps it.

use chrono::{DateTime, Utc};
use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

/// Clocks of instances differ by no more, milliseconds.
const CLOCKS_MS: i64 = 60_000;

/// Unix milliseconds, UTC: the same precision and order on SQLite and PostgreSQL.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, DeriveValueType, Serialize, Deserialize,
)]
pub struct Moment(pub i64);

impl Moment {
    /// As a date and time; moments beyond chrono's range become its limits.
    pub fn to_datetime(self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.0).unwrap_or(if self.0 < 0 {
            DateTime::<Utc>::MIN_UTC
        } else {
            DateTime::<Utc>::MAX_UTC
        })
    }

    /// This many milliseconds later.
    #[must_use]
    pub fn plus_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// The latest time that another instance's clock shows while ours shows this. What lies behind it was set by a clock that
    /// was ahead.
    #[must_use]
    pub fn latest(self) -> Self {
        self.plus_ms(CLOCKS_MS)
    }

    /// Whether a moment has come that lay at most `longest_ms` ahead when it was set. One that lies further ahead was set by
    /// a clock that was ahead itself, and must not make anybody wait for as long as that.
    pub fn has_come(self, now: Self, longest_ms: i64) -> bool {
        self <= now || self > now.plus_ms(longest_ms)
    }
}

impl From<DateTime<Utc>> for Moment {
    fn from(at: DateTime<Utc>) -> Self {
        Self(at.timestamp_millis())
    }
}

#[cfg(test)]
mod tests {
    use super::Moment;

    #[test]
    fn what_lies_further_ahead_than_any_pause_is_long_has_come() {
        let has_come = |at: i64| Moment(at).has_come(Moment(1_000), 500);
        assert!(has_come(999) && has_come(1_000));
        assert!(!has_come(1_001) && !has_come(1_500));
        assert!(has_come(1_501));
    }
}
