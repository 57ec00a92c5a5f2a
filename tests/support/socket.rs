//! A graphql-transport-ws client that collects the events of one subscription.

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream};
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

/// Why a socket ended: the code and the reason of the close frame, where there was one.
type Closed = Option<(u16, String)>;

impl Subscription {
    /// Connects, is acknowledged, subscribes.
    pub async fn open(address: SocketAddr, key: &str, document: &str, variables: Value) -> Self {
        let mut opened = Self::connect(address, json!({ "Authorization": format!("Bearer {key}") })).await;
        opened.subscribe(document, variables).await;
        opened
    }

    /// The same on a connection that takes in as little as possible while nobody reads.
    pub async fn open_narrow(address: SocketAddr, key: &str, document: &str, variables: Value) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4096).expect("a small buffer");
        let stream = socket.connect(address).await.expect("connect");
        let payload = json!({ "Authorization": format!("Bearer {key}") });
        let mut opened = Self::greet(address, MaybeTlsStream::Plain(stream), payload).await;
        opened.subscribe(document, variables).await;
        opened
    }

    /// Connects and initializes; the server's answer is still to be read.
    pub async fn connect(address: SocketAddr, payload: Value) -> Self {
        let stream = TcpStream::connect(address).await.expect("connect");
        Self::greet(address, MaybeTlsStream::Plain(stream), payload).await
    }

    async fn greet(address: SocketAddr, stream: MaybeTlsStream<TcpStream>, payload: Value) -> Self {
        let mut request = format!("ws://{address}/graphql").into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("graphql-transport-ws"));
        let (socket, answer) = tokio_tungstenite::client_async(request, stream).await.expect("a socket");
        assert_eq!(answer.headers()["sec-websocket-protocol"], "graphql-transport-ws");
        let mut opened = Self { socket };
        opened.send(json!({ "type": "connection_init", "payload": payload })).await;
        opened
    }

    async fn subscribe(&mut self, document: &str, variables: Value) {
        let ack = self.receive().await.expect("an acknowledgement");
        assert_eq!(ack["type"], "connection_ack", "{ack}");
        let payload = json!({ "query": document, "variables": variables });
        self.send(json!({ "id": "1", "type": "subscribe", "payload": payload })).await;
    }

    async fn send(&mut self, message: Value) {
        self.socket.send(Message::text(message.to_string())).await.expect("send");
    }

    /// The next message of the protocol but pings, or why the socket closed.
    async fn receive(&mut self) -> Result<Value, Closed> {
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
                Some(Ok(Message::Close(frame))) => {
                    return Err(frame.map(|frame| (frame.code.into(), frame.reason.to_string())));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(None),
            }
        }
    }

    /// What comes next, whatever it is.
    pub async fn told(&mut self) -> Told {
        match self.receive().await {
            Err(closed) => Told::Closed(closed.map(|(code, _)| code)),
            Ok(message) => told(message),
        }
    }

    /// Reads to the close frame: the data of all events, the code and the reason.
    pub async fn read_to_close(&mut self) -> (Vec<Value>, Option<(u16, String)>) {
        let mut events = Vec::new();
        loop {
            match self.receive().await.map(told) {
                Ok(Told::Next(data)) => events.push(data),
                Ok(other) => panic!("expected an event, got {other:?}"),
                Err(closed) => return (events, closed),
            }
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

fn told(mut message: Value) -> Told {
    match message["type"].as_str() {
        Some("next") if message["payload"].get("errors").is_none() => Told::Next(message["payload"]["data"].take()),
        Some("next" | "error") => Told::Error(message["payload"].take()),
        Some("complete") => Told::Complete,
        _ => panic!("not a message of the protocol: {message}"),
    }
}
