//! Runs that begin by themselves: at their times, past them, after a gap. Acceptance 10.

use crate::support::app::TestApp;
use crate::support::both;
use crate::support::world::SOURCES;
use chrono::Timelike;
use entity::{Moment, RunKind, RunState, sync_run};
use profile_mirror::clock::{Clock, SystemClock};
use profile_mirror::config::Config;
use simulator::{FailureKind, ProviderKind, TruthStatus};
use std::time::{Duration, Instant};

/// A daily time that comes in so many seconds. Sooner than what passes without a sign of life counts as a gap, where
/// the clock is moved past it at once.
fn daily_in(seconds: i64) -> String {
    SystemClock.now().plus_ms(seconds * 1_000).to_datetime().format("%S %M %H * * *").to_string()
}

/// A time that comes in so many seconds, and every so many minutes after it.
fn repeated_in(seconds: i64, minutes: u32) -> String {
    let first = SystemClock.now().plus_ms(seconds * 1_000).to_datetime();
    format!("{} {}-59/{minutes} * * * *", first.second(), first.minute() % minutes)
}

/// Gives every source these times.
fn at_times(full: String, incremental: Option<&'static str>) -> impl FnOnce(&mut Config) + Send + 'static {
    move |config| {
        for source in &mut config.sources {
            source.sync.schedule = Some(full.clone());
            source.sync.incremental = incremental.map(str::to_owned);
            source.sync.jitter_seconds = 0;
        }
    }
}

/// Waits until the newest run of a source is done and has another cause than this.
async fn cause_after(app: &TestApp, source: &str, before: Option<i64>) -> (i64, String) {
    let started = Instant::now();
    loop {
        assert!(started.elapsed() < Duration::from_secs(30), "no run begins");
        app.drain().await;
        if let Some(run) = app.runs(source).await.into_iter().find(|run| before.is_none_or(|id| run.id > id))
            && run.state == RunState::Done
        {
            return (run.id, run.cause);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

both!(runs_begin_at_their_times_and_after_a_gap, |database| {
    let mut app = TestApp::builder(&database).configure(at_times(daily_in(240), None)).start().await;
    let (first, cause) = cause_after(&app, "crm", None).await;
    assert_eq!(cause, "first import");
    let next = app.source_state("crm").await.next_run_at.expect("the next time is shown");
    assert!(next > app.clock.now());

    app.clock.advance_ms(next.0 - app.clock.now().0 + 1_000);
    let (second, cause) = cause_after(&app, "crm", Some(first)).await;
    assert_eq!(cause, "schedule");

    // Two days go by while nobody is up.
    app.restart_after(Duration::from_secs(2 * 86_400)).await;
    let (third, cause) = cause_after(&app, "crm", Some(second)).await;
    assert!(cause.starts_with("gap: nobody was up since"), "{cause}");

    // A restart that is over before the provider gives up sending asks for nothing.
    app.restart_after(Duration::from_secs(20)).await;
    app.drain().await;
    assert_eq!(app.newest_run("crm").await.id, third);
    for source in ["marketing", "people"] {
        cause_after(&app, source, None).await;
    }
    app.finish().await;
});

both!(a_run_that_began_while_the_clock_was_ahead_puts_off_no_other, |database| {
    let app = TestApp::builder(&database).configure(at_times(repeated_in(200, 4), None)).start().await;
    let (first, _) = cause_after(&app, "crm", None).await;
    let ahead_ms = 30 * 86_400_000;
    app.clock.advance_ms(ahead_ms);
    let (second, _) = cause_after(&app, "crm", Some(first)).await;
    app.clock.advance_ms(-ahead_ms);
    app.clock.advance_ms(240_000);
    let (_, cause) = cause_after(&app, "crm", Some(second)).await;
    // On a machine that stood still for a while it was missed first.
    assert!(cause.ends_with("schedule"), "{cause}");
    for source in ["marketing", "people"] {
        cause_after(&app, source, None).await;
    }
    app.finish().await;
});

both!(a_time_that_was_missed_while_nobody_was_up_is_kept_at_once, |database| {
    let mut app = TestApp::builder(&database).configure(at_times(daily_in(100), None)).start().await;
    let (first, _) = cause_after(&app, "crm", None).await;
    // Not long enough for a gap: Parallel still sends what it could not.
    app.restart_after(Duration::from_secs(280)).await;
    let (_, cause) = cause_after(&app, "crm", Some(first)).await;
    assert_eq!(cause, "missed schedule");
    for source in ["marketing", "people"] {
        cause_after(&app, source, None).await;
    }
    app.finish().await;
});

both!(a_service_that_stood_still_asks_for_what_it_missed_and_a_rolling_restart_does_not, |database| {
    let mut app = TestApp::builder(&database).configure(at_times(daily_in(7_200), None)).start().await;
    let mut newest = Vec::new();
    for (_, source) in SOURCES {
        newest.push(cause_after(&app, source, None).await.0);
    }
    // Copernica never sends anything again.
    app.restart().await;
    app.drain().await;
    for ((_, source), known) in SOURCES.into_iter().zip(&newest) {
        assert_eq!(app.newest_run(source).await.id, *known, "{source}");
    }
    // The machine sleeps for half an hour, and the process with it.
    app.clock.advance_ms(1_800_000);
    for ((_, source), known) in SOURCES.into_iter().zip(newest) {
        let (_, cause) = cause_after(&app, source, Some(known)).await;
        assert!(cause.starts_with("gap: nobody was up since"), "{source}: {cause}");
    }
    app.finish().await;
});

/// Lets time pass here and upstream, as much as passes between two signs of life at most, and waits for the next one.
async fn pass_a_while(app: &TestApp) {
    app.clock.advance_ms(10_000);
    app.simulator.advance(chrono::TimeDelta::seconds(10));
    let (now, started) = (app.clock.now(), Instant::now());
    for (_, source) in SOURCES {
        while app.source_state(source).await.alive_at < Some(now) {
            assert!(started.elapsed() < Duration::from_secs(60), "{source} gives no sign of life");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// The newest run of a source once it is an incremental one that is done.
async fn incremental(app: &TestApp, source: &str) -> sync_run::Model {
    let started = Instant::now();
    loop {
        app.drain().await;
        let run = app.newest_run(source).await;
        if run.kind == RunKind::Incremental && run.state == RunState::Done {
            return run;
        }
        assert!(started.elapsed() < Duration::from_secs(120), "{source}: {run:?}");
        pass_a_while(app).await;
    }
}

both!(between_full_runs_what_has_changed_comes_at_its_times, |database| {
    let every_minute = Some("0 * * * * *");
    let app = TestApp::builder(&database).configure(at_times(daily_in(40_000), every_minute)).start().await;
    // What has changed is asked for by our clock: upstream's shows the same here.
    let behind_ms = app.clock.now().0 - app.simulator.now().timestamp_millis();
    app.simulator.advance(chrono::TimeDelta::milliseconds(behind_ms));
    for (_, source) in SOURCES {
        cause_after(&app, source, None).await;
    }
    let before = [app.newest_run("marketing").await.id, app.newest_run("people").await.id];
    pass_a_while(&app).await;
    let customer = app.simulator.copernica().profile_ids("People").remove(0);
    app.simulator.copernica().silently().update_profile(&customer, &[("lastname", "Silent")]).unwrap();
    let persona = app.simulator.getprofile().profile_ids().remove(0);
    app.simulator.getprofile().silently().update_randomly(&persona).unwrap();
    app.simulator.getprofile().silently().settle();
    let changed_at = app.clock.now();
    for (source, before) in ["marketing", "people"].into_iter().zip(before) {
        let started = Instant::now();
        let mut run = incremental(&app, source).await;
        while run.started_at <= changed_at {
            assert!(started.elapsed() < Duration::from_secs(120), "{run:?}");
            pass_a_while(&app).await;
            run = incremental(&app, source).await;
        }
        assert!(run.id > before && run.cause == "schedule", "{run:?}");
        assert!(run.since.is_some_and(|since| since < Moment(run.started_at.0)), "{run:?}");
        assert_eq!((run.candidates, run.deleted), (0, 0), "{run:?}");
    }
    let shown = crate::support::rows::picture(app.database(), "marketing").await;
    let content = shown.profiles[&customer].content.as_ref().expect("it is there");
    assert_eq!(content.fields["lastname"], "Silent");
    assert!(app.runs("crm").await.iter().all(|run| run.kind == RunKind::Full), "Parallel cannot tell what has changed");
    assert_eq!(app.simulator.truth(ProviderKind::Copernica).profiles.len(), shown.profiles.len());
    app.finish().await;
});

/// A run of Parallel that began after this one, once it has ended. The clock is left alone: the next try comes soon.
async fn ended_after(app: &TestApp, before: i64) -> sync_run::Model {
    let started = Instant::now();
    loop {
        let run = app.newest_run("crm").await;
        if run.id > before && run.finished_at.is_some() {
            return run;
        }
        assert!(started.elapsed() < Duration::from_secs(30), "no run ends: {run:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Moves the clock to the next time of Parallel's full runs.
async fn move_to_the_next_time(app: &TestApp) {
    let next = app.source_state("crm").await.next_run_at.expect("the next time is shown");
    app.clock.advance_ms((next.0 - app.clock.now().0).max(0) + 1_000);
}

/// Closes somebody at Parallel without a word, so that only a run tells of it.
fn close_silently(app: &TestApp) {
    let truth = app.simulator.truth(ProviderKind::Parallel);
    let open = |id: &String| truth.profiles[id].status == TruthStatus::Open;
    let person = app.simulator.parallel().profile_ids("Individual").into_iter().find(open).expect("an open person");
    app.simulator.parallel().silently().close(&person).unwrap();
}

both!(a_run_at_its_time_that_failed_is_not_done_until_it_is_tried_again, |database| {
    let app = TestApp::builder(&database).configure(at_times(daily_in(240), None)).start().await;
    let (imported, _) = cause_after(&app, "crm", None).await;
    let done_at = app.source_state("crm").await.last_complete_sync_at.expect("the import is done");
    close_silently(&app);
    app.simulator.faults(ProviderKind::Parallel).fail_next_at("/profile-types", 1, FailureKind::Forbidden);
    move_to_the_next_time(&app).await;
    let failed = ended_after(&app, imported).await;
    assert_eq!((failed.state, failed.cause.as_str()), (RunState::Failed, "schedule"), "{failed:?}");
    let state = app.source_state("crm").await;
    assert_eq!(state.last_complete_sync_at, Some(done_at), "it does not count as done");
    let retry_at = failed.retry_at.expect("it is tried again");
    assert!(state.next_run_at > Some(retry_at), "and that before its next time");

    app.clock.advance_ms((retry_at.0 - app.clock.now().0).max(0));
    let (again, cause) = cause_after(&app, "crm", Some(imported)).await;
    assert_eq!((again, cause.as_str()), (failed.id, "schedule"));
    let run = app.newest_run("crm").await;
    assert_eq!((run.id, run.attempt, run.updated), (failed.id, 2, 1), "{run:?}");
    assert_eq!(app.source_state("crm").await.last_complete_sync_at, Some(run.started_at));
    for source in ["marketing", "people"] {
        cause_after(&app, source, None).await;
    }
    app.finish().await;
});

both!(a_run_that_failed_twice_does_not_keep_the_next_time_from_being_kept, |database| {
    let app = TestApp::builder(&database).configure(at_times(repeated_in(200, 4), None)).start().await;
    let (imported, _) = cause_after(&app, "crm", None).await;
    close_silently(&app);
    // The run of the one time, and its second try, which is due when the next time has come.
    app.simulator.faults(ProviderKind::Parallel).fail_next_at("/profile-types", 2, FailureKind::Forbidden);
    move_to_the_next_time(&app).await;
    let failed = ended_after(&app, imported).await;
    assert_eq!((failed.state, failed.cause.as_str()), (RunState::Failed, "schedule"), "{failed:?}");

    move_to_the_next_time(&app).await;
    let (next, cause) = cause_after(&app, "crm", Some(failed.id)).await;
    assert_eq!(cause, "schedule");
    let runs = app.runs("crm").await;
    let find = |id: i64| runs.iter().find(|run| run.id == id).expect("the run");
    let failed = find(failed.id);
    assert_eq!((failed.state, failed.attempt, failed.retry_at), (RunState::Failed, 2, None), "{failed:?}");
    assert_eq!(app.source_state("crm").await.last_complete_sync_at, Some(find(next).started_at));
    for source in ["marketing", "people"] {
        cause_after(&app, source, None).await;
    }
    app.finish().await;
});
