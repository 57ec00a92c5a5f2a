//! The task that owns a socket.

use super::close::{
    Close, FORBIDDEN, Flow, GOING_AWAY, GONE, INIT_TIMED_OUT, MAX_REASON_BYTES, NOT_ACCEPTABLE, SILENT,
    SUBSCRIBER_EXISTS, TOO_BIG, TOO_MANY_INITS, TRY_AGAIN_LATER, UNAUTHORIZED, bad,
};
use super::message::{MAX_MESSAGE_BYTES, PROTOCOL, errors_of, optional_object, read_id, text};
use super::operation::{Outgoing, Sender};
use crate::publish::Cursor;
use crate::serve::Viewer;
use crate::serve::edge::engine::Answered;
use crate::serve::edge::slots::Slot;
use crate::serve::edge::wire::Parameters;
use crate::serve::graphql::{Code, Fault};
use crate::serve::router::Shared;
use axum::extract::ws::{CloseFrame, Message, WebSocket};
use futures::channel::mpsc;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::time::Duration;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior};

const MAX_OPERATIONS: usize = 100;
const INIT_TIMEOUT: Duration = Duration::from_secs(10);
/// A client that answers no more pings than these, or takes no message in the time of so many, is given up.
const MAX_MISSED_PINGS: u32 = 2;
/// How long operations may take to end once the service stops.
const ENDING_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a client has to answer a close frame.
const CLOSING_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a client may take no message once the service stops.
const STOPPING_PATIENCE: Duration = Duration::from_secs(1);
/// Messages that wait for the socket.
const QUEUE: usize = 8;

/// An open socket, and what runs on it.
pub(super) struct Connection {
    shared: Shared,
    sink: SplitSink<WebSocket, Message>,
    stream: Option<SplitStream<WebSocket>>,
    slot: Slot,
    header_viewer: Option<Viewer>,
    viewer: Option<Viewer>,
    protocol_is_ours: bool,
    ping_every: Duration,
    operations: HashMap<String, (u64, AbortHandle)>,
    tasks: JoinSet<()>,
    started: u64,
    queue: mpsc::Sender<Outgoing>,
    waiting: mpsc::Receiver<Outgoing>,
    /// The place of the last answer that was given to the socket, while one operation runs.
    given: Option<Cursor>,
    /// The client did not take a message in time.
    is_blocked: bool,
}

impl Connection {
    pub fn new(shared: Shared, socket: WebSocket, slot: Slot, header_viewer: Option<Viewer>) -> Self {
        let protocol_is_ours = socket.protocol().is_some_and(|protocol| protocol.as_bytes() == PROTOCOL.as_bytes());
        let (sink, stream) = socket.split();
        let (queue, waiting) = mpsc::channel(QUEUE);
        let ping_every = Duration::from_secs(shared.server.keep_alive_seconds.into());
        Self {
            shared,
            sink,
            stream: Some(stream),
            slot,
            header_viewer,
            viewer: None,
            protocol_is_ours,
            ping_every,
            operations: HashMap::new(),
            tasks: JoinSet::new(),
            started: 0,
            queue,
            waiting,
            given: None,
            is_blocked: false,
        }
    }

