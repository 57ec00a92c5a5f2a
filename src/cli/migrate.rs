//! `profile-mirror migrate`: brings the database schema up to date, or tells what is missing.

use super::{ConfigFile, ask};
use crate::{db, telemetry};
use clap::{Args, ValueEnum};
use serde_json::json;

pub(super) const EXAMPLES: &str = "Examples:
  profile-mirror migrate status --config mirror.toml
  profile-mirror migrate up --json";

#[derive(Args)]
pub(super) struct MigrateArguments {
    /// What to do.
    #[arg(value_enum, default_value = "up")]
    action: Action,
    /// Print the answer as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    file: ConfigFile,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Action {
    /// Apply what is missing.
    Up,
    /// Tell what is missing.
    Status,
}

pub(super) async fn run(arguments: MigrateArguments) -> anyhow::Result<()> {
    telemetry::init("warn");
    let config = arguments.file.load()?;
    let db = db::connect(&config.database.url, config.database.read_url.as_deref()).await?;
    let missing = db.pending_migrations().await?;
    let (applied, pending) = match arguments.action {
        Action::Up => {
            db.migrate().await?;
            (missing, Vec::new())
        }
        Action::Status => (Vec::new(), missing),
    };
    if arguments.json {
        ask::print_json(&json!({ "isUpToDate": pending.is_empty(), "applied": applied, "pending": pending }));
    } else if arguments.action == Action::Up {
        println!("{} migrations applied, the schema is up to date", applied.len());
    } else if pending.is_empty() {
        println!("the schema is up to date");
    } else {
        println!("{} migrations are missing; run `profile-mirror migrate up`:", pending.len());
        for name in pending {
            println!("  {name}");
        }
    }
    db.close().await?;
    Ok(())
}
