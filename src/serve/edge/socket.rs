//! GraphQL over WebSocket: the protocol graphql-transport-ws.
//!
//! One task owns a socket; each operation is a task of its own that hands its messages over through a short queue.
//! A client that does not read fills the queue, the operations stand still, and after a while the socket is given up:
//! what it missed is in the change log, behind its last cursor.

use super::engine::{Answered, Engine};
use super::slots::{Carrier, Slot};
use super::wire::Parameters;
use crate::publish::Cursor;
use crate::serve::Viewer;
use crate::serve::graphql::{Code, Fault};
use crate::serve::router::Shared;
use async_graphql::parser::types::OperationType;
use axum::extract::WebSocketUpgrade;
use axum::extract::ws::{CloseFrame, Message, WebSocket};
use axum::response::{IntoResponse, Response};
use futures::channel::mpsc;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use http::header::{HOST, ORIGIN, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::time::Duration;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior};

const PROTOCOL: &str = "graphql-transport-ws";
/// A document of the greatest size, its escapes, and variables.
const MAX_MESSAGE_BYTES: usize = 128 * 1024;
/// Beyond it the connection is cut while the message still comes in.
const CUT_MESSAGE_BYTES: usize = 2 * MAX_MESSAGE_BYTES;
/// The library's own buffer is 128 KiB for each socket, most of it never used.
const READ_BUFFER_BYTES: usize = 1024;
const MAX_OPERATIONS: usize = 100;
const INIT_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_MISSED_PINGS: u32 = 2;
const SEND_TIMEOUT: Duration = Duration::from_secs(30);
/// How long operations may take to end once the service stops.
const ENDING_TIMEOUT: Duration = Duration::from_secs(2);
/// What a close frame holds of a reason.
const MAX_REASON_BYTES: usize = 123;
/// Messages that wait for the socket.
const QUEUE: usize = 8;

const GOING_AWAY: u16 = 1001;
const TOO_BIG: u16 = 1009;
const TRY_AGAIN_LATER: u16 = 1013;
const BAD_MESSAGE: u16 = 4400;
const UNAUTHORIZED: u16 = 4401;
const FORBIDDEN: u16 = 4403;
const NOT_ACCEPTABLE: u16 = 4406;
const INIT_TIMED_OUT: u16 = 4408;
const SUBSCRIBER_EXISTS: u16 = 4409;
const TOO_MANY_INITS: u16 = 4429;
const SILENT: u16 = 1011;

/// Opens a socket for anybody who may be a client; who they are is told in the first message.
pub(super) fn open(shared: Shared, headers: &HeaderMap, upgrade: WebSocketUpgrade) -> Response {
    if !is_allowed_origin(&shared, headers) {
        return (StatusCode::FORBIDDEN, "this origin may not open a socket; see server.allowed_origins")
            .into_response();
    }
    let Some(slot) = shared.slots.open(Carrier::Socket) else {
        let text = "too many sockets are open; try again later";
        return (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "5")], text).into_response();
    };
    let header_viewer = super::request::admit(&shared, headers).ok();
    upgrade
        .protocols([PROTOCOL])
        .read_buffer_size(READ_BUFFER_BYTES)
        .max_message_size(CUT_MESSAGE_BYTES)
        .max_frame_size(CUT_MESSAGE_BYTES)
        .on_upgrade(move |socket| {
            let tracker = shared.sockets.clone();
            tracker.track_future(Connection::new(shared, socket, slot, header_viewer).run())
        })
}

/// Programs send no origin; pages do, and only ours and those of the configuration may come in.
fn is_allowed_origin(shared: &Shared, headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(ORIGIN) else { return true };
    let Ok(origin) = origin.to_str() else { return false };
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let is_same = origin.split_once("://").is_some_and(|(_, authority)| Some(authority) == host);
    is_same || shared.server.allowed_origins.iter().any(|allowed| allowed == origin)
}

/// Why a socket is closed.
struct Close(u16, String);

type Flow = Result<(), Close>;

