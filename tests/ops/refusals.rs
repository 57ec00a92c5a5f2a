//! What is refused, and with which words.

use super::{change, plan, problem, resync};
use crate::support::app::{READER, TestApp};
use crate::support::both;
use serde_json::{Value, json};

/// Every operation, as a reader might try it.
const OPERATIONS: [&str; 11] = [
    "mutation { resync(input: { source: \"crm\" }) { problems { code } } }",
    "mutation { planResync(input: { source: \"crm\" }) { problems { code } } }",
    "mutation { applyResync(plan: \"x\") { problems { code } } }",
    "mutation { cancelSync(run: \"x\") { problems { code } } }",
    "mutation { approveDeletions(run: \"x\") { problems { code } } }",
    "mutation { rejectDeletions(run: \"x\") { problems { code } } }",
    "mutation { retryDeliveries(filter: {}) { count } }",
    "mutation { discardDeliveries(filter: { source: \"crm\" }, reason: \"x\") { count } }",
    "mutation { replayDeliveries(input: { filter: { source: \"crm\" } }) { count } }",
    "mutation { pauseSource(source: \"crm\", reason: \"x\") { problems { code } } }",
    "mutation { resumeSource(source: \"crm\") { problems { code } } }",
];

both!(readers_may_do_none_of_it, |database| {
    let app = TestApp::builder(&database).start().await;
    let reader = app.client().with_key(Some(READER));
    for operation in OPERATIONS {
        assert_eq!(reader.codes(operation, json!({})).await, ["FORBIDDEN"], "{operation}");
    }
    let nobody = app.client().with_key(None);
    assert_eq!(nobody.codes(OPERATIONS[0], json!({})).await, ["UNAUTHENTICATED"]);
    app.finish_apart_from_world().await;
});

