//! `profile-mirror explain`: why a profile is as it is, delivery by delivery.

use super::ask::{self, Client, Server, list, text};
use super::table;
use anyhow::bail;
use clap::Args;
use serde_json::{Value, json};

pub(super) const EXAMPLES: &str = "Examples:
  profile-mirror explain crm/prof1             by source and upstream id
  profile-mirror explain crm/prof1 --first 100";

const DOCUMENT: &str = "query($by: ProfileRef!, $first: Int, $after: String) {
    profile(by: $by) { id externalId source { name } status upstreamStatus mirroredAt }
    explainProfile(by: $by, first: $first, after: $after) {
        nodes {
            at decision rule recordKind recordId observedVersion storedVersion
            delivery { id kind event state receivedAt }
            changes { id kind fields { name } }
        }
        pageInfo { hasNextPage endCursor }
    } }";

#[derive(Args)]
pub(super) struct ExplainArguments {
    /// The profile, as SOURCE/UPSTREAM_ID or by its id.
    profile: String,
    /// So many verdicts, the newest first; at most 100.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(i32).range(1..=100))]
    first: i32,
    /// Only those that are older than the last one of an answer before, which printed this.
    #[arg(long, value_name = "CURSOR")]
    after: Option<String>,
    #[command(flatten)]
    server: Server,
}

pub(super) async fn run(arguments: ExplainArguments) -> anyhow::Result<()> {
    let ExplainArguments { profile: given, first, after, server } = arguments;
    let variables = json!({ "by": ask::profile_ref(&given), "first": first, "after": after });
    let data = Client::new(&server)?.ask(DOCUMENT, variables).await?;
    let verdicts = list(&data, "/explainProfile/nodes");
    let profile = data.get("profile").filter(|profile| !profile.is_null());
    if profile.is_none() && verdicts.is_empty() && after.is_none() {
        bail!("no delivery has ever named profile {given}: check the source and the upstream id");
    }
    if server.json {
        ask::print_json(&data);
        return Ok(());
    }
    match profile {
        Some(profile) => println!(
            "{}/{} is {}, confirmed at {}\n",
            profile.pointer("/source/name").and_then(Value::as_str).unwrap_or_default(),
            text(profile, "externalId"),
            text(profile, "status"),
            text(profile, "mirroredAt")
        ),
        None => println!("{given} is not in the mirror; this is what came about it\n"),
    }
    let headings = ["RECEIVED", "CAME AS", "RECORD", "DECISION", "SAID", "STORED", "CHANGED", "RULE"];
    print!("{}", table::lay_out(&headings, &verdicts.iter().map(row).collect::<Vec<_>>()));
    let page = data.pointer("/explainProfile/pageInfo").cloned().unwrap_or_default();
    if page.get("hasNextPage").and_then(Value::as_bool).unwrap_or_default() {
        println!("... older ones: profile-mirror explain {given} --first {first} --after {}", text(&page, "endCursor"));
    }
    Ok(())
}

fn row(verdict: &Value) -> Vec<String> {
    let delivery = verdict.get("delivery").cloned().unwrap_or_default();
    let came = match (text(&delivery, "kind"), text(&delivery, "event")) {
        ("", _) => "no longer kept".to_owned(),
        (kind, "") => kind.to_lowercase(),
        (kind, event) => format!("{} {event}", kind.to_lowercase()),
    };
    let changes: Vec<String> = list(verdict, "/changes").iter().map(tell_change).collect();
    let changed = if changes.is_empty() { "-".to_owned() } else { changes.join("; ") };
    let or_dash = |name: &str| Some(text(verdict, name)).filter(|text| !text.is_empty()).unwrap_or("-").to_owned();
    let received = if delivery.is_null() { text(verdict, "at") } else { text(&delivery, "receivedAt") };
    vec![
        received.to_owned(),
        came,
        format!("{} {}", text(verdict, "recordKind").to_lowercase(), text(verdict, "recordId")),
        text(verdict, "decision").to_lowercase().replace('_', " "),
        or_dash("observedVersion"),
        or_dash("storedVersion"),
        changed,
        text(verdict, "rule").to_owned(),
    ]
}

/// What a change did, and to which fields.
fn tell_change(change: &Value) -> String {
    let kind = text(change, "kind").to_lowercase().replace('_', " ");
    let fields: Vec<&str> = list(change, "/fields").iter().map(|field| text(field, "name")).collect();
    if fields.is_empty() { kind } else { format!("{kind}: {}", shorten(&fields)) }
}

/// The first few names of many.
fn shorten(names: &[&str]) -> String {
    const SHOWN: usize = 3;
    let more = names.len().saturating_sub(SHOWN);
    let first = names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    if more == 0 { first } else { format!("{first} and {more} more") }
}
