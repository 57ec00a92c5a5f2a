//! Profiles as they were.

use super::writers::more_instances;
use super::{CHANGES, first_cursor};
use crate::support::app::{READER, TestApp};
use crate::support::both;
use crate::support::socket::Subscription;
use entity::change;
use profile_mirror::clock::Clock;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder};
use serde_json::{Value, json};
use simulator::ProviderKind;
use std::collections::BTreeMap;

const WORLD: &str = "query ($after: String, $asOf: AsOf) {
  profiles(
    filter: { status: { in: [OPEN, CLOSED, SCHEDULED_FOR_DELETION, ANONYMIZED, DELETED] } }
    first: 25
    after: $after
    asOf: $asOf
  ) {
    pageInfo { hasNextPage endCursor }
    nodes {
      id status displayName email kind createdAt
      type { externalId }
      lifecycle { since scheduledFor }
      fields { name value }
      interests { group name }
      subprofiles(first: 100) { nodes { externalId createdAt collection { externalId } fields { name value } } }
      relationships(first: 100) { nodes { externalId type { externalId } from { externalId } to { externalId } } }
    }
  }
}";

/// Every profile by its id, as it is or as it was.
async fn world(app: &TestApp, as_of: Value) -> BTreeMap<String, Value> {
    let mut world = BTreeMap::new();
    let mut after = Value::Null;
    loop {
        let mut data = app.client().query(WORLD, json!({ "after": after, "asOf": as_of })).await;
        let page = data["profiles"].take();
        for node in page["nodes"].as_array().expect("nodes") {
            let id = node["id"].as_str().expect("an id").to_owned();
            assert!(world.insert(id, node.clone()).is_none(), "a profile on two pages");
        }
        if page["pageInfo"]["hasNextPage"] == false {
            return world;
        }
        after = page["pageInfo"]["endCursor"].clone();
    }
}

async fn cursor_now(app: &TestApp) -> Value {
    first_cursor(&mut app.subscribe(CHANGES, json!({})).await).await
}

async fn let_things_happen(app: &TestApp, count: usize) {
    for provider in ProviderKind::ALL {
        app.simulator.random_history(provider, count);
    }
    app.simulator.getprofile().settle();
    app.settle().await;
    // What happens next is recorded at a later moment.
    app.clock.advance_ms(1_000);
}

/// What stays of a recorded profile that was erased since: that it was there, and its status.
fn without_what_was_erased(recorded: &Value) -> Value {
    json!({ "id": recorded["id"], "status": recorded["status"] })
}

both!(the_past_is_as_it_was_recorded_but_for_what_was_erased, |database| {
    let app = TestApp::imported(&database).await;
    let mut moments = Vec::new();
    for _ in 0..5 {
        let at = app.clock.now().to_datetime().to_rfc3339();
        app.clock.advance_ms(1_000);
        moments.push((at, cursor_now(&app).await, world(&app, Value::Null).await));
        let_things_happen(&app, 12).await;
    }
    let now = world(&app, Value::Null).await;
    let was_erased = |id: &String| now[id]["status"] == "ANONYMIZED";
    let mut differing = 0;
    for (at, cursor, recorded) in &moments {
        differing += recorded.iter().filter(|(id, profile)| now.get(*id) != Some(profile)).count();
        for as_of in [json!({ "time": at }), json!({ "cursor": cursor })] {
            let past = world(&app, as_of.clone()).await;
            assert_eq!(past.keys().collect::<Vec<_>>(), recorded.keys().collect::<Vec<_>>(), "who was there, {as_of}");
            for (id, profile) in recorded {
                if was_erased(id) && profile["status"] != "ANONYMIZED" {
                    assert_eq!(without_what_was_erased(&past[id]), without_what_was_erased(profile), "{as_of}");
                    assert_eq!((&past[id]["fields"], &past[id]["email"]), (&json!([]), &Value::Null), "{as_of}");
                } else {
                    assert_eq!(past[id], without_erased_ends(profile, &past[id], &now), "{as_of}");
                }
            }
        }
    }
    assert!(differing > 20, "the histories left {differing} profiles as they were");
    let before_all = app.client().query(WORLD, json!({ "asOf": { "time": "0001-01-01T00:00:00Z" } })).await;
    assert_eq!(before_all["profiles"]["nodes"], json!([]), "nobody was there at the beginning");
    assert_eq!(before_all["profiles"]["pageInfo"]["hasNextPage"], false, "and nobody is looked for there");
    app.assert_rows_equal_world_but_for_silent_ends(0).await;
    app.finish_apart_from_world().await;
});

