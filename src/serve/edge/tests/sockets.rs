//! Sockets over a small mirror.

use super::*;
use futures::{SinkExt, StreamExt};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn open(edge: &Edge) -> Socket {
    let mut request = format!("ws://{}/graphql", edge.listen().await).into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", "graphql-transport-ws".parse().unwrap());
    tokio_tungstenite::connect_async(request).await.unwrap().0
}

async fn say(socket: &mut Socket, message: Value) {
    socket.send(Message::text(message.to_string())).await.unwrap();
}

/// The next text, or the code that the socket was closed with.
async fn hear(socket: &mut Socket) -> Result<Value, u16> {
    loop {
        match tokio::time::timeout(Duration::from_secs(20), socket.next()).await.expect("something in time") {
            Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
            Some(Ok(Message::Close(frame))) => return Err(frame.map_or(0, |frame| frame.code.into())),
            Some(Ok(_)) => {}
            other => panic!("the socket was cut: {other:?}"),
        }
    }
}

async fn greet(socket: &mut Socket) {
    say(socket, json!({ "type": "connection_init", "payload": { "Authorization": KEY } })).await;
    assert_eq!(hear(socket).await, Ok(json!({ "type": "connection_ack" })));
}

fn subscribe(id: &str, query: &str) -> Value {
    json!({ "id": id, "type": "subscribe", "payload": { "query": query } })
}

const CHANGES: &str =
    "subscription { profileChanges { __typename ... on ProfileChange { change { kind } profile { externalId } } } }";

#[tokio::test]
async fn a_socket_carries_subscriptions_and_queries_side_by_side() {
    let edge = Edge::start().await;
    let source = edge.fixture.source("crm").await;
    let profile = edge.fixture.profile(source, "p", |_| {}).await;
    let mut socket = open(&edge).await;
    greet(&mut socket).await;
    say(&mut socket, subscribe("a", CHANGES)).await;
    let caught_up =
        json!({ "id": "a", "type": "next", "payload": { "data": { "profileChanges": { "__typename": "CaughtUp" } } } });
    assert_eq!(hear(&mut socket).await, Ok(caught_up));
    say(&mut socket, subscribe("b", "{ viewer { name } }")).await;
    let viewer = hear(&mut socket).await.unwrap();
    assert_eq!((&viewer["id"], &viewer["payload"]["data"]), (&json!("b"), &json!({ "viewer": { "name": "reader" } })));
    assert_eq!(hear(&mut socket).await, Ok(json!({ "id": "b", "type": "complete" })));
    say(&mut socket, json!({ "type": "ping", "payload": { "x": 1 } })).await;
    assert_eq!(hear(&mut socket).await, Ok(json!({ "type": "pong", "payload": { "x": 1 } })));

    edge.fixture.changes(source, profile, ::entity::ChangeKind::Closed, 1).await;
    edge.publisher.ring();
    let event = hear(&mut socket).await.unwrap();
    assert_eq!(
        event["payload"]["data"]["profileChanges"],
        json!({ "__typename": "ProfileChange", "change": { "kind": "CLOSED" }, "profile": { "externalId": "p" } })
    );
    say(&mut socket, json!({ "id": "a", "type": "complete" })).await;
    say(&mut socket, subscribe("a", "{ viewer { name } }")).await;
    assert_eq!(
        hear(&mut socket).await.unwrap()["payload"]["data"]["viewer"]["name"],
        "reader",
        "an id can be used again"
    );
}

#[tokio::test]
async fn the_end_of_the_service_completes_streams_and_closes_sockets() {
    let edge = Edge::start().await;
    let mut socket = open(&edge).await;
    greet(&mut socket).await;
    say(&mut socket, subscribe("a", CHANGES)).await;
    hear(&mut socket).await.unwrap();
    edge.stop.cancel();
    let last = hear(&mut socket).await.unwrap();
    assert_eq!(last["payload"]["data"]["profileChanges"]["__typename"], "Interrupted", "{last}");
    assert_eq!(hear(&mut socket).await, Ok(json!({ "id": "a", "type": "complete" })));
    assert_eq!(hear(&mut socket).await, Err(1001));
    drop(socket);
    edge.sockets.close();
    tokio::time::timeout(Duration::from_secs(5), edge.sockets.wait()).await.expect("no socket stays");
}
