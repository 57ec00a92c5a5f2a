//! Drift: what runs and reads at random find, what news explains, what is repaired.

mod between_runs;
mod runs;

use crate::support::app::TestApp;
use crate::support::world;
use serde_json::{Value, json};
use simulator::{ProviderKind, TruthStatus};
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(120);
/// Longer than news may take to explain a difference, milliseconds.
const SETTLED_MS: i64 = 6 * 60_000;

const DRIFT: &str = "query ($source: String!) { source(name: $source) { drift {
  measuredAt ratio
  lastRun { at compared differed explained unsettled repaired remained buckets bucketsDifferingBefore
    bucketsDifferingAfter run { state } }
  estimate { share low high sampled differed since }
  differences(first: 100) { nodes { recordKind recordId nature fieldNames foundBy foundAt repairedAt
    profile { externalId } } }
} } }";

/// What operators see of a source's drift.
async fn drift(app: &TestApp, provider: ProviderKind) -> Value {
    let mut data = app.client().query(DRIFT, json!({ "source": world::source_of(provider) })).await;
    data["source"]["drift"].take()
}

/// The drift of a source once it is as wanted.
async fn drift_once(app: &TestApp, provider: ProviderKind, is_so: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    let wait = async {
        loop {
            last = drift(app, provider).await;
            if is_so(&last) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let outcome = tokio::time::timeout(DEADLINE, wait).await;
    assert!(outcome.is_ok(), "in time: {last:#}");
    last
}

/// The drift of a source once news can explain nothing more of what its last run found.
async fn settled(app: &TestApp, provider: ProviderKind) -> Value {
    app.clock.advance_ms(SETTLED_MS);
    drift_once(app, provider, |drift| drift["lastRun"]["unsettled"] == 0).await
}

/// Ids of the differences with the names of their fields.
fn named(drift: &Value) -> Vec<(String, Vec<String>)> {
    let one = |node: &Value| {
        let names = node["fieldNames"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned());
        (node["recordId"].as_str().unwrap().to_owned(), names.collect())
    };
    let mut named: Vec<_> = drift["differences"]["nodes"].as_array().unwrap().iter().map(one).collect();
    named.sort();
    named
}

/// Open persons at Parallel.
fn persons(app: &TestApp) -> Vec<String> {
    let truth = app.simulator.truth(ProviderKind::Parallel);
    let is_open = |id: &String| truth.profiles[id].status == TruthStatus::Open;
    app.simulator.parallel().profile_ids("Individual").into_iter().filter(is_open).collect()
}
