//! Many sockets, each read by a task of its own, which tells when a mark arrives.

use super::DEADLINE;
use super::support::service::KEY;
use anyhow::{Context, bail, ensure};
use futures::{SinkExt, StreamExt};
use serde_json::json;
use std::net::SocketAddr;
use std::time::Instant;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

const DOCUMENT: &str = "subscription { profileChanges(filter: { status: { eq: OPEN } }) {
  __typename
  ... on ProfileChange { cursor change { kind fields { name after } } profile { id displayName fields { name text } } }
  ... on CaughtUp { cursor }
} }";

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Open sockets.
pub struct Subscribers {
    count: usize,
    told: mpsc::UnboundedReceiver<(Instant, Message)>,
    /// A socket that asks the raw server to write.
    asking: Option<Socket>,
}

impl Subscribers {
    /// Opens so many subscriptions, each live when this returns.
    ///
    /// # Errors
    /// One cannot be opened.
    pub async fn open(address: SocketAddr, count: usize) -> anyhow::Result<Self> {
        let mut sockets = Vec::with_capacity(count);
        for _ in 0..count {
            let mut socket = connect(address).await?;
            let payload = json!({ "Authorization": format!("Bearer {KEY}") });
            say(&mut socket, &json!({ "type": "connection_init", "payload": payload })).await?;
            let subscribe = json!({ "id": "1", "type": "subscribe", "payload": { "query": DOCUMENT } });
            expect(&mut socket, "connection_ack").await?;
            say(&mut socket, &subscribe).await?;
            expect(&mut socket, "CaughtUp").await?;
            sockets.push(socket);
        }
        Ok(Self::listen(sockets, None))
    }

    /// Opens so many sockets at the raw server.
    ///
    /// # Errors
    /// One cannot be opened.
    pub async fn open_raw(address: SocketAddr, count: usize) -> anyhow::Result<Self> {
        let mut sockets = Vec::with_capacity(count);
        for _ in 0..count {
            sockets.push(connect(address).await?);
        }
        Ok(Self::listen(sockets, Some(connect(address).await?)))
    }

    fn listen(sockets: Vec<Socket>, asking: Option<Socket>) -> Self {
        let (queue, told) = mpsc::unbounded_channel();
        let count = sockets.len();
        for mut socket in sockets {
            let queue = queue.clone();
            tokio::spawn(async move {
                while let Some(Ok(message)) = socket.next().await {
                    if queue.send((Instant::now(), message)).is_err() {
                        return;
                    }
                }
            });
        }
        Self { count, told, asking }
    }

    /// Asks the raw server to write a mark to everybody.
    ///
    /// # Errors
    /// It is gone.
    pub async fn ask_for(&mut self, mark: &str) -> anyhow::Result<()> {
        let asking = self.asking.as_mut().context("a socket to ask by")?;
        Ok(asking.send(Message::text(mark)).await?)
    }

    /// Waits until everybody is told of a mark; after how many microseconds each was, in order.
    ///
    /// # Errors
    /// Not everybody is told in time.
    pub async fn wait_for(&mut self, mark: &str, sent: Instant) -> anyhow::Result<Vec<u32>> {
        let mut times = Vec::with_capacity(self.count);
        while times.len() < self.count {
            let told = tokio::time::timeout(DEADLINE, self.told.recv()).await;
            let told = told.with_context(|| format!("{} of {} were told", times.len(), self.count))?;
            let (at, message) = told.context("sockets are open")?;
            if let Message::Text(text) = message {
                ensure!(text.contains(mark), "told {text}");
                times.push(u32::try_from(at.duration_since(sent).as_micros()).unwrap_or(u32::MAX));
            }
        }
        times.sort_unstable();
        Ok(times)
    }
}

async fn connect(address: SocketAddr) -> anyhow::Result<Socket> {
    let mut request = format!("ws://{address}/graphql").into_client_request()?;
    request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("graphql-transport-ws"));
    // The library's own buffer of 128 KiB would make this process the largest one.
    let small = WebSocketConfig::default().read_buffer_size(4096);
    Ok(tokio_tungstenite::connect_async_with_config(request, Some(small), true).await?.0)
}

async fn say(socket: &mut Socket, message: &serde_json::Value) -> anyhow::Result<()> {
    Ok(socket.send(Message::text(message.to_string())).await?)
}

async fn expect(socket: &mut Socket, part: &str) -> anyhow::Result<()> {
    loop {
        match socket.next().await.context("the socket was closed")?? {
            Message::Text(text) if text.contains(part) => return Ok(()),
            Message::Text(text) => bail!("expected {part}, got {text}"),
            _ => {}
        }
    }
}
