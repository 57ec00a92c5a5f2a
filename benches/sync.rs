//! A full first sync of a large account and a second one that finds nothing changed, with a bare upsert of the same rows
//! between them: of the profiles and subprofiles alone, and of everything that a sync writes of them. The service and the
//! world are processes of their own; webhooks of another source come in meanwhile.
//!
//! `BENCH_PROFILES` (1000000) with 12 fields each, `BENCH_DATABASE` (`sqlite`, or `postgres` on a server of its own),
//! `BENCH_RATE` webhooks a second (100), `BENCH_DIR` for the files.

mod support;

use anyhow::ensure;
use profile_mirror::db::{self, Dialect};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use support::bare::{self, Copied};
use support::databases::Databases;
use support::place;
use support::report::{self, cpu_seconds, knob, quantile_ms, round};
use support::sender::Template;
use support::service::{Service, configure_on};
use support::steady::Steady;
use support::world::{World, play_if_asked};

const SECRET: &str = "gp_live_0123456789abcdef0123456789abcdef";
const TENANT: &str = "tenant-of-the-bench";
/// Records on a page, the most that the provider gives.
const PAGE: u64 = 1_000;
/// How long webhooks come alone, to compare with.
const ALONE: Duration = Duration::from_secs(5);
const RUNS: &str = "{ syncRuns(first: 1, filter: { source: \"marketing\" }) { nodes { \
     number state error counts { seen created updated unchanged conflicts candidates deleted } } } }";

/// One sync.
struct Pass {
    seconds: f64,
    /// Profiles and subprofiles on its pages.
    rows: u64,
    requests: u64,
    cpu: f64,
    peak_mb: f64,
    acks_us: Vec<u32>,
    counts: Value,
}

/// The service under way, and what it is fed with.
struct Bench {
    service: Service,
    world: World,
    template: Template,
    rate: f64,
    sent: u64,
    /// Number of the last run that was waited for.
    last_run: u64,
}

fn main() -> anyhow::Result<()> {
    if play_if_asked()? || !report::is_asked_for() {
        return Ok(());
    }
    let folder = place::fresh()?;
    let mut databases = Databases::asked_for(folder.path())?;
    let (mirror, dialect) = (databases.make("mirror"), databases.dialect);
    let world = World::spawn(knob("BENCH_PROFILES", 1_000_000))?;
    let people = format!(
        "[[source]]\nname = \"people\"\nprovider = \"getprofile\"\nbase_url = \"http://127.0.0.1:9\"\n\
         tenant = \"{TENANT}\"\n[source.webhook]\nsecrets = [{{ env = \"BENCH_SECRET\" }}]\n"
    );
    configure_on(folder.path(), &mirror, &world.upstream, &people)?;
    let template = Template::new("/webhooks/people", (SECRET, TENANT), 500, 10_000, false)?;
    let service = Service::start_with(folder.path(), &[("BENCH_SECRET", SECRET)])?;
    let mut bench = Bench { service, world, template, rate: knob("BENCH_RATE", 100.0_f64), sent: 0, last_run: 0 };

    let first = bench.pass("first")?;
    let profiles = bench.world.upstream.profiles;
    ensure!(first.counts["created"] == profiles, "{} of {profiles} profiles were created", first.counts["created"]);
    let bare = bare_upsert(&mirror, &databases.make("bare"))?;
    bench.service.query("mutation { resync(input: { source: \"marketing\" }) { problems { message } } }")?;
    let second = bench.pass("second")?;
    ensure!(second.counts["unchanged"] == profiles, "not all are unchanged: {}", second.counts);
    let alone = bench.webhooks_alone()?;
    let data = bench.service.query("{ profiles(first: 1) { totalCount } }")?;
    ensure!(data["profiles"]["totalCount"] == profiles, "mirrored are {data}");
    let least: u64 = 1 + bench.world.upstream.lists.iter().map(|records| records.div_ceil(PAGE).max(1)).sum::<u64>();
    bench.service.stop()?;
    ensure!(bare.records.rows == first.rows, "{} rows were upserted", bare.records.rows);

    tell(dialect, profiles, least, [&first, &second], &bare, &alone);
    Ok(())
}

