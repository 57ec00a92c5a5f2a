//! `profile-mirror runs`: what ran, what waits for a person, and deciding on it.

use super::ask::{self, Client, Server, list, number, text};
use super::table;
use anyhow::bail;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::process::ExitCode;

pub(super) const EXAMPLES: &str = "Examples:
  profile-mirror runs list crm            the newest runs of a source
  profile-mirror runs show crm/12         one run, its counts, what waits to be deleted
  profile-mirror runs approve crm/12      delete what it found to be gone
  profile-mirror runs cancel crm/12       end it; nothing more is deleted";

/// What every command tells of a run.
pub(crate) const FIELDS: &str = "id number source { name } kind isPlan profileType state stage progress cause requestedBy startedAt \
    finishedAt attempt retryAt deletionsWaiting pages rowsSeen rowsExpected error decidedBy decidedAt \
    counts { seen created updated unchanged conflicts candidates absent deleted } \
    plan { candidateCount kinds { kind count } samples { externalId kind fields } candidates { recordKind externalId } }";

#[derive(Args)]
pub(super) struct RunsArguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// The newest runs.
    List {
        /// Only of this source.
        source: Option<String>,
        /// So many, at most 100.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(i32).range(1..=100))]
        first: i32,
        #[command(flatten)]
        server: Server,
    },
    /// One run, with some of the records that wait to be deleted, or that no page of it named and what became of each.
    Show(OneRun),
    /// Carry a plan out.
    Apply(OneRun),
    /// Delete what a run found to be gone. At once, without a question: look with `runs show` first.
    Approve(OneRun),
    /// Keep what a run took for gone.
    Reject(OneRun),
    /// End a run. What it has applied or deleted stays so, nothing more is deleted.
    Cancel(OneRun),
}

#[derive(Args)]
struct OneRun {
    /// The run, as SOURCE/NUMBER or by its id.
    run: String,
    #[command(flatten)]
    server: Server,
}

pub(super) async fn run(arguments: RunsArguments) -> anyhow::Result<ExitCode> {
    match arguments.action {
        Action::List { source, first, server } => print_list(&server, source, first).await,
        Action::Show(one) => show(&one).await,
        Action::Apply(one) => decide(&one, "applyResync", "plan").await,
        Action::Approve(one) => decide(&one, "approveDeletions", "run").await,
        Action::Reject(one) => decide(&one, "rejectDeletions", "run").await,
        Action::Cancel(one) => decide(&one, "cancelSync", "run").await,
    }
}

async fn print_list(server: &Server, source: Option<String>, first: i32) -> anyhow::Result<ExitCode> {
    let document = format!(
        "query($filter: SyncRunFilter, $first: Int) {{ syncRuns(filter: $filter, first: $first) {{ nodes {{ {FIELDS} }} }} }}"
    );
    let filter = source.map(|source| json!({ "source": source }));
    let data = Client::new(server)?.ask(&document, json!({ "filter": filter, "first": first })).await?;
    let runs = list(&data, "/syncRuns/nodes");
    if server.json {
        ask::print_json(&json!(runs));
        return Ok(ExitCode::SUCCESS);
    }
    let row = |run: &Value| {
        vec![name(run), what(run), text(run, "state").to_owned(), text(run, "startedAt").to_owned(), tell_counts(run)]
    };
    print!(
        "{}",
        table::lay_out(&["RUN", "WHAT", "STATE", "STARTED", "COUNTS"], &runs.iter().map(row).collect::<Vec<_>>())
    );
    Ok(ExitCode::SUCCESS)
}

/// Reads one run.
///
/// # Errors
/// A sentence, where there is none of this id.
pub(crate) async fn find(client: &Client, id: &str, extra: &str) -> anyhow::Result<Value> {
    run_in(client.ask(&document_of(extra), json!({ "id": id })).await?)
}

/// The same, for who looks again anyway: none where the service does not answer for now.
///
/// # Errors
/// A sentence, where there is none of this id, or the service refuses to tell.
pub(crate) async fn look(client: &Client, id: &str) -> anyhow::Result<Option<Value>> {
    client.look(&document_of(""), json!({ "id": id })).await?.map(run_in).transpose()
}

