//! What the service bounds beyond the protocol.

use super::*;
use crate::support::app::ADMIN;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[test]
fn foreign_pages_open_no_socket() {
    let configure = |config: &mut Config| config.server.allowed_origins = vec!["https://app.example".into()];
    with_settings(configure, async |app| {
        let own = format!("http://{}", app.address());
        let cases =
            [(own.as_str(), true), ("https://app.example", true), ("https://evil.example", false), ("null", false)];
        for (origin, is_allowed) in cases {
            let headers = [("sec-websocket-protocol", "graphql-transport-ws"), ("origin", origin)];
            let opened = Frames::connect(app.address(), &headers).await;
            match opened {
                Ok(_) => assert!(is_allowed, "{origin}"),
                Err(tungstenite::Error::Http(answer)) => assert!(!is_allowed && answer.status() == 403, "{origin}"),
                Err(other) => panic!("{origin}: {other}"),
            }
        }
    });
}

#[test]
fn a_key_with_all_its_sockets_waits_and_shuts_out_nobody() {
    let configure = |config: &mut Config| {
        config.server.streams = 3;
        config.server.streams_per_key = 2;
    };
    with_settings(configure, async |app| {
        let one = Frames::greeted(app).await;
        let _two = Frames::greeted(app).await;
        let mut three = Frames::open(app).await;
        three.say(init(READER)).await;
        assert_eq!(three.hear_code().await, 1013, "clients try again after this code");
        drop(three);
        // The service may not have noticed yet.
        let mut other = loop {
            match Frames::connect(app.address(), &[("sec-websocket-protocol", "graphql-transport-ws")]).await {
                Ok(frames) => break frames,
                Err(tungstenite::Error::Http(answer)) if answer.status() == 503 => tokio::task::yield_now().await,
                Err(other) => panic!("{other}"),
            }
        };
        other.say(init(ADMIN)).await;
        assert_eq!(other.hear_message().await["type"], "connection_ack");
        let full = Frames::connect(app.address(), &[("sec-websocket-protocol", "graphql-transport-ws")]).await;
        assert!(matches!(full, Err(tungstenite::Error::Http(answer)) if answer.status() == 503));
        drop(one);
    });
}

#[test]
fn a_socket_runs_so_many_operations_at_once() {
    with_service(async |app| {
        let mut frames = Frames::greeted(app).await;
        for number in 0..100 {
            frames.start_changes(&number.to_string()).await;
        }
        frames.say(subscribe("more", VIEWER)).await;
        let error = frames.hear_message().await;
        assert_eq!((&error["type"], &error["id"]), (&json!("error"), &json!("more")));
        assert_eq!(error["payload"][0]["extensions"]["code"], "BAD_USER_INPUT");
        frames.say(complete("7")).await;
        frames.say(subscribe("more", VIEWER)).await;
        frames.hear_viewer("more").await;
    });
}

#[test]
fn a_large_message_closes_with_1009() {
    with_service(async |app| {
        let mut frames = Frames::greeted(app).await;
        frames.say(json!({ "type": "ping", "payload": { "x": "y".repeat(120 * 1024) } })).await;
        assert_eq!(frames.hear_message().await["type"], "pong");
        frames.say(json!({ "type": "ping", "payload": { "x": "y".repeat(130 * 1024) } })).await;
        assert_eq!(frames.hear_code().await, 1009);
    });
}

#[test]
fn a_message_without_end_is_cut() {
    with_service(async |app| {
        let mut frames = Frames::greeted(app).await;
        let endless = Message::text("y".repeat(8 * 1024 * 1024));
        // The server may hang up before all of it is written.
        let _ = frames.socket.send(endless).await;
        let frame = tokio::time::timeout(Duration::from_secs(20), frames.socket.next()).await.expect("an end in time");
        assert!(!matches!(frame, Some(Ok(Message::Text(_)))), "{frame:?}");
    });
}

#[test]
fn who_answers_no_ping_is_closed() {
    with_settings(
        |config| config.server.keep_alive_seconds = 1,
        async |app| {
            // A client that reads frames and never writes one.
            let mut stream = TcpStream::connect(app.address()).await.unwrap();
            let handshake = format!(
                "GET /graphql HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n",
                app.address()
            );
            stream.write_all(handshake.as_bytes()).await.unwrap();
            let mut read = Vec::new();
            let until_closed = async {
                while !read.windows(2).any(|bytes| bytes == [0x88, 0x1d]) {
                    assert_ne!(stream.read_buf(&mut read).await.unwrap(), 0, "closed without a frame");
                }
            };
            tokio::time::timeout(Duration::from_secs(20), until_closed).await.expect("a close frame in time");
            let frames =
                &read[read.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("the handshake's answer") + 4..];
            // Two pings without payload, then a close frame with 1011 and its reason.
            assert_eq!(frames[..6], [0x89, 0, 0x89, 0, 0x88, 0x1d]);
            assert_eq!(u16::from_be_bytes([frames[6], frames[7]]), 1011);
        },
    );
}
