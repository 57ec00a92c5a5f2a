//! Dates that pass, and transitions that come late or do not fit.

use super::*;
use crate::support::both;
use crate::support::place::TestDatabase;
use profile_mirror::clock::Clock;

const DAY_MS: i64 = 24 * 60 * 60_000;

async fn lifecycle(app: &TestApp, person: &str) -> Value {
    let by = json!({ "key": { "source": "crm", "externalId": person } });
    let query = "query ($by: ProfileRef!) { profile(by: $by) { status lifecycle {
        isOverdue scheduledFor history { to cause isEffective } } } }";
    let mut data = app.client().query(query, json!({ "by": by })).await;
    data["profile"].take()
}

/// A service that takes webhooks although its clock is days ahead.
async fn patient(database: &TestDatabase) -> TestApp {
    let weeks = |config: &mut profile_mirror::config::Config| {
        config.sources.iter_mut().for_each(|source| source.webhook.tolerance_seconds = Some(30 * 86_400));
    };
    let app = TestApp::builder(database).configure(weeks).start().await;
    app.import_all().await;
    app
}

async fn overdue(app: &TestApp) -> i64 {
    app.readiness("crm").await["overdue_deletions"].as_i64().expect("a number")
}

fn fetches_of(app: &TestApp, person: &str) -> usize {
    app.simulator.requests_to(&format!("/profiles/{person}"))
}

both!(a_deletion_whose_date_has_passed_is_asked_for_daily_and_becomes_overdue, |database| {
    let app = patient(&database).await;
    let (person, _) = two_profiles(&app);
    // The world has one whose date was long ago.
    let before = overdue(&app).await;
    let due = app.clock.today() + chrono::Duration::hours(12);
    let ahead = 12 * 60 * 60_000;
    app.simulator.parallel().schedule_for_deletion(&person, due).unwrap();
    app.settle().await;
    assert_eq!(lifecycle(&app, &person).await["lifecycle"]["isOverdue"], false);

    app.simulator.forget_requests();
    app.clock.advance_ms(ahead - 60_000);
    app.drain().await;
    assert_eq!(fetches_of(&app, &person), 0, "it is not due yet");
    app.clock.advance_ms(60 * 60_000);
    until("it is asked for on the day", async || fetches_of(&app, &person) == 1).await;
    app.drain().await;
    let shown = lifecycle(&app, &person).await;
    assert_eq!((&shown["status"], &shown["lifecycle"]["isOverdue"]), (&json!("SCHEDULED_FOR_DELETION"), &json!(false)));

    app.clock.advance_ms(DAY_MS);
    until("it is asked for once more a day later", async || fetches_of(&app, &person) == 2).await;
    app.drain().await;
    assert_eq!(lifecycle(&app, &person).await["lifecycle"]["isOverdue"], true);
    assert_eq!(overdue(&app).await, before + 1);

    // News ends it: it was called off.
    app.simulator.advance(chrono::Duration::seconds(5));
    app.simulator.parallel().reopen(&person).unwrap();
    app.settle().await;
    let shown = lifecycle(&app, &person).await;
    assert_eq!((&shown["status"], &shown["lifecycle"]["isOverdue"]), (&json!("OPEN"), &json!(false)));
    app.finish().await;
});

both!(what_became_of_it_is_learnt_where_no_event_told, |database| {
    let app = patient(&database).await;
    let (person, _) = two_profiles(&app);
    let parallel = app.simulator.parallel();
    parallel.configure(|switches| switches.anonymized_reads = simulator::parallel::AnonymizedReads::Told);
    plant(&app, &person, "due");
    parallel.schedule_for_deletion(&person, app.clock.today() + chrono::Duration::hours(1)).unwrap();
    app.settle().await;
    parallel.silently().anonymize(&person).unwrap();
    app.clock.advance_ms(3 * DAY_MS);
    has_status(&app, &person, "ANONYMIZED").await;
    cleaned(&app, &person).await;
    app.assert_no_canary(&database).await;
    app.finish().await;
});

both!(a_transition_that_comes_late_is_kept_and_settled_by_a_fetch, |database| {
    let app = TestApp::imported(&database).await;
    let (person, _) = two_profiles(&app);
    let parallel = app.simulator.parallel();
    parallel.close(&person).unwrap();
    app.settle().await;
    app.simulator.advance(chrono::Duration::seconds(5));
    parallel.schedule_for_deletion(&person, app.clock.today()).unwrap();
    let scheduled = app.simulator.take_webhooks();
    app.simulator.advance(chrono::Duration::seconds(5));
    parallel.reopen(&person).unwrap();
    app.settle().await;
    app.simulator.forget_requests();
    for webhook in scheduled {
        assert_eq!(app.post(&webhook).await, 200);
    }
    app.drain().await;
    let shown = lifecycle(&app, &person).await;
    assert_eq!(shown["status"], "OPEN");
    let late =
        json!({ "to": "SCHEDULED_FOR_DELETION", "cause": "PROFILE_SCHEDULED_FOR_DELETION", "isEffective": false });
    assert!(shown["lifecycle"]["history"].as_array().unwrap().contains(&late), "{shown}");
    assert_eq!(fetches_of(&app, &person), 1);
    app.finish().await;
});

both!(a_transition_that_is_not_possible_is_kept_and_settled_by_a_fetch, |database| {
    let app = TestApp::imported(&database).await;
    let (person, _) = two_profiles(&app);
    let parallel = app.simulator.parallel();
    // Gone upstream without a word, found gone by a fetch, and then an event that says it was reopened.
    parallel.vanish(&person).unwrap();
    app.deliver(Parallel, parallel_event("PROFILE_UPDATED", &person, json!({}))).await;
    assert_eq!(lifecycle(&app, &person).await["status"], "DELETED");
    app.simulator.forget_requests();
    app.deliver(Parallel, parallel_event("PROFILE_REOPENED", &person, json!({}))).await;
    let shown = lifecycle(&app, &person).await;
    assert_eq!(shown["status"], "DELETED", "an event alone does not lift a tombstone");
    let history = shown["lifecycle"]["history"].as_array().unwrap();
    assert!(history.iter().any(|step| step["cause"] == "PROFILE_REOPENED" && step["isEffective"] == false), "{shown}");
    assert!(fetches_of(&app, &person) >= 1);
    app.finish().await;
});