fn document_of(extra: &str) -> String {
    format!("query($id: ID!) {{ node(id: $id) {{ ... on SyncRun {{ {FIELDS} {extra} }} }} }}")
}

fn run_in(mut data: Value) -> anyhow::Result<Value> {
    match data.get_mut("node").map(Value::take) {
        Some(run) if run.get("number").is_some() => Ok(run),
        _ => bail!("there is no such run; `profile-mirror runs list` shows them"),
    }
}

async fn show(one: &OneRun) -> anyhow::Result<ExitCode> {
    let client = Client::new(&one.server)?;
    let shown = "nodes { recordKind externalId state } pageInfo { hasNextPage }";
    let candidates = format!(
        "deletionCandidates(first: 20) {{ {shown} }} waiting: deletionCandidates(first: 20, state: ABSENT) {{ {shown} }}"
    );
    let run = find(&client, &ask::run_id(&one.run), &candidates).await?;
    if one.server.json {
        ask::print_json(&run);
    } else {
        print!("{}", tell(&run));
    }
    Ok(attention(&run))
}

async fn decide(one: &OneRun, mutation: &str, argument: &str) -> anyhow::Result<ExitCode> {
    let document = format!(
        "mutation($id: ID!) {{ {mutation}({argument}: $id) {{ run {{ {FIELDS} }} problems {{ code message docs }} }} }}"
    );
    let payload = Client::new(&one.server)?.change(&document, json!({ "id": ask::run_id(&one.run) })).await?;
    let run = payload.get("run").cloned().unwrap_or_default();
    if one.server.json {
        ask::print_json(&run);
    } else {
        println!("run {} is {}", name(&run), text(&run, "state"));
        println!("Follow it: profile-mirror runs show {}", name(&run));
    }
    Ok(ExitCode::SUCCESS)
}

/// A run as people name it.
pub(crate) fn name(run: &Value) -> String {
    format!("{}/{}", run.pointer("/source/name").and_then(Value::as_str).unwrap_or_default(), number(run, "number"))
}

/// What a run passes through.
fn what(run: &Value) -> String {
    let is_plan = run.get("isPlan").and_then(Value::as_bool).unwrap_or_default();
    let kind = text(run, "kind").to_lowercase();
    let of_type = run.get("profileType").and_then(Value::as_str).map(|id| format!(" of type {id}")).unwrap_or_default();
    format!("{kind}{of_type}{}", if is_plan { ", plan" } else { "" })
}

/// What a run counted, in a line.
pub(crate) fn tell_counts(run: &Value) -> String {
    let counts = run.get("counts").cloned().unwrap_or_default();
    let tell = |(name, word): (&str, &str)| {
        let count = number(&counts, name);
        (count > 0 || name == "seen").then(|| format!("{count} {word}"))
    };
    let words = [
        ("seen", "rows"),
        ("created", "created"),
        ("updated", "updated"),
        ("unchanged", "unchanged"),
        ("conflicts", "asked for again"),
        ("candidates", "not listed"),
        ("absent", "not found by id"),
        ("deleted", "deleted"),
    ];
    words.into_iter().filter_map(tell).collect::<Vec<_>>().join(", ")
}

