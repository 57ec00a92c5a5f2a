//! How new an observation is: the rung of the ladder it stands on, and the span of time it names.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Where a version comes from, best first (design section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rung {
    /// The time at which our request for it started, kept as an inbox position.
    RequestStarted,
    /// The time of the event that told of it.
    EventTime,
    /// The provider's own time of last modification.
    UpstreamModified,
    /// A sequence number that the provider counts up with each change.
    NativeSequence,
}

/// A version: a rung, and the closed span `from..=until` in which the change happened.
///
/// The span says how coarse the source is: whole seconds make it 999 ms long, an hour that a
/// clock change repeats makes it an hour longer. Two versions whose spans overlap are a tie.
/// Units: Unix milliseconds, but for [`Rung::NativeSequence`] (the number itself) and
/// [`Rung::RequestStarted`] (an inbox position, filled in by apply).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Where it comes from.
    pub rung: Rung,
    /// Earliest possible moment.
    pub from: i64,
    /// Latest possible moment; never before `from`.
    pub until: i64,
}

/// What a comparison of two versions can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// The first is certainly newer.
    Newer,
    /// Neither is certainly newer; equal content settles it, else a fetch does.
    Tie,
    /// The first is certainly older.
    Older,
    /// They stand on different rungs and cannot be compared.
    Unrelated,
}

impl Version {
    /// A version at one exact moment.
    pub fn at(rung: Rung, moment: i64) -> Self {
        Self { rung, from: moment, until: moment }
    }

    /// A version known to the whole second that `moment` lies in.
    pub fn within_second(rung: Rung, moment: DateTime<Utc>) -> Self {
        let from = moment.timestamp() * 1000;
        Self { rung, from, until: from + 999 }
    }

    /// A version known to the millisecond.
    pub fn at_time(rung: Rung, moment: DateTime<Utc>) -> Self {
        Self::at(rung, moment.timestamp_millis())
    }

    /// Compares this version with another.
    pub fn against(&self, other: &Version) -> Freshness {
        if self.rung != other.rung {
            Freshness::Unrelated
        } else if self.from > other.until {
            Freshness::Newer
        } else if self.until < other.from {
            Freshness::Older
        } else {
            Freshness::Tie
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_spans_are_a_tie() {
        let second = Version { rung: Rung::UpstreamModified, from: 1000, until: 1999 };
        let later = Version { rung: Rung::UpstreamModified, from: 2000, until: 2999 };
        assert_eq!(second.against(&second), Freshness::Tie);
        assert_eq!(later.against(&second), Freshness::Newer);
        assert_eq!(second.against(&later), Freshness::Older);
        let folded = Version { rung: Rung::UpstreamModified, from: 1500, until: 2500 };
        assert_eq!(folded.against(&second), Freshness::Tie);
        assert_eq!(folded.against(&later), Freshness::Tie);
    }

    #[test]
    fn different_rungs_do_not_compare() {
        let a = Version::at(Rung::RequestStarted, 5);
        let b = Version::at(Rung::EventTime, 5);
        assert_eq!(a.against(&b), Freshness::Unrelated);
    }
}
