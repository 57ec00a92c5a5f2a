//! Whether a source is well, as `/readyz`, the API and the metrics tell.

use crate::support::app::TestApp;
use crate::support::both;
use crate::support::webhook::{parallel_event, signed};
use crate::upstream::{people, source, until};
use entity::{Moment, source_state};
use profile_mirror::clock::Clock;
use profile_mirror::config::Secret;
use sea_orm::ActiveValue::{Set, Unchanged};
use sea_orm::EntityTrait;
use serde_json::{Value, json};
use simulator::ProviderKind::Parallel;

const MINUTE: i64 = 60_000;

async fn readiness(app: &TestApp, name: &str) -> Value {
    let (_, body) = app.client().get(&format!("/readyz?source={name}")).await;
    serde_json::from_str::<Value>(&body).unwrap()["sources"][name].take()
}

/// Whether a metric says that the source is not well.
async fn is_counted_as_degraded(app: &TestApp, name: &str) -> bool {
    let (_, metrics) = app.client().get("/metrics").await;
    let of_it = format!("source=\"{name}\"");
    let of_it = |line: &&str| line.starts_with("profile_mirror_source_degraded{") && line.contains(&of_it);
    match metrics.lines().find(of_it).and_then(|line| line.rsplit(' ').next()) {
        Some("1") => true,
        Some("0") => false,
        other => panic!("{other:?} in {metrics}"),
    }
}

/// A webhook whose signature does not hold.
async fn refuse(app: &TestApp) {
    let mut forged = signed(app, Parallel, parallel_event("PETITION_COMPLETED", "", json!({})));
    forged.body.push(b' ');
    assert_eq!(app.post(&forged).await, 401);
}

async fn accept(app: &TestApp) {
    let genuine = signed(app, Parallel, parallel_event("PETITION_COMPLETED", "", json!({})));
    assert_eq!(app.post(&genuine).await, 200);
    app.drain().await;
}

both!(a_source_that_refuses_everything_is_shown_within_a_quarter_of_an_hour_and_says_why, |database| {
    let app = TestApp::imported(&database).await;
    accept(&app).await;
    app.clock.advance_ms(MINUTE);
    for minute in 0..15 {
        refuse(&app).await;
        if minute < 5 {
            assert_eq!(readiness(&app, "crm").await["state"], "running", "after {minute} min");
        }
        app.clock.advance_ms(MINUTE);
    }
    let says_all = async || {
        let shown = readiness(&app, "crm").await;
        shown["state"] == "degraded" && shown["reason"].as_str().is_some_and(|reason| reason.contains("15 so far"))
    };
    until("it is shown, with all of them", says_all).await;
    let shown = readiness(&app, "crm").await;
    let reason = shown["reason"].as_str().unwrap();
    assert!(reason.contains("crm") && reason.contains("secret or key"), "{reason}");
    let (_, anonymous) = app.client().with_key(None).get("/readyz?source=crm").await;
    let anonymous = serde_json::from_str::<Value>(&anonymous).unwrap()["sources"]["crm"].take();
    assert_eq!((&anonymous["state"], &anonymous["reason"]), (&json!("degraded"), &json!(null)), "why is for keys");
    assert_eq!(app.client().get("/readyz").await.0, 200, "reads are served all the same");
    assert_eq!(app.client().get("/readyz?strict=1").await.0, 503);
    assert_eq!(readiness(&app, "people").await["state"], "running", "the others are well");
    let answered = source(&app, "crm").await;
    assert_eq!((&answered["state"], &answered["reason"]), (&json!("DEGRADED"), &json!(reason)));
    assert!(answered["freshness"]["lastRefusalAt"].is_string());
    assert!(is_counted_as_degraded(&app, "crm").await);
    let (_, metrics) = app.client().get("/metrics").await;
    let counted = |line: &str| line.contains("source=\"crm\"") && line.contains("code=\"401\"");
    assert!(metrics.lines().any(|line| line.starts_with("profile_mirror_webhook_requests_total{") && counted(line)));

    accept(&app).await;
    assert_eq!(readiness(&app, "crm").await["state"], "running", "one that is kept ends it");
    assert!(!is_counted_as_degraded(&app, "crm").await);
    refuse(&app).await;
    app.clock.advance_ms(20 * MINUTE);
    assert_eq!(readiness(&app, "crm").await["state"], "running", "a forged one now and then is nothing");
    app.finish().await;
});

