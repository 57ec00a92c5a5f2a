//! Messages that belong to no operation, and what is no message at all.

use super::*;

#[test]
fn a_ping_is_answered_at_any_time_with_its_payload() {
    with_service(async |app| {
        let mut frames = Frames::open(app).await;
        for is_greeted in [false, true] {
            if is_greeted {
                frames.say(init(READER)).await;
                assert_eq!(frames.hear_message().await["type"], "connection_ack");
            }
            frames.say(json!({ "type": "ping" })).await;
            assert_eq!(frames.hear_message().await, json!({ "type": "pong" }));
            frames.say(json!({ "type": "ping", "payload": null })).await;
            assert_eq!(frames.hear_message().await, json!({ "type": "pong" }));
            frames.say(json!({ "type": "ping", "payload": { "at": 1, "of": ["x"] } })).await;
            assert_eq!(frames.hear_message().await, json!({ "type": "pong", "payload": { "at": 1, "of": ["x"] } }));
        }
    });
}

#[test]
fn a_pong_that_nobody_asked_for_is_no_offence() {
    with_service(async |app| {
        let pongs = [
            json!({ "type": "pong" }),
            json!({ "type": "pong", "payload": null }),
            json!({ "type": "pong", "payload": { "x": 1 } }),
        ];
        let mut frames = Frames::open(app).await;
        frames.say_at_once(pongs.clone()).await;
        assert_eq!(frames.hear_until_pong().await, Vec::<Value>::new());
        frames.say(init(READER)).await;
        assert_eq!(frames.hear_message().await["type"], "connection_ack");
        frames.start_changes("a").await;
        frames.say_at_once(pongs).await;
        assert_eq!(frames.hear_until_pong().await, Vec::<Value>::new());
    });
}

#[test]
fn what_is_no_message_closes_with_4400() {
    with_service(async |app| {
        let not_messages = [
            "",
            "x",
            "[]",
            "null",
            r#""ping""#,
            "{}",
            r#"{"type":1}"#,
            r#"{"type":"nonsense"}"#,
            r#"{"type":"start","id":"a","payload":{"query":"{a}"}}"#,
            // What only servers say.
            r#"{"type":"connection_ack"}"#,
            r#"{"type":"next","id":"a","payload":{}}"#,
            r#"{"type":"error","id":"a","payload":[]}"#,
            r#"{"type":"ping","payload":1}"#,
            r#"{"type":"ping","payload":[]}"#,
            r#"{"type":"pong","payload":"x"}"#,
            r#"{"type":"subscribe","payload":{"query":"{a}"}}"#,
            r#"{"type":"subscribe","id":1,"payload":{"query":"{a}"}}"#,
            r#"{"type":"subscribe","id":"","payload":{"query":"{a}"}}"#,
            r#"{"type":"subscribe","id":"a"}"#,
            r#"{"type":"subscribe","id":"a","payload":null}"#,
            r#"{"type":"subscribe","id":"a","payload":"{a}"}"#,
            r#"{"type":"subscribe","id":"a","payload":{}}"#,
            r#"{"type":"subscribe","id":"a","payload":{"query":1}}"#,
            r#"{"type":"subscribe","id":"a","payload":{"query":"{a}","variables":[]}}"#,
            r#"{"type":"subscribe","id":"a","payload":{"query":"{a}","operationName":1}}"#,
            r#"{"type":"subscribe","id":"a","payload":{"query":"{a}","extensions":"x"}}"#,
            r#"{"type":"complete"}"#,
            r#"{"type":"complete","id":null}"#,
            r#"{"type":"complete","id":1}"#,
        ];
        for text in not_messages {
            let mut frames = Frames::greeted(app).await;
            frames.start_changes("running").await;
            frames.write(text).await;
            let Heard::Closed(4400, reason) = frames.hear().await else { panic!("{text}") };
            assert!(reason.starts_with("Invalid message: ") && reason.len() <= 123, "{reason}");
        }
    });
}

#[test]
fn what_is_no_message_is_none_before_the_greeting_either() {
    with_service(async |app| {
        for text in ["x", r#"{"type":"nonsense"}"#, r#"{"type":"connection_ack"}"#, r#"{"type":"ping","payload":1}"#] {
            let mut frames = Frames::open(app).await;
            frames.write(text).await;
            assert_eq!(frames.hear_code().await, 4400, "{text}");
        }
    });
}

#[test]
fn a_greeting_of_the_wrong_form_closes_with_4400() {
    with_service(async |app| {
        for text in [r#"{"type":"connection_init","payload":1}"#, r#"{"type":"connection_init","payload":[]}"#] {
            let mut frames = Frames::open(app).await;
            frames.write(text).await;
            assert_eq!(frames.hear_code().await, 4400, "{text}");
        }
    });
}

#[test]
fn a_binary_frame_closes_with_4400() {
    with_service(async |app| {
        let mut frames = Frames::greeted(app).await;
        let ping = json!({ "type": "ping" }).to_string();
        frames.socket.send(Message::binary(ping.into_bytes())).await.unwrap();
        assert_eq!(frames.hear_code().await, 4400);
    });
}

#[test]
fn null_stands_for_what_may_be_left_out() {
    with_service(async |app| {
        let mut frames = Frames::greeted(app).await;
        let payload = json!({ "query": VIEWER, "operationName": null, "variables": null, "extensions": null });
        frames.say(json!({ "id": "a", "type": "subscribe", "payload": payload })).await;
        frames.hear_viewer("a").await;
    });
}

#[test]
fn a_client_that_closes_is_answered_with_a_close() {
    with_service(async |app| {
        let mut frames = Frames::greeted(app).await;
        frames.start_changes("a").await;
        frames.socket.close(None).await.unwrap();
        while let Some(frame) = frames.socket.next().await {
            assert!(matches!(frame, Ok(Message::Close(_))), "{frame:?}");
        }
    });
}
