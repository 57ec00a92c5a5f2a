//! Registered operations: the list that holds over HTTP holds over a socket.

use super::*;
use crate::support::app::ADMIN;
use crate::support::registered::{self, by_hash, ways_around, ways_in, with_hash};

const FREE: &str = "{ viewer { role } }";

/// Runs a test against a service whose readers run [`VIEWER`] and [`CHANGES`] only.
fn with_registered(test: impl AsyncFnOnce(&TestApp) + Send) {
    let (_folder, configure) = registered::only(&json!({ "viewer-1": VIEWER, "changes-1": CHANGES }));
    with_settings(configure, test);
}

fn ask(id: &str, request: &Value) -> Value {
    json!({ "id": id, "type": "subscribe", "payload": request })
}

/// Asks for what must be refused, with one error and nothing after it.
async fn expect_refusal(frames: &mut Frames, request: &Value) {
    frames.say(ask("a", request)).await;
    let error = frames.hear_message().await;
    assert_eq!((&error["type"], &error["id"]), (&json!("error"), &json!("a")), "{request}");
    assert_eq!(error["payload"][0]["extensions"]["code"], "PERSISTED_QUERY_REQUIRED", "{request}");
    assert_eq!(frames.hear_until_pong().await, Vec::<Value>::new(), "{request}");
}

#[test]
fn what_is_registered_runs_however_it_is_named() {
    with_registered(async |app| {
        let mut frames = Frames::greeted(app).await;
        for request in ways_in("viewer-1", VIEWER) {
            frames.say(ask("a", &request)).await;
            frames.hear_viewer("a").await;
        }
        for (number, request) in ways_in("changes-1", CHANGES).iter().enumerate() {
            let id = number.to_string();
            frames.say(ask(&id, request)).await;
            let payload = json!({ "data": { "profileChanges": { "__typename": "CaughtUp" } } });
            assert_eq!(frames.hear_message().await, json!({ "id": id, "type": "next", "payload": payload }));
        }
    });
}

#[test]
fn readers_run_nothing_else() {
    with_registered(async |app| {
        let mut frames = Frames::greeted(app).await;
        // By a blank it is another text than the registered one.
        let nearly = [format!("{VIEWER} "), format!("{CHANGES} ")];
        let subscription = "subscription { profileChanges(snapshot: true) { __typename } }";
        for document in [FREE, subscription, "{", nearly[0].as_str(), nearly[1].as_str()] {
            for request in ways_around(document) {
                expect_refusal(&mut frames, &request).await;
            }
        }
        expect_refusal(&mut frames, &json!({ "documentId": "viewer-2" })).await;
        frames.say(ask("a", &json!({ "documentId": "viewer-1" }))).await;
        frames.hear_viewer("a").await;
    });
}

#[test]
fn what_an_operator_sent_opens_nothing_to_readers() {
    with_registered(async |app| {
        let mut operator = Frames::open(app).await;
        operator.say(init(ADMIN)).await;
        assert_eq!(operator.hear_message().await["type"], "connection_ack");
        for request in [with_hash(FREE), by_hash(FREE)] {
            operator.say(ask("a", &request)).await;
            let next = operator.hear_message().await;
            assert_eq!(next["payload"]["data"]["viewer"]["role"], "ADMIN", "operators ask what they like");
            assert_eq!(operator.hear_message().await, complete("a"));
        }
        let mut reader = Frames::greeted(app).await;
        expect_refusal(&mut reader, &by_hash(FREE)).await;
    });
}
