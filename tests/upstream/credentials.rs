//! Credentials that run out, and credentials that are refused.

use super::{change, people, score, source, until};
use crate::support::app::TestApp;
use crate::support::both;
use entity::source_state;
use profile_mirror::clock::Clock;
use sea_orm::EntityTrait;
use simulator::FailureKind;
use simulator::ProviderKind::{Copernica, Parallel};

both!(a_jwt_that_runs_out_in_the_middle_of_a_run_is_renewed, |database| {
    let app = TestApp::builder(&database).start().await;
    let copernica = app.simulator.copernica();
    let people = copernica.databases().into_iter().find(|(_, name)| name == "People").unwrap().0;
    let page = app.simulator.pause_next(&format!("/database/{people}/profiles"));
    let run = async { app.import("marketing").await };
    let end = async {
        page.reached().await;
        copernica.expire_tokens();
        page.release();
    };
    tokio::join!(run, end);
    assert_eq!(app.simulator.requests_to("/copernica/auth"), 2, "the first, and one for those that were refused");
    assert_eq!(source(&app, "marketing").await["state"], "RUNNING");
    app.import("crm").await;
    app.import("people").await;
    app.finish().await;
});

both!(a_jwt_is_renewed_before_it_runs_out, |database| {
    let app = TestApp::builder(&database).start().await;
    app.simulator.copernica().set_token_lifetime(chrono::Duration::seconds(30));
    app.import_all().await;
    let refused = app.simulator.request_log().into_iter().filter(|line| line.status == 401).count();
    assert_eq!(refused, 0, "none is used in its last minute");
    app.finish().await;
});

both!(a_refused_credential_pauses_the_source_and_marks_nothing_as_gone, |database| {
    let app = TestApp::imported(&database).await;
    for (provider, name) in [(Parallel, "crm"), (Copernica, "marketing")] {
        let before = app.truth(provider);
        app.simulator.faults(provider).fail_share(1.0, FailureKind::Unauthorized);
        app.begin_sync(name).await;
        until("it is paused", async || source(&app, name).await["state"] == "PAUSED").await;
        let paused = source(&app, name).await;
        assert!(paused["pausedBy"].is_null() && paused["pausedAt"].is_string(), "{paused}");
        let reason = paused["reason"].as_str().unwrap();
        assert!(reason.contains(name) && reason.contains("token"), "{reason}");

        // It looks again after 1, 5, 15 and 60 minutes, each time with one call.
        for minutes in [1, 5, 15, 60, 60] {
            let state = state(&app, name).await;
            let waits_ms = state.probe_at.unwrap().0 - app.clock.now().0;
            assert!((minutes * 60_000 - 30_000..=minutes * 60_000).contains(&waits_ms), "{minutes} min: {waits_ms}");
            app.simulator.forget_requests();
            app.clock.advance_ms(waits_ms);
            until("it looks again", async || self::state(&app, name).await.probes > state.probes).await;
            let calls = app.simulator.requests_of(provider) - app.simulator.requests_to("/auth") as u64;
            assert!(calls <= 1, "{calls} calls");
        }
        assert_eq!(app.truth(provider), before);
        crate::support::rows::picture(app.database(), name).await.assert_equals(&before, "while it is paused");

        app.simulator.faults(provider).clear();
        app.clock.advance_ms(60 * 60_000);
        until("it goes on by itself", async || source(&app, name).await["state"] == "RUNNING").await;
        app.import(name).await;
    }
    app.finish().await;
});

async fn state(app: &TestApp, name: &str) -> source_state::Model {
    let source = entity::source::by_name(name).one(app.database().primary()).await.unwrap().unwrap();
    source_state::Entity::find_by_id(source.id).one(app.database().primary()).await.unwrap().unwrap()
}

both!(news_that_comes_while_the_credential_is_refused_is_kept_and_fetched_afterwards, |database| {
    let mut app = TestApp::imported(&database).await;
    let person = people(&app).remove(0);
    app.simulator.faults(Parallel).fail_share(1.0, FailureKind::Unauthorized);
    change(&app, &person, 611).await;
    until("it is paused", async || source(&app, "crm").await["state"] == "PAUSED").await;
    change(&app, &person, 612).await;
    until("what is kept is applied", async || app.unsettled_in_all().await == 0).await;

    // Whoever starts the service anew has mended the credential: it does not wait for the next look.
    app.simulator.faults(Parallel).clear();
    app.restart().await;
    until("it goes on", async || source(&app, "crm").await["state"] == "RUNNING").await;
    app.drain().await;
    assert_eq!(score(&app, &person).await, 612);
    app.finish().await;
});

both!(many_refused_records_at_once_pause_the_source, |database| {
    let app = TestApp::builder(&database).profiles(200).start().await;
    app.import_all().await;
    let people = people(&app);
    app.simulator.faults(Parallel).fail_share(1.0, FailureKind::Forbidden);
    change(&app, &people[0], 621).await;
    app.simulator.forget_requests();
    until("one alone is tried again", async || {
        app.clock.advance_ms(1_000);
        app.simulator.requests_of(Parallel) >= 9
    })
    .await;
    assert_eq!(source(&app, "crm").await["state"], "RUNNING", "one record that may not be read is nothing");
    for person in people.iter().take(12) {
        change(&app, person, 622).await;
    }
    until("it is paused", async || source(&app, "crm").await["state"] == "PAUSED").await;
    let (status, ready) = app.client().get("/readyz?source=crm&strict=1").await;
    assert_eq!(status, 503, "{ready}");
    assert!(ready.contains("refuses one record after the other"), "{ready}");

    app.simulator.faults(Parallel).clear();
    app.drain().await;
    for person in people.iter().skip(1).take(11) {
        assert_eq!(score(&app, person).await, 622);
    }
    change(&app, &people[0], 623).await;
    app.finish().await;
});
