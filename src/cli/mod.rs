//! The command line: the service itself, and what asks a running one.
//!
//! Results go to standard output, messages and errors to standard error. Exit codes: 0, 1 for a failure with what to
//! do about it, 2 for wrong usage, 3 where it worked and a person must look.

pub(crate) mod ask;
mod explain;
mod migrate;
pub(crate) mod progress;
mod replay;
pub(crate) mod runs;
pub(crate) mod sync;
mod table;

use crate::app::{self, AppOptions};
use crate::config::{self, Config};
use crate::{demo, telemetry};
use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Keeps a relational mirror of customer profiles equal to its providers, and serves it over GraphQL.
#[derive(Parser)]
#[command(name = "profile-mirror", version, arg_required_else_help = true, after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  profile-mirror demo                          see it work, with no configuration
  profile-mirror serve --config mirror.toml    run the service
  profile-mirror sync crm --plan               what a full sync would change
  profile-mirror explain crm/prof1             why a profile is as it is
  profile-mirror schema > schema.graphql       the GraphQL schema

Environment variables override the file: PROFILE_MIRROR__DATABASE__URL=postgres://…";

#[derive(Subcommand)]
enum Command {
    /// Run the service until SIGTERM or Ctrl-C.
    #[command(after_help = "Example:\n  profile-mirror serve --config mirror.toml")]
    Serve(ConfigFile),
    /// Run everything on this machine with simulated providers.
    #[command(after_help = "Example:\n  profile-mirror demo --profiles 5000 --live 5")]
    Demo {
        #[command(flatten)]
        arguments: demo::DemoArguments,
        #[command(flatten)]
        _file: UnreadConfigFile,
    },
    /// Ask a running service for a sync.
    #[command(after_help = sync::EXAMPLES)]
    Sync(sync::SyncArguments),
    /// List runs, or decide on one.
    #[command(after_help = runs::EXAMPLES)]
    Runs(runs::RunsArguments),
    /// Tell why a profile is as it is.
    #[command(after_help = explain::EXAMPLES)]
    Explain(explain::ExplainArguments),
    /// Let deliveries go through apply once more.
    #[command(after_help = replay::EXAMPLES)]
    Replay(replay::ReplayArguments),
    /// Bring the database schema up to date, or tell what is missing.
    #[command(after_help = migrate::EXAMPLES)]
    Migrate(migrate::MigrateArguments),
    /// Print the GraphQL schema.
    #[command(after_help = "Example:\n  profile-mirror schema > schema.graphql")]
    Schema {
        #[command(flatten)]
        _file: UnreadConfigFile,
    },
}

#[derive(Args)]
struct ConfigFile {
    /// The configuration file.
    #[arg(long, value_name = "FILE", env = "PROFILE_MIRROR_CONFIG")]
    config: Option<PathBuf>,
}

// Every command takes a configuration file, so that a script may give it to all of them. No doc comment: it would become
// the command's own.
#[derive(Args)]
struct UnreadConfigFile {
    /// Taken as everywhere, and not read: nothing here depends on it.
    #[arg(long = "config", value_name = "FILE")]
    _config: Option<PathBuf>,
}

impl ConfigFile {
    /// Without `--config`, `profile-mirror.toml` in the current folder is read if it is there.
    fn load(&self) -> anyhow::Result<Config> {
        let by_default = PathBuf::from("profile-mirror.toml");
        let path = self.config.clone().or_else(|| by_default.exists().then_some(by_default));
        Ok(config::load(path.as_deref(), std::env::vars())?)
    }
}

/// Runs the command line and returns the process's exit code.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: start the runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(run(arguments.command)).unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    });
    // What still computes on another thread, such as a large world for the demo, is not waited for.
    runtime.shutdown_background();
    code
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve(file) => serve(file).await?,
        Command::Demo { arguments, .. } => demo::run(arguments).await?,
        Command::Sync(arguments) => return sync::run(arguments).await,
        Command::Runs(arguments) => return runs::run(arguments).await,
        Command::Explain(arguments) => explain::run(arguments).await?,
        Command::Replay(arguments) => replay::run(arguments).await?,
        Command::Migrate(arguments) => migrate::run(arguments).await?,
        Command::Schema { .. } => print!("{}", crate::serve::graphql::sdl()),
    }
    Ok(ExitCode::SUCCESS)
}

async fn serve(file: ConfigFile) -> anyhow::Result<()> {
    telemetry::init("info");
    let config = file.load()?;
    let running = app::start(config, AppOptions::default()).await?;
    println!("listening on http://{}", running.address());
    std::io::stdout().flush().context("write to standard output")?;
    let stopped = stop_signal()?;
    let is_lost = tokio::select! {
        () = stopped => false,
        () = running.lost() => true,
    };
    tracing::info!("stopping");
    running.stop().await;
    anyhow::ensure!(
        !is_lost,
        "a part that the service cannot do without has failed; the log has the cause. Start it again"
    );
    Ok(())
}

/// Listens for SIGTERM and Ctrl-C from now on; what it returns is ready once one of them has come.
///
/// # Errors
/// The system takes no handler.
pub(crate) fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for Ctrl-C")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
