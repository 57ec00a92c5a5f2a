//! How far runs are, for people: a bar each on a terminal, lines elsewhere.

use super::ask::{Client, number, text};
use super::runs;
use indicatif::{HumanCount, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// How often a run is looked at in its first seconds, and afterwards.
const LOOKS: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(500)];
const FIRST: Duration = Duration::from_secs(5);
/// Without a terminal a line is printed at least this often.
const LINE: Duration = Duration::from_secs(5);
/// With a share, and as long as none is known. Both fit into 80 columns; the bar takes what is left.
const WITH_SHARE: &str = "  {prefix:<10} {wide_bar} {percent:>3}% {msg}";
const WITHOUT: &str = "  {prefix:<10} {spinner} {msg}";
/// Steps of a bar.
const STEPS: u64 = 1_000;

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
        let begun = Instant::now();
        Shown { output: self.output, name: name.to_owned(), bar, has_share: false, last: None, begun, first: None }
    }
}

/// The progress of one run.
pub(crate) struct Shown {
    output: Output,
    name: String,
    bar: Option<ProgressBar>,
    /// The bar is drawn with a share.
    has_share: bool,
    last: Option<(String, Instant)>,
    begun: Instant,
    /// Rows and share of the first look: a run may have begun long before.
    first: Option<(u64, f64)>,
}

/// What a look at a run tells.
struct Look {
    word: String,
    rows: u64,
    /// Rows that there are at least, where some lists have told and others are still to be begun.
    at_least: Option<u64>,
    /// Rows a second since the first look.
    rate: f64,
    /// Share done; none where it is not known, or all is read and something else goes on.
    share: Option<f64>,
    /// Seconds to the end, as fast as so far; none where nobody knows.
    left: Option<f64>,
}

impl Look {
    fn at(run: &Value, first: (u64, f64), seconds: f64) -> Self {
        let (rows, share) = (count(run, "rowsSeen"), share(run));
        let left = share.filter(|share| *share > first.1).map(|share| seconds * (1.0 - share) / (share - first.1));
        let expected = run.get("rowsExpected").and_then(Value::as_u64);
        let at_least = expected.filter(|expected| share.is_none() && *expected > rows);
        Self { word: word(run), rows, at_least, rate: rate(rows.saturating_sub(first.0), seconds), share, left }
    }

    /// The rows, and how many there are at least.
    fn rows(&self) -> String {
        let of = self.at_least.map(|least| format!(" of {}+", HumanCount(least))).unwrap_or_default();
        format!("{}{of} rows", HumanCount(self.rows))
    }

    /// In columns, behind a bar, or a sign of life that leaves more room.
    fn columns(&self) -> String {
        let left = self.left.map(|left| format!("{left:.0} s left")).unwrap_or_default();
        match self.share {
            Some(_) => in_columns(&self.rows(), self.rate, &left, &self.word),
            None => format!("{:>29} {:>9}  {}", self.rows(), tell_rate(self.rate), self.word),
        }
    }
}

impl Shown {
    fn show(&mut self, run: &Value) {
        let first = *self.first.get_or_insert_with(|| (count(run, "rowsSeen"), share(run).unwrap_or(0.0)));
        let look = Look::at(run, first, self.begun.elapsed().as_secs_f64());
        if let Some(bar) = &self.bar {
            if look.share.is_some() != self.has_share {
                self.has_share = look.share.is_some();
                bar.set_style(style(if self.has_share { WITH_SHARE } else { WITHOUT }));
                bar.set_length(STEPS);
            }
            bar.set_position(steps(look.share.unwrap_or(0.0)));
            bar.set_message(look.columns());
            return;
        }
        let share = look.share.map(|share| format!(", {:.0} %", share * 100.0)).unwrap_or_default();
        let left = look.left.map(|left| format!(", {left:.0} s left")).unwrap_or_default();
        let text = format!("{}: {}{share}{left}, {:.0} rows/s", look.word, look.rows(), look.rate);
        self.say(look.word, &text);
    }

    /// Tells that nobody answers for now.
    fn show_silence(&mut self) {
        let word = "no answer, asking again".to_owned();
        match &self.bar {
            Some(bar) => bar.set_message(word),
            None => self.say(word, "no answer, asking again"),
        }
    }

    /// A line, where what it is at is new, or the last line is old.
    fn say(&mut self, word: String, text: &str) {
        if self.last.as_ref().is_none_or(|(last, at)| *last != word || at.elapsed() >= LINE) {
            self.line(text);
            self.last = Some((word, Instant::now()));
        }
    }

