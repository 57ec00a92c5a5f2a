//! Acceptance line 24: after ANONYMIZED no byte of the planted personal data is in any file of the database, nor in
//! logs; a late delivery does not bring it back; the change log still tells that it happened.

mod everywhere;
mod late;
mod lifecycle;
mod parts;
mod pieces;
mod program;
mod scan;

use crate::support::app::TestApp;
use crate::support::webhook::{parallel_event, signed};
use scan::CANARY;
use serde_json::{Value, json};
use simulator::ProviderKind::Parallel;
use simulator::SignedWebhook;
use std::time::Duration;

/// Files are cleaned once all transactions of the server are over, and the cleaner rests four times as long as that took.
const DEADLINE: Duration = Duration::from_secs(120);

/// Waits for a condition with a deadline.
async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let wait = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(DEADLINE, wait).await.unwrap_or_else(|_| panic!("in time: {what}"));
}

/// An open person and an open company.
fn two_profiles(app: &TestApp) -> (String, String) {
    let truth = app.simulator.truth(Parallel);
    let open = |id: &String| truth.profiles[id].status == simulator::TruthStatus::Open;
    let first = |kind: &str| app.simulator.parallel().profile_ids(kind).into_iter().find(|id| open(id)).expect("one");
    (first("Individual"), first("Legal entity"))
}

/// Gives a person planted values in some fields, upstream only.
fn plant(app: &TestApp, person: &str, mark: &str) {
    let parallel = app.simulator.parallel().silently();
    for (field, value) in [
        ("p_first_name", format!("{CANARY}first{mark}")),
        ("p_last_name", format!("{CANARY}last{mark}")),
        ("p_email", format!("{CANARY}{mark}@example.org")),
        ("p_phone_number", format!("{CANARY}phone{mark}")),
    ] {
        parallel.set_field(person, field, Some(json!(value))).unwrap();
    }
}

/// An event about a person with a planted note in it.
fn event_with_note(app: &TestApp, kind: &str, person: &str) -> SignedWebhook {
    signed(app, Parallel, parallel_event(kind, person, json!({ "note": format!("{CANARY}note") })))
}

/// The receipt of a person's erasure, as the API shows it.
async fn receipt(app: &TestApp, person: &str) -> Value {
    let by = json!({ "key": { "source": "crm", "externalId": person } });
    let mut data = app.client().query(RECEIPT, json!({ "by": by })).await;
    data["profile"]["erasure"].take()
}

/// Waits until the files are clean of everything erased so far.
async fn cleaned(app: &TestApp, person: &str) -> Value {
    until("the files are cleaned", async || receipt(app, person).await["filesCleanedAt"].is_string()).await;
    receipt(app, person).await
}

/// Waits until the API shows a status.
async fn has_status(app: &TestApp, person: &str, status: &str) {
    until(status, async || app.profile(Parallel, person).await["status"] == status).await;
}

/// The changes of a person, oldest first.
async fn history(app: &TestApp, person: &str) -> Vec<Value> {
    let by = json!({ "key": { "source": "crm", "externalId": person } });
    let mut data = app.client().query(HISTORY, json!({ "by": by })).await;
    data["profile"]["history"]["nodes"].as_array_mut().map(std::mem::take).expect("a history")
}

const RECEIPT: &str = "query ($by: ProfileRef!) { profile(by: $by) { erasure {
  at reason interests subprofiles relationships changes deliveries slices lateDeliveries filesCleanedAt } } }";

const HISTORY: &str = "query ($by: ProfileRef!) { profile(by: $by) { history(last: 100) { nodes {
  kind isErased recordKind fields { name before after } } } } }";