/// A run for people.
fn tell(run: &Value) -> String {
    let mut told = format!("run {}: {}\n", name(run), what(run));
    let mut line = |label: &str, value: &str| {
        if !value.is_empty() {
            told.push_str(&format!("  {label:<13} {value}\n"));
        }
    };
    let stage = text(run, "stage").to_lowercase().replace('_', " ");
    let state = text(run, "state");
    let is_sweeping = state == "SWEEPING" && !stage.is_empty();
    line("state", &if is_sweeping { format!("{state}, {stage}") } else { state.to_owned() });
    line("why", text(run, "cause"));
    line("asked for by", text(run, "requestedBy"));
    line("started", text(run, "startedAt"));
    line("finished", text(run, "finishedAt"));
    line("tried again", text(run, "retryAt"));
    line("counts", &tell_counts(run));
    line("decided by", text(run, "decidedBy"));
    line("message", text(run, "error"));
    let is_waiting = state == "WAITING_FOR_APPROVAL";
    if is_waiting {
        line("would delete", &number(run, "deletionsWaiting").to_string());
    }
    let candidates = if is_waiting { "/waiting" } else { "/deletionCandidates" };
    for candidate in list(run, &format!("{candidates}/nodes")) {
        let kind = text(candidate, "recordKind").to_lowercase();
        line(&text(candidate, "state").to_lowercase(), &format!("{kind} {}", text(candidate, "externalId")));
    }
    if run.pointer(&format!("{candidates}/pageInfo/hasNextPage")).and_then(Value::as_bool).unwrap_or_default() {
        told.push_str("  ... and more: deletionCandidates of the run lists them\n");
    }
    if run.get("plan").is_some_and(|plan| !plan.is_null()) {
        told.push_str(&tell_plan(run));
    }
    told.push_str(&next(run));
    told
}

/// What a plan found, for people.
pub(crate) fn tell_plan(run: &Value) -> String {
    const SHOWN: usize = 20;
    let plan = run.get("plan").cloned().unwrap_or_default();
    let mut told = String::from("It would change:\n");
    let kinds = list(&plan, "/kinds");
    if kinds.is_empty() {
        told.push_str("  nothing\n");
    }
    for kind in kinds {
        let word = text(kind, "kind").to_lowercase().replace('_', " ");
        told.push_str(&format!("  {:>8}  {word}\n", number(kind, "count")));
    }
    let samples = list(&plan, "/samples");
    if !samples.is_empty() {
        told.push_str("For instance:\n");
        let row = |sample: &Value| {
            let fields: Vec<&str> = list(sample, "/fields").iter().filter_map(Value::as_str).collect();
            let kind = text(sample, "kind").to_lowercase().replace('_', " ");
            vec![format!("  {}", text(sample, "externalId")), kind, fields.join(", ")]
        };
        let rows: Vec<_> = samples.iter().take(SHOWN).map(row).collect();
        told.push_str(&table::lay_out(&["  PROFILE", "CHANGE", "WHAT DIFFERS"], &rows));
    }
    let missed = number(&plan, "candidateCount");
    if missed > 0 {
        told.push_str(&format!("No list names {missed} records; each is asked for by id before it is deleted:\n"));
        for candidate in list(&plan, "/candidates").iter().take(SHOWN) {
            told.push_str(&format!(
                "  {} {}\n",
                text(candidate, "recordKind").to_lowercase(),
                text(candidate, "externalId")
            ));
        }
    }
    told
}

/// What to do next about a run.
pub(super) fn next(run: &Value) -> String {
    let (name, state) = (name(run), text(run, "state"));
    let is_plan = run.get("isPlan").and_then(Value::as_bool).unwrap_or_default();
    match state {
        "DONE" if is_plan => format!("Carry it out: profile-mirror runs apply {name}\n"),
        "WAITING_FOR_APPROVAL" => {
            format!("Decide: profile-mirror runs approve {name}, or profile-mirror runs reject {name}\n")
        }
        _ => String::new(),
    }
}

/// 3 where a person must look: deletions wait, or a plan would delete.
pub(super) fn attention(run: &Value) -> ExitCode {
    let is_plan = run.get("isPlan").and_then(Value::as_bool).unwrap_or_default();
    let plan = run.get("plan").cloned().unwrap_or_default();
    let would_delete = number(&plan, "candidateCount") > 0
        || list(&plan, "/kinds").iter().any(|kind| matches!(text(kind, "kind"), "DELETED" | "ANONYMIZED" | "ERASED"));
    let is_waiting = text(run, "state") == "WAITING_FOR_APPROVAL";
    if is_waiting || (is_plan && would_delete) { ExitCode::from(3) } else { ExitCode::SUCCESS }
}