/// A recorded profile without the relationships to those who were erased since: nothing tells of them any more.
fn without_erased_ends(recorded: &Value, past: &Value, now: &BTreeMap<String, Value>) -> Value {
    let mut recorded = recorded.clone();
    let is_erased = |end: &Value| {
        now.values().any(|profile| profile["status"] == "ANONYMIZED" && global_name(profile).ends_with(&text(end)))
    };
    let is_told = |relationship: &Value| past["relationships"]["nodes"].as_array().unwrap().contains(relationship);
    recorded["relationships"]["nodes"].as_array_mut().unwrap().retain(|relationship| {
        let ends = [&relationship["from"]["externalId"], &relationship["to"]["externalId"]];
        is_told(relationship) || !ends.into_iter().any(is_erased)
    });
    recorded
}

fn text(value: &Value) -> String {
    value.as_str().expect("text").to_owned()
}

/// Source and upstream id of a profile, out of its id.
fn global_name(profile: &Value) -> String {
    use base64::Engine;
    let id = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text(&profile["id"])).expect("an id");
    String::from_utf8(id).expect("an id")
}

both!(what_the_past_cannot_tell_is_said_with_a_code, |database| {
    let app = TestApp::imported(&database).await;
    let client = app.client();
    let ask = |arguments: &str| format!("{{ profiles(first: 1, {arguments}) {{ nodes {{ id }} }} }}");
    let before_all = world(&app, json!({ "time": "2001-01-01T00:00:00Z" })).await;
    assert!(before_all.is_empty(), "nobody was there before the first change");
    let cases = [
        (ask("asOf: { cursor: \"nonsense\" }"), "CURSOR_INVALID"),
        (ask("asOf: { time: \"2030-01-01T00:00:00Z\" }, orderBy: [{ field: EMAIL }]"), "BAD_USER_INPUT"),
        (ask("asOf: { time: \"2030-01-01T00:00:00Z\", cursor: \"\" }"), "BAD_USER_INPUT"),
        (
            "{ profiles(first: 1, asOf: { time: \"2030-01-01T00:00:00Z\" }) { totalCount } }".to_owned(),
            "BAD_USER_INPUT",
        ),
    ];
    for (document, code) in cases {
        assert_eq!(client.codes(&document, json!({})).await, [code], "{document}");
    }
    app.finish().await;
});

both!(a_place_that_the_log_no_longer_reaches_has_expired_for_the_past_and_for_streams, |database| {
    let app = TestApp::imported(&database).await;
    let early = cursor_now(&app).await;
    let_things_happen(&app, 12).await;
    // What is kept begins somewhere behind the cursor.
    let newest = change::Entity::find().order_by_desc(change::Column::Revision).one(app.database().reader());
    let newest = newest.await.unwrap().expect("a change");
    let older = change::Entity::delete_many()
        .filter(change::Column::SourceId.eq(newest.source_id))
        .filter(change::Column::Revision.lt(newest.revision))
        .exec(app.database().writer());
    assert!(older.await.unwrap().rows_affected > 0);

    let document = "query ($at: AsOf) { profiles(first: 1, asOf: $at) { nodes { id } } }";
    for at in [json!({ "cursor": early }), json!({ "time": "2001-01-01T00:00:00Z" })] {
        assert_eq!(app.client().codes(document, json!({ "at": at })).await, ["CURSOR_EXPIRED"], "{at}");
    }
    let document = "query ($after: Cursor) { changes(first: 1, after: $after) { nodes { id } } }";
    assert_eq!(app.client().codes(document, json!({ "after": early })).await, ["CURSOR_EXPIRED"]);
    let events = "subscription ($after: Cursor) {
      profileChanges(after: $after) { __typename ... on CursorExpired { message oldest } ... on CaughtUp { cursor } }
    }";
    // What runs already may have the newest changes in memory.
    let mut others = more_instances(&app, 1).await;
    let other = others.remove(0);
    let mut stream = Subscription::open(other.address(), READER, events, json!({ "after": early })).await;
    // Other sources have theirs still, and may tell it first.
    let event = loop {
        let event = stream.next().await["profileChanges"].take();
        if event["__typename"] != "ProfileChange" {
            break event;
        }
    };
    assert_eq!(event["__typename"], "CursorExpired");
    assert!(event["message"].as_str().is_some_and(|text| text.contains("snapshot")), "what to do: {event}");
    let oldest = json!({ "after": event["oldest"] });
    let mut stream = Subscription::open(other.address(), READER, events, oldest).await;
    while stream.next().await["profileChanges"]["__typename"] != "CaughtUp" {}
    other.stop().await;
    app.finish_apart_from_world().await;
});
