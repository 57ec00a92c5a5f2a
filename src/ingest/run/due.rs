//! What is due by itself: a failed run that is tried again, a run at its time or past it, one after a gap.
//!
//! Nothing is remembered but the runs: a time has been kept when a run began after it. So a time that was missed
//! because nobody was up is due as soon as somebody is, and a run that failed has not been done.

use super::request::RunRequest;
use croner::Cron;
use croner::parser::{CronParser, Seconds};
use entity::{Moment, RunKind, sync_run};
use std::hash::{DefaultHasher, Hash, Hasher};

/// A run that begins so much later than its time was missed, milliseconds.
const MISSED_MS: i64 = 120_000;
/// A full run that failed so often in a row keeps no incremental one waiting any more: what webhooks miss meanwhile would
/// come with neither.
pub(super) const HOLDS_UP_NO_MORE: i32 = 6;
/// A failed run is tried again within this time, milliseconds.
const MAX_RETRY_MS: i64 = 1_800_000;
/// Clocks of instances differ by no more, milliseconds: a run that began further ahead began by a clock that was wrong.
const CLOCKS_MS: i64 = 900_000;
/// An incremental run reaches back behind the begin of the last one, milliseconds: further than that may be ahead.
const OVERLAP_MS: i64 = CLOCKS_MS + 300_000;
/// Times that are looked at for the last that has come, jitter included.
const TIMES_LOOKED_AT: u32 = 1_000;

/// When a source is synced by itself.
#[derive(Clone, Debug)]
pub struct Timetable {
    /// Name of the source: each has a jitter of its own.
    pub source_name: String,
    /// Full runs.
    pub full: Cron,
    /// Runs over what has changed.
    pub incremental: Option<Cron>,
    /// A run begins up to so many seconds after its time, so that sources do not all call at once.
    pub jitter_seconds: u32,
}

/// Reads a cron expression, seconds first.
///
/// # Errors
/// What is wrong with it.
pub fn parse_cron(expression: &str) -> Result<Cron, String> {
    let parser = CronParser::builder().seconds(Seconds::Required).build();
    parser.parse(expression).map_err(|error| error.to_string())
}

/// The latest begin of a run that is believed. What began after it keeps no time and tells of no changes: the runs before it
/// do, so that nothing waits until a clock that was set back is there again.
pub(super) fn latest_begin(now: Moment) -> Moment {
    now.plus_ms(CLOCKS_MS)
}

/// What has happened so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Past {
    /// The newest run, plans and named profiles not counted.
    pub newest: Option<sync_run::Model>,
    /// The failed run that is to be tried again first, whatever its kind.
    pub retry: Option<sync_run::Model>,
    /// A full run over all of the source is to be tried again, and may well succeed.
    pub full_waits: bool,
    /// Begin of the newest full run over all of the source, however it ended.
    pub full_began: Option<Moment>,
    /// Begin of the newest run over all of the source that is done.
    pub done_began: Option<Moment>,
    /// From when to when nobody was alive, where that was longer than the provider sends again.
    pub gap: Option<(Moment, Moment)>,
}

/// What is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// The run of this id is tried again.
    Again(i64),
    /// A new run.
    Start(RunRequest),
}

impl Timetable {
    /// What is due now.
    pub(super) fn due(&self, past: &Past, now: Moment) -> Option<Due> {
        let start = |cause: String| Some(Due::Start(RunRequest::full(cause)));
        let Some(full_began) = past.full_began else { return start("first import".to_owned()) };
        if let Some((since, _)) = past.gap.filter(|(_, until)| full_began < *until) {
            return start(format!("gap: nobody was up since {}", since.to_datetime().format("%Y-%m-%d %H:%M:%S UTC")));
        }
        if let Some(time) = self.last_time(&self.full, now)
            && full_began < time
        {
            let is_missed = now.0 - time.0 > MISSED_MS;
            return start(if is_missed { "missed schedule".to_owned() } else { "schedule".to_owned() });
        }
        // What changes alone would bring, and more, comes with the full run.
        let incremental = self.incremental.as_ref().filter(|_| !past.full_waits)?;
        let time = self.last_time(incremental, now)?;
        let done_began = past.done_began?;
        let newest_began = past.newest.as_ref().map_or(done_began, |run| run.started_at);
        (newest_began < time).then(|| {
            let since = Some(done_began.plus_ms(-OVERLAP_MS));
            let cause = "schedule".to_owned();
            Due::Start(RunRequest { kind: RunKind::Incremental, since, ..RunRequest::full(cause) })
        })
    }

