//! GraphQL over server-sent events, one operation a connection: for those behind proxies that let no WebSocket through.
//!
//! A client that does not read stands still, and its subscription with it: what it missed is in the change log, behind its
//! last cursor. One whose connection takes nothing more for long is given up: it is cut without a word of completion, so
//! that the client asks again from there. The stream ends as well when the key is taken back, and when the service stops,
//! which it tells with its last cursor.

use super::engine::{Answered, Engine, Prepared};
use super::hangup::Hangup;
use super::media::takes_events;
use super::reply::{self, Reply};
use super::request::{Refusal, admit, read_body, read_url};
use super::slots::{Carrier, Slot};
use super::subscribed::Subscribed;
use super::wire::Parameters;
use crate::serve::Viewer;
use crate::serve::auth::KeyChanges;
use crate::serve::graphql::{Code, Fault};
use crate::serve::router::Shared;
use async_graphql::parser::types::OperationType;
use axum::Extension;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior};

/// How long an operation may take to end once the service stops.
const ENDING_TIMEOUT: Duration = Duration::from_secs(2);
/// A client whose connection takes nothing in the time of so many comments is given up.
const MAX_MISSED_COMMENTS: u32 = 2;
/// How long a client may take nothing once the service stops, or its key is taken back.
const ENDING_PATIENCE: Duration = Duration::from_secs(1);

/// Streams the answers to an operation in the body.
pub(in crate::serve) async fn post(
    State(shared): State<Shared>,
    hangup: Option<Extension<Hangup>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let asked = async {
        let (viewer, slot) = enter(&shared, &headers)?;
        Ok::<_, Refusal>((viewer, slot, read_body(&headers, body).await?))
    };
    let asked = asked.await;
    answer(&shared, hangup, Reply::new(&shared, Method::POST, &headers), &headers, asked)
}

/// Streams the answers to a query or a subscription in the URL.
pub(in crate::serve) async fn get(
    State(shared): State<Shared>,
    hangup: Option<Extension<Hangup>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let asked = enter(&shared, &headers).and_then(|(viewer, slot)| Ok((viewer, slot, read_url(query.as_deref())?)));
    answer(&shared, hangup, Reply::new(&shared, Method::GET, &headers), &headers, asked)
}

/// Tells a browser's page of an allowed origin what it may send.
pub(in crate::serve) async fn options(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    reply::answer_options(&shared, &headers)
}

/// Who asks, and a slot for the stream.
fn enter(shared: &Shared, headers: &HeaderMap) -> Result<(Viewer, Slot), Refusal> {
    let viewer = admit(shared, headers)?;
    if !takes_events(headers) {
        let text = "Accept: text/event-stream is spoken here; /graphql answers in JSON";
        return Err((StatusCode::NOT_ACCEPTABLE, Fault::new(Code::BadUserInput, text)));
    }
    let Some(mut slot) = shared.slots.open(Carrier::Events) else {
        let text = "too many streams are open; try again later";
        return Err((StatusCode::SERVICE_UNAVAILABLE, Fault::new(Code::Unavailable, text)));
    };
    if !slot.claim(&viewer.name) {
        let text = format!("key {} has as many streams open as it may; close one first", viewer.name);
        return Err((StatusCode::TOO_MANY_REQUESTS, Fault::new(Code::RateLimited, text)));
    }
    Ok((viewer, slot))
}

/// What is wrong with the request itself is told by status; what is wrong with the document, as an event.
fn answer(
    shared: &Shared,
    hangup: Option<Extension<Hangup>>,
    reply: Reply<'_>,
    headers: &HeaderMap,
    asked: Result<(Viewer, Slot, Parameters), Refusal>,
) -> Response {
    let (viewer, slot, parameters) = match asked {
        Ok(asked) => asked,
        Err((status, fault)) => return reply.refuse(status, &fault),
    };
    let prepared = shared.engine.prepare(parameters, viewer.clone());
    let is_subscription = prepared.as_ref().is_ok_and(|prepared| prepared.kind == OperationType::Subscription);
    let answers = match prepared {
        Ok(prepared) if prepared.kind == OperationType::Mutation && reply.is_get() => return reply.refuse_mutation(),
        Ok(prepared) => run(shared.engine.clone(), prepared),
        Err(fault) => stream::iter([Answered::refused(&fault)]).boxed(),
    };
    let counted = (slot, is_subscription.then(Subscribed::new));
    let events =
        Streaming::new(shared, viewer, counted, answers).events(hangup.map(|hangup| hangup.0).unwrap_or_default());
    let mut response = Body::from_stream(events.map(Ok::<_, Infallible>)).into_response();
    let out = response.headers_mut();
    out.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    out.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies of a well-known kind would gather events otherwise.
    out.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    reply::allow_origin(shared, headers, out);
    response
}

