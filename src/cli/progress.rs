//! How far runs are, for people: a bar each on a terminal, lines elsewhere.

use super::ask::{Client, number, text};
use super::runs;
use indicatif::{
    HumanCount, HumanFloatCount, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle,
};
use serde_json::Value;
use std::fmt::Write;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// How often a run is looked at in its first seconds, and afterwards.
const LOOKS: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(500)];
const FIRST: Duration = Duration::from_secs(5);
/// Without a terminal a line is printed at least this often.
const LINE: Duration = Duration::from_secs(5);
/// With a total, and as long as none is known. Both fit into 80 columns; the bar takes what is left.
const WITH_TOTAL: &str = "  {prefix:<10} {wide_bar} {percent:>3}% {rows:>13} {rate:>9} {left:>8}  {msg:<9}";
const WITHOUT: &str = "  {prefix:<10} {spinner} {rows:>13} {rate:>9}  {msg:<9}";

/// Where progress is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    /// Standard output.
    Standard,
    /// Standard error, which leaves standard output to the result.
    Error,
    /// Nowhere: a program reads.
    Nowhere,
}

/// A place for the progress of some runs, below each other.
pub(crate) struct Board {
    output: Output,
    bars: Option<MultiProgress>,
}

impl Board {
    /// A place on an output, with bars where that is a terminal.
    pub fn on(output: Output) -> Self {
        let target = match output {
            Output::Standard if std::io::stdout().is_terminal() => Some(ProgressDrawTarget::stdout()),
            Output::Error if std::io::stderr().is_terminal() => Some(ProgressDrawTarget::stderr()),
            _ => None,
        };
        Self { output, bars: target.map(MultiProgress::with_draw_target) }
    }

    /// A line for a run that people know by this name.
    pub fn add(&self, name: &str) -> Shown {
        let bar = self.bars.as_ref().map(|bars| {
            let bar = bars.add(ProgressBar::no_length()).with_prefix(name.to_owned()).with_style(style(WITHOUT));
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        Shown { output: self.output, name: name.to_owned(), bar, last: None, begun: Instant::now() }
    }
}

/// The progress of one run.
pub(crate) struct Shown {
    output: Output,
    name: String,
    bar: Option<ProgressBar>,
    last: Option<(String, Instant)>,
    begun: Instant,
}

impl Shown {
    fn show(&mut self, run: &Value) {
        let word = word(run);
        let (seen, expected) = (count(run, "rowsSeen"), run.get("rowsExpected").and_then(Value::as_u64));
        if let Some(bar) = &self.bar {
            if let Some(expected) = expected {
                if bar.length().is_none() {
                    bar.set_style(style(WITH_TOTAL));
                }
                bar.set_length(expected.max(seen));
            }
            bar.set_position(seen);
            bar.set_message(word);
            return;
        }
        if self.last.as_ref().is_none_or(|(last, at)| *last != word || at.elapsed() >= LINE) {
            let seconds = self.begun.elapsed().as_secs_f64();
            let share = run.get("progress").and_then(Value::as_f64).filter(|share| *share > 0.0);
            let share =
                share.map(|share| format!(", {:.0} %, {:.0} s left", share * 100.0, seconds * (1.0 - share) / share));
            self.line(&format!("{word}: {seen} rows{}, {}", share.unwrap_or_default(), rate(seen, seconds)));
            self.last = Some((word, Instant::now()));
        }
    }

    /// Leaves the end of the run on the screen.
    pub fn finish(&self, run: &Value) {
        let seen = count(run, "rowsSeen");
        match &self.bar {
            Some(bar) => {
                bar.set_style(style(WITH_TOTAL));
                bar.set_length(seen);
                bar.finish_with_message(word(run));
            }
            None => {
                let seconds = self.begun.elapsed().as_secs_f64();
                self.line(&format!("{}: {seen} rows in {seconds:.1} s, {}", word(run), rate(seen, seconds)));
            }
        }
    }

    /// Takes the bar off the screen.
    pub fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn line(&self, text: &str) {
        match self.output {
            Output::Standard => println!("  {} {text}", self.name),
            Output::Error => eprintln!("{} {text}", self.name),
            Output::Nowhere => {}
        }
    }
}

/// Looks at a run until it ends or waits for a person, or until the deadline.
///
/// # Errors
/// A sentence, where the service does not answer.
pub(crate) async fn follow(
    client: &Client,
    asked: &Value,
    deadline: Instant,
    shown: &mut Shown,
) -> anyhow::Result<Value> {
    let begun = Instant::now();
    loop {
        let run = runs::find(client, text(asked, "id"), "").await?;
        if has_ended(&run) || Instant::now() >= deadline {
            return Ok(run);
        }
        shown.show(&run);
        tokio::time::sleep(if begun.elapsed() < FIRST { LOOKS[0] } else { LOOKS[1] }).await;
    }
}

/// Whether nothing more happens to a run by itself.
pub(crate) fn has_ended(run: &Value) -> bool {
    matches!(text(run, "state"), "DONE" | "FAILED" | "CANCELLED" | "WAITING_FOR_APPROVAL")
}

/// What it is at, in a word.
fn word(run: &Value) -> String {
    let stage = text(run, "stage");
    let state = text(run, "state");
    let word = if state == "SWEEPING" && !stage.is_empty() { stage } else { state };
    word.to_lowercase().replace('_', " ")
}

fn count(run: &Value, name: &str) -> u64 {
    u64::try_from(number(run, name)).unwrap_or(0)
}

#[expect(clippy::cast_precision_loss, reason = "a rate")]
fn rate(rows: u64, seconds: f64) -> String {
    format!("{:.0} rows/s", rows as f64 / seconds.max(0.001))
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style
        .progress_chars("━━ ")
        .with_key("rows", |state: &ProgressState, to: &mut dyn Write| {
            let of = state.len().map(|all| format!("/{}", HumanCount(all))).unwrap_or_default();
            let _ = write!(to, "{}{of}", HumanCount(state.pos()));
        })
        .with_key("rate", |state: &ProgressState, to: &mut dyn Write| {
            let _ = write!(to, "{}/s", HumanFloatCount(state.per_sec().round()));
        })
        .with_key("left", |state: &ProgressState, to: &mut dyn Write| {
            let _ = match state.is_finished() {
                true => write!(to, "in {:.1} s", state.elapsed().as_secs_f64()),
                false => write!(to, "{} s left", state.eta().as_secs()),
            };
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_sweep_is_told_by_its_stage() {
        assert_eq!(word(&json!({ "state": "RUNNING", "stage": null })), "running");
        assert_eq!(word(&json!({ "state": "SWEEPING", "stage": "LISTING_PROFILES" })), "listing profiles");
        assert_eq!(word(&json!({ "state": "WAITING_FOR_APPROVAL", "stage": "VERIFYING" })), "waiting for approval");
    }

    #[test]
    fn a_bar_fits_into_80_columns() {
        for template in [WITH_TOTAL, WITHOUT] {
            let widths =
                template.split([':', '}']).filter_map(|part| part.trim_start_matches(['<', '>']).parse::<usize>().ok());
            assert!(widths.sum::<usize>() < 70, "{template}");
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
