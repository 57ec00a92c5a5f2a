//! Accepting webhooks with durable commits, against an empty handler that reads the body, in one run.
//!
//! `BENCH_SECONDS` a phase (3), `BENCH_ROUNDS` of A B B A (3), `BENCH_SENDERS` (64), `BENCH_BODY` bytes (500),
//! `BENCH_PROFILES` that the events are about (10000), `BENCH_ORDERED_IDS` (false) for ids that grow with time as some
//! providers' do, `BENCH_DIR` for the database.

mod support;

use anyhow::{Context, ensure};
use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::post;
use entity::{DeliveryState, delivery, fetch_request};
use profile_mirror::app::{self, AppOptions, Running};
use profile_mirror::config::{Config, Drift, Secret, Source, Sync, Webhook};
use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter};
use serde_json::json;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use support::report::{cpu_seconds, knob, median, quantile_ms, round};
use support::sender::{Line, Load, Sent, Template, drive};
use support::{place, report};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SECRET: &str = "gp_live_0123456789abcdef0123456789abcdef";
const TENANT: &str = "tenant-of-the-bench";
const PATH: &str = "/webhooks/people";

/// One phase of one side.
struct Phase {
    rate: f64,
    p50_ms: f64,
    p99_ms: f64,
    cpu_us: f64,
}

impl Phase {
    fn of(sent: &Sent, cpu_before: f64) -> Self {
        Self {
            rate: sent.rate(),
            p50_ms: quantile_ms(&sent.latencies_us, 0.5),
            p99_ms: quantile_ms(&sent.latencies_us, 0.99),
            cpu_us: (cpu_seconds("self") - cpu_before) * 1e6 / sent.accepted.max(1) as f64,
        }
    }
}

/// The service with its database, and how many events it has been sent.
struct Service {
    running: Running,
    sent: u64,
    /// Seconds that apply needed after each phase to catch up, and deliveries that it was behind.
    catch_up: Vec<f64>,
    behind: Vec<f64>,
}

fn main() -> anyhow::Result<()> {
    if !report::is_asked_for() {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run())
}

async fn run() -> anyhow::Result<()> {
    let folder = place::fresh()?;
    let seconds = knob("BENCH_SECONDS", 3.0_f64);
    let rounds = knob("BENCH_ROUNDS", 3_usize);
    let senders = knob("BENCH_SENDERS", 64_usize);
    let body_bytes = knob("BENCH_BODY", 500_usize);
    let is_ordered = knob("BENCH_ORDERED_IDS", false);
    let template = Template::new(PATH, (SECRET, TENANT), body_bytes, knob("BENCH_PROFILES", 10_000), is_ordered)?;

    let empty = serve_empty().await?;
    let running = app::start(configuration(folder.path()), AppOptions::default()).await?;
    let mut service = Service { running, sent: 0, catch_up: Vec::new(), behind: Vec::new() };
    service.check(&template).await?;

    let load = |address, first, seconds| Load {
        address,
        template: template.clone(),
        senders,
        duration: Duration::from_secs_f64(seconds),
        first,
    };
    let (mut ceilings, mut accepts) = (Vec::new(), Vec::new());
    for round in 0..=rounds {
        // The first round warms up and does not count.
        let seconds = if round == 0 { seconds.min(1.0) } else { seconds };
        for is_service in [false, true, true, false] {
            let cpu = cpu_seconds("self");
            let phase = if is_service {
                let load = load(service.running.address(), service.sent, seconds);
                let sent = tokio::task::spawn_blocking(|| drive(load)).await??;
                let phase = Phase::of(&sent, cpu);
                service.sent += sent.accepted;
                service.settle().await?;
                phase
            } else {
                let load = load(empty, 0, seconds);
                Phase::of(&tokio::task::spawn_blocking(|| drive(load)).await??, cpu)
            };
            if round == 0 {
                continue;
            }
            let name = if is_service { "service" } else { "empty  " };
            println!(
                "{name} {:>7.0} req/s   p50 {:>6.2} ms   p99 {:>6.2} ms   {:>5.1} us CPU a request",
                phase.rate, phase.p50_ms, phase.p99_ms, phase.cpu_us
            );
            if is_service { accepts.push(phase) } else { ceilings.push(phase) }
        }
    }
    let flush = place::probe_flush(folder.path(), 300)?;
    let (behind, catch_up) = (median(&service.behind), median(&service.catch_up));
    service.running.stop().await;

    let of = |phases: &[Phase], value: fn(&Phase) -> f64| median(&phases.iter().map(value).collect::<Vec<_>>());
    let (rate, ceiling) = (of(&accepts, |phase| phase.rate), of(&ceilings, |phase| phase.rate));
    let (flush_p50, flush_p99) = (quantile_ms(&flush, 0.5), quantile_ms(&flush, 0.99));
    println!(
        "accepts {:.1} % of the empty handler; apply {behind:.0} behind at the end of a phase, there after {catch_up:.1} s",
        100.0 * rate / ceiling,
    );
    println!(
        "{}",
        json!({
            "bench": "accept", "senders": senders, "body_bytes": body_bytes, "rounds": rounds, "ordered_ids": is_ordered,
            "ratio": (1000.0 * rate / ceiling).round() / 1000.0,
            "service": {
                "rate": rate.round(), "p50_ms": round(of(&accepts, |phase| phase.p50_ms)),
                "p99_ms": round(of(&accepts, |phase| phase.p99_ms)), "cpu_us": round(of(&accepts, |phase| phase.cpu_us)),
                "rates": accepts.iter().map(|phase| phase.rate.round()).collect::<Vec<_>>(),
            },
            "empty": {
                "rate": ceiling.round(), "p50_ms": round(of(&ceilings, |phase| phase.p50_ms)),
                "p99_ms": round(of(&ceilings, |phase| phase.p99_ms)), "cpu_us": round(of(&ceilings, |phase| phase.cpu_us)),
                "rates": ceilings.iter().map(|phase| phase.rate.round()).collect::<Vec<_>>(),
            },
            "apply": { "behind": behind, "catch_up_s": round(catch_up) },
            "flush_ms": { "p50": round(flush_p50), "p99": round(flush_p99) },
        })
    );
    Ok(())
}

