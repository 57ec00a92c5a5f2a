//! `profile-mirror replay`: lets deliveries go through apply once more.

use super::ask::{self, Client, Server, number, text};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

pub(super) const EXAMPLES: &str = "Examples:
  profile-mirror replay --source crm --dry-run
  profile-mirror replay --source crm --from 2026-01-02T00:00:00Z
  profile-mirror replay --delivery ZGVsaXZlcnk6Y3JtOjQy

What deliveries say is held against what is stored as ever: doing it twice
changes nothing. Parked ones are retried instead: `retryDeliveries`.";

#[derive(Args)]
pub(super) struct ReplayArguments {
    /// Deliveries of this source.
    #[arg(long, required_unless_present = "delivery")]
    source: Option<String>,
    /// This delivery, by its id; may be given up to 100 times.
    #[arg(long, value_name = "ID")]
    delivery: Vec<String>,
    /// Only that arrived at this moment or later, as 2026-01-02T03:04:05Z.
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Only that arrived before this moment.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Only that came in this way.
    #[arg(long)]
    kind: Option<Kind>,
    /// Only count them.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    server: Server,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    /// Pushed by the provider.
    Webhook,
    /// A page of a sync.
    Page,
    /// An answer to a fetch by id.
    Fetch,
}

const DOCUMENT: &str = "mutation($input: ReplayInput!) {
    replayDeliveries(input: $input) { count hasMore endCursor problems { code message docs } } }";

pub(super) async fn run(arguments: ReplayArguments) -> anyhow::Result<()> {
    let client = Client::new(&arguments.server)?;
    let kind = arguments.kind.and_then(|kind| kind.to_possible_value());
    let filter = json!({
        "source": arguments.source,
        "ids": (!arguments.delivery.is_empty()).then_some(&arguments.delivery),
        "receivedFrom": arguments.from,
        "receivedBefore": arguments.until,
        "kinds": kind.map(|kind| vec![kind.get_name().to_uppercase()]),
    });
    let mut count = 0;
    let mut after = Value::Null;
    loop {
        let input = json!({ "filter": filter, "after": after, "dryRun": arguments.dry_run });
        let payload = client.change(DOCUMENT, json!({ "input": input })).await?;
        count += number(&payload, "count");
        if !payload.get("hasMore").and_then(Value::as_bool).unwrap_or_default() {
            break;
        }
        eprintln!("{count} so far");
        after = json!(text(&payload, "endCursor"));
    }
    if arguments.server.json {
        ask::print_json(&json!({ "count": count, "isDryRun": arguments.dry_run }));
    } else if arguments.dry_run {
        println!("{count} deliveries would go through apply once more");
    } else {
        println!("{count} deliveries go through apply once more");
        if let Some(source) = &arguments.source {
            println!("What was decided: profile-mirror explain {source}/UPSTREAM_ID");
        }
    }
    Ok(())
}
