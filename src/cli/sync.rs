//! `profile-mirror sync`: asks for a sync, follows it, prints a plan.

use super::ask::{self, Client, Server, number, text};
use super::runs;
use anyhow::bail;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::{Duration, Instant};

pub(super) const EXAMPLES: &str = "Examples:
  profile-mirror sync crm --wait               sync, with a progress bar
  profile-mirror sync crm --plan               what it would change; writes nothing
  profile-mirror sync crm --profile prof1      one profile, fetched by id

The key comes from PROFILE_MIRROR_KEY, or from the configuration. Exit code 3:
deletions wait for a person, or a plan would delete.";

/// How often the run is looked at.
const LOOK: Duration = Duration::from_millis(300);
/// Without a terminal a line is printed at least this often.
const LINE: Duration = Duration::from_secs(5);

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
    /// Longest wait, seconds; the run itself goes on.
    #[arg(long, default_value_t = 3_600, value_name = "SECONDS")]
    timeout: u64,
    #[command(flatten)]
    server: Server,
}

pub(super) async fn run(arguments: SyncArguments) -> anyhow::Result<ExitCode> {
    let client = Client::new(&arguments.server)?;
    let asked = request(&client, &arguments).await?;
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
    let ended = tokio::select! {
        ended = wait(&client, &asked, deadline, &arguments) => ended?,
        stopped = super::stop_signal() => {
            stopped?;
            bail!("stopped waiting; run {name} goes on. End it: profile-mirror runs cancel {name}");
        }
    };
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

async fn request(client: &Client, arguments: &SyncArguments) -> anyhow::Result<Value> {
    let mutation = if arguments.plan { "planResync" } else { "resync" };
    let document = format!(
        "mutation($input: ResyncInput!) {{ {mutation}(input: $input) {{ run {{ {} }} problems {{ code message docs }} }} }}",
        runs::FIELDS
    );
    let profile = |id: &String| json!({ "key": { "source": arguments.source, "externalId": id } });
    let profiles: Vec<Value> = arguments.profile.iter().map(profile).collect();
    let input = json!({
        "source": arguments.source,
        "profileType": arguments.profile_type,
        "profiles": (!profiles.is_empty()).then_some(profiles),
        // Sent again where no answer came, it is still one request.
        "clientMutationId": format!("cli-{:032x}", rand::random::<u128>()),
    });
    let payload = client.change(&document, json!({ "input": input })).await?;
    Ok(payload.get("run").cloned().unwrap_or_default())
}

/// Looks at a run until it ends or waits for a person.
async fn wait(client: &Client, asked: &Value, deadline: Instant, arguments: &SyncArguments) -> anyhow::Result<Value> {
    let mut shown = Shown::new(!arguments.server.json)?;
    loop {
        let run = runs::find(client, text(asked, "id"), "").await?;
        if matches!(text(&run, "state"), "DONE" | "FAILED" | "CANCELLED" | "WAITING_FOR_APPROVAL") {
            shown.end();
            return Ok(run);
        }
        shown.show(&run);
        if Instant::now() >= deadline {
            shown.end();
            let name = runs::name(&run);
            bail!(
                "run {name} is {} after {} s and goes on. Look again: profile-mirror runs show {name}",
                text(&run, "state"),
                arguments.timeout
            );
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// How far a run is, as it is shown on standard error: a bar on a terminal, lines elsewhere.
struct Shown {
    bar: Option<ProgressBar>,
    style: ProgressStyle,
    last: Option<(String, Instant)>,
    begun: Instant,
}

impl Shown {
    fn new(with_bar: bool) -> anyhow::Result<Self> {
        let style =
            ProgressStyle::with_template("{msg:<22} {bar:28} {percent:>3}%  {pos}/{len} rows  {per_sec}  {eta} left")?;
        let bar = (with_bar && std::io::stderr().is_terminal()).then(|| {
            let waiting = ProgressStyle::with_template("{spinner} {msg:<20} {pos} rows  {per_sec}  {elapsed}");
            let bar = ProgressBar::no_length();
            bar.enable_steady_tick(Duration::from_millis(100));
            waiting.map(|style| bar.clone().with_style(style)).unwrap_or(bar)
        });
        Ok(Self { bar, style, last: None, begun: Instant::now() })
    }

    fn show(&mut self, run: &Value) {
        let stage = text(run, "stage").to_lowercase().replace('_', " ");
        let state = text(run, "state").to_lowercase().replace('_', " ");
        let word = if state == "sweeping" && !stage.is_empty() { stage } else { state };
        let (seen, expected) = (number(run, "rowsSeen"), run.get("rowsExpected").and_then(Value::as_u64));
        if let Some(bar) = &self.bar {
            if let Some(expected) = expected.filter(|_| bar.length().is_none()) {
                bar.set_style(self.style.clone());
                bar.set_length(expected);
            }
            bar.set_position(u64::try_from(seen).unwrap_or(0));
            bar.set_message(word);
            return;
        }
        let is_new = self.last.as_ref().is_none_or(|(last, at)| *last != word || at.elapsed() >= LINE);
        if is_new {
            let share = run.get("progress").and_then(Value::as_f64).map(|share| format!(", {:.0} %", share * 100.0));
            #[expect(clippy::cast_precision_loss, reason = "a rate")]
            let rate = seen as f64 / self.begun.elapsed().as_secs_f64().max(0.001);
            eprintln!("{word}: {seen} rows{}, {rate:.0} rows/s", share.unwrap_or_default());
            self.last = Some((word, Instant::now()));
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
