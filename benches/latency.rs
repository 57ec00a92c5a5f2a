//! From a webhook sent to its change told: Copernica's signed updates of profiles that the mirror knows, at a steady
//! rate, one subscriber. The service is a process of its own.
//!
//! `BENCH_RATE` webhooks a second (200), `BENCH_SECONDS` (20), `BENCH_PROFILES` in the mirror (2000), `BENCH_DIR` for
//! the database.

mod support;

use anyhow::{Context, bail, ensure};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use simulator::{ProviderKind, SignedWebhook, Simulator, TruthStatus};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::place;
use support::report::{self, cpu_seconds, knob, quantile_ms, round};
use support::sender::Line;
use support::service::{KEY, Service, configure};
use support::world::{self, Upstream};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// Stands before the number of the webhook in the field that it changes.
const MARK: &str = "mark-";
const FIELD: &str = "notes";
const LINES: usize = 8;
const DOCUMENT: &str = "subscription { profileChanges { __typename ... on ProfileChange { \
     cursor change { kind fields { name after } } profile { externalId displayName email status } } } }";

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

fn main() -> anyhow::Result<()> {
    if !report::is_asked_for() {
        return Ok(());
    }
    let setting_up = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let folder = place::fresh()?;
    let (rate, seconds) = (knob("BENCH_RATE", 200.0_f64), knob("BENCH_SECONDS", 20.0_f64));
    let simulator = setting_up.block_on(world::start(knob("BENCH_PROFILES", 2000)))?;
    configure(folder.path(), &Upstream::of(&simulator))?;
    let service = Service::start(folder.path())?;
    service.wait_for_import(|_| {})?;

    // Signing costs more than all that is timed: it is done before. The first tenth warms up and does not count.
    let warm_up = (rate * seconds / 10.0) as usize;
    let count = warm_up + (rate * seconds) as usize;
    let requests = sign(&simulator, service.address, count)?;
    let flush = place::probe_flush(folder.path(), 300)?;
    let cpu = cpu_seconds(&service.process());
    let own = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (sent, answered, told) = own.block_on(run(service.address, requests, rate))?;
    let cpu = cpu_seconds(&service.process()) - cpu;
    let flush_after = place::probe_flush(folder.path(), 300)?;
    service.stop()?;

    let since = |ends: &[Instant]| {
        let times = sent.iter().zip(ends).skip(warm_up).map(|(sent, end)| end.duration_since(*sent).as_micros());
        let mut times: Vec<u32> = times.map(|us| u32::try_from(us).unwrap_or(u32::MAX)).collect();
        times.sort_unstable();
        times
    };
    let (acks, changes) = (since(&answered), since(&told));
    let figures = |times: &[u32]| {
        json!({
            "p50": round(quantile_ms(times, 0.5)), "p99": round(quantile_ms(times, 0.99)),
            "max": round(quantile_ms(times, 1.0)),
        })
    };
    println!(
        "{} webhooks at {rate} a second: told after p50 {:.2} ms, p99 {:.2} ms (target below 50), at most {:.1} ms; \
         {:.0} us CPU each",
        changes.len(),
        quantile_ms(&changes, 0.5),
        quantile_ms(&changes, 0.99),
        quantile_ms(&changes, 1.0),
        cpu * 1e6 / count as f64,
    );
    println!(
        "{}",
        json!({
            "bench": "latency", "rate": rate, "webhooks": changes.len(), "told_ms": figures(&changes),
            "answered_ms": figures(&acks), "flush_ms": figures(&flush), "flush_after_ms": figures(&flush_after),
            "cpu_us": (cpu * 1e6 / count as f64).round(),
        })
    );
    Ok(())
}

/// Signed updates, each of another field value, of profiles in turn.
fn sign(simulator: &Simulator, address: SocketAddr, count: usize) -> anyhow::Result<Vec<Vec<u8>>> {
    let url = format!("http://{address}/webhooks/marketing");
    simulator.point_webhooks(ProviderKind::Copernica, &url);
    let truth = simulator.truth(ProviderKind::Copernica);
    let persons = truth.profiles.iter().filter(|(_, profile)| profile.status == TruthStatus::Open);
    let persons: Vec<&String> =
        persons.filter(|(_, profile)| profile.fields.contains_key(FIELD)).map(|(id, _)| id).collect();
    ensure!(!persons.is_empty(), "no profile has a field {FIELD}");
    let mut requests = Vec::with_capacity(count);
    for number in 0..count {
        let person = persons[number * 7 % persons.len()];
        let updated = simulator.copernica().update_profile(person, &[(FIELD, &format!("{MARK}{number:06}"))]);
        ensure!(matches!(updated, Ok(true)), "update {person}: {updated:?}");
        let webhooks = simulator.take_webhooks();
        let [webhook] = webhooks.as_slice() else { bail!("{} webhooks for one update", webhooks.len()) };
        requests.push(as_request(webhook));
    }
    Ok(requests)
}

