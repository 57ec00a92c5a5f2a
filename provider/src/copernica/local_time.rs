//! Copernica's times: local, without a zone, to the second (`2019-02-21 13:26:21`).
//!
//! In the hour that a clock change repeats, a text names two moments; the span then covers both. An
//! hour that a clock change leaves out is shifted forward by its length. A webhook carries its event
//! time twice, as Unix time and as local text, which tells the two moments of one text apart.

use crate::moment::plausible;
use crate::{Rung, Version};
use chrono::{DateTime, Days, MappedLocalTime, NaiveDateTime, Offset, TimeZone, Utc};
use chrono_tz::Tz;

/// The moments that one text may name; both ends are whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// The earliest.
    pub(super) from: DateTime<Utc>,
    /// The latest; the same but in an hour that is repeated.
    pub(super) until: DateTime<Utc>,
}

impl Span {
    fn exact(moment: DateTime<Utc>) -> Self {
        Self { from: moment, until: moment }
    }

    /// The version that a change in this span has: up to the end of its last second.
    pub(super) fn version(self, rung: Rung) -> Version {
        Version { rung, from: self.from.timestamp() * 1000, until: self.until.timestamp() * 1000 + 999 }
    }
}

/// Reads a local time; `None` for empty ones (`0000-00-00 00:00:00`) and for what is no time.
pub(super) fn read(zone: Tz, text: &str) -> Option<Span> {
    let local = parse(text)?;
    let span = match zone.from_local_datetime(&local) {
        MappedLocalTime::Single(moment) => Span::exact(moment.with_timezone(&Utc)),
        MappedLocalTime::Ambiguous(one, other) => {
            let (one, other) = (one.with_timezone(&Utc), other.with_timezone(&Utc));
            Span { from: one.min(other), until: one.max(other) }
        }
        MappedLocalTime::None => {
            // The offset from before the gap moves the time forward by as much as the clock moved.
            let before = zone.from_local_datetime(&local.checked_sub_days(Days::new(1))?).earliest()?;
            let utc = local
                .checked_sub_signed(chrono::TimeDelta::seconds(i64::from(before.offset().fix().local_minus_utc())))?;
            Span::exact(utc.and_utc())
        }
    };
    plausible(span.from)?;
    plausible(span.until)?;
    Some(span)
}

fn parse(text: &str) -> Option<NaiveDateTime> {
    let text = text.trim();
    NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S")
        .or_else(|_| NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S"))
        .ok()
        .filter(|time| time.and_utc().timestamp() > -62_000_000_000)
}

/// When an event happened, from its `time` and `timestamp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EventTime {
    span: Span,
    local: Option<NaiveDateTime>,
}

impl EventTime {
    /// Reads the pair; Unix time counts first, because it has no zone to get wrong.
    pub(super) fn read(zone: Tz, time: Option<DateTime<Utc>>, timestamp: Option<&str>) -> Option<Self> {
        let local = timestamp.and_then(parse);
        let span = match time {
            Some(time) => Span::exact(time),
            None => read(zone, timestamp?)?,
        };
        if let (Some(time), Some(local)) = (time, local) {
            let told = (local - time.naive_utc()).num_seconds();
            let assumed = i64::from(zone.offset_from_utc_datetime(&time.naive_utc()).fix().local_minus_utc());
            // A few seconds apart is how the two were made; quarters of an hour are another zone.
            if (told - assumed).abs() >= 15 * 60 {
                tracing::warn!(
                    told_seconds = told,
                    assumed_seconds = assumed,
                    "copernica's local times are in another zone than time_zone says"
                );
            }
        }
        Some(Self { span, local })
    }

    /// The moment for lifecycle order: the later one of two, so that a removal is not ordered before
    /// what it removed.
    pub(super) fn at(&self) -> DateTime<Utc> {
        self.span.until
    }

    /// The version of a state that has nothing but its event's time.
    pub(super) fn version(&self, rung: Rung) -> Version {
        self.span.version(rung)
    }

    /// `modified` of the record that the event tells about: of two moments, the one that the pair
    /// names, or the one that is not after the event.
    pub(super) fn settle(&self, zone: Tz, modified: &str) -> Option<Span> {
        let span = read(zone, modified)?;
        if span.from == span.until {
            return Some(span);
        }
        if self.local.is_some() && parse(modified) == self.local {
            let event = self.span;
            let is_near = |moment: DateTime<Utc>| (moment - event.from).num_seconds().abs() <= 60;
            if event.from == event.until {
                if is_near(span.from) {
                    return Some(Span::exact(span.from));
                }
                if is_near(span.until) {
                    return Some(Span::exact(span.until));
                }
            }
        }
        if span.until > self.span.until + chrono::TimeDelta::seconds(60) {
            return Some(Span::exact(span.from));
        }
        Some(span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono_tz::Europe::Amsterdam;

    fn utc(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn winter_and_summer_have_their_offsets() {
        assert_eq!(read(Amsterdam, "2024-01-15 12:00:00"), Some(Span::exact(utc("2024-01-15T11:00:00Z"))));
        assert_eq!(read(Amsterdam, "2024-07-15 12:00:00"), Some(Span::exact(utc("2024-07-15T10:00:00Z"))));
    }

    #[test]
    fn the_repeated_hour_spans_both_moments() {
        let span = read(Amsterdam, "2024-10-27 02:30:00").unwrap();
        assert_eq!((span.from, span.until), (utc("2024-10-27T00:30:00Z"), utc("2024-10-27T01:30:00Z")));
        let version = span.version(Rung::UpstreamModified);
        assert_eq!(version.until - version.from, 3_600_999);
    }

    #[test]
    fn the_missing_hour_is_shifted_forward() {
        assert_eq!(read(Amsterdam, "2024-03-31 02:30:00"), Some(Span::exact(utc("2024-03-31T01:30:00Z"))));
        assert_eq!(read(Amsterdam, "2024-03-31 03:00:00"), Some(Span::exact(utc("2024-03-31T01:00:00Z"))));
    }

    #[test]
    fn the_pair_of_times_settles_the_repeated_hour() {
        for (time, expected) in
            [("2024-10-27T00:30:00Z", "2024-10-27T00:30:00Z"), ("2024-10-27T01:30:00Z", "2024-10-27T01:30:00Z")]
        {
            let event = EventTime::read(Amsterdam, Some(utc(time)), Some("2024-10-27 02:30:00")).unwrap();
            assert_eq!(event.settle(Amsterdam, "2024-10-27 02:30:00"), Some(Span::exact(utc(expected))));
        }
    }

    #[test]
    fn a_modification_is_not_after_its_event() {
        let event = EventTime::read(Amsterdam, Some(utc("2024-10-27T00:45:00Z")), Some("2024-10-27 02:45:00")).unwrap();
        assert_eq!(event.settle(Amsterdam, "2024-10-27 02:30:00"), Some(Span::exact(utc("2024-10-27T00:30:00Z"))));
        let later = EventTime::read(Amsterdam, Some(utc("2024-10-27T01:45:00Z")), Some("2024-10-27 02:45:00")).unwrap();
        let unsettled = later.settle(Amsterdam, "2024-10-27 02:30:00").unwrap();
        assert_eq!((unsettled.until - unsettled.from).num_minutes(), 60);
    }

    #[test]
    fn empty_times_are_none() {
        for text in ["", "0000-00-00 00:00:00", "0000-00-00", "2024-13-01 00:00:00", "now", "9999999-01-01 00:00:00"] {
            assert_eq!(read(Amsterdam, text), None, "{text}");
        }
    }
}
