//! `profile-mirror sync`: asks for a sync, follows it, prints a plan.

use super::ask::{self, Client, Server, text};
use super::progress::{self, Board, Output};
use super::runs;
use anyhow::{Context, bail};
use clap::Args;
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::{Duration, Instant};

pub(super) const EXAMPLES: &str = "Examples:
  profile-mirror sync crm --wait               sync, with a progress bar
  profile-mirror sync crm --plan               what it would change; writes nothing
  profile-mirror sync crm --profile prof1      one profile, fetched by id

The key comes from PROFILE_MIRROR_KEY, or from the configuration. Exit code 3:
deletions wait for a person, or a plan would delete.";

#[derive(Args)]
pub(super) struct SyncArguments {
    /// Name of the source.
    source: String,
    /// Only tell what it would change; nothing is written.
    #[arg(long)]
    plan: bool,
    /// Wait for its end.
    #[arg(long)]
    wait: bool,
    /// Only the profile type with this upstream id.
    #[arg(long = "type", value_name = "ID", conflicts_with = "profile")]
    profile_type: Option<String>,
    /// Only this profile, by its upstream id; may be given again.
    #[arg(long, value_name = "ID")]
    profile: Vec<String>,
    /// Longest wait, seconds, at most a week; the run itself goes on.
    #[arg(long, default_value_t = 3_600, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=604_800))]
    timeout: u64,
    #[command(flatten)]
    server: Server,
}

pub(super) async fn run(arguments: SyncArguments) -> anyhow::Result<ExitCode> {
    let client = Client::new(&arguments.server)?;
    let profile = |id: &String| json!({ "key": { "source": arguments.source, "externalId": id } });
    let profiles: Vec<Value> = arguments.profile.iter().map(profile).collect();
    let wish = json!({
        "source": arguments.source,
        "profileType": arguments.profile_type,
        "profiles": (!profiles.is_empty()).then_some(profiles),
    });
    let asked = request(&client, arguments.plan, wish).await?;
    let name = runs::name(&asked);
    let word = if arguments.plan { "plan" } else { "run" };
    eprintln!("{word} {name} of {} is asked for", arguments.source);
    if !arguments.wait && !arguments.plan {
        if arguments.server.json {
            ask::print_json(&asked);
        } else {
            println!("run {name}");
            println!("Follow it: profile-mirror runs show {name}. End it: profile-mirror runs cancel {name}");
        }
        return Ok(ExitCode::SUCCESS);
    }
    let begun = Instant::now();
    let deadline = begun + Duration::from_secs(arguments.timeout);
    let board = Board::on(if arguments.server.json { Output::Nowhere } else { Output::Error });
    let mut shown = board.add(&arguments.source);
    let ended = tokio::select! {
        ended = progress::follow(&client, &asked, deadline, &mut shown) => {
            ended.with_context(|| format!("follow run {name}, which goes on"))?
        }
        () = super::stop_signal()? => {
            bail!("stopped waiting; run {name} goes on. End it: profile-mirror runs cancel {name}");
        }
    };
    shown.clear();
    if !progress::has_ended(&ended) {
        bail!(
            "run {name} is {} after {} s and goes on. Look again: profile-mirror runs show {name}",
            text(&ended, "state"),
            arguments.timeout
        );
    }
    if arguments.server.json {
        ask::print_json(&ended);
    } else {
        let seconds = begun.elapsed().as_secs_f64();
        println!("{word} {name}: {} after {seconds:.1} s: {}", text(&ended, "state"), runs::tell_counts(&ended));
        if arguments.plan {
            print!("{}", runs::tell_plan(&ended));
        }
        print!("{}", runs::next(&ended));
        if let Some(first) = ask::list(&ended, "/plan/samples").first() {
            let profile = text(first, "externalId");
            println!("Why is it as it is: profile-mirror explain {}/{profile}", arguments.source);
        }
    }
    match text(&ended, "state") {
        "FAILED" | "CANCELLED" => {
            let again = match text(&ended, "retryAt") {
                "" => String::new(),
                at => format!(". It is tried again at {at}"),
            };
            bail!("run {name} is {}: {}{again}", text(&ended, "state"), text(&ended, "error"))
        }
        _ => Ok(runs::attention(&ended)),
    }
}

/// Asks for a sync, or for a plan of one. The wish is a `ResyncInput`.
///
/// # Errors
/// A sentence with what to do.
pub(crate) async fn request(client: &Client, is_plan: bool, mut wish: Value) -> anyhow::Result<Value> {
    let mutation = if is_plan { "planResync" } else { "resync" };
    let document = format!(
        "mutation($input: ResyncInput!) {{ {mutation}(input: $input) {{ run {{ {} }} problems {{ code message docs }} }} }}",
        runs::FIELDS
    );
    // Sent again where no answer came, it is still one request.
    wish["clientMutationId"] = json!(format!("cli-{:032x}", rand::random::<u128>()));
    let payload = client.change(&document, json!({ "input": wish })).await?;
    Ok(payload.get("run").cloned().unwrap_or_default())
}
