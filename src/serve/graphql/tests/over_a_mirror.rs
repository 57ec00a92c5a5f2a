//! Resolvers over a small mirror: what they answer, and what that costs.

use super::*;
use crate::config::Role;
use crate::mirror::read::fixture::{Fixture, NEW_YEAR};
use crate::publish::Publisher;
use crate::serve::Viewer;
use crate::serve::operations::fixture::NoStages;
use ::entity::{ChangeKind, DeliveryState, ProfileKind, RunKind, RunState, Status, sync_run};
use sea_orm::{ActiveValue::Set, EntityTrait};
use serde_json::{Value as Json, json};
use std::pin::pin;
use tokio_util::sync::CancellationToken;

struct Served {
    fixture: Fixture,
    api: Api,
    reader: Reader,
    publisher: Arc<Publisher>,
    _stop: tokio_util::sync::DropGuard,
}

impl Served {
    async fn start() -> Self {
        let fixture = Fixture::new().await;
        let reader = Reader::new(fixture.db.clone());
        let publisher = Publisher::new(fixture.db.clone(), fixture.clock.clone());
        let stop = CancellationToken::new();
        tokio::spawn({
            let (publisher, stop) = (publisher.clone(), stop.clone());
            async move { publisher.run(stop).await }
        });
        let watch = RunWatch::new(reader.clone(), CancellationToken::new(), TaskTracker::new());
        let operations = Arc::new(NoStages);
        let health_watch = HealthWatch::new(
            reader.clone(),
            fixture.clock.clone(),
            operations.clone(),
            CancellationToken::new(),
            TaskTracker::new(),
        );
        let clock = fixture.clock.clone();
        let api = Api::new(reader.clone(), publisher.clone(), clock, operations, watch, health_watch);
        Self { fixture, api, reader, publisher, _stop: stop.drop_guard() }
    }

    fn request(query: &str, role: Role) -> Request {
        Request::new(query).data(Viewer::named("test", role))
    }

    async fn ask(&self, query: &str) -> Json {
        let answer = self.api.execute(Self::request(query, Role::Reader)).await;
        assert!(answer.errors.is_empty(), "{query}: {:?}", answer.errors);
        answer.data.into_json().unwrap()
    }

    async fn code(&self, query: &str) -> String {
        let answer = self.api.execute(Self::request(query, Role::Reader)).await;
        let error = answer.errors.first().unwrap_or_else(|| panic!("{query} was answered"));
        match error.extensions.as_ref().and_then(|extensions| extensions.get("code")) {
            Some(Value::String(code)) => code.clone(),
            _ => panic!("{query}: no code: {error:?}"),
        }
    }
}

/// That many people, each with a type, fields, interests, two orders and an acquaintance.
async fn people(fixture: &Fixture, count: usize) -> i32 {
    let source = fixture.source("crm").await;
    let kind = fixture.profile_type(source, "1", "People").await;
    fixture.fields(Some(kind), None, &[("city", "text"), ("age", "integer"), ("born", "empty_date")]).await;
    let orders = fixture.collection(source, kind, "Orders").await;
    fixture.fields(None, Some(orders), &[("number", "text")]).await;
    let knows = fixture.relationship_type(source, "knows", "is known by").await;
    let mut before = None;
    for number in 0..count {
        let id = fixture
            .profile(source, &format!("p{number}"), |row| {
                row.profile_type_id = Set(Some(kind));
                row.display_name = Set(Some(format!("Person {number:03}")));
                row.fields = Set(json!({
                    "zeta": { "value": "Z", "confidence": 0.5 }, "born": "0000-00-00", "age": "42", "city": "Delft"
                }));
            })
            .await;
        fixture.interest(id, "", "chess").await;
        for order in 0..2 {
            fixture.subprofile(source, &format!("o{number}-{order}"), id, orders).await;
        }
        if let Some(before) = before.replace(id) {
            fixture.relationship(source, &format!("r{number}"), knows, before, id).await;
        }
    }
    source
}

