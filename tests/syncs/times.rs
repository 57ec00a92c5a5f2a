//! Runs that begin by themselves: at their times, past them, after a gap.

use crate::support::app::TestApp;
use crate::support::both;
use crate::support::world::SOURCES;
use entity::{Moment, RunKind, RunState, sync_run};
use profile_mirror::clock::{Clock, SystemClock};
use profile_mirror::config::Config;
use simulator::ProviderKind;
use std::time::{Duration, Instant};

/// A daily time that comes in so many seconds. Sooner than what passes without a sign of life counts as a gap, where
/// the clock is moved past it at once.
fn daily_in(seconds: i64) -> String {
    SystemClock.now().plus_ms(seconds * 1_000).to_datetime().format("%S %M %H * * *").to_string()
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

/// The newest run of a source once it is an incremental one that is done.
async fn incremental(app: &TestApp, source: &str) -> sync_run::Model {
    let started = Instant::now();
    loop {
        app.drain().await;
        let run = app.newest_run(source).await;
        if run.kind == RunKind::Incremental && run.state == RunState::Done {
            return run;
        }
        assert!(started.elapsed() < Duration::from_secs(30), "{source}: {run:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
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
    // As much as passes between two signs of life at most.
    let pass = |seconds: i64| {
        app.clock.advance_ms(seconds * 1_000);
        app.simulator.advance(chrono::TimeDelta::seconds(seconds));
    };
    pass(10);
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
            assert!(started.elapsed() < Duration::from_secs(60), "{run:?}");
            pass(10);
            tokio::time::sleep(Duration::from_millis(20)).await;
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
