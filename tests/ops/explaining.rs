//! Why a profile is as it is.

use super::open_people;
use crate::support::app::TestApp;
use crate::support::both;
use serde_json::{Value, json};

const EXPLAIN: &str = "query($by: ProfileRef!, $first: Int, $after: String) {
    explainProfile(by: $by, first: $first, after: $after) {
        nodes { at decision rule recordKind recordId observedVersion storedVersion
            delivery { id kind event state receivedAt } changes { kind profile { externalId } fields { name } } }
        pageInfo { hasNextPage endCursor } } }";

both!(the_story_of_a_profile_is_told_delivery_by_delivery, |database| {
    let app = TestApp::imported(&database).await;
    let client = app.client();
    let parallel = app.simulator.parallel();
    let person = parallel.create_random_profile("Individual").unwrap();
    app.settle().await;
    parallel.close(&person).unwrap();
    app.settle().await;
    let by = json!({ "key": { "source": "crm", "externalId": person } });
    let told = client.query(EXPLAIN, json!({ "by": by, "first": 100 })).await;
    let verdicts = told["explainProfile"]["nodes"].as_array().unwrap().clone();
    let of_kind =
        |kind: &str| -> Vec<&Value> { verdicts.iter().filter(|verdict| verdict["delivery"]["kind"] == kind).collect() };
    let events: Vec<&str> =
        of_kind("WEBHOOK").iter().filter_map(|verdict| verdict["delivery"]["event"].as_str()).collect();
    assert!(events.iter().any(|event| event.contains("CLOSED")), "{events:?}");
    assert!(events.iter().any(|event| event.contains("CREATED")), "{events:?}");
    let changes: Vec<&Value> =
        verdicts.iter().flat_map(|verdict| verdict["changes"].as_array().expect("a list")).collect();
    for kind in ["CREATED", "CLOSED"] {
        assert!(changes.iter().any(|change| change["kind"] == kind), "{verdicts:#?}");
    }
    assert!(changes.iter().all(|change| change["profile"]["externalId"] == person.as_str()), "{verdicts:#?}");
    assert!(!of_kind("FETCH").is_empty(), "the thin event was followed by a fetch");
    for verdict in &verdicts {
        assert!(verdict["rule"].as_str().is_some_and(|rule| rule.len() > 4), "{verdict:#}");
        assert!(verdict["delivery"]["receivedAt"].is_string(), "{verdict:#}");
    }
    let newest_first: Vec<&str> = verdicts.iter().filter_map(|verdict| verdict["at"].as_str()).collect();
    assert!(newest_first.is_sorted_by(|newer, older| newer >= older), "{newest_first:?}");

    // The same, page by page.
    let (mut paged, mut after) = (Vec::new(), Value::Null);
    loop {
        let page = client.query(EXPLAIN, json!({ "by": by, "first": 1, "after": after })).await;
        paged.extend(page["explainProfile"]["nodes"].as_array().unwrap().clone());
        if page["explainProfile"]["pageInfo"]["hasNextPage"] == false {
            break;
        }
        after = page["explainProfile"]["pageInfo"]["endCursor"].clone();
    }
    assert_eq!(paged, verdicts);
    app.finish().await;
});

both!(a_delivery_that_changed_a_profile_twice_shows_both_changes, |database| {
    let app = TestApp::imported(&database).await;
    let parallel = app.simulator.parallel();
    // The list of closed people comes before those of companies, which would tell of the relationship as well.
    let (person, company) = (open_people(&app.simulator).remove(0), parallel.profile_ids("Legal entity").remove(0));
    let relationship = parallel.create_relationship("p_director__managed_by", &person, &company).unwrap();
    app.settle().await;
    parallel.silently().close(&person).unwrap();
    parallel.silently().remove_relationship(&relationship).unwrap();
    app.import("crm").await;

    let by = json!({ "key": { "source": "crm", "externalId": person } });
    let told = app.client().query(EXPLAIN, json!({ "by": by, "first": 100 })).await;
    let verdicts = told["explainProfile"]["nodes"].as_array().unwrap();
    let closed = |verdict: &&Value| verdict["changes"].to_string().contains("CLOSED");
    let verdict = verdicts.iter().find(closed).expect("the verdict on its page");
    let kinds: Vec<&str> =
        verdict["changes"].as_array().unwrap().iter().filter_map(|change| change["kind"].as_str()).collect();
    assert_eq!(verdict["delivery"]["kind"], "PAGE", "{verdict:#}");
    assert_eq!(kinds, ["CLOSED", "RELATIONSHIP_REMOVED"], "in the order in which they were made");
    app.finish().await;
});

both!(a_profile_that_never_became_visible_is_explained_too, |database| {
    let app = TestApp::imported(&database).await;
    let client = app.client();
    let person = app.simulator.parallel().create_random_profile("Individual").unwrap();
    let webhooks = app.simulator.take_webhooks();
    app.simulator.parallel().silently().vanish(&person).unwrap();
    for webhook in &webhooks {
        assert_eq!(app.post(webhook).await, 200);
    }
    app.drain().await;
    let by = json!({ "key": { "source": "crm", "externalId": person } });
    let told = client.query(EXPLAIN, json!({ "by": by, "first": 100 })).await;
    let verdicts = told["explainProfile"]["nodes"].as_array().unwrap();
    let rules: Vec<&str> = verdicts.iter().filter_map(|verdict| verdict["rule"].as_str()).collect();
    assert!(rules.contains(&"never became visible"), "{rules:?}");
    let nobody = json!({ "key": { "source": "crm", "externalId": "never heard of" } });
    let told = client.query(EXPLAIN, json!({ "by": nobody, "first": 1 })).await;
    assert_eq!(told["explainProfile"]["nodes"], json!([]));
    app.finish_apart_from_world().await;
});
