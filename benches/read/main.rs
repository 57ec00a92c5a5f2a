//! What reading costs: the service, a static async-graphql schema and a floor without GraphQL, over one SQLite file, by
//! the processor time of each server's own process. With `BENCH_DATABASE=postgres` the service reads the same rows from a
//! PostgreSQL server of its own, whose time is not counted.
//!
//! `BENCH_PROFILES` (100000), `BENCH_SECONDS` a phase (1.5), `BENCH_ROUNDS` of A B C C B A (3), `BENCH_CONNECTIONS` (4),
//! `BENCH_WORKLOAD` to run one of them (`single`, `search`, `page`), `BENCH_DIR` for the database.

mod floor;
mod people;
mod plain;
mod server;
mod workload;

#[path = "../support/mod.rs"]
mod support;

use profile_mirror::db::Dialect;
use serde_json::{Value, json};
use server::{Role, Running};
use support::databases::Databases;
use support::place;
use support::report::{self, knob, median, round};
use workload::{Cost, Workload};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What the service may cost of the static schema.
const TARGET: f64 = 1.3;

fn main() -> anyhow::Result<()> {
    if server::serve_if_asked()? || !report::is_asked_for() {
        return Ok(());
    }
    let profiles = knob("BENCH_PROFILES", 100_000_u64);
    let (seconds, rounds) = (knob("BENCH_SECONDS", 1.5_f64), knob("BENCH_ROUNDS", 3_usize));
    let connections = knob("BENCH_CONNECTIONS", 4_usize);
    let only = knob("BENCH_WORKLOAD", String::new());
    let folder = place::fresh()?;
    println!("writing {profiles} profiles");
    let file = format!("sqlite://{}", people::database(folder.path()).display());
    people::write(&file, profiles)?;
    let mut databases = Databases::asked_for(folder.path())?;
    let dialect = databases.dialect;
    let of_service = if dialect == Dialect::Sqlite { file } else { databases.make("people") };
    if dialect == Dialect::Postgres {
        people::write(&of_service, profiles)?;
    }
    let start = |role| Running::start(role, folder.path(), &of_service);
    let servers: Vec<Running> = Role::ALL.into_iter().map(start).collect::<Result<_, _>>()?;

    let mut told = serde_json::Map::new();
    for workload in Workload::ALL.into_iter().filter(|workload| only.is_empty() || workload.name() == only) {
        let requests = workload.prepare(&servers, profiles)?;
        let mut costs: Vec<Vec<Cost>> = servers.iter().map(|_| Vec::new()).collect();
        for turn in 0..=rounds {
            // The first round warms up and does not count.
            let seconds = if turn == 0 { seconds.min(0.5) } else { seconds };
            for at in (0..servers.len()).chain((0..servers.len()).rev()) {
                let cost = workload::drive(&servers[at], &requests[at], connections, seconds)?;
                if turn > 0 {
                    costs[at].push(cost);
                }
            }
        }
        told.insert(workload.name().to_owned(), tell(workload, &costs));
    }
    println!(
        "{}",
        json!({ "bench": "read", "database": dialect.to_string(), "profiles": profiles, "connections": connections, "rounds": rounds, "workloads": told })
    );
    Ok(())
}

/// Prints what a workload cost, and gives it as JSON.
fn tell(workload: Workload, costs: &[Vec<Cost>]) -> Value {
    let of = |costs: &[Cost], value: fn(&Cost) -> f64| median(&costs.iter().map(value).collect::<Vec<_>>());
    let mut sides = serde_json::Map::new();
    for (role, costs) in Role::ALL.into_iter().zip(costs) {
        let (cpu, rate) = (of(costs, |cost| cost.cpu_us), of(costs, |cost| cost.rate));
        let (p50, p99) = (of(costs, |cost| cost.p50_ms), of(costs, |cost| cost.p99_ms));
        let name = role.name();
        println!(
            "{:<7} {name:<8} {cpu:>7.1} us CPU   {rate:>7.0} req/s   p50 {p50:>6.2} ms   p99 {p99:>6.2} ms",
            workload.name()
        );
        let all: Vec<f64> = costs.iter().map(|cost| round(cost.cpu_us)).collect();
        sides.insert(
            name.to_owned(),
            json!({ "cpu_us": round(cpu), "rate": rate.round(), "p50_ms": round(p50), "p99_ms": round(p99), "cpu_us_all": all }),
        );
    }
    let cpu = |role: Role| sides[role.name()]["cpu_us"].as_f64().unwrap_or_default();
    let ratio = cpu(Role::Service) / cpu(Role::Static).max(0.001);
    let of_floor = cpu(Role::Service) / cpu(Role::Floor).max(0.001);
    println!(
        "{:<7} {ratio:.2} times the static schema (target {TARGET}), {of_floor:.1} times the floor",
        workload.name()
    );
    sides.insert("ratio".to_owned(), json!(round(ratio)));
    sides.insert("of_floor".to_owned(), json!(round(of_floor)));
    Value::Object(sides)
}