/// What an operation hands over.
struct Outgoing {
    id: String,
    /// Which operation of this id it was.
    number: u64,
    text: String,
    cursor: Option<Cursor>,
    is_last: bool,
}

struct Connection {
    shared: Shared,
    sink: SplitSink<WebSocket, Message>,
    stream: Option<SplitStream<WebSocket>>,
    slot: Slot,
    header_viewer: Option<Viewer>,
    viewer: Option<Viewer>,
    protocol_is_ours: bool,
    operations: HashMap<String, (u64, AbortHandle)>,
    tasks: JoinSet<()>,
    started: u64,
    queue: mpsc::Sender<Outgoing>,
    waiting: mpsc::Receiver<Outgoing>,
    /// The place of the last answer that the client took, while one operation runs.
    taken: Option<Cursor>,
}

impl Connection {
    fn new(shared: Shared, socket: WebSocket, slot: Slot, header_viewer: Option<Viewer>) -> Self {
        let protocol_is_ours = socket.protocol().is_some_and(|protocol| protocol.as_bytes() == PROTOCOL.as_bytes());
        let (sink, stream) = socket.split();
        let (queue, waiting) = mpsc::channel(QUEUE);
        Self {
            shared,
            sink,
            stream: Some(stream),
            slot,
            header_viewer,
            viewer: None,
            protocol_is_ours,
            operations: HashMap::new(),
            tasks: JoinSet::new(),
            started: 0,
            queue,
            waiting,
            taken: None,
        }
    }

