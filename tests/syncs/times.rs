//! Runs that begin by themselves: at their times, past them, after a gap.

use crate::support::app::TestApp;
use crate::support::both;
use entity::RunState;
use profile_mirror::clock::Clock;
use std::time::{Duration, Instant};

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

both!(runs_begin_at_their_times_and_past_them_and_after_a_gap, |database| {
    let mut app = TestApp::builder(&database)
        .configure(|config| {
            for source in &mut config.sources {
                source.sync.schedule = Some("0 30 2 * * *".to_owned());
                source.sync.jitter_seconds = 0;
            }
        })
        .start()
        .await;
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
