//! `profile-mirror demo`: the whole thing on one machine, with no configuration.
//!
//! A simulator plays the three providers; the service runs as it would in production, on a fresh SQLite file. Four
//! chapters: a full sync (`import`), a webhook that gets lost and the sync that repairs it (`repair`), a planned resync
//! (`plan`), then live webhooks (`live`) until Ctrl-C. Syncs are asked for over GraphQL, as the command line does it, and
//! live changes come from the feed that subscribers get: nothing here knows more than a client does.
//!
//! Whenever it is stopped, it stops in order and leaves nothing behind.

mod import;
mod live;
mod plan;
mod repair;
mod screen;
mod setting;
mod stage;

use self::setting::SOURCES;
use self::stage::Stage;
use crate::app::{self, AppOptions, Running};
use crate::clock::{Clock, SystemClock};
use crate::{cli, telemetry};
use anyhow::Context;
use clap::Args;
use simulator::{Simulator, SimulatorOptions};
use std::path::Path;
use std::pin::{Pin, pin};
use std::sync::Arc;

/// What can be said of a demo.
#[derive(Args)]
pub struct DemoArguments {
    /// Profiles over the three providers.
    #[arg(long, default_value_t = 3_000, value_name = "N")]
    profiles: usize,
    /// Port to listen on; 0 picks a free one.
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// Changes upstream a second; 0 for none.
    #[arg(long, default_value_t = 1.0, value_name = "RATE")]
    live: f64,
    /// The access key; made up where absent.
    #[arg(long, env = "PROFILE_MIRROR_DEMO_KEY", hide_env_values = true)]
    key: Option<String>,
    /// Where all randomness comes from.
    #[arg(long, default_value_t = 7)]
    seed: u64,
}

/// Runs the demo until Ctrl-C.
///
/// # Errors
/// A sentence with what to do.
pub async fn run(arguments: DemoArguments) -> anyhow::Result<()> {
    telemetry::init("error");
    // Listened for before there is anything to leave behind.
    let stopped = pin!(cli::stop_signal()?);
    let folder =
        tempfile::Builder::new().prefix("profile-mirror-demo-").tempdir().context("make a folder for the demo")?;
    let outcome = play(&arguments, folder.path(), stopped).await;
    folder.close().context("remove the demo's folder")?;
    outcome
}

async fn play(
    arguments: &DemoArguments,
    folder: &Path,
    mut stopped: Pin<&mut impl Future<Output = ()>>,
) -> anyhow::Result<()> {
    screen::title("profile-mirror demo");
    screen::text(&format!(
        "A simulator plays Copernica, Parallel and GetProfile, with {} profiles.",
        arguments.profiles
    ));
    screen::text(&format!("The mirror is {}; it goes when you press Ctrl-C.", folder.display()));
    let options = SimulatorOptions {
        seed: arguments.seed,
        profiles: arguments.profiles,
        real_time: true,
        start: SystemClock.today(),
        ..SimulatorOptions::default()
    };
    // On another thread: a large world takes seconds to make, and Ctrl-C need not wait for it.
    let simulator = tokio::select! {
        started = tokio::spawn(Simulator::start(options)) => Arc::new(started?.context("start the simulator")?),
        () = &mut stopped => return Ok(()),
    };
    let key = arguments.key.clone().unwrap_or_else(|| format!("demo-{:016x}", rand::random::<u64>()));
    let url = format!("sqlite://{}", folder.join("mirror.db").display());
    let config = setting::configuration(&simulator, &url, arguments.port, &key);
    let running =
        app::start(config, AppOptions::default()).await.context("start the service; --port picks another port")?;
    let base = format!("http://{}", running.address());
    for (name, provider) in SOURCES {
        simulator.point_webhooks(provider, &format!("{base}/webhooks/{name}"));
    }

    let outcome = tokio::select! {
        biased;
        () = &mut stopped => Ok(()),
        outcome = show(&simulator, &running, base, key, arguments.live) => outcome,
    };
    println!("\nStopping.");
    running.stop().await;
    outcome
}

/// The chapters, one after the other; the last one ends with the demo.
async fn show(
    simulator: &Arc<Simulator>,
    running: &Running,
    base: String,
    key: String,
    rate: f64,
) -> anyhow::Result<()> {
    let stage = Stage::new(simulator, running, base, key)?;
    import::show(&stage).await?;
    repair::show(&stage).await?;
    plan::show(&stage).await?;
    live::show(&stage, rate).await
}
