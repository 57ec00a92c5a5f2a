//! Parked deliveries tried again or given up, and applied ones applied once more.

use super::{log_of, open_people, problem};
use crate::support::app::TestApp;
use crate::support::graphql::Client;
use crate::support::webhook::signed;
use crate::support::{both, rows};
use entity::delivery;
use sea_orm::EntityTrait;
use serde_json::{Value, json};
use simulator::ProviderKind;
use simulator::copernica::{FieldKind, Unsubscribe};

async fn retry(client: &Client, filter: Value, dry_run: bool) -> Value {
    let document =
        "mutation($filter: DeliveryFilter!, $dry: Boolean!) { retryDeliveries(filter: $filter, dryRun: $dry) {
        count hasMore problems { code field message docs } } }";
    client.query(document, json!({ "filter": filter, "dry": dry_run })).await["retryDeliveries"].take()
}

async fn discard(client: &Client, filter: Value, reason: &str) -> Value {
    let document = "mutation($filter: DeliveryFilter!, $reason: String!) {
        discardDeliveries(filter: $filter, reason: $reason) { count hasMore problems { code field message docs } } }";
    client.query(document, json!({ "filter": filter, "reason": reason })).await["discardDeliveries"].take()
}

async fn replay(client: &Client, filter: Value, dry_run: bool) -> Value {
    let document = "mutation($input: ReplayInput!) { replayDeliveries(input: $input) {
        count hasMore endCursor problems { code field message docs } } }";
    let input = json!({ "filter": filter, "dryRun": dry_run });
    client.query(document, json!({ "input": input })).await["replayDeliveries"].take()
}

async fn park_two(app: &TestApp) -> Vec<Value> {
    for body in ["{\"id\": \"x\", \"type\": [1, 2", "[1, 2, 3]"] {
        assert_eq!(app.post(&signed(app, ProviderKind::Parallel, body)).await, 200);
    }
    app.drain().await;
    app.deliveries(ProviderKind::Parallel, "PARKED").await
}

both!(parked_deliveries_are_counted_and_tried_again, |database| {
    let app = TestApp::builder(&database).start().await;
    let client = app.client();
    assert_eq!(park_two(&app).await.len(), 2);
    assert_eq!(retry(&client, json!({}), true).await["count"], 2);
    assert_eq!(app.unsettled_in_all().await, 0, "counting touches nothing");
    assert_eq!(retry(&client, json!({ "source": "people" }), false).await["count"], 0);
    let retried = retry(&client, json!({ "source": "crm" }), false).await;
    assert_eq!((&retried["count"], &retried["hasMore"]), (&json!(2), &json!(false)));
    app.drain().await;
    // They are as wrong as before: tried once, they need a person again.
    assert_eq!(app.deliveries(ProviderKind::Parallel, "PARKED").await.len(), 2);
    app.finish_apart_from_world().await;
});

both!(discarded_deliveries_are_gone_for_good, |database| {
    let app = TestApp::builder(&database).start().await;
    let client = app.client();
    let parked = park_two(&app).await;
    let ids = json!({ "ids": [parked[0]["id"]] });
    assert_eq!(
        problem(&discard(&client, ids.clone(), " ").await),
        ("BAD_USER_INPUT".to_owned(), Some("reason".to_owned()))
    );
    assert_eq!(problem(&discard(&client, json!({}), "all of it").await).1, Some("filter".to_owned()));
    assert_eq!(discard(&client, ids.clone(), "a test of the sender").await["count"], 1);
    let discarded = app.deliveries(ProviderKind::Parallel, "DISCARDED").await;
    assert_eq!(discarded.len(), 1);
    let reason = discarded[0]["reason"].as_str().unwrap();
    assert!(reason.contains("ops") && reason.contains("a test of the sender"), "{reason}");
    let rows = delivery::Entity::find().all(app.database().reader()).await.unwrap();
    assert_eq!(rows.iter().filter(|row| row.body.is_empty()).count(), 1, "its body is gone, the other's is kept");
    assert_eq!(discard(&client, ids.clone(), "again").await["count"], 0);
    assert_eq!(retry(&client, ids.clone(), false).await["count"], 0);
    assert_eq!(replay(&client, ids, false).await["count"], 0);
    assert_eq!(app.deliveries(ProviderKind::Parallel, "PARKED").await.len(), 1, "the other one waits on");
    app.finish_apart_from_world().await;
});

both!(filters_that_cannot_be_met_are_refused, |database| {
    let app = TestApp::imported(&database).await;
    let client = app.client();
    let refused = |payload: Value| problem(&payload);
    let bad = |field: &str| ("BAD_USER_INPUT".to_owned(), Some(field.to_owned()));
    assert_eq!(refused(retry(&client, json!({ "states": ["APPLIED"] }), false).await), bad("filter.states"));
    assert_eq!(refused(retry(&client, json!({ "source": "nobody" }), false).await), bad("filter"));
    assert_eq!(refused(retry(&client, json!({ "ids": ["nonsense"] }), false).await), bad("filter"));
    assert_eq!(refused(replay(&client, json!({}), false).await), bad("filter"));
    let parked = json!({ "source": "crm", "states": ["PARKED"] });
    assert_eq!(refused(replay(&client, parked, false).await), bad("filter.states"));
    app.finish().await;
});