const PAGE: &str = "nodes { id displayName type { name } fields { name type value text definition { label } }
    interests { name group }
    subprofiles(first: 5) { nodes { externalId collection { name } fields { name type value } } pageInfo { hasNextPage } }
    relationships(first: 5) { nodes { type { name inverseName }
        from { externalId profile { displayName } } to { externalId profile { displayName } } } } }";

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_page_costs_the_same_few_statements_whatever_its_length() {
    let served = Served::start().await;
    people(&served.fixture, 60).await;
    served.ask(&format!("{{ profiles(first: 1) {{ {PAGE} }} }}")).await;
    for first in [1, 10, 50] {
        let before = served.reader.statements();
        let answer = served.ask(&format!("{{ profiles(first: {first}) {{ {PAGE} }} }}")).await;
        let spent = served.reader.statements() - before;
        assert_eq!(answer["profiles"]["nodes"].as_array().unwrap().len(), first);
        assert_eq!(spent, 5, "a page of {first}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fields_are_answered_alike_by_their_list_and_by_the_executor() {
    let served = Served::start().await;
    people(&served.fixture, 2).await;
    let leaves = "__typename name again: name label type value text";
    let ask = async |fields: &str, fragment: &str| {
        let nodes =
            format!("nodes {{ fields {{ {fields} }} subprofiles(first: 5) {{ nodes {{ fields {{ {fields} }} }} }} }}");
        served.ask(&format!("{{ profiles(first: 2) {{ {nodes} }} }} {fragment}")).await
    };
    let listed = ask(leaves, "").await;
    assert_eq!(listed, ask("...Leaves", &format!("fragment Leaves on Field {{ {leaves} }}")).await);
    assert_eq!(listed, ask(&format!("{leaves} definition @include(if: false) {{ name }}"), "").await);
    let executed = ask(&format!("{leaves} definition {{ __typename }}"), "").await;
    let fields = &listed["profiles"]["nodes"][1]["fields"];
    assert_eq!(fields.as_array().map(Vec::len), Some(4));
    for (place, field) in fields.as_array().unwrap().iter().enumerate() {
        let mut other = executed["profiles"]["nodes"][1]["fields"][place].clone();
        other.as_object_mut().unwrap().remove("definition");
        assert_eq!(*field, other);
    }
    assert_eq!(
        fields[1],
        json!({ "__typename": "Field", "name": "age", "again": "age", "label": null, "type": "NUMBER", "value": 42, "text": "42" })
    );
    let none = ask("name @skip(if: true)", "").await;
    assert_eq!(none["profiles"]["nodes"][0]["fields"], json!([{}, {}, {}, {}]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_page_with_fields_type_and_subprofiles_costs_two_statements_and_a_count_one_more() {
    let served = Served::start().await;
    people(&served.fixture, 60).await;
    served.reader.sources().await.unwrap();
    let page = "nodes { id type { name } fields { name value definition { label } }
        subprofiles(first: 5) { nodes { fields { name value } } } }";
    served.ask(&format!("{{ profiles(first: 1) {{ {page} }} }}")).await;
    for (what, statements) in [("", 2), ("totalCount", 3)] {
        let before = served.reader.statements();
        served.ask(&format!("{{ profiles(first: 50) {{ {what} {page} }} }}")).await;
        assert_eq!(served.reader.statements() - before, statements, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn where_the_values_of_a_page_come_from_costs_two_statements() {
    let served = Served::start().await;
    let source = people(&served.fixture, 60).await;
    served.fixture.changes(source, 1, ChangeKind::Updated, 2).await;
    served.reader.sources().await.unwrap();
    let read = |provenance: &str| format!("{{ profiles(first: 50) {{ nodes {{ fields {{ name {provenance} }} }} }} }}");
    served.ask(&read("")).await;
    let before = served.reader.statements();
    served.ask(&read("")).await;
    let without = served.reader.statements() - before;
    let before = served.reader.statements();
    let told = served.ask(&read("provenance { at rung change { id } }")).await;
    assert_eq!(served.reader.statements() - before, without + 2);
    let fields = told["profiles"]["nodes"][0]["fields"].as_array().unwrap();
    let city = fields.iter().find(|field| field["name"] == "city").unwrap();
    assert!(city["provenance"]["change"]["id"].is_string(), "{city}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn deletions_that_wait_are_counted_once_for_runs_and_their_sources() {
    let served = Served::start().await;
    let source_id = served.fixture.source("crm").await;
    let run = sync_run::ActiveModel {
        source_id: Set(source_id),
        state: Set(RunState::WaitingForApproval),
        cause: Set("test".to_owned()),
        started_at: Set(NEW_YEAR),
        checkpoint: Set(json!({})),
        pages: Set(0),
        rows_seen: Set(0),
        kind: Set(RunKind::Full),
        ..Default::default()
    };
    sync_run::Entity::insert(run).exec(served.fixture.db.writer()).await.unwrap();
    served.reader.sources().await.unwrap();
    let before = served.reader.statements();
    let query = "{ syncRuns(first: 5) { nodes { deletionsWaiting source { deletionsWaiting } } } }";
    let answer = served.api.execute(Served::request(query, Role::Operator)).await;
    assert!(answer.errors.is_empty(), "{:?}", answer.errors);
    let node = json!({ "deletionsWaiting": 0, "source": { "deletionsWaiting": 0 } });
    assert_eq!(answer.data.into_json().unwrap()["syncRuns"]["nodes"], json!([node]));
    assert_eq!(served.reader.statements() - before, 2, "the runs, and what waits");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_pages_do_not_break_batches_apart() {
    let served = Arc::new(Served::start().await);
    people(&served.fixture, 60).await;
    served.ask(&format!("{{ profiles(first: 1) {{ {PAGE} }} }}")).await;
    let before = served.reader.statements();
    let asked = (0..16).map(|_| {
        let served = served.clone();
        tokio::spawn(async move { served.ask(&format!("{{ profiles(first: 50) {{ {PAGE} }} }}")).await })
    });
    let answers = futures::future::try_join_all(asked).await.unwrap();
    assert!(answers.iter().all(|answer| answer == &answers[0]));
    let spent = served.reader.statements() - before;
    assert_eq!(spent, 16 * 5);
}

#[tokio::test]
async fn subprofiles_of_a_profile_are_picked_by_their_fields() {
    let served = Served::start().await;
    people(&served.fixture, 2).await;
    let ask = async |filter: &str| {
        let subprofiles = format!("subprofiles(first: 5, filter: {filter}) {{ nodes {{ externalId }} }}");
        let answer = served.ask(&format!("{{ profiles(first: 2) {{ nodes {{ {subprofiles} }} }} }}")).await;
        answer["profiles"]["nodes"].clone()
    };
    let none = json!({ "subprofiles": { "nodes": [] } });
    let both = |number: u8| {
        json!({ "subprofiles": { "nodes": [
        { "externalId": format!("o{number}-0") }, { "externalId": format!("o{number}-1") }] } })
    };
    let last = json!({ "subprofiles": { "nodes": [{ "externalId": "o1-1" }] } });
    assert_eq!(ask("{ field: [{ name: \"number\", text: { eq: \"o1-1\" } }] }").await, json!([none, last]));
    assert_eq!(ask("{ }").await, json!([both(0), both(1)]));
}

#[tokio::test]
async fn values_are_typed_ordered_and_readable() {
    let served = Served::start().await;
    people(&served.fixture, 2).await;
    let answer = served.ask(&format!("{{ profiles(first: 1) {{ totalCount {PAGE} }} }}")).await;
    assert_eq!(answer["profiles"]["totalCount"], 2);
    let person = &answer["profiles"]["nodes"][0];
    assert_eq!(
        person["fields"],
        json!([
            { "name": "city", "type": "TEXT", "value": "Delft", "text": "Delft", "definition": { "label": null } },
            { "name": "age", "type": "NUMBER", "value": 42, "text": "42", "definition": { "label": null } },
            { "name": "born", "type": "DATE", "value": null, "text": "0000-00-00", "definition": { "label": null } },
            { "name": "zeta", "type": "TEXT", "value": { "value": "Z", "confidence": 0.5 }, "text": "Z",
              "definition": null },
        ])
    );
    assert_eq!(person["interests"], json!([{ "name": "chess", "group": null }]));
    assert_eq!(person["subprofiles"]["nodes"][1]["externalId"], "o0-1");
    assert_eq!(
        person["relationships"]["nodes"][0]["to"],
        json!({ "externalId": "p1", "profile": { "displayName": "Person 001" } })
    );
}

#[tokio::test]
async fn ids_lead_back_to_their_records() {
    let served = Served::start().await;
    let source = people(&served.fixture, 2).await;
    let delivery = served.fixture.delivery(source, DeliveryState::Parked).await;
    served.fixture.changes(source, 1, ChangeKind::Updated, 1).await;
    let found = served
        .ask(
            "{ profile(by: { key: { source: \"crm\", externalId: \"p0\" } }) { id source { id } type { id }
            subprofiles(first: 1) { nodes { id } } relationships(first: 1) { nodes { id } }
            history(last: 1) { nodes { id fields { name after } cause { deliveryId } } } } }",
        )
        .await;
    let person = &found["profile"];
    assert_eq!(person["history"]["nodes"][0]["fields"], json!([{ "name": "city", "after": "1" }]));
    let ids = [
        ("Profile", &person["id"]),
        ("Source", &person["source"]["id"]),
        ("ProfileType", &person["type"]["id"]),
        ("Subprofile", &person["subprofiles"]["nodes"][0]["id"]),
        ("Relationship", &person["relationships"]["nodes"][0]["id"]),
        ("Change", &person["history"]["nodes"][0]["id"]),
    ];
    let list: Vec<String> = ids.iter().map(|(_, id)| id.to_string()).collect();
    let nodes = served.ask(&format!("{{ nodes(ids: [{}, \"x\"]) {{ __typename id }} }}", list.join(", "))).await;
    for (place, (name, id)) in ids.iter().enumerate() {
        assert_eq!(nodes["nodes"][place], json!({ "__typename": name, "id": id }));
    }
    assert_eq!(nodes["nodes"][6], Json::Null);
    let id = global_id::encode(global_id::Kind::Delivery, "crm", &delivery.to_string());
    let query = format!("{{ node(id: \"{}\") {{ id ... on Delivery {{ bodyBytes headers }} }} }}", id.as_str());
    assert_eq!(served.code(&query).await, "FORBIDDEN");
    let seen = served.api.execute(Served::request(&query, Role::Operator)).await;
    assert_eq!(seen.data.into_json().unwrap()["node"]["bodyBytes"], 13);
}

#[tokio::test]
async fn operators_see_deliveries_and_readers_do_not() {
    let served = Served::start().await;
    let source = served.fixture.source("crm").await;
    served.fixture.delivery(source, DeliveryState::Parked).await;
    served.fixture.delivery(source, DeliveryState::Pending).await;
    let query = "{ deliveries(first: 10, filter: { states: [PARKED] }) { nodes { state } }
        sources { name state pending parked lastRun { id } } syncRuns(first: 1) { nodes { id } }
        explainProfile(by: { id: \"x\" }, first: 1) { nodes { rule } } }";
    let seen = served.api.execute(Served::request(query, Role::Operator)).await;
    assert!(seen.errors.is_empty(), "{:?}", seen.errors);
    let seen = seen.data.into_json().unwrap();
    assert_eq!(seen["deliveries"]["nodes"], json!([{ "state": "PARKED" }]));
    assert_eq!(
        seen["sources"],
        json!([{ "name": "crm", "state": "RUNNING", "pending": 1, "parked": 1, "lastRun": null }])
    );
    for field in ["deliveries(first: 1) { nodes { id } }", "syncRuns(first: 1) { nodes { id } }"] {
        assert_eq!(served.code(&format!("{{ {field} }}")).await, "FORBIDDEN");
    }
}

#[tokio::test]
async fn tombstones_are_found_by_key_and_listed_by_status_only() {
    let served = Served::start().await;
    let source = served.fixture.source("crm").await;
    served.fixture.profile(source, "gone", |row| row.status = Set(Status::Deleted)).await;
    served.fixture.profile(source, "heard-of", |row| row.is_known = Set(false)).await;
    let due = |row: &mut ::entity::profile::ActiveModel| {
        row.status = Set(Status::ScheduledForDeletion);
        row.scheduled_for = Set(Some(NEW_YEAR.plus_ms(-24 * 60 * 60_000 - 1)));
        row.kind = Set(ProfileKind::Company);
    };
    served.fixture.profile(source, "due", due).await;
    let seen = served
        .ask(
            "{ all: profiles(first: 9) { totalCount nodes { externalId kind lifecycle { isOverdue scheduledFor } } }
            gone: profiles(first: 9, filter: { status: { in: [DELETED] } }) { nodes { externalId status } }
            key: profile(by: { key: { source: \"crm\", externalId: \"gone\" } }) { status }
            hidden: profile(by: { key: { source: \"crm\", externalId: \"heard-of\" } }) { status } }",
        )
        .await;
    assert_eq!(
        seen,
        json!({
            "all": { "totalCount": 1, "nodes": [{ "externalId": "due", "kind": "COMPANY",
                "lifecycle": { "isOverdue": true, "scheduledFor": "2025-12-30T23:59:59.999Z" } }] },
            "gone": { "nodes": [{ "externalId": "gone", "status": "DELETED" }] },
            "key": { "status": "DELETED" },
            "hidden": null,
        })
    );
}

#[tokio::test]
async fn wrong_pages_and_cursors_are_told_apart() {
    let served = Served::start().await;
    people(&served.fixture, 3).await;
    let page = |arguments: &str| format!("{{ profiles({arguments}) {{ pageInfo {{ endCursor }} }} }}");
    assert_eq!(served.code(&page("first: 101")).await, "PAGE_TOO_LARGE");
    assert_eq!(served.code(&page("first: -1")).await, "BAD_USER_INPUT");
    assert_eq!(served.code(&page("first: 1, last: 1")).await, "BAD_USER_INPUT");
    assert_eq!(served.code("{ profiles { pageInfo { endCursor } } }").await, "BAD_USER_INPUT");
    assert_eq!(served.code(&page("first: 1, after: \"x\"")).await, "CURSOR_INVALID");
    let cursor = served.ask(&page("first: 1, orderBy: { field: DISPLAY_NAME }")).await;
    let cursor = cursor["profiles"]["pageInfo"]["endCursor"].clone();
    assert_eq!(served.code(&page(&format!("first: 1, after: {cursor}"))).await, "CURSOR_INVALID");
    let next = page(&format!("first: 1, after: {cursor}, orderBy: {{ field: DISPLAY_NAME }}"));
    assert_ne!(served.ask(&next).await["profiles"]["pageInfo"]["endCursor"], cursor);
    assert_eq!(served.code("{ changes(first: 1, after: \"x\") { nodes { id } } }").await, "CURSOR_INVALID");
    let deep = "{ profiles(first: 1, filter: { not: { not: { not: { not: { not: { not: { not: { not: { not: {
        email: { eq: \"a\" } } } } } } } } } } }) { nodes { id } } }";
    assert_eq!(served.code(deep).await, "BAD_USER_INPUT");
}

/// Acceptance 20.
#[tokio::test]
async fn an_edge_cursor_of_changes_works_in_a_subscription() {
    use futures::StreamExt;
    let served = Served::start().await;
    let crm = people(&served.fixture, 1).await;
    let marketing = served.fixture.source("marketing").await;
    let other = served.fixture.profile(marketing, "m", |_| {}).await;
    served.fixture.changes(crm, 1, ChangeKind::Updated, 3).await;
    served.fixture.changes(marketing, other, ChangeKind::Created, 3).await;
    let read =
        "nodes { id } edges { cursor node { id source { name } profile { externalId } } } pageInfo { hasNextPage }";
    let whole = served.ask(&format!("{{ changes(first: 10) {{ {read} }} }}")).await;
    let edges = whole["changes"]["edges"].as_array().unwrap();
    assert_eq!(edges.len(), 6);
    let cursor = &edges[2]["cursor"];
    let rest = served.ask(&format!("{{ changes(first: 10, after: {cursor}) {{ {read} }} }}")).await;
    assert_eq!(rest["changes"]["edges"].as_array().unwrap(), &edges[3..]);

    let query = format!(
        "subscription {{ profileChanges(after: {cursor}) {{ __typename
        ... on ProfileChange {{ change {{ id }} profile {{ externalId }} }} ... on CaughtUp {{ cursor }} }} }}"
    );
    let mut stream = pin!(served.api.subscribe(Served::request(&query, Role::Reader)));
    let mut seen = Vec::new();
    loop {
        let answer = stream.next().await.unwrap().into_result().unwrap().data.into_json().unwrap();
        let event = &answer["profileChanges"];
        match event["__typename"].as_str().unwrap() {
            "ProfileChange" => seen.push(event["change"]["id"].to_string()),
            _ => break,
        }
    }
    let mut expected: Vec<String> = edges[3..].iter().map(|edge| edge["node"]["id"].to_string()).collect();
    seen.sort();
    expected.sort();
    assert_eq!(seen, expected);
    served.fixture.changes(crm, 1, ChangeKind::Closed, 1).await;
    served.publisher.ring();
    let answer = stream.next().await.unwrap().into_result().unwrap().data.into_json().unwrap();
    assert_eq!(answer["profileChanges"]["profile"]["externalId"], "p0");
}

#[tokio::test]
async fn a_subscription_brings_only_what_its_filter_lets_through() {
    use futures::StreamExt;
    let served = Served::start().await;
    let crm = people(&served.fixture, 2).await;
    let query = "subscription { profileChanges(kinds: [CLOSED], filter: { externalId: { eq: \"p1\" },
        type: { eq: \"People\" }, field: [{ name: \"city\", text: { startsWith: \"del\" } }] }) {
        __typename ... on ProfileChange { change { kind fields { name before after } cause { event } } } } }";
    let mut stream = pin!(served.api.subscribe(Served::request(query, Role::Reader)));
    let first = stream.next().await.unwrap().into_result().unwrap().data.into_json().unwrap();
    assert_eq!(first["profileChanges"]["__typename"], "CaughtUp");
    served.fixture.changes(crm, 1, ChangeKind::Closed, 1).await;
    served.fixture.changes(crm, 2, ChangeKind::Updated, 1).await;
    served.fixture.changes(crm, 2, ChangeKind::Closed, 1).await;
    served.publisher.ring();
    let answer = stream.next().await.unwrap().into_result().unwrap().data.into_json().unwrap();
    assert_eq!(
        answer["profileChanges"]["change"],
        json!({ "kind": "CLOSED", "fields": [{ "name": "city", "before": null, "after": "3" }],
            "cause": { "event": "update" } })
    );
}

#[tokio::test]
async fn a_change_that_concerns_none_of_many_subscribers_costs_no_statement_for_them() {
    use futures::StreamExt;
    const SUBSCRIBERS: u64 = 50;
    let served = Served::start().await;
    let crm = people(&served.fixture, 2).await;
    served.reader.sources().await.unwrap();
    let mut streams = Vec::new();
    for number in 0..SUBSCRIBERS {
        // Each has a filter of its own. What all of them let through ends their waiting.
        let query = format!(
            "subscription {{ profileChanges(filter: {{ or: [{{ displayName: {{ eq: \"Nobody {number}\" }} }},
            {{ externalId: {{ eq: \"p1\" }} }}] }}) {{ __typename ... on ProfileChange {{ change {{ kind }} }} }} }}"
        );
        let mut stream = served.api.subscribe(Served::request(&query, Role::Reader)).boxed();
        let first = stream.next().await.unwrap().into_result().unwrap().data.into_json().unwrap();
        assert_eq!(first["profileChanges"]["__typename"], "CaughtUp");
        streams.push(stream);
    }
    let before = (served.reader.statements(), served.publisher.statements());
    served.fixture.changes(crm, 1, ChangeKind::Updated, 1).await;
    served.fixture.changes(crm, 2, ChangeKind::Closed, 1).await;
    served.publisher.ring();
    for stream in &mut streams {
        let told = stream.next().await.unwrap().into_result().unwrap().data.into_json().unwrap();
        assert_eq!(told["profileChanges"], json!({ "__typename": "ProfileChange", "change": { "kind": "CLOSED" } }));
    }
    assert_eq!(served.reader.statements(), before.0, "none of them asks the database");
    let spent = served.publisher.statements() - before.1;
    assert!(spent < SUBSCRIBERS, "the log is read once for all of them, not {spent} times");
}