    pub async fn run(mut self) {
        let Some(mut stream) = self.stream.take() else { return };
        let outcome = self.serve(&mut stream).await;
        self.tasks.abort_all();
        // Nothing that was still to be sent is kept while the socket closes.
        self.waiting = mpsc::channel(0).1;
        let close = outcome.err();
        if let Some(label) = close.as_ref().and_then(Close::label) {
            metrics::counter!("profile_mirror_subscribers_closed_total", "reason" => label).increment(1);
        }
        // Whoever reads again after a while is still told where to go on.
        let given_up = self.given_up(if self.is_blocked { self.patience() } else { CLOSING_TIMEOUT }, CLOSING_TIMEOUT);
        let closing = async {
            if let Some(Close(code, reason)) = close.filter(|close| close.0 != GONE) {
                self.sink.send(Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await?;
            }
            // The client's own close frame ends the stream, and is answered; without it the connection would look cut.
            while stream.next().await.is_some_and(|message| message.is_ok()) {}
            Ok::<_, axum::Error>(())
        };
        let is_closed = tokio::select! {
            closed = closing => closed.is_ok(),
            () = given_up => false,
        };
        if !is_closed {
            tracing::debug!("the client was gone before the socket was closed");
        }
    }

    /// How long a client may take no message.
    fn patience(&self) -> Duration {
        self.ping_every * MAX_MISSED_PINGS
    }

    /// Completes after a while, or sooner once the service stops.
    fn given_up(&self, after: Duration, after_stop: Duration) -> impl Future<Output = ()> + use<> {
        let shutdown = self.shared.shutdown.clone();
        async move {
            let stopped = async {
                shutdown.cancelled().await;
                tokio::time::sleep(after_stop).await
            };
            tokio::select! {
                () = tokio::time::sleep(after) => {}
                () = stopped => {}
            }
        }
    }

    async fn serve(&mut self, stream: &mut SplitStream<WebSocket>) -> Flow {
        if !self.protocol_is_ours {
            return Err(Close(NOT_ACCEPTABLE, format!("Subprotocol not acceptable: {PROTOCOL} is spoken here")));
        }
        let shutdown = self.shared.shutdown.clone();
        let init_deadline = tokio::time::sleep(INIT_TIMEOUT);
        tokio::pin!(init_deadline);
        let mut ping = tokio::time::interval_at(Instant::now() + self.ping_every, self.ping_every);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut missed = 0;
        let mut key_changes = self.shared.access.changes();
        loop {
            tokio::select! {
                // In this order, so that a sign of life is seen before it is missed. What is sent comes last.
                biased;
                () = shutdown.cancelled() => return Box::pin(self.say_goodbye()).await,
                () = key_changes.next() => self.recheck()?,
                message = stream.next() => {
                    missed = 0;
                    match message {
                        None | Some(Err(_) | Ok(Message::Close(_))) => return Ok(()),
                        // Boxed, so that a socket on which nothing happens does not keep room for what a message may start.
                        Some(Ok(Message::Text(text))) => Box::pin(self.receive(text.as_str())).await?,
                        Some(Ok(Message::Binary(_))) => return Err(bad("messages are texts")),
                        Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    }
                }
                () = &mut init_deadline, if self.viewer.is_none() => {
                    return Err(Close(INIT_TIMED_OUT, "Connection initialisation timeout".to_owned()));
                }
                _ = ping.tick() => {
                    if missed >= MAX_MISSED_PINGS {
                        return Err(self.silent("two pings were not answered"));
                    }
                    missed += 1;
                    self.send(Message::Ping(Default::default())).await?;
                }
                Some(outgoing) = self.waiting.next() => self.hand_over(outgoing).await?,
            }
            while self.tasks.try_join_next().is_some() {}
        }
    }

    /// A key that was taken back ends its streams.
    fn recheck(&self) -> Flow {
        match &self.viewer {
            Some(viewer) if !self.shared.access.still_allows(viewer) => {
                Err(Close(FORBIDDEN, "Forbidden: the access key was revoked".to_owned()))
            }
            _ => Ok(()),
        }
    }

    async fn say_goodbye(&mut self) -> Flow {
        // Each stream ends by itself, with the cursor to go on from.
        let ending = async {
            while !self.operations.is_empty()
                && let Some(outgoing) = self.waiting.next().await
            {
                self.hand_over(outgoing).await?;
            }
            Ok(())
        };
        if let Ok(Err(close)) = tokio::time::timeout(ENDING_TIMEOUT, ending).await {
            return Err(close);
        }
        let ids: Vec<String> = self.operations.drain().map(|(id, _)| id).collect();
        let completing = async {
            for id in ids {
                self.send(text(&id, "complete", None)).await?;
            }
            Ok(())
        };
        if let Ok(Err(close)) = tokio::time::timeout(ENDING_TIMEOUT, completing).await {
            return Err(close);
        }
        Err(Close(GOING_AWAY, "the service is stopping; connect again".to_owned()))
    }

    async fn receive(&mut self, message: &str) -> Flow {
        if message.len() > MAX_MESSAGE_BYTES {
            let text = format!("the message has {} bytes; {MAX_MESSAGE_BYTES} are allowed", message.len());
            return Err(Close(TOO_BIG, text));
        }
        let Ok(Value::Object(mut message)) = serde_json::from_str(message) else {
            return Err(bad("a message is a JSON object"));
        };
        let kind = message.remove("type");
        match kind.as_ref().and_then(Value::as_str) {
            Some("connection_init") => self.init(message).await,
            Some("ping") => {
                let payload = optional_object(&mut message)?.map(Value::Object);
                let mut pong = Map::from_iter([("type".to_owned(), Value::from("pong"))]);
                pong.extend(payload.map(|payload| ("payload".to_owned(), payload)));
                self.send(Message::text(Value::Object(pong).to_string())).await
            }
            Some("pong") => optional_object(&mut message).map(drop),
            Some("subscribe") => self.subscribe(message).await,
            Some("complete") => {
                let id = read_id(&mut message)?;
                if let Some((_, task)) = self.operations.remove(&id) {
                    task.abort();
                    self.given = None;
                }
                Ok(())
            }
            _ => Err(bad("type: not one of graphql-transport-ws")),
        }
    }

    async fn init(&mut self, mut message: Map<String, Value>) -> Flow {
        if self.viewer.is_some() {
            return Err(Close(TOO_MANY_INITS, "Too many initialisation requests".to_owned()));
        }
        let payload = optional_object(&mut message)?.unwrap_or_default();
        let given = payload.iter().find(|(name, _)| name.eq_ignore_ascii_case("authorization"));
        let viewer = match given.map(|(_, value)| value.as_str().unwrap_or_default()) {
            Some(key) => self.shared.access.identify_header(key).ok_or("the access key is not known"),
            None => self
                .header_viewer
                .take()
                .filter(|viewer| self.shared.access.still_allows(viewer))
                .ok_or("send {\"Authorization\": \"Bearer KEY\"} in connection_init"),
        };
        match viewer {
            Ok(viewer) if !self.slot.claim(&viewer.name) => {
                Err(Close(TRY_AGAIN_LATER, "this key has as many sockets open as it may".to_owned()))
            }
            Ok(viewer) => {
                self.viewer = Some(viewer);
                self.send(Message::text(r#"{"type":"connection_ack"}"#)).await
            }
            Err(reason) => Err(Close(FORBIDDEN, format!("Forbidden: {reason}"))),
        }
    }

    async fn subscribe(&mut self, mut message: Map<String, Value>) -> Flow {
        let Some(viewer) = self.viewer.clone() else {
            return Err(Close(UNAUTHORIZED, "Unauthorized".to_owned()));
        };
        let id = read_id(&mut message)?;
        let payload = message.remove("payload").ok_or_else(|| bad("payload: missing"))?;
        let parameters = Parameters::read(payload).map_err(|problem| bad(&problem))?;
        if self.operations.contains_key(&id) {
            return Err(Close(SUBSCRIBER_EXISTS, format!("Subscriber for {id} already exists")));
        }
        if self.operations.len() >= MAX_OPERATIONS {
            let text = format!("{MAX_OPERATIONS} operations run on this socket already; complete one first");
            return self.refuse(&id, &Fault::new(Code::BadUserInput, text)).await;
        }
        let prepared = match self.shared.engine.prepare(parameters, viewer) {
            Ok(prepared) => prepared,
            Err(fault) => return self.refuse(&id, &fault).await,
        };
        self.started += 1;
        let sender = Sender { id: id.clone(), number: self.started, queue: self.queue.clone() };
        let engine = self.shared.engine.clone();
        let task = self.tasks.spawn(async move { sender.run(&engine, prepared).await });
        self.operations.insert(id, (self.started, task));
        self.given = None;
        Ok(())
    }

    async fn refuse(&mut self, id: &str, fault: &Fault) -> Flow {
        let errors = errors_of(&Answered::refused(fault).json);
        self.send(text(id, "error", Some(&errors))).await
    }

    /// Sends what an operation handed over, unless the client has completed it meanwhile.
    async fn hand_over(&mut self, outgoing: Outgoing) -> Flow {
        if self.operations.get(&outgoing.id).is_none_or(|(number, _)| *number != outgoing.number) {
            return Ok(());
        }
        if outgoing.is_last {
            self.operations.remove(&outgoing.id);
        }
        self.given = outgoing.cursor.filter(|_| self.operations.len() == 1);
        self.send(Message::text(outgoing.text)).await
    }

    /// Sends a message. Where the client does not take it in time, it stays before the close frame: who gets that has got
    /// what was given.
    async fn send(&mut self, message: Message) -> Flow {
        let given_up = self.given_up(self.patience(), STOPPING_PATIENCE);
        tokio::select! {
            sent = self.sink.send(message) => sent.map_err(|_| Close(GONE, String::new())),
            () = given_up => {
                self.is_blocked = true;
                Err(self.silent("the client does not read"))
            }
        }
    }

    /// Why a client that gives no sign of life is given up: what is told is where to go on, where that is known and fits.
    fn silent(&self, why: &str) -> Close {
        let place = self.given.as_ref().map(|cursor| format!("silent; go on after {}", cursor.encode()));
        Close(SILENT, place.filter(|place| place.len() <= MAX_REASON_BYTES).unwrap_or_else(|| why.to_owned()))
    }
}