both!(a_replay_changes_nothing_however_often, |database| {
    let app = TestApp::imported(&database).await;
    let client = app.client();
    let parallel = app.simulator.parallel();
    let person = parallel.create_random_profile("Individual").unwrap();
    app.settle().await;
    parallel.close(&person).unwrap();
    app.settle().await;
    parallel.reopen(&person).unwrap();
    let customer = app.simulator.copernica().profile_ids("People").remove(0);
    app.simulator.copernica().update_profile(&customer, &[("lastname", "Twice")]).unwrap();
    app.settle().await;
    app.simulator.copernica().update_profile(&customer, &[("lastname", "Thrice")]).unwrap();
    app.settle().await;

    let log = log_of(&app).await;
    let history = app.profile(ProviderKind::Parallel, &person).await["lifecycle"].take();
    let runs = entity::sync_run::Entity::find().all(app.database().reader()).await.unwrap();
    for source in ["crm", "marketing", "people"] {
        let picture = rows::picture(app.database(), source).await;
        let filter = json!({ "source": source });
        let counted = replay(&client, filter.clone(), true).await;
        assert!(counted["count"].as_u64() > Some(0), "{counted}");
        for _ in 0..2 {
            let replayed = replay(&client, filter.clone(), false).await;
            assert_eq!(replayed["problems"], json!([]));
            assert!(replayed["count"].as_u64() >= counted["count"].as_u64(), "{replayed} of {counted}");
            app.drain().await;
            rows::picture(app.database(), source).await.assert_equals(&picture, source);
        }
    }
    assert_eq!(log_of(&app).await, log, "no change, no revision");
    assert_eq!(app.profile(ProviderKind::Parallel, &person).await["lifecycle"], history, "nothing is told twice");
    let after = entity::sync_run::Entity::find().all(app.database().reader()).await.unwrap();
    assert_eq!(runs, after, "the counts of runs that are over stay");
    app.finish().await;
});

both!(a_replay_of_older_metadata_changes_nothing, |database| {
    let app = TestApp::imported(&database).await;
    let client = app.client();
    let before: Vec<Value> = app.deliveries(ProviderKind::Copernica, "APPLIED").await;
    let before: Vec<&Value> = before.iter().map(|delivery| &delivery["id"]).collect();
    let copernica = app.simulator.copernica();
    let mut people = copernica.profile_ids("People");
    let (from, to) = (people.remove(0), people.remove(0));
    copernica.add_field("People", "friend", FieldKind::ForeignKey).unwrap();
    copernica.set_foreign_key(&from, "friend", Some(&to)).unwrap();
    let given = vec![("lastname".to_owned(), "Unsubscribed".to_owned())];
    copernica.set_unsubscribe("People", Unsubscribe::Update(given)).unwrap();
    app.settle().await;
    app.sync("marketing").await.unwrap();
    app.drain().await;

    let types = "{ profileTypes(source: \"marketing\", first: 10) { nodes { name fields { name upstreamType }
        unsubscribing { action fields } collections { name fields { name } } } } }";
    let (shown, log) = (client.query(types, json!({})).await, log_of(&app).await);
    let picture = rows::picture(app.database(), "marketing").await;
    let replayed = replay(&client, json!({ "ids": before }), false).await;
    assert_eq!((&replayed["count"], &replayed["problems"]), (&json!(before.len()), &json!([])));
    app.drain().await;
    assert_eq!(client.query(types, json!({})).await, shown, "what is defined stays as it was asked for last");
    rows::picture(app.database(), "marketing").await.assert_equals(&picture, "marketing");
    assert_eq!(log_of(&app).await, log, "nobody's references are derived from older fields");
    app.finish().await;
});

both!(a_replay_goes_by_kind_and_time, |database| {
    let app = TestApp::imported(&database).await;
    let client = app.client();
    let person = open_people(&app.simulator).remove(0);
    app.simulator.parallel().close(&person).unwrap();
    app.settle().await;
    let webhooks = json!({ "source": "crm", "kinds": ["WEBHOOK"] });
    assert_eq!(replay(&client, webhooks, true).await["count"], 1);
    let future = json!({ "source": "crm", "receivedFrom": "2100-01-01T00:00:00Z" });
    assert_eq!(replay(&client, future, true).await["count"], 0);
    let past = json!({ "source": "crm", "receivedBefore": "2000-01-01T00:00:00Z" });
    assert_eq!(replay(&client, past, true).await["count"], 0);
    app.finish().await;
});
