//! Operators pause sources and let them go on.

use super::{change, people, score, source, until};
use crate::support::app::{READER, TestApp};
use crate::support::both;
use serde_json::{Value, json};
use simulator::ProviderKind::Parallel;

const PAUSE: &str = "mutation ($source: String!, $reason: String!) {
  pauseSource(source: $source, reason: $reason) { source { state reason pausedBy } problems { code message field docs } }
}";
const RESUME: &str = "mutation ($source: String!) {
  resumeSource(source: $source) { source { state reason } problems { code message field docs } }
}";

async fn pause(app: &TestApp, source: &str, reason: &str) -> Value {
    app.client().query(PAUSE, json!({ "source": source, "reason": reason })).await["pauseSource"].take()
}

async fn resume(app: &TestApp, source: &str) -> Value {
    app.client().query(RESUME, json!({ "source": source })).await["resumeSource"].take()
}

both!(a_source_that_an_operator_paused_stands_still_until_it_is_resumed, |database| {
    let mut app = TestApp::imported(&database).await;
    let person = people(&app).remove(0);
    let paused = pause(&app, "crm", "the provider moves house").await;
    assert_eq!(paused["problems"], json!([]));
    assert_eq!((&paused["source"]["state"], &paused["source"]["pausedBy"]), (&json!("PAUSED"), &json!("ops")));

    app.simulator.forget_requests();
    change(&app, &person, 711).await;
    until("what is kept is applied", async || app.unsettled_in_all().await == 0).await;
    app.restart().await;
    // Longer than the service's own pauses: this one is not its own.
    app.clock.advance_ms(3 * 3_600_000);
    app.drain_what_is_due().await;
    assert_eq!(app.simulator.requests_of(Parallel), 0);
    let shown = source(&app, "crm").await;
    assert!(shown["reason"].as_str().unwrap().contains("the provider moves house"), "{shown}");
    assert_eq!(app.client().get("/readyz").await.0, 200, "reads are served");
    assert_eq!(app.client().get("/readyz?strict=1").await.0, 503);
    assert_eq!(app.client().get("/readyz?strict=1&source=marketing").await.0, 200);
    assert_eq!(app.client().get("/readyz?source=nobody").await.0, 404);

    let resumed = resume(&app, "crm").await;
    assert_eq!((&resumed["source"]["state"], &resumed["problems"]), (&json!("RUNNING"), &json!([])));
    app.drain().await;
    assert_eq!(score(&app, &person).await, 711);
    app.finish().await;
});

both!(a_sync_waits_at_its_page_while_its_source_is_paused, |database| {
    let app = TestApp::builder(&database).start().await;
    let page = app.simulator.pause_next("/profiles?profileTypeId");
    let run = async { app.import("crm").await };
    let stop_and_go = async {
        page.reached().await;
        let kept = app.deliveries_in_all().await;
        pause(&app, "crm", "a look at the plan").await;
        app.simulator.forget_requests();
        page.release();
        until("the page that was under way is kept and applied", async || {
            app.deliveries_in_all().await > kept && app.unsettled_in_all().await == 0
        })
        .await;
        assert_eq!(app.simulator.requests_to("profileTypeId"), 1, "only that one");
        resume(&app, "crm").await;
    };
    tokio::join!(run, stop_and_go);
    assert_eq!(app.simulator.requests_to("/profile-types"), 0, "it went on where it stood");
    app.import("marketing").await;
    app.import("people").await;
    app.finish().await;
});

both!(a_pause_that_cannot_be_made_says_why, |database| {
    let app = TestApp::imported(&database).await;
    let unknown = pause(&app, "nobody", "x").await;
    assert_eq!(unknown["source"], Value::Null);
    assert_eq!(
        (&unknown["problems"][0]["code"], &unknown["problems"][0]["field"]),
        (&json!("BAD_USER_INPUT"), &json!("source"))
    );
    let without_reason = pause(&app, "crm", "  ").await;
    assert_eq!(without_reason["problems"][0]["field"], "reason");
    assert_eq!(without_reason["source"]["state"], "RUNNING");

    pause(&app, "crm", "the first reason").await;
    let again = pause(&app, "crm", "the second").await;
    let problem = &again["problems"][0];
    assert_eq!(
        (&problem["code"], &problem["docs"]),
        (&json!("SOURCE_PAUSED"), &json!("docs/runbook.md#source_paused"))
    );
    let message = problem["message"].as_str().unwrap();
    assert!(
        message.contains("ops") && message.contains("the first reason") && message.contains("resumeSource"),
        "{message}"
    );
    resume(&app, "crm").await;
    assert_eq!(resume(&app, "crm").await["problems"], json!([]), "one that runs stays as it is");
    assert_eq!(resume(&app, "nobody").await["problems"][0]["code"], "BAD_USER_INPUT");

    let reader = app.client().with_key(Some(READER));
    assert_eq!(reader.codes(PAUSE, json!({ "source": "crm", "reason": "x" })).await, ["FORBIDDEN"]);
    assert_eq!(reader.codes(RESUME, json!({ "source": "crm" })).await, ["FORBIDDEN"]);
    assert_eq!(source(&app, "crm").await["state"], "RUNNING");
    app.finish().await;
});