    async fn run(mut self) {
        let Some(mut stream) = self.stream.take() else { return };
        let outcome = self.serve(&mut stream).await;
        self.tasks.abort_all();
        let closing = async {
            if let Err(Close(code, reason)) = outcome {
                self.sink.send(Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await?;
            }
            // The client's own close frame ends the stream, and is answered; without it the connection would look cut.
            while stream.next().await.is_some_and(|message| message.is_ok()) {}
            Ok::<_, axum::Error>(())
        };
        if !matches!(tokio::time::timeout(Duration::from_secs(2), closing).await, Ok(Ok(()))) {
            tracing::debug!("the client was gone before the socket was closed");
        }
    }

    async fn serve(&mut self, stream: &mut SplitStream<WebSocket>) -> Flow {
        if !self.protocol_is_ours {
            return Err(Close(NOT_ACCEPTABLE, format!("Subprotocol not acceptable: {PROTOCOL} is spoken here")));
        }
        let shutdown = self.shared.shutdown.clone();
        let init_deadline = tokio::time::sleep(INIT_TIMEOUT);
        tokio::pin!(init_deadline);
        let ping_every = Duration::from_secs(self.shared.server.keep_alive_seconds.into());
        let mut ping = tokio::time::interval_at(Instant::now() + ping_every, ping_every);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut missed = 0;
        let mut key_changes = self.shared.access.changes();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return Box::pin(self.say_goodbye()).await,
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
                Some(outgoing) = self.waiting.next() => self.hand_over(outgoing).await?,
                () = &mut init_deadline, if self.viewer.is_none() => {
                    return Err(Close(INIT_TIMED_OUT, "Connection initialisation timeout".to_owned()));
                }
                () = key_changes.next() => self.recheck()?,
                _ = ping.tick() => {
                    if missed >= MAX_MISSED_PINGS {
                        return Err(Close(SILENT, "two pings were not answered".to_owned()));
                    }
                    missed += 1;
                    self.send(Message::Ping(Default::default())).await?;
                }
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
        for id in ids {
            self.send(text(&id, "complete", None)).await?;
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
        self.send(Message::text(outgoing.text)).await?;
        self.taken = outgoing.cursor.filter(|_| self.operations.len() == 1);
        Ok(())
    }

    async fn send(&mut self, message: Message) -> Flow {
        let shutdown = self.shared.shutdown.clone();
        let given_up = async {
            tokio::select! {
                () = tokio::time::sleep(SEND_TIMEOUT) => {}
                () = async { shutdown.cancelled().await; tokio::time::sleep(Duration::from_secs(1)).await } => {}
            }
        };
        tokio::select! {
            sent = self.sink.send(message) => sent.map_err(|_| Close(GOING_AWAY, String::new())),
            () = given_up => {
                let reason = self.taken.as_ref().map(|cursor| format!("the client does not read; go on after {}", cursor.encode()));
                let fits = reason.filter(|reason| reason.len() <= MAX_REASON_BYTES);
                Err(Close(SILENT, fits.unwrap_or_else(|| "the client does not read".to_owned())))
            }
        }
    }
}

/// Runs one operation and hands its messages over.
struct Sender {
    id: String,
    number: u64,
    queue: mpsc::Sender<Outgoing>,
}

impl Sender {
    async fn run(mut self, engine: &Engine, prepared: super::engine::Prepared) {
        if prepared.kind != OperationType::Subscription {
            let answered = Box::pin(engine.execute(prepared)).await;
            if answered.is_refused {
                return self.last("error", Some(&errors_of(&answered.json))).await;
            }
            if self.next(&answered).await {
                self.last("complete", None).await;
            }
            return;
        }
        let _subscribed = Subscribed::new();
        let mut answers = Box::pin(engine.subscribe(prepared));
        while let Some(answered) = answers.next().await {
            // Without data the stream is over: what it would go on with is not known.
            if answered.is_without_data {
                return self.last("error", Some(&errors_of(&answered.json))).await;
            }
            if !self.next(&answered).await {
                return;
            }
        }
        self.last("complete", None).await;
    }

    /// Hands an answer over; false where the socket is gone.
    async fn next(&mut self, answered: &Answered) -> bool {
        let text = message(&self.id, "next", Some(&answered.json));
        self.hand_over(text, answered.cursor.clone(), false).await
    }

    async fn last(&mut self, kind: &str, payload: Option<&str>) {
        let text = message(&self.id, kind, payload);
        self.hand_over(text, None, true).await;
    }

    async fn hand_over(&mut self, text: String, cursor: Option<Cursor>, is_last: bool) -> bool {
        let outgoing = Outgoing { id: self.id.clone(), number: self.number, text, cursor, is_last };
        self.queue.send(outgoing).await.is_ok()
    }
}

/// A subscription that is counted while this lives.
pub(super) struct Subscribed(());

impl Subscribed {
    pub fn new() -> Self {
        metrics::gauge!("profile_mirror_subscriptions").increment(1.0);
        Self(())
    }
}

impl Drop for Subscribed {
    fn drop(&mut self) {
        metrics::gauge!("profile_mirror_subscriptions").decrement(1.0);
    }
}

fn text(id: &str, kind: &str, payload: Option<&str>) -> Message {
    Message::text(message(id, kind, payload))
}

fn message(id: &str, kind: &str, payload: Option<&str>) -> String {
    let id = Value::from(id);
    match payload {
        Some(payload) => format!(r#"{{"id":{id},"type":"{kind}","payload":{payload}}}"#),
        None => format!(r#"{{"id":{id},"type":"{kind}"}}"#),
    }
}

/// The list of errors out of an answer.
fn errors_of(json: &str) -> String {
    let answer: Option<Value> = serde_json::from_str(json).ok();
    answer.and_then(|answer| answer.get("errors").cloned()).unwrap_or_else(|| Value::Array(Vec::new())).to_string()
}

fn bad(what: &str) -> Close {
    let mut reason = format!("Invalid message: {what}");
    reason.truncate(reason.floor_char_boundary(MAX_REASON_BYTES));
    Close(BAD_MESSAGE, reason)
}

fn read_id(message: &mut Map<String, Value>) -> Result<String, Close> {
    match message.remove("id") {
        Some(Value::String(id)) if !id.is_empty() && id.len() <= 256 => Ok(id),
        _ => Err(bad("id: expected a text of 1 to 256 bytes")),
    }
}

fn optional_object(message: &mut Map<String, Value>) -> Result<Option<Map<String, Value>>, Close> {
    match message.remove("payload") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(payload)) => Ok(Some(payload)),
        Some(_) => Err(bad("payload: expected an object")),
    }
}