    /// When the next full run begins.
    pub(super) fn next_full(&self, now: Moment) -> Option<Moment> {
        let next = self.full.find_next_occurrence(&now.to_datetime(), false).ok()?;
        Some(self.with_jitter(Moment::from(next)))
    }

    /// The last time, jitter included, that has come.
    fn last_time(&self, cron: &Cron, now: Moment) -> Option<Moment> {
        // Cron knows whole seconds.
        let mut before = Moment(now.0 - now.0.rem_euclid(1_000)).to_datetime();
        // With its jitter a time may lie ahead still: one before it has come.
        for _ in 0..TIMES_LOOKED_AT {
            let time = cron.find_previous_occurrence(&before, true).ok()?;
            let begins = self.with_jitter(Moment::from(time));
            if begins <= now {
                return Some(begins);
            }
            before = time - chrono::TimeDelta::seconds(1);
        }
        None
    }

    /// The same for every instance, another for every source and time.
    fn with_jitter(&self, time: Moment) -> Moment {
        let mut hasher = DefaultHasher::new();
        (&self.source_name, time.0).hash(&mut hasher);
        let jitter_ms = hasher.finish() % (u64::from(self.jitter_seconds) * 1_000 + 1);
        time.plus_ms(i64::try_from(jitter_ms).unwrap_or(0))
    }
}