both!(refusals_are_counted_whether_they_come_one_by_one_or_in_a_flood, |database| {
    let app = TestApp::imported(&database).await;
    futures::future::join_all((0..100).map(|_| refuse(&app))).await;
    app.clock.advance_ms(11 * MINUTE);
    refuse(&app).await;
    until("they are counted", async || {
        let shown = readiness(&app, "crm").await;
        shown["reason"].as_str().is_some_and(|reason| reason.contains("101 so far"))
    })
    .await;
    app.finish().await;
});

both!(refusals_are_shown_though_a_clock_was_ahead_when_others_were_kept_or_refused, |database| {
    let app = TestApp::imported(&database).await;
    app.clock.advance_ms(60 * MINUTE);
    accept(&app).await;
    app.clock.advance_ms(-60 * MINUTE);
    let state = async || app.source_state("crm").await;
    let has_come = |at: Option<Moment>| at.is_some_and(|at| at <= app.clock.now());
    until("what was kept is of now", async || has_come(state().await.last_webhook_at)).await;
    // An instance whose clock is still ahead has refused one.
    let refused = source_state::ActiveModel {
        source_id: Unchanged(app.source_id("crm").await),
        first_refusal_at: Set(Some(app.clock.now().plus_ms(60 * MINUTE))),
        refusals: Set(1),
        ..Default::default()
    };
    source_state::Entity::update(refused).exec(app.database().writer()).await.unwrap();
    refuse(&app).await;
    until("refusals are counted anew", async || has_come(state().await.first_refusal_at)).await;
    assert_eq!(state().await.refusals, 1);
    app.clock.advance_ms(10 * MINUTE);
    refuse(&app).await;
    until("it is shown", async || readiness(&app, "crm").await["state"] == "degraded").await;
    app.finish().await;
});

both!(a_source_that_hears_nothing_for_three_usual_gaps_is_shown, |database| {
    let app = TestApp::imported(&database).await;
    for _ in 0..6 {
        accept(&app).await;
        app.clock.advance_ms(30 * MINUTE);
    }
    let shown = source(&app, "crm").await["freshness"].take();
    let usual = shown["usualGapSeconds"].as_f64().unwrap();
    assert!((1_790.0..1_830.0).contains(&usual), "{shown}");
    app.clock.advance_ms(58 * MINUTE);
    assert_eq!(readiness(&app, "crm").await["state"], "running", "not yet three of them");
    app.clock.advance_ms(5 * MINUTE);
    let shown = readiness(&app, "crm").await;
    assert_eq!(shown["state"], "degraded");
    let reason = shown["reason"].as_str().unwrap();
    assert!(reason.contains("crm") && reason.contains("heard nothing") && reason.contains("Likely cause"), "{reason}");
    assert!(shown["silence_seconds"].as_f64().unwrap() > 90.0 * 60.0, "{shown}");
    assert_eq!(source(&app, "crm").await["state"], "DEGRADED");
    assert!(is_counted_as_degraded(&app, "crm").await);
    let (_, metrics) = app.client().get("/metrics").await;
    for name in ["source_silence_seconds", "source_freshness_seconds", "source_last_complete_sync_timestamp_seconds"] {
        assert!(metrics.contains(&format!("profile_mirror_{name}{{source=\"crm\"")), "{name}: {metrics}");
    }
    accept(&app).await;
    assert_eq!(readiness(&app, "crm").await["state"], "running");
    assert!(!is_counted_as_degraded(&app, "crm").await);
    app.finish().await;
});