    /// Leaves the end of the run on the screen.
    pub fn finish(&self, run: &Value) {
        let (rows, seconds) = (count(run, "rowsSeen"), self.begun.elapsed().as_secs_f64());
        let rate = rate(rows, seconds);
        match &self.bar {
            Some(bar) => {
                bar.set_style(style(WITH_SHARE));
                bar.set_length(STEPS);
                bar.set_position(STEPS);
                bar.finish_with_message(in_columns(&tell_rows(rows), rate, &format!("in {seconds:.1} s"), &word(run)));
            }
            None => self.line(&format!("{}: {} in {seconds:.1} s, {rate:.0} rows/s", word(run), tell_rows(rows))),
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

/// Looks at a run until it ends or waits for a person, or until the deadline. A service that is started again meanwhile is
/// waited for: the run goes on there.
///
/// # Errors
/// A sentence, where the service refuses to tell.
pub(crate) async fn follow(
    client: &Client,
    asked: &Value,
    deadline: Instant,
    shown: &mut Shown,
) -> anyhow::Result<Value> {
    let begun = Instant::now();
    let mut known = asked.clone();
    loop {
        match runs::look(client, text(asked, "id")).await? {
            Some(run) if has_ended(&run) => return Ok(run),
            Some(run) => {
                shown.show(&run);
                known = run;
            }
            None => shown.show_silence(),
        }
        if Instant::now() >= deadline {
            return Ok(known);
        }
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

/// Share of a run that is done, where that is known and it is what goes on: a sweep is told by its stage.
fn share(run: &Value) -> Option<f64> {
    let is_reading = matches!(text(run, "state"), "PLANNED" | "RUNNING");
    run.get("progress").and_then(Value::as_f64).filter(|_| is_reading)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a share")]
fn steps(share: f64) -> u64 {
    (share.clamp(0.0, 1.0) * STEPS as f64) as u64
}

#[expect(clippy::cast_precision_loss, reason = "a rate")]
fn rate(rows: u64, seconds: f64) -> f64 {
    rows as f64 / seconds.max(0.001)
}

fn tell_rows(rows: u64) -> String {
    format!("{} rows", HumanCount(rows))
}

fn tell_rate(rate: f64) -> String {
    format!("{rate:.0}/s")
}

fn in_columns(rows: &str, rate: f64, left: &str, word: &str) -> String {
    format!("{rows:>14} {:>9} {left:>10}  {word:<9}", tell_rate(rate))
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━━ ")
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
    fn what_is_left_is_told_by_what_was_done_since_the_first_look_and_not_of_a_sweep() {
        let run =
            |state: &str, rows: u64, progress: Value| json!({ "state": state, "rowsSeen": rows, "progress": progress });
        let look = Look::at(&run("RUNNING", 400, json!(0.4)), (0, 0.0), 10.0);
        assert_eq!((look.share, look.rate, look.left), (Some(0.4), 40.0, Some(15.0)));
        let joined = Look::at(&run("RUNNING", 600, json!(0.6)), (400, 0.4), 10.0);
        assert_eq!((joined.rate, joined.left.map(f64::round)), (20.0, Some(20.0)));
        let carried_out = Look::at(&run("RUNNING", 1_000, json!(0.5)), (1_000, 0.0), 10.0);
        assert_eq!((carried_out.share, carried_out.rate, carried_out.left), (Some(0.5), 0.0, Some(10.0)));
        for run in [run("RUNNING", 400, Value::Null), run("SWEEPING", 1_000, json!(1.0))] {
            let look = Look::at(&run, (0, 0.0), 10.0);
            assert_eq!((look.share, look.left), (None, None), "{run}");
        }
        let mut first = run("RUNNING", 412_000, Value::Null);
        first["rowsExpected"] = json!(1_000_000);
        assert_eq!(Look::at(&first, (0, 0.0), 10.0).rows(), "412,000 of 1,000,000+ rows");
        first["progress"] = json!(0.412);
        assert_eq!(Look::at(&first, (0, 0.0), 10.0).rows(), "412,000 rows");
    }

    #[test]
    fn a_bar_fits_into_80_columns() {
        let word = "listing subprofiles".to_owned();
        let of = |share, at_least| {
            Look { word: word.clone(), rows: 9_999_999, at_least, rate: 99_999.0, share, left: share }.columns()
        };
        for (template, columns) in [(WITH_SHARE, of(Some(0.5), None)), (WITHOUT, of(None, Some(99_999_999)))] {
            let widths =
                template.split([':', '}']).filter_map(|part| part.trim_start_matches(['<', '>']).parse::<usize>().ok());
            assert!(widths.sum::<usize>() + columns.len() <= 80, "{template}{columns}");
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