fn as_request(webhook: &SignedWebhook) -> Vec<u8> {
    let mut text = "POST /webhooks/marketing HTTP/1.1\r\n".to_owned();
    for (name, value) in &webhook.headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str(&format!("Content-Length: {}\r\n\r\n", webhook.body.len()));
    [text.as_bytes(), &webhook.body].concat()
}

type Times = Vec<Instant>;

/// Sends at the rate, whatever the answers do; when each was sent, answered and told of.
async fn run(address: SocketAddr, requests: Vec<Vec<u8>>, rate: f64) -> anyhow::Result<(Times, Times, Times)> {
    let count = requests.len();
    let mut socket = subscribe(address).await?;
    let listening = tokio::spawn(async move {
        let mut told = vec![None; count];
        let mut left = count;
        while left > 0 {
            let text = next_text(&mut socket).await?;
            let at = Instant::now();
            ensure!(text.contains("\"next\""), "told {text}");
            let Some(place) = text.find(MARK) else { continue };
            let number: usize = text[place + MARK.len()..][..6].parse()?;
            if told.get(number).is_some_and(Option::is_none) {
                told[number] = Some(at);
                left -= 1;
            }
        }
        told.into_iter().map(|at| at.context("told of each")).collect::<anyhow::Result<Times>>()
    });

    let mut queues = Vec::with_capacity(LINES);
    let mut lines = Vec::with_capacity(LINES);
    for _ in 0..LINES {
        let mut line = Line::open(address).await?;
        let (queue, mut waiting) = mpsc::unbounded_channel::<(usize, Arc<[u8]>)>();
        queues.push(queue);
        lines.push(tokio::spawn(async move {
            let mut times = Vec::new();
            while let Some((number, request)) = waiting.recv().await {
                let sent = Instant::now();
                let status = line.ask(&request).await?;
                ensure!(status == 200, "webhook {number} was answered {status}");
                times.push((number, sent, Instant::now()));
            }
            anyhow::Ok(times)
        }));
    }
    let mut tick = tokio::time::interval(Duration::from_secs_f64(1.0 / rate));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
    for (number, request) in requests.into_iter().enumerate() {
        tick.tick().await;
        queues[number % LINES].send((number, request.into())).ok().context("a sender has ended early")?;
    }
    drop(queues);
    let mut times = Vec::with_capacity(count);
    for line in lines {
        times.extend(line.await??);
    }
    times.sort_unstable_by_key(|(number, ..)| *number);
    let told = tokio::time::timeout(Duration::from_secs(30), listening).await.context("told of each in time")???;
    let (sent, answered) = times.into_iter().map(|(_, sent, answered)| (sent, answered)).unzip();
    Ok((sent, answered, told))
}

/// Subscribes, and returns once what follows is live.
async fn subscribe(address: SocketAddr) -> anyhow::Result<Socket> {
    let mut request = format!("ws://{address}/graphql").into_client_request()?;
    request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("graphql-transport-ws"));
    let (mut socket, _) = tokio_tungstenite::connect_async(request).await?;
    let payload = json!({ "Authorization": format!("Bearer {KEY}") });
    socket.send(Message::text(json!({ "type": "connection_init", "payload": payload }).to_string())).await?;
    let answer: Value = serde_json::from_str(&next_text(&mut socket).await?)?;
    ensure!(answer["type"] == "connection_ack", "answered {answer}");
    let subscribe = json!({ "id": "1", "type": "subscribe", "payload": { "query": DOCUMENT } });
    socket.send(Message::text(subscribe.to_string())).await?;
    let answer = next_text(&mut socket).await?;
    ensure!(answer.contains("CaughtUp"), "told {answer}");
    Ok(socket)
}

async fn next_text(socket: &mut Socket) -> anyhow::Result<String> {
    loop {
        match socket.next().await.context("the socket was closed")?? {
            Message::Text(text) if text.contains("\"ping\"") => {
                socket.send(Message::text("{\"type\":\"pong\"}")).await?;
            }
            Message::Text(text) => return Ok(text.to_string()),
            Message::Close(frame) => bail!("the socket was closed: {frame:?}"),
            _ => {}
        }
    }
}
