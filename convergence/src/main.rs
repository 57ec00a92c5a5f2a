//! Plays random histories and prints one line for each that does not end with the mirror equal to the world.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a driver that cannot go on fails")]

use clap::{Parser, ValueEnum};
use convergence::history::History;
use convergence::place::{STACK_BYTES, TestDatabase};
use convergence::play::{Tally, play};
use convergence::shrink::shrink;
use profile_mirror::db::{Database, Dialect};
use simulator::ProviderKind;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Histories in one database; then a new one is made, so that tables stay small.
const HISTORIES_A_DATABASE: u64 = 250;

#[derive(Parser, Clone)]
#[command(name = "converge", about = "Random histories of a source: does the mirror end equal to the world?")]
struct Arguments {
    /// How many histories; their seeds count up from --seed.
    #[arg(long, default_value_t = 1000)]
    histories: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// On which database.
    #[arg(long, value_enum, default_value_t = On::Both)]
    database: On,
    /// Of one provider only: copernica, parallel or getprofile.
    #[arg(long, value_parser = parse_provider)]
    provider: Option<ProviderKind>,
    /// Histories played at once; as many as there are processors unless told otherwise.
    #[arg(long)]
    jobs: Option<usize>,
    /// Only these steps of each history, by their place.
    #[arg(long, value_delimiter = ',')]
    steps: Option<Vec<u32>>,
    /// Tells of every step.
    #[arg(long)]
    verbose: bool,
    /// Stop after so many failures.
    #[arg(long, default_value_t = 10)]
    failures: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum On {
    Sqlite,
    Postgres,
    /// Every second history on each.
    Both,
}

fn parse_provider(text: &str) -> Result<ProviderKind, String> {
    ProviderKind::parse(text).ok_or_else(|| "expected copernica, parallel or getprofile".to_owned())
}

/// What the workers share.
struct Shared {
    arguments: Arguments,
    next: AtomicU64,
    failures: AtomicU64,
    tally: Mutex<Tally>,
}

fn main() -> ExitCode {
    tracing_subscriber::fmt().with_max_level(tracing_subscriber::filter::LevelFilter::OFF).init();
    let arguments = Arguments::parse();
    let started = Instant::now();
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let jobs = if arguments.verbose { 1 } else { arguments.jobs.unwrap_or(processors).max(1) };
    let shared = Arc::new(Shared {
        arguments: arguments.clone(),
        next: AtomicU64::new(0),
        failures: AtomicU64::new(0),
        tally: Mutex::default(),
    });
    if !arguments.verbose {
        std::panic::set_hook(Box::new(|_| {}));
    }
    let workers: Vec<_> = (0..jobs)
        .map(|_| {
            let shared = shared.clone();
            let worker = std::thread::Builder::new().stack_size(STACK_BYTES);
            worker.spawn(move || work(&shared)).expect("start a thread")
        })
        .collect();
    for worker in workers {
        if worker.join().is_err() {
            eprintln!("a worker failed: run again with --verbose");
            return ExitCode::FAILURE;
        }
    }
    let tally = *shared.tally.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let failures = shared.failures.load(Ordering::SeqCst);
    println!(
        "{} histories in {:.1} s, {failures} failures: {} that lost nothing, {} steps, {} webhooks ({} lost), {} fetches, {} runs, {} kills, \
         {} changes",
        tally.histories,
        started.elapsed().as_secs_f64(),
        tally.whole,
        tally.steps,
        tally.webhooks,
        tally.lost,
        tally.fetches,
        tally.runs,
        tally.kills,
        tally.changes,
    );
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Takes histories until none is left, each block on a database of its own.
fn work(shared: &Shared) {
    let arguments = &shared.arguments;
    let mut number: u64 = 0;
    loop {
        let from = shared.next.fetch_add(HISTORIES_A_DATABASE, Ordering::SeqCst);
        if from >= arguments.histories || shared.failures.load(Ordering::SeqCst) >= arguments.failures {
            return;
        }
        let until = (from + HISTORIES_A_DATABASE).min(arguments.histories);
        let dialects: &[Dialect] = match arguments.database {
            On::Sqlite => &[Dialect::Sqlite],
            On::Postgres => &[Dialect::Postgres],
            On::Both => &[Dialect::Sqlite, Dialect::Postgres],
        };
        let share = dialects.len() as u64;
        for (place, dialect) in dialects.iter().enumerate() {
            let seeds = (from..until).filter(|seed| until - from == 1 || seed % share == place as u64);
            let seeds: Vec<u64> = seeds.map(|seed| arguments.seed + seed).collect();
            block(shared, *dialect, &seeds);
        }
        number += 1;
        if !arguments.verbose && number.is_multiple_of(8) {
            eprintln!("{until} of {}", arguments.histories);
        }
    }
}

/// Plays histories on one database.
fn block(shared: &Shared, dialect: Dialect, seeds: &[u64]) {
    let database = TestDatabase::new(dialect);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("make a runtime");
    runtime.block_on(async {
        let db = database.connect().await;
        for seed in seeds {
            if shared.failures.load(Ordering::SeqCst) >= shared.arguments.failures {
                break;
            }
            let history = History::of(*seed, shared.arguments.provider);
            let history = shared.arguments.steps.as_ref().map_or(history.clone(), |steps| history.only(steps));
            one(shared, &db, &history).await;
        }
        drop(db.close().await);
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
}

async fn one(shared: &Shared, db: &Database, history: &History) {
    let verbose = shared.arguments.verbose;
    if verbose {
        println!("{} on {}: {:?}", history.kind, db.dialect(), history.temper);
    }
    let mut tell = |line: String| {
        if verbose {
            println!("{line}");
        }
    };
    match play(db, history, &mut tell).await {
        Ok(tally) => shared.tally.lock().unwrap_or_else(std::sync::PoisonError::into_inner).add(&tally),
        Err(failure) => {
            shared.failures.fetch_add(1, Ordering::SeqCst);
            let (shortest, what) =
                if verbose { (history.clone(), failure) } else { shrink(db, history, failure).await };
            println!("{}", told(history, &shortest, db.dialect(), &what, verbose));
        }
    }
}

/// One line: what failed, and how to see it again.
fn told(history: &History, shortest: &History, dialect: Dialect, what: &str, whole: bool) -> String {
    let first = what.lines().next().unwrap_or_default();
    let steps: Vec<String> = shortest.steps.iter().map(|step| step.at.to_string()).collect();
    let database = match dialect {
        Dialect::Sqlite => "sqlite",
        Dialect::Postgres => "postgres",
    };
    let seed = history.seed;
    if whole {
        return format!("FAILED seed {seed}, {} on {dialect}\n{what}", history.kind);
    }
    format!(
        "FAILED seed {seed}, {} on {dialect}, {} of {} steps: {first} | replay: cargo run -p simulator -- converge \
         --histories 1 --seed {seed} --database {database} --steps {} --verbose",
        history.kind,
        shortest.steps.len(),
        history.steps.len(),
        steps.join(","),
    )
}