both!(readers_are_told_what_is_for_operators_and_get_the_rest, |database| {
    let app = TestApp::imported(&database).await;
    let reader = app.client().with_key(Some(READER));
    let operation = "{ viewer { name } syncRuns(first: 1) { nodes { id } } deliveries(first: 1) { nodes { id } }
        explainProfile(by: { key: { source: \"crm\", externalId: \"x\" } }, first: 1) { nodes { rule } }
        source(name: \"crm\") { name drift { ratio } lastRun { id } budget { concurrency } pausedBy } }";
    let (_, answer) = reader.answer(operation, json!({})).await;
    let data = &answer["data"];
    assert_eq!(data["viewer"], json!({ "name": "frontend" }));
    assert_eq!(data["source"]["name"], "crm");
    let hidden = ["/syncRuns", "/deliveries", "/explainProfile", "/source/drift", "/source/lastRun", "/source/budget"];
    assert!(hidden.iter().all(|path| data.pointer(path).is_none_or(Value::is_null)), "{data}");
    let errors = answer["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 7);
    assert!(errors.iter().all(|error| error["extensions"]["code"] == "FORBIDDEN"), "{errors:?}");
    app.finish().await;
});

both!(what_cannot_be_synced_is_refused_with_the_argument, |database| {
    let app = TestApp::imported(&database).await;
    let client = app.client();
    let person = json!({ "key": { "source": "marketing", "externalId": "1" } });
    let many: Vec<Value> =
        (0..1_001).map(|id| json!({ "key": { "source": "crm", "externalId": id.to_string() } })).collect();
    for (input, field) in [
        (json!({ "source": "nobody" }), "input.source"),
        (json!({ "source": "crm", "profileType": "no such type" }), "input.profileType"),
        (json!({ "source": "crm", "profileType": "x", "profiles": [person] }), "input"),
        (json!({ "source": "crm", "profiles": [] }), "input.profiles"),
        (json!({ "source": "crm", "profiles": [person] }), "input.profiles"),
        (json!({ "source": "crm", "profiles": [{ "id": "nonsense" }] }), "input.profiles"),
        (json!({ "source": "crm", "profiles": [{ "key": { "source": "crm", "externalId": "" } }] }), "input.profiles"),
        (
            json!({ "source": "crm", "profiles": [{ "key": { "source": "crm", "externalId": "a\0" } }] }),
            "input.profiles",
        ),
        (json!({ "source": "crm", "profileType": "a\0" }), "input.profileType"),
        (json!({ "source": "crm", "profiles": many }), "input.profiles"),
        (json!({ "source": "crm", "clientMutationId": "x".repeat(201) }), "input.clientMutationId"),
    ] {
        for mutation in ["resync", "planResync"] {
            let refused = change(&client, mutation, json!({ "input": input })).await;
            assert_eq!(problem(&refused), ("BAD_USER_INPUT".to_owned(), Some(field.to_owned())), "{input}");
            assert_eq!(refused["run"], Value::Null);
        }
    }
    let nobody = json!({ "by": { "key": { "source": "crm", "externalId": "a\0" } } });
    let asked =
        "query ($by: ProfileRef!) { profile(by: $by) { id } explainProfile(by: $by, first: 1) { nodes { rule } } }";
    let told = client.query(asked, nobody).await;
    assert_eq!(told, json!({ "profile": null, "explainProfile": { "nodes": [] } }), "nobody has that id");
    app.finish().await;
});

both!(unknown_runs_are_refused, |database| {
    let app = TestApp::imported(&database).await;
    let client = app.client();
    let runs =
        client.query("{ syncRuns(filter: { source: \"people\" }, first: 1) { nodes { id number } } }", json!({})).await;
    let known = &runs["syncRuns"]["nodes"][0];
    let number = known["number"].as_i64().unwrap();
    let elsewhere = base64_id(&format!("run:crm:{number}"));
    for id in ["nonsense".to_owned(), base64_id("run:crm:999999"), elsewhere] {
        for (mutation, argument) in
            [("applyResync", "plan"), ("cancelSync", "run"), ("approveDeletions", "run"), ("rejectDeletions", "run")]
        {
            let refused = change(&client, mutation, json!({ argument: id })).await;
            assert_eq!(problem(&refused), ("BAD_USER_INPUT".to_owned(), Some(argument.to_owned())), "{mutation} {id}");
        }
    }
    let refused = change(&client, "applyResync", json!({ "plan": known["id"] })).await;
    assert_eq!(problem(&refused).0, "RUN_STATE_CONFLICT", "a run that is no plan");
    app.finish().await;
});

fn base64_id(text: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text)
}

both!(a_paused_source_is_not_synced, |database| {
    let app = TestApp::imported(&database).await;
    let client = app.client();
    let planned = plan(&app, json!({ "source": "crm" })).await;
    let pause = "mutation { pauseSource(source: \"crm\", reason: \"token rotates\") { problems { code } } }";
    client.query(pause, json!({})).await;
    let refused = change(&client, "resync", json!({ "input": { "source": "crm" } })).await;
    assert_eq!(problem(&refused).0, "SOURCE_PAUSED");
    let message = refused["problems"][0]["message"].as_str().unwrap();
    assert!(
        message.contains("ops") && message.contains("token rotates") && message.contains("resumeSource"),
        "{message}"
    );
    for (mutation, arguments) in
        [("planResync", json!({ "input": { "source": "crm" } })), ("applyResync", json!({ "plan": planned["id"] }))]
    {
        assert_eq!(problem(&change(&client, mutation, arguments).await).0, "SOURCE_PAUSED", "{mutation}");
    }
    client.query("mutation { resumeSource(source: \"crm\") { problems { code } } }", json!({})).await;
    assert_eq!(resync(&app, json!({ "source": "crm" })).await["state"], "DONE");
    app.finish().await;
});

both!(a_source_without_a_token_is_not_synced, |database| {
    let without = |config: &mut profile_mirror::config::Config| {
        for source in &mut config.sources {
            source.token = None;
        }
    };
    let app = TestApp::builder(&database).configure(without).start().await;
    let refused = change(&app.client(), "resync", json!({ "input": { "source": "crm" } })).await;
    assert_eq!(problem(&refused).0, "SOURCE_WITHOUT_TOKEN");
    app.finish_apart_from_world().await;
});
