//! The simulator as a program for people: `serve` a world, `sign` a body, show the `keys`, `converge`.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use chrono::{DateTime, Utc};
use clap::{Args, Parser, Subcommand};
use simulator::{ProviderKind, Simulator, SimulatorOptions, live, real_now};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

#[derive(Parser)]
#[command(about = "Three simulated providers of profiles with one seeded world behind them")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Answer as the three providers until interrupted.
    Serve(Serve),
    /// Print a curl command that sends a body as a provider would, signed with the test keys.
    Sign(Sign),
    /// Print the test keys for a configuration.
    Keys,
    /// Play random histories: does the mirror end equal to the world? `converge --help` tells of its options.
    ///
    /// Builds and runs the crate `convergence` with cargo, optimized: the simulator itself knows nothing of the mirror.
    #[command(disable_help_flag = true)]
    Converge {
        /// Options of the kit, such as --histories 1000 --seed 7.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTIONS")]
        options: Vec<OsString>,
    },
}

#[derive(Args)]
struct Serve {
    /// Port on 127.0.0.1; 0 picks a free one.
    #[arg(long, default_value_t = 9090)]
    port: u16,
    /// Profiles over the three providers.
    #[arg(long, default_value_t = 1000)]
    profiles: usize,
    /// Where all randomness comes from.
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Copernica fields a person beyond the four basics.
    #[arg(long, default_value_t = 8)]
    fields: usize,
    /// Random changes a second.
    #[arg(long, default_value_t = 0.0, value_name = "RATE")]
    live: f64,
    /// Where a provider's webhooks go, as PROVIDER=URL; may be given for each provider.
    #[arg(long, value_name = "PROVIDER=URL", value_parser = parse_webhook)]
    webhook: Vec<(ProviderKind, String)>,
}

#[derive(Args)]
struct Sign {
    /// copernica, parallel or getprofile.
    #[arg(value_parser = parse_provider)]
    provider: ProviderKind,
    /// The address exactly as registered at the provider.
    #[arg(long)]
    url: String,
    /// The file with the body.
    #[arg(long, value_name = "FILE")]
    body: PathBuf,
    /// Sign for this time (RFC 3339) and not for now.
    #[arg(long)]
    at: Option<DateTime<Utc>>,
}

fn parse_provider(text: &str) -> Result<ProviderKind, String> {
    ProviderKind::parse(text).ok_or_else(|| "expected copernica, parallel or getprofile".to_owned())
}

fn parse_webhook(text: &str) -> Result<(ProviderKind, String), String> {
    let (provider, url) = text.split_once('=').ok_or("expected PROVIDER=URL")?;
    Ok((parse_provider(provider)?, url.to_owned()))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    match Arguments::parse().command {
        Command::Serve(serve) => run_server(serve).await,
        Command::Sign(sign) => print_signed(sign).await,
        Command::Keys => print_keys().await,
        Command::Converge { options } => converge(options),
    }
}

async fn run_server(serve: Serve) -> anyhow::Result<()> {
    let options = SimulatorOptions {
        seed: serve.seed,
        profiles: serve.profiles,
        port: serve.port,
        fields: serve.fields,
        real_time: true,
        ..SimulatorOptions::default()
    };
    let simulator = Arc::new(Simulator::start(options).await?);
    for (provider, url) in &serve.webhook {
        simulator.point_webhooks(*provider, url);
        println!("webhooks of {provider} go to {url}");
    }
    describe(&simulator);
    let cancel = CancellationToken::new();
    let live = tokio::spawn(live::run_live_told(Arc::clone(&simulator), serve.live, cancel.clone(), |happening| {
        println!("{} {happening}", real_now().format("%H:%M:%S"));
    }));
    wait_for_stop().await?;
    cancel.cancel();
    live.await.context("end the live changes")
}

/// Returns on an interrupt or a SIGTERM.
async fn wait_for_stop() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted.context("wait for an interrupt"),
        _ = terminate.recv() => Ok(()),
    }
}

async fn print_signed(sign: Sign) -> anyhow::Result<()> {
    let body = std::fs::read(&sign.body).with_context(|| format!("read {}", sign.body.display()))?;
    let simulator = keys_only().await?;
    let webhook = simulator.sign(sign.provider, body, sign.at.unwrap_or_else(real_now), &sign.url);
    println!("curl -i -X POST '{}' \\", webhook.url);
    for (name, value) in &webhook.headers {
        println!("  -H '{name}: {value}' \\");
    }
    println!("  --data-binary '@{}'", sign.body.display());
    Ok(())
}

async fn print_keys() -> anyhow::Result<()> {
    describe_keys(&keys_only().await?);
    Ok(())
}

/// Becomes the convergence kit.
fn converge(options: Vec<OsString>) -> anyhow::Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let error = std::process::Command::new(cargo)
        .args(["run", "--quiet", "--release", "--package", "convergence", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        .arg("--")
        .args(options)
        .exec();
    Err(error).context("run cargo, which builds the convergence kit")
}

/// A simulator with nobody in it.
async fn keys_only() -> anyhow::Result<Simulator> {
    Simulator::start(SimulatorOptions { profiles: 0, ..SimulatorOptions::default() }).await
}

fn describe(simulator: &Simulator) {
    let (copernica, parallel, getprofile) = (simulator.copernica(), simulator.parallel(), simulator.getprofile());
    println!("Copernica   base_url = {:?}", copernica.base_url());
    println!("            auth_url = {:?}", copernica.auth_url());
    println!("            token    = {:?}", copernica.token());
    println!("Parallel    base_url = {:?}", parallel.base_url());
    println!("            token    = {:?}", parallel.token());
    println!("GetProfile  base_url = {:?}", getprofile.base_url());
    println!("            token    = {:?}", getprofile.api_key());
    println!("            tenant   = {:?}", getprofile.tenant());
    describe_keys(simulator);
}

fn describe_keys(simulator: &Simulator) {
    println!("# copernica: [source.webhook]");
    println!("account = {:?}", simulator.copernica().account());
    for (name, record) in simulator.copernica().key_txt_records() {
        println!("keys = {{ {name:?} = {record:?} }}");
    }
    println!("# parallel: [source.webhook]");
    println!("keys = {:?}", simulator.parallel().public_keys());
    println!("# getprofile: the secret of the webhooks");
    println!("# {}", simulator.getprofile().api_key());
}
