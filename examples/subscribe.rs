//! Follows a mirror's changes from the command line, and resumes where it stopped.
//!
//! `cargo run --release --example subscribe -- --key KEY [--url ws://127.0.0.1:8080/graphql] [--cursor FILE]`
//!
//! Prints one JSON line a change, and ends at a cut. With `--cursor`, the cursor of the last event is kept in a file, so that
//! the next start goes on right after it: nothing is missed. After a crash the last change may come twice; its id tells.

use anyhow::{Context, bail};
use clap::Parser;
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::path::PathBuf;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

const SUBSCRIPTION: &str = "subscription ($after: Cursor) {
  profileChanges(after: $after) {
    __typename
    ... on ProfileChange {
      cursor
      change { kind at fields { name before after } }
      profile { id externalId displayName email status source { name } }
    }
    ... on CaughtUp { cursor }
    ... on CursorExpired { message }
    ... on Interrupted { cursor message }
  }
}";

#[derive(Parser)]
struct Arguments {
    /// Access key.
    #[arg(long, env = "PROFILE_MIRROR_ADMIN_KEY", hide_env_values = true)]
    key: String,
    /// The mirror.
    #[arg(long, default_value = "ws://127.0.0.1:8080/graphql")]
    url: String,
    /// File that keeps the cursor.
    #[arg(long)]
    cursor: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let after = match &arguments.cursor {
        Some(path) if path.exists() => Some(std::fs::read_to_string(path)?.trim().to_owned()),
        _ => None,
    };
    let mut request = arguments.url.as_str().into_client_request()?;
    request.headers_mut().insert("Sec-WebSocket-Protocol", "graphql-transport-ws".parse()?);
    let (mut socket, _) = tokio_tungstenite::connect_async(request).await.context("connect")?;
    let init = json!({"type": "connection_init", "payload": {"Authorization": format!("Bearer {}", arguments.key)}});
    socket.send(Message::text(init.to_string())).await?;
    while let Some(message) = socket.next().await {
        let text = match message? {
            Message::Text(text) => text,
            Message::Close(frame) => bail!("closed: {frame:?}"),
            _ => continue,
        };
        let message: Value = serde_json::from_str(&text)?;
        match message["type"].as_str().unwrap_or_default() {
            "connection_ack" => {
                let payload = json!({"query": SUBSCRIPTION, "variables": {"after": after}});
                let subscribe = json!({"id": "1", "type": "subscribe", "payload": payload});
                socket.send(Message::text(subscribe.to_string())).await?;
                eprintln!("subscribed");
            }
            "ping" => socket.send(Message::text(json!({"type": "pong"}).to_string())).await?,
            "next" => show(&message["payload"]["data"]["profileChanges"], arguments.cursor.as_deref())?,
            "error" => bail!("refused: {}", message["payload"]),
            "complete" => return Ok(()),
            _ => {}
        }
    }
    Ok(())
}

/// Prints a change, then keeps the event's cursor: in this order a change may be printed twice after a crash, never lost.
fn show(event: &Value, cursor: Option<&std::path::Path>) -> anyhow::Result<()> {
    if event["__typename"] == "ProfileChange" {
        println!("{event}");
    }
    if let (Some(path), Some(cursor)) = (cursor, event["cursor"].as_str()) {
        std::fs::write(path, cursor).context("keep the cursor")?;
    }
    if let Some("CursorExpired" | "Interrupted") = event["__typename"].as_str() {
        bail!("{}", event["message"].as_str().unwrap_or_default());
    }
    Ok(())
}
