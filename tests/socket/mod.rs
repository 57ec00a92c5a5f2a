//! The protocol graphql-transport-ws, frame by frame: what its page (`PROTOCOL.md` of graphql-ws) asks of a server, and what
//! this service bounds beyond it.
//!
//! - `greeting`: the handshake, `connection_init` and `connection_ack`; 4401, 4403, 4406, 4408, 4429.
//! - `messages`: `ping`, `pong`, and what is no message; 4400.
//! - `operations`: `subscribe`, `next`, `error`, `complete`, their ids and their races; 4409.
//! - `ends`: what ends an operation before its result, in its course, and with its socket.
//! - `bounds`: origins, sockets, operations, bytes, and silence.
//! - `registered`: readers who run registered operations only.
//!
//! No database matters here but in `ends`, so that all the rest runs on SQLite.

mod bounds;
mod ends;
mod greeting;
mod messages;
mod operations;
mod registered;

use crate::support::app::{READER, TestApp};
use crate::support::place;
use futures::{SinkExt, StreamExt};
use profile_mirror::config::Config;
use profile_mirror::db::Dialect;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// A subscription that begins with one event, *caught up*.
const CHANGES: &str = "subscription { profileChanges { __typename } }";
const VIEWER: &str = "{ viewer { name } }";

/// Runs a test against a service with an empty mirror.
fn with_service(test: impl AsyncFnOnce(&TestApp) + Send) {
    with_settings(|_| {}, test);
}

/// The same, with other settings.
fn with_settings(change: impl FnOnce(&mut Config) + Send + 'static, test: impl AsyncFnOnce(&TestApp) + Send) {
    place::run_on(Dialect::Sqlite, async |database| {
        let app = TestApp::builder(&database).configure(change).start().await;
        test(&app).await;
        app.finish_apart_from_world().await;
    });
}

/// What the server says.
#[derive(Clone, Debug, PartialEq)]
enum Heard {
    /// A message of the protocol.
    Message(Value),
    /// It closed the socket: code and reason.
    Closed(u16, String),
}

/// A socket on which frames are written and read by hand.
struct Frames {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Frames {
    async fn connect(address: SocketAddr, headers: &[(&'static str, &str)]) -> Result<Self, tungstenite::Error> {
        let mut request = format!("ws://{address}/graphql").into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        tokio_tungstenite::connect_async(request).await.map(|(socket, _)| Self { socket })
    }

    /// A socket that has not been greeted yet.
    async fn open(app: &TestApp) -> Self {
        Self::connect(app.address(), &[("sec-websocket-protocol", "graphql-transport-ws")]).await.expect("a socket")
    }

    /// A socket on which operations may start.
    async fn greeted(app: &TestApp) -> Self {
        let mut frames = Self::open(app).await;
        frames.say(init(READER)).await;
        assert_eq!(frames.hear().await, Heard::Message(json!({ "type": "connection_ack" })));
        frames
    }

    async fn say(&mut self, message: Value) {
        self.write(message.to_string()).await;
    }

    async fn write(&mut self, text: impl Into<String>) {
        self.socket.send(Message::text(text.into())).await.expect("write a frame");
    }

    /// Writes several messages before the server can have answered the first.
    async fn say_at_once(&mut self, messages: impl IntoIterator<Item = Value>) {
        for message in messages {
            self.socket.feed(Message::text(message.to_string())).await.expect("write a frame");
        }
        self.socket.flush().await.expect("write the frames");
    }

    async fn hear(&mut self) -> Heard {
        loop {
            let frame = tokio::time::timeout(Duration::from_secs(30), self.socket.next()).await;
            match frame.expect("a frame in time") {
                Some(Ok(Message::Text(text))) => return Heard::Message(serde_json::from_str(&text).expect("JSON")),
                Some(Ok(Message::Close(Some(frame)))) => {
                    return Heard::Closed(frame.code.into(), frame.reason.to_string());
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("the socket was cut: {other:?}"),
            }
        }
    }

    async fn hear_message(&mut self) -> Value {
        match self.hear().await {
            Heard::Message(message) => message,
            closed @ Heard::Closed(..) => panic!("{closed:?}"),
        }
    }

    async fn hear_code(&mut self) -> u16 {
        match self.hear().await {
            Heard::Closed(code, _) => code,
            message @ Heard::Message(_) => panic!("{message:?}"),
        }
    }

    /// Everything up to the answer to a ping that is sent now: what was said before has been dealt with then.
    async fn hear_until_pong(&mut self) -> Vec<Value> {
        self.say(json!({ "type": "ping" })).await;
        let mut heard = Vec::new();
        loop {
            match self.hear_message().await {
                message if message["type"] == "pong" => return heard,
                message => heard.push(message),
            }
        }
    }

    /// Starts the endless subscription and waits for its first event.
    async fn start_changes(&mut self, id: &str) {
        self.say(subscribe(id, CHANGES)).await;
        let payload = json!({ "data": { "profileChanges": { "__typename": "CaughtUp" } } });
        assert_eq!(self.hear_message().await, json!({ "id": id, "type": "next", "payload": payload }));
    }

    /// The answer to a query of the viewer's name, and its end.
    async fn hear_viewer(&mut self, id: &str) {
        let next = self.hear_message().await;
        assert_eq!((&next["type"], &next["id"]), (&json!("next"), &json!(id)));
        assert_eq!(next["payload"]["data"], json!({ "viewer": { "name": "frontend" } }));
        assert_eq!(self.hear_message().await, complete(id));
    }
}

fn init(key: &str) -> Value {
    json!({ "type": "connection_init", "payload": { "Authorization": format!("Bearer {key}") } })
}

fn subscribe(id: &str, query: &str) -> Value {
    json!({ "id": id, "type": "subscribe", "payload": { "query": query } })
}

fn complete(id: &str) -> Value {
    json!({ "id": id, "type": "complete" })
}