both!(a_source_whose_secret_or_account_is_wrong_from_the_start_is_shown, |database| {
    let app = TestApp::builder(&database)
        .configure(|config| {
            for source in &mut config.sources {
                let other = "another-than-the-provider-has".to_owned();
                match source.name.as_str() {
                    "marketing" => source.webhook.account = Some(other),
                    "people" => source.webhook.secrets = vec![Secret::Value(other)],
                    _ => {}
                }
            }
        })
        .start()
        .await;
    app.import_all().await;
    for _ in 0..12 {
        app.simulator.copernica().create_profile("People", &[("lastname", "Unheard")]).unwrap();
        app.simulator.getprofile().create_random();
        app.simulator.getprofile().settle();
        for webhook in app.simulator.take_webhooks() {
            assert_eq!(app.post(&webhook).await, 401);
        }
        app.clock.advance_ms(MINUTE);
    }
    for name in ["marketing", "people"] {
        until("it is shown", async || readiness(&app, name).await["state"] == "degraded").await;
        let reason = readiness(&app, name).await["reason"].clone();
        assert!(reason.as_str().unwrap().contains("refuses every webhook"), "{name}: {reason}");
        assert!(is_counted_as_degraded(&app, name).await, "{name}");
    }
    app.finish_apart_from_world().await;
});

both!(a_source_that_never_heard_a_webhook_is_shown_once_a_full_sync_finds_what_it_missed, |database| {
    let app = TestApp::imported(&database).await;
    let person = people(&app).remove(0);
    let change = |score: i32| {
        app.simulator.parallel().silently().set_field(&person, "p_risk_score", Some(json!(score))).unwrap();
    };
    app.import("crm").await;
    assert_eq!(readiness(&app, "crm").await["state"], "running", "there was nothing to hear of");
    change(701);
    app.clock.advance_ms(MINUTE);
    let run = app.sync("crm").await.unwrap();
    assert_eq!(run.updated, 1, "{run:?}");
    let shown = readiness(&app, "crm").await;
    assert_eq!(shown["state"], "degraded", "{shown}");
    let reason = shown["reason"].as_str().unwrap();
    let found = format!("run {} found 1 profile new or changed", run.id);
    for part in ["crm has heard nothing so far", &found, "Likely cause"] {
        assert!(reason.contains(part), "{part} in {reason}");
    }
    assert_eq!(app.client().get("/readyz?source=crm&strict=1").await.0, 503);
    assert_eq!(source(&app, "crm").await["reason"], json!(reason));
    assert_eq!(readiness(&app, "people").await["state"], "running", "the others are well");

    accept(&app).await;
    assert_eq!(readiness(&app, "crm").await["state"], "running", "webhooks do come");
    for (score, state, why) in [
        (702, "running", "one was kept since the sync before began"),
        (703, "degraded", "none was kept since, where a single one has ever come"),
    ] {
        change(score);
        app.clock.advance_ms(MINUTE);
        assert_eq!(app.sync("crm").await.unwrap().updated, 1);
        let shown = readiness(&app, "crm").await;
        assert_eq!(shown["state"], state, "{why}: {shown}");
    }
    app.finish().await;
});

both!(readiness_tells_how_each_source_stands, |database| {
    let app = TestApp::imported(&database).await;
    accept(&app).await;
    let shown = readiness(&app, "crm").await;
    for name in ["lag_seconds", "silence_seconds"] {
        assert!(shown[name].is_number(), "{name}: {shown}");
    }
    assert!(shown["oldest_pending_seconds"].is_null() && shown["reason"].is_null(), "{shown}");
    assert!(shown["last_complete_sync"].is_string() && shown["parked"] == 0, "{shown}");
    app.finish().await;
});
