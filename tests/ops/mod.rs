//! What operators do: syncs, plans, decisions on deletions, deliveries, and why a profile is as it is. Each through
//! the API that everybody uses, each on both databases.

mod command_line;
mod deliveries;
mod explaining;
mod progress;
mod refusals;
mod runs;

use crate::support::app::TestApp;
use crate::support::graphql::Client;
use sea_orm::{EntityTrait, PaginatorTrait};
use serde_json::{Value, json};
use simulator::{ProviderKind, Simulator, TruthStatus};

/// People at Parallel who are open.
fn open_people(simulator: &Simulator) -> Vec<String> {
    let truth = simulator.truth(ProviderKind::Parallel);
    let mut ids = simulator.parallel().profile_ids("Individual");
    ids.retain(|id| truth.profiles[id].status == TruthStatus::Open);
    ids
}

/// What the tests read of a run.
const RUN: &str = "id number state kind isPlan stage progress cause requestedBy decidedBy error attempt pages pagesSettled \
    source { name } counts { seen created updated unchanged conflicts candidates absent deleted } \
    plan { candidateCount kinds { kind count } samples { externalId kind fields profile { externalId } } \
        candidates { recordKind externalId } }";

/// Carries a mutation out that answers with a run.
async fn change(client: &Client, mutation: &str, arguments: Value) -> Value {
    let (declared, passed) = match mutation {
        "resync" | "planResync" => ("$input: ResyncInput!", "input: $input"),
        "applyResync" => ("$plan: ID!", "plan: $plan"),
        _ => ("$run: ID!", "run: $run"),
    };
    let document = format!(
        "mutation({declared}) {{ {mutation}({passed}) {{ run {{ {RUN} }} problems {{ code field message runId docs }} }} }}"
    );
    client.query(&document, arguments).await[mutation].take()
}

/// The run of a payload that must hold no problem.
fn run_of(mut payload: Value) -> Value {
    assert_eq!(payload["problems"], json!([]), "{payload:#}");
    payload["run"].take()
}

/// The one problem of a payload: its code, and the argument that it is about.
fn problem(payload: &Value) -> (String, Option<String>) {
    let problems = payload["problems"].as_array().expect("problems");
    assert_eq!(problems.len(), 1, "{payload:#}");
    let text = |name: &str| problems[0][name].as_str().map(str::to_owned);
    assert!(text("docs").is_some_and(|docs| docs.starts_with("docs/runbook.md#")), "{payload:#}");
    (text("code").expect("a code"), text("field"))
}

/// Asks for a sync and waits for its end.
async fn resync(app: &TestApp, input: Value) -> Value {
    let run = run_of(change(&app.client(), "resync", json!({ "input": input })).await);
    app.drain().await;
    read_run(&app.client(), &run).await
}

/// Asks for a plan and waits for its end.
async fn plan(app: &TestApp, input: Value) -> Value {
    let run = run_of(change(&app.client(), "planResync", json!({ "input": input })).await);
    app.drain().await;
    let plan = read_run(&app.client(), &run).await;
    assert_eq!((&plan["state"], &plan["isPlan"]), (&json!("DONE"), &json!(true)), "{plan:#}");
    plan
}

/// A run as it is now.
async fn read_run(client: &Client, run: &Value) -> Value {
    let document = format!("query($id: ID!) {{ node(id: $id) {{ ... on SyncRun {{ {RUN} }} }} }}");
    client.query(&document, json!({ "id": run["id"] })).await["node"].take()
}

/// How many changes the log holds, and the newest revision of every source: what a plan must not touch.
async fn log_of(app: &TestApp) -> (u64, Vec<(i32, i64)>) {
    let db = app.database().reader();
    let states = entity::source_state::Entity::find().all(db).await.unwrap();
    let mut revisions: Vec<_> = states.into_iter().map(|state| (state.source_id, state.revision)).collect();
    revisions.sort_unstable();
    (entity::change::Entity::find().count(db).await.unwrap(), revisions)
}
