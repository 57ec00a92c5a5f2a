//! A graphql-transport-ws client that collects the events of one subscription.

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// Longest wait for an event that must come.
const DEADLINE: Duration = Duration::from_secs(20);

/// One subscription on a socket of its own.
pub struct Subscription {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

/// What a subscription tells.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// The data of an event.
    Next(Value),
    /// Errors that end the subscription.
    Error(Value),
    /// The server is done with it.
    Complete,
    /// The socket is closed, with this code.
    Closed(Option<u16>),
}

impl Subscription {
    /// Connects, is acknowledged, subscribes.
    pub async fn open(address: SocketAddr, key: &str, document: &str, variables: Value) -> Self {
        let mut opened = Self::connect(address, json!({ "Authorization": format!("Bearer {key}") })).await;
        let ack = opened.receive().await.expect("an acknowledgement");
        assert_eq!(ack["type"], "connection_ack", "{ack}");
        let payload = json!({ "query": document, "variables": variables });
        opened.send(json!({ "id": "1", "type": "subscribe", "payload": payload })).await;
        opened
    }

    /// Connects and initializes; the server's answer is still to be read.
    pub async fn connect(address: SocketAddr, payload: Value) -> Self {
        let mut request = format!("ws://{address}/graphql").into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("graphql-transport-ws"));
        let (socket, answer) = tokio_tungstenite::connect_async(request).await.expect("a socket");
        assert_eq!(answer.headers()["sec-websocket-protocol"], "graphql-transport-ws");
        let mut opened = Self { socket };
        opened.send(json!({ "type": "connection_init", "payload": payload })).await;
        opened
    }

    async fn send(&mut self, message: Value) {
        self.socket.send(Message::text(message.to_string())).await.expect("send");
    }

    /// The next message of the protocol but pings, or the code with which the socket closed.
    async fn receive(&mut self) -> Result<Value, Option<u16>> {
        loop {
            let message = tokio::time::timeout(DEADLINE, self.socket.next()).await.expect("a message in time");
            match message {
                Some(Ok(Message::Text(text))) => {
                    let message: Value = serde_json::from_str(&text).expect("JSON");
                    match message["type"].as_str() {
                        Some("ping") => self.send(json!({ "type": "pong" })).await,
                        Some("pong") => {}
                        _ => return Ok(message),
                    }
                }
                Some(Ok(Message::Close(frame))) => return Err(frame.map(|frame| frame.code.into())),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(None),
            }
        }
    }

    /// What comes next, whatever it is.
    pub async fn told(&mut self) -> Told {
        match self.receive().await {
            Err(code) => Told::Closed(code),
            Ok(mut message) => match message["type"].as_str() {
                Some("next") if message["payload"].get("errors").is_none() => {
                    Told::Next(message["payload"]["data"].take())
                }
                Some("next" | "error") => Told::Error(message["payload"].take()),
                Some("complete") => Told::Complete,
                _ => panic!("not a message of the protocol: {message}"),
            },
        }
    }

    /// The data of the next event, which must be one.
    pub async fn next(&mut self) -> Value {
        match self.told().await {
            Told::Next(data) => data,
            other => panic!("expected an event, got {other:?}"),
        }
    }
}
