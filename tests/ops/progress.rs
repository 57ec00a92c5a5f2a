//! Following runs while they go on.

use super::{change, run_of};
use crate::support::app::{ADMIN, READER, TestApp};
use crate::support::both;
use crate::support::socket::{Subscription, Told};
use serde_json::{Value, json};

const FOLLOW: &str =
    "subscription($run: ID) { syncProgress(run: $run) { id state progress source { name } counts { seen } } }";

/// What comes until a run is in a state.
async fn told_until(subscription: &mut Subscription, id: &Value, state: &str) -> Vec<Value> {
    let mut told = Vec::new();
    loop {
        let event = subscription.next().await["syncProgress"].take();
        let is_over = event["id"] == *id && event["state"] == state;
        told.push(event);
        if is_over {
            return told;
        }
    }
}

both!(one_run_is_followed_to_its_end, |database| {
    let app = TestApp::imported(&database).await;
    let page = app.simulator.pause_next("/profiles?");
    let run = run_of(change(&app.client(), "resync", json!({ "input": { "source": "crm" } })).await);
    page.reached().await;
    let mut subscription = Subscription::open(app.address(), ADMIN, FOLLOW, json!({ "run": run["id"] })).await;
    let first = subscription.next().await["syncProgress"].take();
    assert_eq!((&first["id"], &first["state"]), (&run["id"], &json!("RUNNING")), "as it is now, at once");
    let share = first["progress"].as_f64().expect("held against the run before");
    assert!(share < 0.5, "no list is read yet: {first}");
    page.release();
    let told = told_until(&mut subscription, &run["id"], "DONE").await;
    assert!(told.iter().all(|event| event["id"] == run["id"]), "{told:#?}");
    let last = told.last().unwrap();
    assert_eq!((&last["progress"], last["counts"]["seen"].as_i64() > Some(0)), (&json!(1.0), true));
    assert_eq!(subscription.told().await, Told::Complete, "nothing more is to be expected of it");
    let mut late = Subscription::open(app.address(), ADMIN, FOLLOW, json!({ "run": run["id"] })).await;
    assert_eq!(late.next().await["syncProgress"]["state"], "DONE");
    assert_eq!(late.told().await, Told::Complete);
    app.finish().await;
});

both!(every_run_is_followed_by_many_with_one_reader, |database| {
    let app = TestApp::imported(&database).await;
    let mut subscriptions = Vec::new();
    for _ in 0..3 {
        subscriptions.push(Subscription::open(app.address(), ADMIN, FOLLOW, json!({})).await);
    }
    for source in ["crm", "people"] {
        let page = app.simulator.pause_next(if source == "crm" { "/profiles?" } else { "/v1/search" });
        let run = run_of(change(&app.client(), "resync", json!({ "input": { "source": source } })).await);
        page.reached().await;
        page.release();
        for subscription in &mut subscriptions {
            let told = told_until(subscription, &run["id"], "DONE").await;
            assert!(told.iter().all(|event| event["source"]["name"] == source), "{told:#?}");
        }
    }
    drop(subscriptions);
    app.finish().await;
});

both!(only_operators_follow_runs_and_only_those_that_exist, |database| {
    let app = TestApp::builder(&database).start().await;
    let code = |told: Told| match told {
        Told::Error(payload) => {
            let errors = payload.get("errors").cloned().unwrap_or(payload);
            errors[0]["extensions"]["code"].as_str().unwrap_or_default().to_owned()
        }
        other => panic!("expected an error, got {other:?}"),
    };
    let mut reader = Subscription::open(app.address(), READER, FOLLOW, json!({})).await;
    assert_eq!(code(reader.told().await), "FORBIDDEN");
    let mut unknown = Subscription::open(app.address(), ADMIN, FOLLOW, json!({ "run": "nonsense" })).await;
    assert_eq!(code(unknown.told().await), "BAD_USER_INPUT");
    app.finish_apart_from_world().await;
});
