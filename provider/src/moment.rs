//! Times as providers write them: ISO 8601, Unix time and HTTP dates.

use crate::{Rung, Version};
use chrono::{DateTime, Datelike, NaiveDateTime, Utc};
use serde_json::Value;

/// `moment` where it is one that a calendar of ours can hold; years beyond four digits are not.
pub(crate) fn plausible(moment: DateTime<Utc>) -> Option<DateTime<Utc>> {
    (0..=9999).contains(&moment.year()).then_some(moment)
}

/// An ISO 8601 time; UTC where it names no offset.
pub(crate) fn iso(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim();
    let moment = match DateTime::parse_from_rfc3339(text) {
        Ok(moment) => moment.with_timezone(&Utc),
        Err(_) => NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").ok()?.and_utc(),
    };
    plausible(moment)
}

/// An ISO 8601 time in JSON.
pub(crate) fn iso_value(value: Option<&Value>) -> Option<DateTime<Utc>> {
    iso(value?.as_str()?)
}

/// The version that an ISO 8601 time gives, as fine as it is written.
pub(crate) fn iso_version(rung: Rung, text: &str) -> Option<Version> {
    let moment = iso(text)?;
    Some(if text.contains('.') { Version::at_time(rung, moment) } else { Version::within_second(rung, moment) })
}

/// A Unix time in seconds.
pub(crate) fn unix_seconds(seconds: i64) -> Option<DateTime<Utc>> {
    plausible(DateTime::from_timestamp(seconds, 0)?)
}

/// A time in an HTTP header (`Tue, 20 Apr 2021 02:07:55 GMT`).
pub(crate) fn http_date(text: &str) -> Option<DateTime<Utc>> {
    plausible(DateTime::parse_from_rfc2822(text.trim()).ok()?.with_timezone(&Utc))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precision_is_kept() {
        let second = iso_version(Rung::UpstreamModified, "2024-01-20T00:00:00Z").unwrap();
        assert_eq!(second.until - second.from, 999);
        let exact = iso_version(Rung::UpstreamModified, "2024-01-20T00:00:00.120Z").unwrap();
        assert_eq!(exact.from, exact.until);
    }

    #[test]
    fn implausible_times_are_none() {
        assert_eq!(iso("+123456-01-01T00:00:00Z"), None);
        assert_eq!(iso("yesterday"), None);
        assert_eq!(unix_seconds(i64::MAX), None);
        assert!(http_date("Tue, 20 Apr 2021 02:07:55 GMT").is_some());
    }
}
