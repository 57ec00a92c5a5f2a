//! The handshake, and who may start operations.

use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What a handshake is answered that offers these protocols: the head, and the code of the close frame behind it. By hand,
/// because a library would go no further than to the head.
async fn offer(app: &TestApp, protocols: &str) -> (String, u16) {
    let mut stream = TcpStream::connect(app.address()).await.unwrap();
    let handshake = format!(
        "GET /graphql HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: {protocols}\r\n\r\n",
        app.address()
    );
    stream.write_all(handshake.as_bytes()).await.unwrap();
    let mut read: Vec<u8> = Vec::new();
    let until_closed = async {
        loop {
            let end = read.windows(4).position(|bytes| bytes == b"\r\n\r\n");
            if let Some(end) = end
                && let &[0x88, _, high, low, ..] = &read[end + 4..]
            {
                let head = String::from_utf8_lossy(&read[..end]).to_ascii_lowercase();
                break (head, u16::from_be_bytes([high, low]));
            }
            assert_ne!(stream.read_buf(&mut read).await.unwrap(), 0, "closed without a frame");
        }
    };
    tokio::time::timeout(Duration::from_secs(20), until_closed).await.expect("a close frame in time")
}

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
        for protocols in ["graphql-ws", "mqtt, soap"] {
            let (head, code) = offer(app, protocols).await;
            assert_eq!(code, 4406, "{protocols}");
            assert!(head.starts_with("http/1.1 101") && !head.contains("sec-websocket-protocol"), "{head}");
        }
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
        let mut silent = Frames::open(app).await;
        let mut chatty = Frames::open(app).await;
        assert_eq!(chatty.hear_until_pong().await, Vec::<Value>::new());
        chatty.say(json!({ "type": "pong" })).await;
        for frames in [&mut silent, &mut chatty] {
            assert_eq!(frames.hear().await, Heard::Closed(4408, "Connection initialisation timeout".into()));
        }
    });
}
