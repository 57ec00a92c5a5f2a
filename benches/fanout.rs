//! From a change to the last of many subscribers, and what each of them costs the service: sockets in this process, the
//! service in its own. The ceiling is a server that writes a text of the same length to as many sockets.
//!
//! `BENCH_SUBSCRIBERS` (5000), `BENCH_CHANGES` (40), `BENCH_ROUNDS` (3), `BENCH_PROFILES` (500), `BENCH_DATABASE` (`sqlite`,
//! or `postgres` on a server of its own). Each change comes when the last one has reached everybody. It needs twice as many open files as there are subscribers.

#[path = "fanout/raw.rs"]
mod raw;
#[path = "fanout/subscribers.rs"]
mod subscribers;
mod support;

use anyhow::ensure;
use serde_json::json;
use simulator::{ProviderKind, Simulator, TruthStatus};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use subscribers::Subscribers;
use support::databases::Databases;
use support::place;
use support::report::{self, cpu_seconds, knob, median, quantile_ms, round};
use support::service::{Service, configure_on};
use support::world::{self, Upstream};

/// The field that is changed.
const FIELD: &str = "notes";

fn main() -> anyhow::Result<()> {
    if raw::play_if_asked()? || !report::is_asked_for() {
        return Ok(());
    }
    let count = knob("BENCH_SUBSCRIBERS", 5_000_usize);
    let changes = knob("BENCH_CHANGES", 40_usize);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let folder = place::fresh()?;
    let simulator = runtime.block_on(world::start(knob("BENCH_PROFILES", 500)))?;
    let mut databases = Databases::asked_for(folder.path())?;
    configure_on(folder.path(), &databases.make("mirror"), &Upstream::of(&simulator), "")?;
    let service = Service::start(folder.path())?;
    service.wait_for_import(|_| {})?;
    let ceiling = raw::spawn()?;

    let before = service.resident_mb().0;
    let mut subscribers = runtime.block_on(Subscribers::open(service.address, count))?;
    let kb_each = (service.resident_mb().0 - before) * 1024.0 / count as f64;
    let mut raw_subscribers = runtime.block_on(Subscribers::open_raw(ceiling.address, count))?;

    let (mut last, mut each, mut raw_last) = (Vec::new(), Vec::new(), Vec::new());
    let (mut cpu, mut raw_cpu) = (0.0, 0.0);
    let mut updates = Updates::of(&simulator, service.address)?;
    for _ in 0..knob("BENCH_ROUNDS", 3) {
        let started = cpu_seconds(&service.process());
        for _ in 0..changes {
            let (mark, webhook) = updates.next(&simulator)?;
            let sent = Instant::now();
            let status = runtime.block_on(simulator.send(&webhook))?;
            ensure!(status == 200, "the webhook was answered {status}");
            let times = runtime.block_on(subscribers.wait_for(&mark, sent))?;
            last.extend(times.last().copied());
            each.extend(times);
        }
        cpu += cpu_seconds(&service.process()) - started;
        let started = cpu_seconds(&ceiling.process());
        for number in 0..changes {
            let mark = format!("raw{number:06}");
            let sent = Instant::now();
            runtime.block_on(raw_subscribers.ask_for(&mark))?;
            raw_last.extend(runtime.block_on(raw_subscribers.wait_for(&mark, sent))?.last().copied());
        }
        raw_cpu += cpu_seconds(&ceiling.process()) - started;
    }
    drop((subscribers, raw_subscribers));
    service.stop()?;
    ceiling.kill()?;

    each.sort_unstable();
    let ms = |times: &[u32]| median(&times.iter().map(|us| f64::from(*us) / 1000.0).collect::<Vec<_>>());
    let told = last.len() as f64;
    println!(
        "{count} subscribers on {}: {kb_each:.1} KB each (target below 12); told after p50 {:.1} ms, p99 {:.1} ms (target below 250), \
         the last after {:.1} ms, of raw sockets {:.1} ms; {:.1} ms CPU a change, raw {:.1} ms",
        databases.dialect,
        quantile_ms(&each, 0.5),
        quantile_ms(&each, 0.99),
        ms(&last),
        ms(&raw_last),
        cpu * 1000.0 / told,
        raw_cpu * 1000.0 / told,
    );
    println!(
        "{}",
        json!({
            "bench": "fanout", "database": databases.dialect.to_string(), "subscribers": count, "changes": last.len(), "kb_each": round(kb_each),
            "told_ms": { "p50": round(quantile_ms(&each, 0.5)), "p99": round(quantile_ms(&each, 0.99)) },
            "last_ms": round(ms(&last)), "raw_last_ms": round(ms(&raw_last)),
            "cpu_ms": round(cpu * 1000.0 / told), "raw_cpu_ms": round(raw_cpu * 1000.0 / told),
        })
    );
    Ok(())
}

/// Signed updates of one person, each of another value.
struct Updates {
    person: String,
    number: usize,
}

impl Updates {
    fn of(simulator: &Simulator, address: SocketAddr) -> anyhow::Result<Self> {
        simulator.point_webhooks(ProviderKind::Copernica, &format!("http://{address}/webhooks/marketing"));
        let truth = simulator.truth(ProviderKind::Copernica);
        let mut open = truth.profiles.iter().filter(|(_, profile)| profile.status == TruthStatus::Open);
        let person = open.find(|(_, profile)| profile.fields.contains_key(FIELD));
        let (person, _) = person.ok_or_else(|| anyhow::anyhow!("no profile has a field {FIELD}"))?;
        Ok(Self { person: person.clone(), number: 0 })
    }

    fn next(&mut self, simulator: &Simulator) -> anyhow::Result<(String, simulator::SignedWebhook)> {
        self.number += 1;
        // A webhook tells whole seconds: two updates in one would be settled by a fetch.
        simulator.advance(chrono::Duration::seconds(2));
        let mark = format!("told{:06}", self.number);
        let updated = simulator.copernica().update_profile(&self.person, &[(FIELD, &mark)]);
        ensure!(matches!(updated, Ok(true)), "update {}: {updated:?}", self.person);
        let webhook = simulator.take_webhooks().pop();
        Ok((mark, webhook.ok_or_else(|| anyhow::anyhow!("no webhook for an update"))?))
    }
}

/// Longest wait for everybody to be told.
const DEADLINE: Duration = Duration::from_secs(30);