fn run(engine: Engine, prepared: Prepared) -> BoxStream<'static, Answered> {
    if prepared.kind == OperationType::Subscription {
        engine.subscribe(prepared).boxed()
    } else {
        stream::once(async move { engine.execute(prepared).await }).boxed()
    }
}

/// What is counted while a stream is open.
type Counted = (Slot, Option<Subscribed>);

/// A stream that is open.
struct Streaming {
    shared: Shared,
    viewer: Viewer,
    answers: BoxStream<'static, Answered>,
    key_changes: KeyChanges,
    keep_alive: Interval,
    /// When the stream is completed at the latest, once the service stops.
    ends_at: Option<Instant>,
    next: Next,
    _counted: Counted,
}

/// What a stream sends next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Answer,
    Complete,
    Nothing,
}

impl Streaming {
    fn new(shared: &Shared, viewer: Viewer, counted: Counted, answers: BoxStream<'static, Answered>) -> Self {
        let keep_alive = Duration::from_secs(shared.server.keep_alive_seconds.into());
        Self {
            shared: shared.clone(),
            viewer,
            answers,
            key_changes: shared.access.changes(),
            keep_alive: every(keep_alive),
            ends_at: None,
            next: Next::Answer,
            _counted: counted,
        }
    }

    /// The events, made in a task of their own: it sees when nobody takes them, and lets go of what waits for a client that
    /// does not read, of its connection too.
    fn events(self, hangup: Hangup) -> impl Stream<Item = String> + Send + 'static {
        let (queue, mut events) = mpsc::channel(1);
        let tasks = self.shared.sockets.clone();
        tasks.spawn(async move {
            if let Err(reason) = self.run(queue).await {
                metrics::counter!("profile_mirror_subscribers_closed_total", "reason" => reason).increment(1);
                hangup.ask();
            }
        });
        stream::poll_fn(move |context| events.poll_recv(context))
    }

    /// Hands out the events; why the client is given up, where it does not take them.
    async fn run(mut self, queue: mpsc::Sender<String>) -> Result<(), &'static str> {
        loop {
            let event = tokio::select! {
                () = queue.closed() => return Ok(()),
                event = self.event() => event,
            };
            let Some(event) = event else { return Ok(()) };
            let patience = self.patience();
            tokio::select! {
                sent = queue.send(event) => {
                    if sent.is_err() {
                        return Ok(());
                    }
                }
                () = patience => return Err("silent"),
                () = self.key_is_revoked(), if self.next == Next::Answer => return Err("forbidden"),
            }
        }
    }

    /// Completes once a client has taken nothing for as long as it may.
    fn patience(&self) -> impl Future<Output = ()> + use<> {
        let (shutdown, patience) = (self.shared.shutdown.clone(), self.keep_alive.period() * MAX_MISSED_COMMENTS);
        async move {
            let stopped = async {
                shutdown.cancelled().await;
                tokio::time::sleep(ENDING_PATIENCE).await;
            };
            tokio::select! {
                () = tokio::time::sleep(patience) => {}
                () = stopped => {}
            }
        }
    }

    /// Completes where the key is taken back, a little later: who reads is told.
    async fn key_is_revoked(&mut self) {
        while self.shared.access.still_allows(&self.viewer) {
            self.key_changes.next().await;
        }
        tokio::time::sleep(ENDING_PATIENCE).await;
    }

    async fn event(&mut self) -> Option<String> {
        match self.next {
            Next::Answer => {}
            Next::Complete => return Some(self.complete()),
            Next::Nothing => return None,
        }
        let shutdown = self.shared.shutdown.clone();
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled(), if self.ends_at.is_none() => {
                    // The operation ends by itself, with the cursor to go on from.
                    self.ends_at = Some(Instant::now() + ENDING_TIMEOUT);
                }
                () = ended(self.ends_at) => break,
                () = self.key_changes.next() => {
                    if !self.shared.access.still_allows(&self.viewer) {
                        self.next = Next::Complete;
                        let fault = Fault::new(Code::Forbidden, "the access key was revoked");
                        return Some(next(&Answered::refused(&fault)));
                    }
                }
                answered = self.answers.next() => {
                    let Some(answered) = answered else { break };
                    self.keep_alive.reset();
                    if answered.is_without_data {
                        self.next = Next::Complete;
                    }
                    return Some(next(&answered));
                }
                _ = self.keep_alive.tick() => return Some(":\n\n".to_owned()),
            }
        }
        Some(self.complete())
    }

    fn complete(&mut self) -> String {
        self.next = Next::Nothing;
        // Without data, browsers would not hand it to the page.
        "event: complete\ndata:\n\n".to_owned()
    }
}

fn next(answered: &Answered) -> String {
    // JSON of ours has no line breaks.
    format!("event: next\ndata: {}\n\n", answered.json)
}

/// Completes at this moment; never where there is none.
async fn ended(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Ticks for the first time after one interval; a late tick puts the later ones off.
fn every(period: Duration) -> Interval {
    let mut interval = tokio::time::interval_at(Instant::now() + period, period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}
