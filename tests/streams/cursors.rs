//! Cursors that the API returned work as `after`, after a restart too.

use super::{CHANGES, first_cursor, key, take_changes};
use crate::support::app::TestApp;
use crate::support::both;
use serde_json::{Value, json};

both!(a_subscription_goes_on_after_its_cursor_through_a_restart, |database| {
    let mut app = TestApp::imported(&database).await;
    let mut subscription = app.subscribe(CHANGES, json!({})).await;
    let start = first_cursor(&mut subscription).await;
    app.simulator.random_history(simulator::ProviderKind::Copernica, 10);
    app.settle().await;
    let seen = take_changes(&mut subscription, 4).await;
    drop(subscription);
    app.simulator.random_history(simulator::ProviderKind::Copernica, 10);
    app.settle().await;

    app.restart().await;
    let mut whole = app.subscribe(CHANGES, json!({ "after": start })).await;
    let all = take_changes(&mut whole, 10).await;
    let mut resumed = app.subscribe(CHANGES, json!({ "after": seen[3]["cursor"] })).await;
    let rest = take_changes(&mut resumed, 6).await;
    let joined: Vec<_> = seen.iter().chain(&rest).map(key).collect();
    assert_eq!(joined, all.iter().map(key).collect::<Vec<_>>());
    app.finish().await;
});

both!(an_edge_cursor_works_as_after_through_a_restart, |database| {
    let page = "query ($after: String) { profiles(first: 7, after: $after) {
      edges { cursor node { externalId source { name } } } pageInfo { hasNextPage }
    } }";
    let mut app = TestApp::imported(&database).await;
    let mut seen: Vec<Value> = Vec::new();
    let mut after = Value::Null;
    loop {
        let data = app.client().query(page, json!({ "after": after })).await;
        let edges = data["profiles"]["edges"].as_array().unwrap();
        seen.extend(edges.iter().map(|edge| edge["node"].clone()));
        if data["profiles"]["pageInfo"]["hasNextPage"] == false {
            break;
        }
        // Any edge will do, not only the last: the page is read on from the third.
        let kept = edges.len() - 4;
        seen.truncate(seen.len() - kept);
        after = edges[3]["cursor"].clone();
        if seen.len() == 8 {
            app.restart().await;
        }
    }
    let document = "{ profiles(first: 100) { totalCount nodes { externalId source { name } } } }";
    let whole = app.client().query(document, json!({})).await;
    assert_eq!(json!(seen), whole["profiles"]["nodes"]);
    app.finish().await;
});

both!(a_cursor_that_nobody_made_is_refused_with_a_code, |database| {
    let app = TestApp::builder(&database).start().await;
    let client = app.client();
    let codes = client.codes("{ profiles(first: 1, after: \"AAAA\") { nodes { id } } }", json!({})).await;
    assert_eq!(codes, ["CURSOR_INVALID"]);
    let codes = client.codes("{ profiles(first: 101) { nodes { id } } }", json!({})).await;
    assert_eq!(codes, ["PAGE_TOO_LARGE"]);
    app.finish_apart_from_world().await;
});

both!(without_a_key_nothing_is_answered_but_health, |database| {
    let app = TestApp::builder(&database).start().await;
    let anonymous = app.client().with_key(None);
    let (status, answer) = anonymous.answer("{ viewer { name } }", json!({})).await;
    assert_eq!((status, &answer["errors"][0]["extensions"]["code"]), (401, &json!("UNAUTHENTICATED")));
    for path in ["/livez", "/readyz", "/metrics"] {
        let (status, _) = anonymous.get(path).await;
        assert!(status == 200 || status == 503, "{path}: {status}");
    }
    let reader = app.client().with_key(Some(crate::support::app::READER));
    assert_eq!(reader.codes("{ deliveries(first: 1) { nodes { id } } }", json!({})).await, ["FORBIDDEN"]);
    app.finish_apart_from_world().await;
});
