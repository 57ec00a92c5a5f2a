//! The handshake, and who may start operations.

use super::*;

#[test]
fn the_sub_protocol_is_chosen_among_those_offered() {
    with_service(async |app| {
        let offered = "graphql-ws, graphql-transport-ws";
        let mut frames = Frames::connect(app.address(), &[("sec-websocket-protocol", offered)]).await.unwrap();
        frames.say(init(READER)).await;
        assert_eq!(frames.hear_message().await["type"], "connection_ack");
    });
}

#[test]
fn another_sub_protocol_closes_with_4406() {
    with_service(async |app| {
        let mut frames = Frames::connect(app.address(), &[]).await.unwrap();
        assert_eq!(frames.hear_code().await, 4406);
        // The library of this test would not go on without its protocol in the answer.
        let refused = Frames::connect(app.address(), &[("sec-websocket-protocol", "graphql-ws")]).await;
        assert!(refused.is_err(), "the protocol of another age is not spoken");
    });
}

#[test]
fn a_greeting_is_acknowledged_once() {
    with_service(async |app| {
        let mut frames = Frames::greeted(app).await;
        assert_eq!(frames.hear_until_pong().await, Vec::<Value>::new());
    });
}

#[test]
fn the_key_may_come_in_the_handshake_and_the_greeting_without_payload() {
    with_service(async |app| {
        let key = format!("Bearer {READER}");
        for greeting in [json!({ "type": "connection_init" }), json!({ "type": "connection_init", "payload": null })] {
            let headers = [("sec-websocket-protocol", "graphql-transport-ws"), ("authorization", key.as_str())];
            let mut frames = Frames::connect(app.address(), &headers).await.unwrap();
            frames.say(greeting).await;
            assert_eq!(frames.hear_message().await, json!({ "type": "connection_ack" }));
        }
    });
}

#[test]
fn a_greeting_without_a_good_key_closes_with_4403() {
    with_service(async |app| {
        let greetings = [
            init("wrong"),
            json!({ "type": "connection_init", "payload": { "Authorization": 1 } }),
            json!({ "type": "connection_init", "payload": {} }),
            json!({ "type": "connection_init", "payload": null }),
            json!({ "type": "connection_init" }),
        ];
        for greeting in greetings {
            let mut frames = Frames::open(app).await;
            frames.say(greeting.clone()).await;
            let Heard::Closed(4403, reason) = frames.hear().await else { panic!("{greeting}") };
            assert!(reason.starts_with("Forbidden: "), "{reason}");
        }
    });
}

#[test]
fn an_operation_before_the_acknowledgement_closes_with_4401() {
    with_service(async |app| {
        for query in [VIEWER, CHANGES, "{"] {
            let mut frames = Frames::open(app).await;
            frames.say(subscribe("a", query)).await;
            assert_eq!(frames.hear().await, Heard::Closed(4401, "Unauthorized".into()));
        }
    });
}

#[test]
fn a_second_greeting_closes_with_4429() {
    with_service(async |app| {
        let closed = Heard::Closed(4429, "Too many initialisation requests".into());
        let mut frames = Frames::greeted(app).await;
        frames.start_changes("a").await;
        frames.say(init(READER)).await;
        assert_eq!(frames.hear().await, closed);

        let mut frames = Frames::open(app).await;
        frames.say_at_once([init(READER), init(READER)]).await;
        assert_eq!(frames.hear_message().await["type"], "connection_ack");
        assert_eq!(frames.hear().await, closed);
    });
}

#[test]
fn silence_instead_of_a_greeting_closes_with_4408() {
    with_service(async |app| {
        let mut frames = Frames::open(app).await;
        assert_eq!(frames.hear().await, Heard::Closed(4408, "Connection initialisation timeout".into()));
    });
}
