//! What clients show: filtered views, one profile, the health of sources.

use crate::support::app::TestApp;
use crate::support::both;
use crate::support::view::{View, in_order};
use serde_json::{Value, json};
use simulator::ProviderKind;
use std::collections::BTreeMap;

const LIST: &str = "query ($filter: ProfileFilter, $after: String) {
  profiles(filter: $filter, first: 100, after: $after) {
    nodes { id status displayName fields { name value } }
    pageInfo { hasNextPage endCursor }
  }
}";

async fn list(app: &TestApp, filter: &Value) -> BTreeMap<String, Value> {
    let mut listed = BTreeMap::new();
    let mut after = Value::Null;
    loop {
        let data = app.client().query(LIST, json!({ "filter": filter, "after": after })).await;
        for node in data["profiles"]["nodes"].as_array().unwrap() {
            listed.insert(node["id"].as_str().unwrap().to_owned(), in_order(node));
        }
        if data["profiles"]["pageInfo"]["hasNextPage"] == false {
            return listed;
        }
        after = data["profiles"]["pageInfo"]["endCursor"].clone();
    }
}

async fn let_things_happen(app: &TestApp) {
    for provider in ProviderKind::ALL {
        app.simulator.random_history(provider, 25);
    }
    app.simulator.getprofile().settle();
    app.settle().await;
}

both!(a_filtered_view_folds_to_the_filtered_list_however_often_it_is_cut, |database| {
    let app = TestApp::imported(&database).await;
    let filters = [
        json!({ "status": { "eq": "OPEN" } }),
        json!({ "status": { "in": ["CLOSED", "SCHEDULED_FOR_DELETION", "DELETED"] } }),
        json!({ "status": { "eq": "OPEN" }, "displayName": { "contains": "e" } }),
        json!({ "status": { "eq": "OPEN" }, "email": { "contains": "a" } }),
    ];
    let mut views: Vec<View> = filters.into_iter().map(View::of).collect();
    // The first cut is inside of the snapshots, and things happen before they go on.
    for view in &mut views {
        let count = list(&app, &view.filter).await.len() / 2;
        view.take_some(app.address(), count).await;
        assert_eq!(view.in_snapshot, count);
    }
    for _ in 0..3 {
        let_things_happen(&app).await;
        for view in &mut views {
            view.catch_up(app.address()).await;
            assert_eq!(view.shown, list(&app, &view.filter).await, "{}", view.filter);
        }
    }
    assert!(views.iter().map(|view| view.left).sum::<usize>() > 5, "profiles leave");
    app.assert_rows_equal_world_but_for_silent_ends(0).await;
    app.finish_apart_from_world().await;
});

both!(one_profile_is_told_now_and_after_each_of_its_changes, |database| {
    let app = TestApp::imported(&database).await;
    let person = app.simulator.copernica().create_profile("People", &[("email", "one@example.com")]).unwrap();
    app.settle().await;
    let key = json!({ "source": "marketing", "externalId": person });
    let document = "subscription ($by: ProfileRef!) { profile(by: $by) { email } }";
    let mut subscription = app.subscribe(document, json!({ "by": { "key": key } })).await;
    assert_eq!(subscription.next().await["profile"]["email"], "one@example.com");
    let id = key["externalId"].as_str().unwrap();
    app.simulator.copernica().update_profile(id, &[("email", "two@example.com")]).unwrap();
    app.simulator.random_history(ProviderKind::Parallel, 5);
    app.settle().await;
    assert_eq!(subscription.next().await["profile"]["email"], "two@example.com");
    app.finish().await;
});

both!(a_relationship_that_comes_or_goes_is_told_to_those_who_follow_either_end, |database| {
    let app = TestApp::imported(&database).await;
    let parallel = app.simulator.parallel();
    let ends = ["Individual", "Legal entity"].map(|kind| parallel.create_random_profile(kind).unwrap());
    app.settle().await;
    let document = "subscription ($by: ProfileRef!) { profile(by: $by) { relationships(first: 5) { nodes { \
        from { externalId } to { externalId } } } } }";
    let mut followed = Vec::new();
    for end in &ends {
        let by = json!({ "key": { "source": "crm", "externalId": end } });
        let mut subscription = app.subscribe(document, json!({ "by": by })).await;
        assert_eq!(subscription.next().await["profile"]["relationships"]["nodes"], json!([]));
        followed.push(subscription);
    }
    let relationship = parallel.create_relationship("p_director__managed_by", &ends[0], &ends[1]).unwrap();
    app.settle().await;
    let both = json!([{ "from": { "externalId": ends[0] }, "to": { "externalId": ends[1] } }]);
    for subscription in &mut followed {
        assert_eq!(subscription.next().await["profile"]["relationships"]["nodes"], both);
    }
    parallel.remove_relationship(&relationship).unwrap();
    app.settle().await;
    for subscription in &mut followed {
        assert_eq!(subscription.next().await["profile"]["relationships"]["nodes"], json!([]));
    }

    // Who is erased takes the names of both ends along.
    parallel.create_relationship("p_director__managed_by", &ends[0], &ends[1]).unwrap();
    app.settle().await;
    let company = &mut followed[1];
    assert_eq!(company.next().await["profile"]["relationships"]["nodes"], both);
    parallel.anonymize(&ends[0]).unwrap();
    app.settle().await;
    assert_eq!(company.next().await["profile"]["relationships"]["nodes"], json!([]));
    app.finish().await;
});

both!(the_health_of_sources_is_told_now_and_when_it_changes, |database| {
    let app = TestApp::imported(&database).await;
    let mut subscription = app.subscribe("subscription { sourceHealth { name state } }", json!({})).await;
    let mut first = BTreeMap::new();
    for _ in 0..3 {
        let source = subscription.next().await["sourceHealth"].take();
        first.insert(source["name"].as_str().unwrap().to_owned(), source["state"].clone());
    }
    assert_eq!(first.len(), 3, "each once: {first:?}");
    assert!(first.values().all(|state| state == "RUNNING"), "{first:?}");
    let pause = "mutation { pauseSource(source: \"crm\", reason: \"a test\") { problems { code } } }";
    app.client().query(pause, json!({})).await;
    let told = subscription.next().await["sourceHealth"].take();
    assert_eq!(told, json!({ "name": "crm", "state": "PAUSED" }));
    app.finish_apart_from_world().await;
});
