//! Server-sent events: readers that stall, and the list of registered operations. What the protocol asks of each event is
//! held in `src/serve/edge/tests/events.rs`.

use super::ends::count_changes;
use super::{CHANGES, first_cursor, key, take_changes};
use crate::support::app::{ADMIN, READER, TestApp};
use crate::support::both;
use crate::support::registered::{self, by_hash, ways_around, ways_in, with_hash};
use crate::support::server_events::ServerEvents;
use crate::upstream::until;
use profile_mirror::config::Config;
use serde_json::{Value, json};

/// Events of so many bytes that the buffers of a connection hold some hundreds of them, and cost little to make.
fn long_events() -> String {
    CHANGES.replace("kind", &format!("kind {}: kind", "k".repeat(20_000)))
}

/// The changes that a stream brings, without its other events, until there are so many.
async fn take(events: &mut ServerEvents, count: usize) -> Vec<Value> {
    let mut changes = Vec::with_capacity(count);
    while changes.len() < count {
        let (name, mut answer) = events.next().await.expect("an event");
        let event = answer["data"]["profileChanges"].take();
        match event["__typename"].as_str() {
            Some("ProfileChange") => changes.push(event),
            Some("CaughtUp") => {}
            _ => panic!("{name}: {event}"),
        }
    }
    changes
}

both!(a_reader_of_events_that_stalls_gets_each_change_once_when_it_reads_on, |database| {
    let app = TestApp::builder(&database).profiles(2_400).start().await;
    let mut stalled = ServerEvents::open(app.address(), READER, &json!({ "query": long_events() })).await;
    let (_, first) = stalled.next().await.expect("an event");
    let begin = &first["data"]["profileChanges"]["cursor"];
    assert!(begin.is_string(), "{first}");
    app.import("marketing").await;
    let count = count_changes(&app).await;
    assert!(count > 1_000, "more than the buffers hold: {count}");

    let got = take(&mut stalled, count).await;
    let all = take_changes(&mut app.subscribe(CHANGES, json!({ "after": begin })).await, count).await;
    assert_eq!(got.iter().map(key).collect::<Vec<_>>(), all.iter().map(key).collect::<Vec<_>>());
    app.finish_apart_from_world().await;
});

both!(a_reader_of_events_that_stalls_leaves_the_rest_in_the_log, |database| {
    let mut app = TestApp::builder(&database).profiles(2_400).start().await;
    let begin = first_cursor(&mut app.subscribe(CHANGES, json!({})).await).await;
    app.import("marketing").await;
    let count = count_changes(&app).await;
    let request = json!({ "query": long_events(), "variables": { "after": begin } });
    let mut stalled = ServerEvents::open_narrow(app.address(), READER, &request).await;
    let mut brought = take(&mut stalled, 1).await;
    // As long as it takes to bring all of them to somebody who reads, they would be made for the other as well.
    let mut reading = ServerEvents::open(app.address(), READER, &request).await;
    let all = take(&mut reading, count).await;
    drop(reading);

    // Its request does not end, so that the stop gives it up; what was on its way by then still comes.
    app.restart().await;
    while let Some((_, mut answer)) = stalled.next().await {
        let event = answer["data"]["profileChanges"].take();
        brought.extend((event["__typename"] == "ProfileChange").then_some(event));
    }
    assert!(brought.len() < count / 2, "the service keeps little of the rest: {} of {count}", brought.len());
    let after = brought.last().expect("a change")["cursor"].clone();
    let rest = json!({ "query": CHANGES, "variables": { "after": after } });
    let mut anew = ServerEvents::open(app.address(), READER, &rest).await;
    let missing = count - brought.len();
    brought.extend(take(&mut anew, missing).await);
    assert_eq!(brought.iter().map(key).collect::<Vec<_>>(), all.iter().map(key).collect::<Vec<_>>());
    app.finish_apart_from_world().await;
});

both!(a_reader_of_events_that_stalls_for_long_is_given_up_and_goes_on_from_its_last_cursor, |database| {
    let often_told = |config: &mut Config| config.server.keep_alive_seconds = 1;
    let app = TestApp::builder(&database).profiles(2_400).configure(often_told).start().await;
    let begin = first_cursor(&mut app.subscribe(CHANGES, json!({})).await).await;
    app.import("marketing").await;
    let count = count_changes(&app).await;
    let all = take_changes(&mut app.subscribe(CHANGES, json!({ "after": begin })).await, count).await;
    until("nobody follows", async || app.followers() == 0).await;

    let request = json!({ "query": long_events(), "variables": { "after": begin } });
    let mut stalled = ServerEvents::open_narrow(app.address(), READER, &request).await;
    let mut brought = take(&mut stalled, 1).await;
    until("it is given up", async || app.followers() == 0).await;
    // Clients ask again where a stream ends without its completion.
    while let Some((name, mut answer)) = stalled.next().await {
        assert_eq!(name, "next", "{answer}");
        brought.push(answer["data"]["profileChanges"].take());
    }
    assert!(brought.len() < count, "the rest is left in the log: {} of {count}", brought.len());
    let after = brought.last().expect("a change")["cursor"].clone();
    let rest = json!({ "query": CHANGES, "variables": { "after": after } });
    let missing = count - brought.len();
    brought.extend(take(&mut ServerEvents::open(app.address(), READER, &rest).await, missing).await);
    assert_eq!(brought.iter().map(key).collect::<Vec<_>>(), all.iter().map(key).collect::<Vec<_>>());
    app.finish_apart_from_world().await;
});

const VIEWER: &str = "{ viewer { name } }";
const FREE: &str = "{ viewer { role } }";

both!(readers_of_events_run_registered_operations_only, |database| {
    let (_folder, configure) = registered::only(&json!({ "viewer-1": VIEWER, "changes-1": CHANGES }));
    let app = TestApp::builder(&database).configure(configure).start().await;
    let ask = async |key: &str, request: &Value| ServerEvents::open(app.address(), key, request).await;
    for request in ways_in("viewer-1", VIEWER) {
        let answer = ask(READER, &request).await.only().await;
        assert_eq!(answer["data"]["viewer"]["name"], "frontend", "{request}");
    }
    for request in ways_in("changes-1", CHANGES) {
        let (_, answer) = ask(READER, &request).await.next().await.expect("an event");
        assert_eq!(answer["data"]["profileChanges"]["__typename"], "CaughtUp", "{request}");
    }
    for request in [with_hash(FREE), by_hash(FREE)] {
        let answer = ask(ADMIN, &request).await.only().await;
        assert_eq!(answer["data"]["viewer"]["role"], "ADMIN", "operators ask what they like");
    }
    // By a blank it is another text than the registered one.
    let nearly = format!("{CHANGES} ");
    let subscription = "subscription { profileChanges(snapshot: true) { __typename } }";
    for document in [FREE, subscription, nearly.as_str()] {
        for request in ways_around(document) {
            let answer = ask(READER, &request).await.only().await;
            assert_eq!(answer["errors"][0]["extensions"]["code"], "PERSISTED_QUERY_REQUIRED", "{request}");
        }
    }
    app.finish_apart_from_world().await;
});
