//! From the start of the process to the first answer, on the database that the bench `memory` has left (it is made
//! first where it is missing), against a bare HTTP server in the same run.
//!
//! `BENCH_PROFILES` (100000), `BENCH_ROUNDS` of A B B A (5), `BENCH_DIR` for the database.

mod support;

use anyhow::ensure;
use axum::Router;
use axum::routing::get;
use serde_json::json;
use std::io::{Read, Write};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use support::place;
use support::report::{self, knob, median, round};
use support::service::{Service, configure};
use support::world::{World, play_if_asked};

/// Set for the process that is the bare server.
const BARE: &str = "PROFILE_MIRROR_BENCH_BARE";

fn main() -> anyhow::Result<()> {
    if std::env::var_os(BARE).is_some() {
        return serve_bare();
    }
    if play_if_asked()? || !report::is_asked_for() {
        return Ok(());
    }
    let profiles = knob("BENCH_PROFILES", 100_000);
    let folder = place::folder().join(format!("mirrored-{profiles}"));
    if !folder.join("mirror.db").exists() {
        println!("mirroring {profiles} profiles first");
        std::fs::create_dir_all(&folder)?;
        let world = World::spawn(profiles)?;
        configure(&folder, &world.upstream)?;
        let service = Service::start(&folder)?;
        service.wait_for_import(|_| {})?;
        service.stop()?;
    }

    let (mut bare, mut clean, mut killed) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=knob("BENCH_ROUNDS", 5) {
        for is_killed in [false, true] {
            let (ceiling, _) = measure(|| Service::spawn(bare_server()?))?;
            let (ready, service) = measure(|| Service::start(&folder))?;
            check(&service, &folder)?;
            // How this one ends is how the next one finds the database.
            if is_killed {
                service.kill()?
            } else {
                service.stop()?
            }
            if round == 0 {
                continue;
            }
            println!(
                "bare {ceiling:>6.1} ms   service {ready:>6.1} ms after {}",
                if is_killed { "a stop" } else { "a kill" }
            );
            bare.push(ceiling);
            if is_killed { clean.push(ready) } else { killed.push(ready) }
        }
    }
    let (bare, clean, killed) = (median(&bare), median(&clean), median(&killed));
    println!("ready after {clean:.0} ms, after a kill {killed:.0} ms (target below 300); a bare server {bare:.0} ms");
    println!(
        "{}",
        json!({
            "bench": "startup", "profiles": profiles, "ready_ms": round(clean), "ready_after_kill_ms": round(killed),
            "bare_ms": round(bare), "ratio": round(clean / bare.max(0.001)),
        })
    );
    Ok(())
}

/// Milliseconds from the start of the process until `/readyz` answers 200.
fn measure(start: impl FnOnce() -> anyhow::Result<Service>) -> anyhow::Result<(f64, Service)> {
    let started = Instant::now();
    let service = start()?;
    while service.get("/readyz")?.0 != 200 {
        ensure!(started.elapsed() < Duration::from_secs(30), "not ready after 30 s");
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok((started.elapsed().as_secs_f64() * 1000.0, service))
}

/// What is timed must serve the filled mirror.
fn check(service: &Service, folder: &Path) -> anyhow::Result<()> {
    let data = service.query("{ profiles(first: 1) { totalCount nodes { displayName } } }")?;
    let mirrored = data["profiles"]["totalCount"].as_u64().unwrap_or(0);
    ensure!(mirrored > 0, "the database in {} is empty", folder.display());
    Ok(())
}

fn bare_server() -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.env(BARE, "1");
    Ok(command)
}

fn serve_bare() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        println!("listening on http://{}", listener.local_addr()?);
        std::io::stdout().flush()?;
        let router = Router::new().route("/readyz", get(|| async { "ok" }));
        tokio::spawn(axum::serve(listener, router).into_future());
        tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
        Ok(())
    })
}