fn tell(dialect: Dialect, profiles: u64, least: u64, [first, second]: [&Pass; 2], bare: &Copied, alone: &[u32]) {
    let per_second = |rows: u64, seconds: f64| (rows as f64 / seconds).round();
    let records = bare.records.elapsed.as_secs_f64();
    let everything = records + bare.beside.elapsed.as_secs_f64();
    let (ratio, ratio_of_all) = (records / first.seconds, everything / first.seconds);
    let faster = first.seconds / second.seconds;
    let figures = |pass: &Pass| {
        json!({
            "seconds": round(pass.seconds), "rows": pass.rows, "rows_per_s": per_second(pass.rows, pass.seconds),
            "cpu_us_a_row": round(pass.cpu * 1e6 / pass.rows as f64), "peak_mb": round(pass.peak_mb),
            "requests": pass.requests, "requests_to_least": round(pass.requests as f64 / least as f64),
            "ack_ms": { "p50": round(quantile_ms(&pass.acks_us, 0.5)), "p99": round(quantile_ms(&pass.acks_us, 0.99)),
                "max": round(quantile_ms(&pass.acks_us, 1.0)), "webhooks": pass.acks_us.len() },
        })
    };
    println!(
        "{profiles} profiles, {} rows on {dialect}: first sync {:.1} s, {:.2} of a bare upsert of them and {:.2} of \
         one of all that is written (target 0.40); second {:.1} s, \
         {faster:.1} times faster (target 3); {:.0} MB at most (target below 300); {} and {} requests of {least} (target 1.05); \
         webhooks p99 {:.1} and {:.1} ms (target below 100), {:.1} alone",
        first.rows,
        first.seconds,
        ratio,
        ratio_of_all,
        second.seconds,
        second.peak_mb,
        first.requests,
        second.requests,
        quantile_ms(&first.acks_us, 0.99),
        quantile_ms(&second.acks_us, 0.99),
        quantile_ms(alone, 0.99),
    );
    println!(
        "{}",
        json!({
            "bench": "sync", "database": dialect.to_string(), "profiles": profiles, "ratio": round(ratio),
            "ratio_of_all": round(ratio_of_all),
            "second_faster": round(faster), "first": figures(first), "second": figures(second),
            "bare": { "rows": bare.records.rows, "seconds": round(records),
                "all_rows": bare.records.rows + bare.beside.rows, "all_seconds": round(everything) },
            "least_requests": least,
            "alone": { "p50_ms": round(quantile_ms(alone, 0.5)), "p99_ms": round(quantile_ms(alone, 0.99)) },
        })
    );
}

/// Upserts what is mirrored into an empty database.
fn bare_upsert(from: &str, to: &str) -> anyhow::Result<Copied> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let (from, to) = (db::connect(from, None).await?, db::connect(to, None).await?);
        to.migrate().await?;
        let written = bare::copy(&from, &to, "marketing").await?;
        from.close().await?;
        to.close().await?;
        Ok(written)
    })
}

impl Bench {
    /// Waits for the sync that goes on.
    fn pass(&mut self, name: &str) -> anyhow::Result<Pass> {
        let started = Instant::now();
        let (cpu, requests) = (cpu_seconds(&self.service.process()), self.world.requests()?);
        let steady = Steady::start(self.service.address, &self.template, self.rate, self.sent);
        let mut told = Duration::from_secs(5);
        let counts = loop {
            std::thread::sleep(Duration::from_millis(50));
            let mut runs = self.service.query(RUNS)?;
            // None yet where the service has only just started.
            let mut run = runs.pointer_mut("/syncRuns/nodes/0").map(Value::take).unwrap_or_default();
            ensure!(run["state"] != "FAILED", "the {name} sync failed: {run}");
            let number = run["number"].as_u64().unwrap_or(0);
            if run["state"] == "DONE" && number > self.last_run {
                self.last_run = number;
                break run["counts"].take();
            }
            if started.elapsed() > told {
                told += Duration::from_secs(5);
                let (now, _) = self.service.resident_mb();
                println!(
                    "{name} {:>4} s  {:>8} rows  {now:>6.1} MB",
                    started.elapsed().as_secs(),
                    run["counts"]["seen"]
                );
            }
            ensure!(started.elapsed() < Duration::from_secs(7_200), "the {name} sync does not end: {run}");
        };
        let seconds = started.elapsed().as_secs_f64();
        let acks_us = steady.stop()?;
        self.sent += acks_us.len() as u64 + 1_000;
        println!("{name} {seconds:>6.1} s in all, webhooks p99 {:.1} ms", quantile_ms(&acks_us, 0.99));
        Ok(Pass {
            seconds,
            rows: self.world.upstream.lists.iter().sum(),
            requests: self.world.requests()? - requests,
            cpu: cpu_seconds(&self.service.process()) - cpu,
            peak_mb: self.service.resident_mb().1,
            acks_us,
            counts,
        })
    }

    /// How long webhooks take while nothing else goes on.
    fn webhooks_alone(&self) -> anyhow::Result<Vec<u32>> {
        let steady = Steady::start(self.service.address, &self.template, self.rate, self.sent);
        std::thread::sleep(ALONE);
        steady.stop()
    }
}
