//! The ceiling: whatever one socket says is written to all of them, filled up to the length of an answer.

use super::support::service::Service;
use axum::Router;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::routing::get;
use std::process::Command;
use tokio::sync::broadcast;

const ASKED: &str = "BENCH_RAW_SERVER";
/// As long as an answer of the service, with a mark in it.
const ANSWER_BYTES: usize = 1_600;

/// Starts the ceiling as a process of its own.
///
/// # Errors
/// It does not start.
pub fn spawn() -> anyhow::Result<Service> {
    let mut command = Command::new(std::env::current_exe()?);
    command.env(ASKED, "1");
    Service::spawn(command)
}

/// Plays the ceiling, where this process was started for it.
///
/// # Errors
/// It cannot listen.
pub fn play_if_asked() -> anyhow::Result<bool> {
    if std::env::var_os(ASKED).is_none() {
        return Ok(false);
    }
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let (said, _) = broadcast::channel::<Utf8Bytes>(16);
        let open = move |upgrade: WebSocketUpgrade| {
            let said = said.clone();
            let upgrade = upgrade.protocols(["graphql-transport-ws"]).read_buffer_size(1024);
            async move { upgrade.on_upgrade(move |socket| serve(socket, said)) }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        println!("listening on http://{}", listener.local_addr()?);
        axum::serve(listener, Router::new().route("/graphql", get(open))).await?;
        Ok(true)
    })
}

async fn serve(mut socket: WebSocket, said: broadcast::Sender<Utf8Bytes>) {
    let mut heard = said.subscribe();
    loop {
        tokio::select! {
            message = socket.recv() => match message {
                Some(Ok(Message::Text(mark))) => {
                    let answer = format!("{mark}{}", "-".repeat(ANSWER_BYTES.saturating_sub(mark.len())));
                    drop(said.send(answer.into()));
                }
                Some(Ok(_)) => {}
                _ => return,
            },
            answer = heard.recv() => {
                let Ok(answer) = answer else { return };
                if socket.send(Message::Text(answer)).await.is_err() {
                    return;
                }
            }
        }
    }
}