/// The ceiling: reads the body, keeps nothing.
async fn serve_empty() -> anyhow::Result<SocketAddr> {
    let router = Router::new().route(PATH, post(|_body: Bytes| async { StatusCode::OK }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(axum::serve(listener, router).into_future());
    Ok(address)
}

/// One source without a token: what its events ask for is noted and not fetched.
fn configuration(folder: &std::path::Path) -> Config {
    let source = Source {
        name: "people".to_owned(),
        provider: "getprofile".to_owned(),
        base_url: "http://127.0.0.1:9".to_owned(),
        auth_url: None,
        token: None,
        time_zone: None,
        tenant: Some(TENANT.to_owned()),
        filterable: Vec::new(),
        webhook: Webhook { secrets: vec![Secret::Value(SECRET.to_owned())], ..Webhook::default() },
        sync: Sync::default(),
        drift: Drift::default(),
    };
    let mut config = Config { sources: vec![source], ..Config::default() };
    config.server.listen = "127.0.0.1:0".to_owned();
    config.database.url = format!("sqlite://{}", folder.join("mirror.db").display());
    config
}

impl Service {
    /// What is timed must be the real thing: the secret counts, copies are told apart, rows are there.
    async fn check(&mut self, template: &Template) -> anyhow::Result<()> {
        let mut template = template.clone();
        let mut line = Line::open(self.running.address()).await?;
        let right = template.patch(self.sent).to_vec();
        let text = String::from_utf8(right.clone()).context("a request is text")?;
        let wrong = text.replacen(SECRET, "gp_live_not-the-secret-but-as-long-as-00", 1);
        ensure!(line.ask(wrong.as_bytes()).await? == 401, "a wrong secret is refused");
        for _ in 0..2 {
            ensure!(line.ask(&right).await? == 200, "the right one is accepted, and so is its copy");
        }
        self.sent += 1;
        let kept = delivery::Entity::find().all(self.running.database().reader()).await?;
        let [kept] = kept.as_slice() else { anyhow::bail!("{} deliveries are kept, not one", kept.len()) };
        ensure!(kept.copies == 2 && text.ends_with(std::str::from_utf8(&kept.body)?), "kept as it came, twice");
        ensure!(!kept.headers.to_string().contains(SECRET), "the secret is not kept");
        Ok(())
    }

    /// Checks that everything acknowledged is kept, and waits until apply has caught up, so that the other side has
    /// the machine to itself.
    async fn settle(&mut self) -> anyhow::Result<()> {
        let reader = self.running.database().reader();
        let kept = delivery::Entity::find().count(reader).await?;
        ensure!(kept == self.sent, "{} were acknowledged, {kept} are kept", self.sent);
        let started = Instant::now();
        let pending =
            || delivery::Entity::find().filter(delivery::Column::State.eq(DeliveryState::Pending)).count(reader);
        self.behind.push(pending().await? as f64);
        while pending().await? > 0 {
            ensure!(started.elapsed() < Duration::from_secs(300), "apply does not catch up");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.catch_up.push(started.elapsed().as_secs_f64());
        let applied = delivery::Entity::find().filter(delivery::Column::State.eq(DeliveryState::Applied));
        ensure!(applied.count(reader).await? == self.sent, "every delivery is applied");
        ensure!(fetch_request::Entity::find().count(reader).await? > 0, "and asks for a fetch");
        Ok(())
    }
}
