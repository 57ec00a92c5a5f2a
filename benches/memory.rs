//! Memory of the service, a process of its own, while it mirrors a large account and afterwards.
//!
//! `BENCH_PROFILES` (100000) with 12 fields each, `BENCH_DIR` for the database. What is mirrored is left there for the
//! bench `startup`.

mod support;

use anyhow::ensure;
use serde_json::json;
use std::time::{Duration, Instant};
use support::place;
use support::report::{self, cpu_seconds, knob, round};
use support::service::{Service, configure};
use support::world::{World, play_if_asked};

fn main() -> anyhow::Result<()> {
    if play_if_asked()? || !report::is_asked_for() {
        return Ok(());
    }
    let profiles = knob("BENCH_PROFILES", 100_000);
    let folder = place::folder().join(format!("mirrored-{profiles}"));
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    let world = World::spawn(profiles)?;
    configure(&folder, &world.upstream)?;

    let world_cpu = cpu_seconds(&world.process());
    let started = Instant::now();
    let service = Service::start(&folder)?;
    let at_start = service.resident_mb().0;
    let mut next = Duration::from_secs(5);
    service.wait_for_import(|service| {
        if started.elapsed() > next {
            next += Duration::from_secs(5);
            println!("{:>4} s  {:>6.1} MB", started.elapsed().as_secs(), service.resident_mb().0);
        }
    })?;
    let seconds = started.elapsed().as_secs_f64();
    let (at_end, peak) = service.resident_mb();
    let (cpu, world_cpu) = (cpu_seconds(&service.process()), cpu_seconds(&world.process()) - world_cpu);

    let data = service.query(
        "{ profiles(first: 50) { totalCount nodes { displayName fields { name text } subprofiles(first: 5) { nodes { externalId } } } } }",
    )?;
    let mirrored = data["profiles"]["totalCount"].as_u64().unwrap_or(0);
    ensure!(mirrored == world.upstream.profiles, "{mirrored} of {} profiles are mirrored", world.upstream.profiles);
    let fields = data["profiles"]["nodes"].as_array().into_iter().flatten();
    let fields = fields.filter_map(|node| node["fields"].as_array().map(Vec::len)).max().unwrap_or(0);
    std::thread::sleep(Duration::from_secs(3));
    let (at_rest, peak) = (service.resident_mb().0, service.resident_mb().1.max(peak));
    service.stop()?;
    let file_mb = std::fs::metadata(folder.join("mirror.db"))?.len() as f64 / f64::from(1 << 20);

    println!(
        "{mirrored} profiles of up to {fields} fields in {seconds:.1} s: {at_end:.0} MB at the end, {peak:.0} MB at most, \
         {at_rest:.0} MB at rest (target below 150); {:.0} us CPU a profile, the world's {:.0}",
        cpu * 1e6 / mirrored as f64,
        world_cpu * 1e6 / mirrored as f64,
    );
    println!(
        "{}",
        json!({
            "bench": "memory", "profiles": mirrored, "fields": fields, "seconds": round(seconds),
            "profiles_per_s": (mirrored as f64 / seconds).round(),
            "rss_mb": { "start": round(at_start), "end": round(at_end), "peak": round(peak), "rest": round(at_rest) },
            "cpu_s": { "service": round(cpu), "world": round(world_cpu) }, "database_mb": round(file_mb),
        })
    );
    Ok(())
}
