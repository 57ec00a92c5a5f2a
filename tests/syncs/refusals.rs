//! A profile that Parallel refuses may not be there, or may not be read: which of both it is, a person decides.

use crate::support::app::TestApp;
use crate::support::{both, rows};
use crate::upstream::source;
use entity::{RunKind, RunState};
use profile_mirror::clock::Clock;
use profile_mirror::ingest::run::{RunRequest, approve_deletions, request_run};
use serde_json::json;

/// Lets so many people vanish from Parallel without a word, where it answers 403 for whoever is not there.
fn vanish(app: &TestApp, count: usize) -> Vec<String> {
    let parallel = app.simulator.parallel();
    parallel.configure(|switches| switches.absent_is_403 = true);
    let gone: Vec<String> = parallel.profile_ids("Individual").into_iter().take(count).collect();
    for id in &gone {
        parallel.silently().vanish(id).unwrap();
    }
    gone
}

async fn still_shown(app: &TestApp, ids: &[String]) -> usize {
    let picture = rows::picture(app.database(), "crm").await;
    ids.iter().filter(|id| picture.profiles[*id].content.is_some()).count()
}

both!(a_profile_that_is_refused_waits_for_a_person_and_goes_once_approved, |database| {
    let app = TestApp::imported(&database).await;
    let gone = vanish(&app, 1);
    app.simulator.forget_requests();
    let run = app.sync("crm").await.unwrap();
    assert_eq!((run.state, run.absent, run.deleted), (RunState::WaitingForApproval, 1, 0), "{run:?}");
    assert!(run.error.as_ref().is_some_and(|text| text.contains("they are refused")), "{run:?}");
    assert_eq!(still_shown(&app, &gone).await, 1);
    assert_eq!(app.simulator.requests_to(&gone[0]), 1, "it is asked for once");

    approve_deletions(app.database(), app.clock.now(), run.id, "ops").await.unwrap();
    app.drain().await;
    let run = app.newest_run("crm").await;
    assert_eq!((run.state, run.deleted), (RunState::Done, 1), "{run:?}");
    app.finish().await;
});

both!(many_profiles_that_are_refused_wait_for_a_person_and_pause_nothing, |database| {
    let app = TestApp::builder(&database).profiles(200).start().await;
    app.import_all().await;
    let gone = vanish(&app, 12);
    let run = app.sync("crm").await.unwrap();
    assert_eq!((run.state, run.absent, run.deleted), (RunState::WaitingForApproval, 12, 0), "{run:?}");
    assert_eq!(still_shown(&app, &gone).await, 12);
    let stands = source(&app, "crm").await;
    assert_eq!(stands["state"], "DEGRADED", "{stands}");
    let (status, ready) = app.client().get("/readyz?source=crm&strict=1").await;
    assert_eq!(status, 503, "{ready}");
    assert!(ready.contains("12 deletions that wait for approval"), "{ready}");
    approve_deletions(app.database(), app.clock.now(), run.id, "ops").await.unwrap();
    app.finish().await;
});

both!(a_resync_of_named_profiles_goes_on_past_one_that_is_refused, |database| {
    let app = TestApp::imported(&database).await;
    let gone = vanish(&app, 1);
    let other = app.simulator.parallel().profile_ids("Individual").into_iter().find(|id| *id != gone[0]).unwrap();
    app.simulator.parallel().silently().set_field(&other, "p_risk_score", Some(json!(87))).unwrap();
    let named = vec![gone[0].clone(), other];
    let request = RunRequest { kind: RunKind::Named, named, ..RunRequest::full("test") };
    let id = app.source_id("crm").await;
    request_run(app.database(), app.clock.now(), id, request).await.unwrap();
    app.drain().await;
    let run = app.newest_run("crm").await;
    assert_eq!((run.state, run.absent, run.updated, run.deleted), (RunState::WaitingForApproval, 1, 1, 0), "{run:?}");
    assert_eq!(still_shown(&app, &gone).await, 1);
    approve_deletions(app.database(), app.clock.now(), run.id, "ops").await.unwrap();
    app.finish().await;
});
