//! What an answer says about how many more calls upstream takes, and when.
//!
//! Three families are in use: `X-RateLimit-*`, the single `RateLimit` header of the IETF's drafts in its older
//! (`limit=100, remaining=7, reset=13`) and newer form (`"default";r=7;t=13`), and `RateLimit-*` between the two.

use crate::moment;
use chrono::{DateTime, Utc};
use http::HeaderMap;
use http::header::{DATE, RETRY_AFTER};

/// What an answer says about the calls after it. What it does not say is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Calls in a window.
    pub limit: Option<u32>,
    /// Calls left in the window that runs.
    pub remaining: Option<u32>,
    /// When the next window begins.
    pub reset: Option<Pause>,
    /// No call before then.
    pub retry_after: Option<Pause>,
}

/// A moment to wait for, as upstream gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// So many seconds from the answer.
    Seconds(u64),
    /// A moment, of an answer without a `Date` to compare it with.
    Until(DateTime<Utc>),
}

impl Pause {
    /// The pause in milliseconds, for an answer that came now; 0 where it is over.
    pub fn ms_from(self, now: DateTime<Utc>) -> i64 {
        match self {
            Self::Seconds(seconds) => i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000),
            Self::Until(moment) => (moment - now).num_milliseconds().max(0),
        }
    }

    /// The pause in seconds, where it can be told without a clock.
    pub(crate) fn seconds(self) -> Option<u64> {
        match self {
            Self::Seconds(seconds) => Some(seconds),
            Self::Until(_) => None,
        }
    }

    /// A moment is taken relative to the answer's own `Date`: upstream made both with one clock.
    fn until(moment: DateTime<Utc>, answered: Option<DateTime<Utc>>) -> Self {
        match answered {
            Some(answered) => {
                let ms = (moment - answered).num_milliseconds();
                Self::Seconds(u64::try_from(ms.max(0)).unwrap_or(0).div_ceil(1_000))
            }
            None => Self::Until(moment),
        }
    }
}

impl Limits {
    /// Reads the headers of an answer.
    pub fn read(headers: &HeaderMap) -> Self {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
        let number = |name: &str| header(name).and_then(first_number);
        let answered = header(DATE.as_str()).and_then(moment::http_date);
        let joined = header("ratelimit").unwrap_or_default();
        let policy = header("ratelimit-policy").unwrap_or_default();
        let count = |found: Option<i64>| found.and_then(|count| u32::try_from(count.max(0)).ok());
        let limit = number("x-ratelimit-limit")
            .or_else(|| number("ratelimit-limit"))
            .or_else(|| parameter(joined, &["limit"]))
            .or_else(|| parameter(policy, &["q"]));
        let remaining = number("x-ratelimit-remaining")
            .or_else(|| number("ratelimit-remaining"))
            .or_else(|| parameter(joined, &["remaining", "r"]));
        let reset = number("x-ratelimit-reset")
            .or_else(|| number("ratelimit-reset"))
            .or_else(|| parameter(joined, &["reset", "t"]));
        Self {
            limit: count(limit),
            remaining: count(remaining),
            reset: reset.and_then(|reset| read_reset(reset, answered)),
            retry_after: header(RETRY_AFTER.as_str()).and_then(|wait| read_retry_after(wait, answered)),
        }
    }
}

fn read_retry_after(wait: &str, answered: Option<DateTime<Utc>>) -> Option<Pause> {
    if let Ok(seconds) = wait.parse::<f64>() {
        return (seconds.is_finite() && seconds >= 0.0).then(|| Pause::Seconds(seconds.ceil() as u64));
    }
    moment::http_date(wait).map(|moment| Pause::until(moment, answered))
}

/// Providers do not say whether a reset is a pause or a moment: its size tells.
fn read_reset(reset: i64, answered: Option<DateTime<Utc>>) -> Option<Pause> {
    let moment = match reset {
        ..1_000_000_000 => return Some(Pause::Seconds(u64::try_from(reset).unwrap_or(0))),
        1_000_000_000..100_000_000_000 => DateTime::from_timestamp(reset, 0),
        _ => DateTime::from_timestamp_millis(reset),
    };
    Some(Pause::until(moment?, answered))
}

/// The value of the first of these parameters in `a=1, b=2` or `"name";a=1;b=2`.
fn parameter(header: &str, names: &[&str]) -> Option<i64> {
    let pairs = header.split([',', ';']).filter_map(|part| part.trim().split_once('='));
    pairs.filter(|(name, _)| names.contains(&name.trim())).find_map(|(_, value)| first_number(value.trim()))
}

/// The number that a value starts with: some add their window after it (`100;w=60`).
fn first_number(value: &str) -> Option<i64> {
    value.split([',', ';', '.']).next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&'static str, &str)]) -> Limits {
        let header =
            |(name, value): &(&'static str, &str)| (http::HeaderName::from_static(name), value.parse().unwrap());
        Limits::read(&pairs.iter().map(header).collect())
    }

    #[test]
    fn every_family_says_the_same() {
        let wanted =
            Limits { limit: Some(100), remaining: Some(7), reset: Some(Pause::Seconds(13)), retry_after: None };
        for headers in [
            [("x-ratelimit-limit", "100"), ("x-ratelimit-remaining", "7"), ("x-ratelimit-reset", "13")].as_slice(),
            &[("ratelimit-limit", "100, 100;w=60"), ("ratelimit-remaining", "7"), ("ratelimit-reset", "13")],
            &[("ratelimit", "limit=100, remaining=7, reset=13")],
            &[("ratelimit-policy", "\"default\";q=100;w=60"), ("ratelimit", "\"default\";r=7;t=13")],
        ] {
            assert_eq!(read(headers), wanted, "{headers:?}");
        }
        assert_eq!(read(&[]), Limits::default());
        assert_eq!(read(&[("x-ratelimit-remaining", "-3")]).remaining, Some(0));
    }

    #[test]
    fn moments_are_taken_by_the_clock_that_made_them() {
        let date = ("date", "Tue, 20 Apr 2021 02:07:55 GMT");
        let until = ("retry-after", "Tue, 20 Apr 2021 02:08:25 GMT");
        assert_eq!(read(&[date, until]).retry_after, Some(Pause::Seconds(30)));
        let alone = read(&[until]).retry_after.unwrap();
        let now = moment::http_date(date.1).unwrap();
        assert_eq!((alone.ms_from(now), alone.ms_from(now + chrono::Duration::hours(1))), (30_000, 0));
        assert_eq!(read(&[date, ("x-ratelimit-reset", "1618884485")]).reset, Some(Pause::Seconds(10)));
        assert_eq!(read(&[date, ("x-ratelimit-reset", "1618884484500")]).reset, Some(Pause::Seconds(10)));
        assert_eq!(read(&[("retry-after", "1.5")]).retry_after, Some(Pause::Seconds(2)));
        assert_eq!(read(&[("retry-after", "soon")]).retry_after, None);
    }
}
