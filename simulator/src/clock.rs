//! The time inside the world: moved by hand in tests, real in the program.

use chrono::{DateTime, Duration, SubsecRound, Utc};

use crate::guarded::Guarded;

/// The world's clock.
#[derive(Debug)]
pub(crate) struct Clock {
    manual: Option<Guarded<DateTime<Utc>>>,
}

impl Clock {
    pub(crate) fn manual(start: DateTime<Utc>) -> Self {
        Self { manual: Some(Guarded::new(start)) }
    }

    pub(crate) fn real() -> Self {
        Self { manual: None }
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        match &self.manual {
            Some(at) => *at.lock(),
            None => real_now().trunc_subsecs(3),
        }
    }

    /// Moves a manual clock; a real one cannot be moved.
    pub(crate) fn advance(&self, by: Duration) {
        if let Some(at) = &self.manual {
            *at.lock() += by;
        }
    }

    pub(crate) fn set(&self, to: DateTime<Utc>) {
        if let Some(at) = &self.manual {
            *at.lock() = to;
        }
    }
}

/// The machine's time: signatures and tokens are dated with it whatever the world's clock says.
#[allow(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
pub fn real_now() -> DateTime<Utc> {
    Utc::now()
}

/// ISO-8601 in UTC with milliseconds, as Parallel writes times.
pub(crate) fn iso_millis(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

/// ISO-8601 in UTC, with milliseconds only where there are any, as GetProfile writes times.
pub(crate) fn iso_auto(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
}
