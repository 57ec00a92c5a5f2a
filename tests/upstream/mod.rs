//! How calls to providers are made: out of one budget, and not at all while a source is paused.

mod budget;
mod claims;
mod credentials;
mod pause;
mod stalled;

use crate::support::app::TestApp;
use crate::support::webhook::{parallel_event, signed};
use serde_json::{Value, json};
use simulator::ProviderKind::Parallel;
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(120);

/// Waits for a condition.
pub async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    until_within(DEADLINE, what, is_so).await;
}

/// The same, so long at most.
async fn until_within(deadline: Duration, what: &str, is_so: impl AsyncFn() -> bool) {
    let wait = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(deadline, wait).await.unwrap_or_else(|_| panic!("in time: {what}"));
}

/// What the API shows of a source.
pub async fn source(app: &TestApp, name: &str) -> Value {
    let document = "query ($name: String!) { source(name: $name) {
        state reason pausedAt pauseReason pausedBy
        freshness { lagSeconds silenceSeconds usualGapSeconds lastRefusalAt lastWebhookAt }
        budget { limitPerMinute remaining concurrency waitingLive waitingRepair waitingSync pausedUntil }
    } }";
    app.client().query(document, json!({ "name": name })).await["source"].take()
}

/// Open people at Parallel.
pub fn people(app: &TestApp) -> Vec<String> {
    let truth = app.simulator.truth(Parallel);
    let open = |id: &String| truth.profiles[id].status == simulator::TruthStatus::Open;
    app.simulator.parallel().profile_ids("Individual").into_iter().filter(open).collect()
}

/// Changes a person upstream, and sends the webhook that tells of it.
async fn change(app: &TestApp, person: &str, score: i32) {
    app.simulator.parallel().silently().set_field(person, "p_risk_score", Some(json!(score))).unwrap();
    let event = parallel_event("PROFILE_FIELD_VALUE_UPDATED", person, json!({}));
    assert_eq!(app.post(&signed(app, Parallel, event)).await, 200, "webhooks are kept whatever happens");
}

/// The score that the mirror has of a person; null where there is none yet.
async fn score(app: &TestApp, person: &str) -> Value {
    let shown = app.profile(Parallel, person).await;
    let fields = shown["fields"].as_array().unwrap().clone();
    fields
        .into_iter()
        .find(|field| field["name"] == "p_risk_score")
        .map(|field| field["value"].clone())
        .unwrap_or_default()
}
