//! Which observation wins: pure rules, one function.
//!
//! In: the version that is stored and the version that is observed, and where in the inbox both
//! stand. Out: a [`Judgement`]. The rules are those of design section 5; each returns its own words,
//! which `explainProfile` shows.

use entity::Moment;
use provider::{Freshness, Rung, Version};

/// How far the clock of a provider may be from ours, milliseconds, where a moment of theirs is held against one of ours.
const CLOCK_SKEW_MS: i64 = 5_000;

/// The rule where news of an unknown record may be older than the lists that were read last.
pub const OVERTAKEN: &str = "not known, and not certainly newer than the last full run: asked for by id";

/// Where an observation comes from, as far as order is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observed {
    /// Its version.
    pub version: Version,
    /// Inbox position when the request that brought it started; `None` for a webhook, whose sender
    /// may have waited with it for any time.
    pub started_at: Option<i64>,
}

/// What is stored, as far as order is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The stored version.
    pub version: Version,
    /// Inbox position of the delivery that the stored state comes from.
    pub position: i64,
}

/// Who wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// The observation; with the rule in words.
    Observed(&'static str),
    /// What is stored; with the rule in words.
    Stored(&'static str),
    /// Nobody can tell: fetch by id, whose answer starts later than both.
    Fetch(&'static str),
}

/// The version of an answer to a request: it shows upstream at some moment between the two inbox
/// positions, so that answers to requests that overlapped in time are a tie.
pub fn request_version(started_at: i64, arrived_at: i64) -> Version {
    Version { rung: Rung::RequestStarted, from: started_at, until: (arrived_at - 1).max(started_at) }
}

/// Judges an observation whose content differs from what is stored.
pub fn judge(observed: Observed, stored: Stored) -> Judgement {
    match compare(observed.version, stored.version) {
        Freshness::Newer => Judgement::Observed("newer version"),
        Freshness::Older => Judgement::Stored("older version"),
        Freshness::Tie | Freshness::Unrelated => match observed.started_at {
            Some(started_at) if started_at >= stored.position => {
                Judgement::Observed("same version, and asked for after the stored state had arrived")
            }
            Some(_) => Judgement::Fetch("same version, and in flight while the stored state arrived"),
            None => Judgement::Fetch("same version with different content"),
        },
    }
}

/// Whether `observed` is certainly newer, for raising the version of unchanged content.
pub fn is_newer(observed: Version, stored: Version) -> bool {
    compare(observed, stored) == Freshness::Newer
}

/// Whether what a webhook tells of an unknown record may have been overtaken by its end: it is not certainly newer than the
/// lists that were read last. Both clocks are taken to be right to within 5 s.
pub fn may_be_older_than_lists(observed: Version, listed_until: Moment) -> bool {
    is_upstream_time(observed.rung) && observed.from <= listed_until.0.saturating_add(CLOCK_SKEW_MS)
}

fn is_upstream_time(rung: Rung) -> bool {
    matches!(rung, Rung::EventTime | Rung::UpstreamModified)
}

/// Event time and time of modification are moments on the same upstream clock and compare; a request's
/// inbox position compares with nothing else.
fn compare(observed: Version, stored: Version) -> Freshness {
    if is_upstream_time(observed.rung) && is_upstream_time(stored.rung) {
        let same_rung = Version { rung: stored.rung, ..observed };
        return same_rung.against(&stored);
    }
    observed.against(&stored)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(second: i64) -> Version {
        Version { rung: Rung::UpstreamModified, from: second * 1000, until: second * 1000 + 999 }
    }

    fn webhook(version: Version) -> Observed {
        Observed { version, started_at: None }
    }

    #[test]
    fn older_never_wins_and_newer_always_does() {
        let stored = Stored { version: second(10), position: 50 };
        assert_eq!(judge(webhook(second(9)), stored), Judgement::Stored("older version"));
        assert_eq!(judge(webhook(second(11)), stored), Judgement::Observed("newer version"));
        let late_page = Observed { version: second(9), started_at: Some(60) };
        assert_eq!(judge(late_page, stored), Judgement::Stored("older version"));
    }

    #[test]
    fn two_events_in_one_second_are_settled_by_a_fetch() {
        let stored = Stored { version: second(10), position: 50 };
        assert!(matches!(judge(webhook(second(10)), stored), Judgement::Fetch(_)));
        let fetch = Observed { version: second(10), started_at: Some(50) };
        assert!(matches!(judge(fetch, stored), Judgement::Observed(_)));
    }

    #[test]
    fn a_page_in_flight_never_beats_what_arrived_meanwhile() {
        let stored = Stored { version: second(10), position: 50 };
        let page = Observed { version: second(10), started_at: Some(49) };
        assert!(matches!(judge(page, stored), Judgement::Fetch(_)));
    }

    #[test]
    fn answers_to_overlapping_requests_are_a_tie() {
        let stored = Stored { version: request_version(10, 20), position: 20 };
        let overlapping = Observed { version: request_version(15, 25), started_at: Some(15) };
        let later = Observed { version: request_version(20, 25), started_at: Some(20) };
        let earlier = Observed { version: request_version(5, 9), started_at: Some(5) };
        assert!(matches!(judge(overlapping, stored), Judgement::Fetch(_)));
        assert!(matches!(judge(later, stored), Judgement::Observed(_)));
        assert!(matches!(judge(earlier, stored), Judgement::Stored(_)));
    }

    #[test]
    fn news_that_lists_have_overtaken_is_told_from_news_that_is_later_than_they_are() {
        let listed_until = Moment(20_000);
        assert!(may_be_older_than_lists(second(10), listed_until));
        assert!(may_be_older_than_lists(second(25), listed_until), "within the skew of clocks");
        assert!(!may_be_older_than_lists(second(26), listed_until));
        assert!(!may_be_older_than_lists(request_version(1, 2), listed_until), "positions are no times");
    }

    #[test]
    fn event_time_and_time_of_modification_compare() {
        let stored = Stored { version: second(10), position: 50 };
        let event = |at| webhook(Version { rung: Rung::EventTime, ..second(at) });
        assert!(matches!(judge(event(11), stored), Judgement::Observed(_)));
        assert!(matches!(judge(event(9), stored), Judgement::Stored(_)));
        assert!(matches!(judge(event(10), stored), Judgement::Fetch(_)));
    }
}