/// Whether a failed run is to be tried again by now. That needs no timetable.
pub(super) fn retry(past: &Past, now: Moment) -> Option<Due> {
    let failed = past.retry.as_ref()?;
    failed.retry_at.filter(|at| at.has_come(now, MAX_RETRY_MS)).map(|_| Due::Again(failed.id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{TimeZone, Utc};
    use entity::RunState;

    fn at(text: &str) -> Moment {
        let naive = chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").unwrap();
        Moment::from(Utc.from_utc_datetime(&naive))
    }

    fn timetable(jitter_seconds: u32) -> Timetable {
        let full = parse_cron("0 30 2 * * *").unwrap();
        let incremental = Some(parse_cron("0 */10 * * * *").unwrap());
        Timetable { source_name: "crm".to_owned(), full, incremental, jitter_seconds }
    }

    fn past(full: &str, done: &str) -> Past {
        Past { full_began: Some(at(full)), done_began: Some(at(done)), ..Past::default() }
    }

    fn cause(due: Option<Due>) -> Option<(RunKind, String)> {
        match due? {
            Due::Start(request) => Some((request.kind, request.cause)),
            Due::Again(_) => None,
        }
    }

    #[test]
    fn a_source_that_was_never_synced_is_due_at_once() {
        let due = timetable(0).due(&Past::default(), at("2026-03-01 12:00:00"));
        assert_eq!(cause(due), Some((RunKind::Full, "first import".to_owned())));
    }

    #[test]
    fn a_time_is_due_once_and_again_at_the_next_one() {
        let table = timetable(0);
        let before = past("2026-03-01 02:30:00", "2026-03-02 02:25:00");
        assert_eq!(table.due(&before, at("2026-03-02 02:29:59")), None);
        assert_eq!(cause(table.due(&before, at("2026-03-02 02:30:00"))), Some((RunKind::Full, "schedule".to_owned())));
        let after = past("2026-03-02 02:30:01", "2026-03-02 02:30:01");
        assert_eq!(table.due(&after, at("2026-03-02 02:33:00")), None);
    }

    #[test]
    fn a_time_that_was_missed_is_due_at_once_and_says_so() {
        let before = past("2026-03-01 02:30:00", "2026-03-01 02:30:00");
        let due = timetable(0).due(&before, at("2026-03-02 08:00:00"));
        assert_eq!(cause(due), Some((RunKind::Full, "missed schedule".to_owned())));
    }

    #[test]
    fn between_full_runs_only_what_has_changed_is_asked_for() {
        let table = timetable(0);
        let before = past("2026-03-02 02:30:01", "2026-03-02 02:30:01");
        let Some(Due::Start(request)) = table.due(&before, at("2026-03-02 02:40:00")) else { panic!() };
        assert_eq!((request.kind, request.since), (RunKind::Incremental, Some(at("2026-03-02 02:10:01"))));
    }

    #[test]
    fn no_incremental_run_begins_while_a_full_one_waits_to_be_tried_again() {
        let table = timetable(0);
        let mut before = past("2026-03-02 02:30:01", "2026-03-01 02:30:01");
        before.full_waits = true;
        assert_eq!(table.due(&before, at("2026-03-02 02:40:00")), None);
        let due = table.due(&before, at("2026-03-03 02:30:00"));
        assert_eq!(cause(due), Some((RunKind::Full, "schedule".to_owned())), "its next time is kept all the same");
    }

    #[test]
    fn jitter_delays_and_is_the_same_for_every_instance() {
        let table = timetable(600);
        let begins = table.with_jitter(at("2026-03-02 02:30:00"));
        assert!((0..=600_000).contains(&(begins.0 - at("2026-03-02 02:30:00").0)));
        let before = past("2026-03-01 02:45:00", "2026-03-02 02:29:00");
        let is_full = |now| cause(table.due(&before, now)).is_some_and(|(kind, _)| kind == RunKind::Full);
        assert!(!is_full(begins.plus_ms(-1)));
        assert!(is_full(begins));
    }

    #[test]
    fn times_closer_than_their_jitter_are_kept_all_the_same() {
        let mut table = timetable(600);
        table.incremental = Some(parse_cron("0 * * * * *").unwrap());
        let mut before = past("2026-03-02 02:45:00", "2026-03-02 02:45:00");
        let mut began = 0;
        for second in 0..3_600 {
            let now = at("2026-03-02 04:00:00").plus_ms(second * 1_000);
            if table.due(&before, now).is_some() {
                before.done_began = Some(now);
                began += 1;
            }
        }
        assert!(began >= 20, "{began} runs in an hour");
    }

    #[test]
    fn after_a_gap_a_run_is_due_whatever_the_schedule_says() {
        let mut before = past("2026-03-02 02:30:01", "2026-03-02 02:30:01");
        before.gap = Some((at("2026-03-02 02:30:00"), at("2026-03-02 09:00:00")));
        let now = at("2026-03-02 10:00:00");
        assert!(cause(timetable(0).due(&before, now)).unwrap().1.starts_with("gap"));
        before.full_began = Some(at("2026-03-02 09:30:00"));
        assert!(!cause(timetable(0).due(&before, now)).is_some_and(|(_, cause)| cause.starts_with("gap")));
    }

    #[test]
    fn a_failed_run_is_tried_again_when_its_pause_is_over() {
        let now = at("2026-03-02 10:00:00");
        let mut past = Past::default();
        assert_eq!(retry(&past, now), None);
        past.retry = Some(failed(now));
        past.newest = Some(sync_run::Model { id: 8, state: RunState::Done, ..failed(now) });
        assert_eq!(retry(&past, now), Some(Due::Again(7)), "whatever ran since");
        assert_eq!(retry(&past, now.plus_ms(-1)), None);
    }

    fn failed(retry_at: Moment) -> sync_run::Model {
        sync_run::Model {
            id: 7,
            source_id: 1,
            state: RunState::Failed,
            cause: "schedule".to_owned(),
            started_at: retry_at,
            finished_at: None,
            checkpoint: serde_json::json!({}),
            pages: 0,
            rows_seen: 0,
            rows_expected: None,
            error: None,
            holder: None,
            kind: RunKind::Full,
            is_plan: false,
            profile_type: None,
            named: None,
            requested_by: None,
            since: None,
            low_position: 0,
            last_profile_id: 0,
            last_subprofile_id: 0,
            pages_settled: 0,
            pages_parked: 0,
            created: 0,
            updated: 0,
            unchanged: 0,
            conflicts: 0,
            candidates: 0,
            absent: 0,
            deleted: 0,
            listed_at: None,
            sweep_stage: None,
            sweep_after: 0,
            decided_by: None,
            decided_at: None,
            attempt: 1,
            failures: 1,
            restarts: 0,
            retry_at: Some(retry_at),
            plan: None,
        }
    }
}
