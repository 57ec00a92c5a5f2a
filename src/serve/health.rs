//! How a source is, judged from its row and from what waits: one rule for `/readyz`, for the schema and for metrics.

use crate::mirror::read::{ChangesFound, DeletionsWaiting, Waiting};
use ::entity::{Moment, source_state, sync_run};

/// Refusing everything for so long is no accident, milliseconds: well before the quarter of an hour that is promised.
const REFUSING_MS: i64 = 10 * 60_000;
/// Fewer refusals may be anybody's.
const REFUSALS: i64 = 2;
/// Refusals that stopped so long ago say nothing about today, milliseconds.
const REFUSALS_OVER_MS: i64 = 86_400_000;
/// Silence is noticed after so many usual gaps, and never before this, milliseconds.
const SILENT_GAPS: i64 = 3;
const LEAST_SILENCE_MS: i64 = 3_600_000;
/// A delivery that waits so long for apply is stuck, milliseconds.
const STUCK_MS: i64 = 600_000;

/// What a source is judged by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signs<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its row; none before it was ever started.
    pub state: Option<&'a source_state::Model>,
    /// Deliveries that are not applied yet.
    pub pending: Option<&'a Waiting>,
    /// Deletions that wait for a person.
    pub deletions: Option<&'a DeletionsWaiting>,
    /// The pass over all of its lists that fails again and again.
    pub failing: Option<&'a sync_run::Model>,
    /// What the newest complete pass over all of its lists found changed.
    pub found: Option<&'a ChangesFound>,
    /// This instance is configured for it; else nothing is expected of it.
    pub is_configured: bool,
    /// The time.
    pub now: Moment,
}

/// How a source is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Health {
    /// In a word.
    pub state: State,
    /// What is wrong, with the source's name and the likely cause; none while all is well.
    pub reason: Option<String>,
}

/// How a source is, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Well, as far as can be told.
    Running,
    /// Taking in changes, and something is wrong.
    Degraded,
    /// Standing still until it is resumed.
    Paused,
}

impl State {
    /// As `/readyz` has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Degraded => "degraded",
            Self::Paused => "paused",
        }
    }
}

impl Signs<'_> {
    /// How the source is.
    pub fn judge(&self) -> Health {
        let well = Health { state: State::Running, reason: None };
        let Some(row) = self.state.filter(|_| self.is_configured) else { return well };
        if let Some(since) = row.paused_at {
            return Health { state: State::Paused, reason: Some(self.paused(row, since)) };
        }
        let reason = self
            .refusing(row)
            .or_else(|| self.stuck())
            .or_else(|| self.waiting())
            .or_else(|| self.failing(row))
            .or_else(|| self.unheard())
            .or_else(|| self.silent(row));
        match reason {
            Some(reason) => Health { state: State::Degraded, reason: Some(reason) },
            None => well,
        }
    }

    /// The last webhook that was kept, applied or not.
    pub fn last_webhook_at(&self) -> Option<Moment> {
        let kept = self.pending.and_then(|waiting| waiting.newest_webhook_at);
        self.state.and_then(|state| state.last_webhook_at).max(kept)
    }

    /// Since the last webhook that was kept, milliseconds; none before the first.
    pub fn silence_ms(&self) -> Option<i64> {
        self.last_webhook_at().map(|at| self.since_ms(at))
    }

    /// How long the oldest delivery has waited for apply, milliseconds; none where nothing waits.
    pub fn oldest_pending_ms(&self) -> Option<i64> {
        self.pending.map(|waiting| self.since_ms(waiting.oldest_at))
    }

    /// How far the mirror is behind what has arrived, milliseconds.
    pub fn lag_ms(&self) -> i64 {
        self.oldest_pending_ms().unwrap_or(0)
    }

    /// Since the mirror was last told how things stand upstream, by a webhook that is applied or by a complete sync,
    /// milliseconds; none before the first.
    pub fn freshness_ms(&self) -> Option<i64> {
        let state = self.state?;
        state.last_webhook_at.max(state.last_complete_sync_at).map(|at| self.since_ms(at))
    }

    /// Webhooks refused one after the other since the last that was kept; 0 where that was long ago.
    pub fn refusals(&self) -> i64 {
        let Some(row) = self.state else { return 0 };
        let (Some(first_at), Some(last_at)) = (row.first_refusal_at, row.last_refusal_at) else { return 0 };
        let has_accepted = self.last_webhook_at().is_some_and(|at| at >= first_at);
        let is_over = self.since_ms(last_at) > REFUSALS_OVER_MS;
        if has_accepted || is_over { 0 } else { row.refusals }
    }

    fn since_ms(&self, at: Moment) -> i64 {
        self.now.0.saturating_sub(at.0).max(0)
    }

    fn paused(&self, row: &source_state::Model, since: Moment) -> String {
        let (name, since) = (self.name, shown(since));
        let reason = row.pause_reason.as_deref().unwrap_or("no reason is given");
        // Who it was, operators see elsewhere.
        let how = if row.paused_by.is_some() { "was paused by a person" } else { "paused itself" };
        format!("source {name} {how} at {since}: {reason}")
    }

    fn refusing(&self, row: &source_state::Model) -> Option<String> {
        let (first_at, count) = (row.first_refusal_at?, self.refusals());
        if count < REFUSALS || self.since_ms(first_at) < REFUSING_MS {
            return None;
        }
        let said = row.last_refusal.as_deref().unwrap_or_default();
        let (name, since) = (self.name, shown(first_at));
        let cause = likely_cause(said);
        Some(format!(
            "source {name} refuses every webhook since {since}, {count} so far: {said}. Likely cause: {cause}"
        ))
    }

    fn stuck(&self) -> Option<String> {
        let waiting = self.pending.filter(|waiting| self.since_ms(waiting.oldest_at) >= STUCK_MS)?;
        let (name, count, since) = (self.name, waiting.count, shown(waiting.oldest_at));
        Some(format!(
            "source {name} has {count} deliveries that are not applied, the oldest of {since}. Likely cause: the database is \
             slow, or no instance holds the source's lease"
        ))
    }

    /// Deletions past the brake, or with nothing that vouches for them, wait for a person.
    fn waiting(&self) -> Option<String> {
        let DeletionsWaiting { run_id: id, count, .. } = self.deletions?;
        let name = self.name;
        if *count == 0 {
            return Some(format!(
                "source {name} has a run that waits for approval, run {id}, and news of all that it found gone upstream has \
                 come since: nothing would be deleted. Reject it"
            ));
        }
        Some(format!(
            "source {name} has {count} deletions that wait for approval, run {id} is the newest with some: more than the brake \
             lets pass, or some of which the token may have lost sight; `error` of the run says which. Look at them, then \
             approve or reject them"
        ))
    }

    /// Full syncs repair whatever webhooks did not tell; without them the mirror drifts unseen.
    fn failing(&self, row: &source_state::Model) -> Option<String> {
        let sync_run::Model { id, attempt, error, .. } = self.failing?;
        let (name, error) = (self.name, error.as_deref().unwrap_or("it is tried once more"));
        let since = row.last_complete_sync_at.map_or_else(|| "ever".to_owned(), |at| format!("since {}", shown(at)));
        Some(format!(
            "source {name} had no complete sync {since}: run {id} is at its try {attempt}, and failed: {error}"
        ))
    }

    /// A full sync found what webhooks should have told of, and none was kept since the one before it began. That needs no
    /// usual gap, which is not known until two webhooks have come.
    fn unheard(&self) -> Option<String> {
        let ChangesFound { run_id, count, since, .. } = self.found?;
        let last_at = self.last_webhook_at();
        // A sync that began by a clock that was ahead does not tell since when.
        if *since > self.now.latest() || last_at.is_some_and(|at| at >= *since) {
            return None;
        }
        let (name, last) =
            (self.name, last_at.map_or_else(|| "so far".to_owned(), |at| format!("since {}", shown(at))));
        let profiles = if *count == 1 { "profile" } else { "profiles" };
        Some(format!(
            "source {name} has heard nothing {last}, and run {run_id} found {count} {profiles} new or changed upstream. Likely \
             cause: no webhook is registered at the provider, it was switched off, or its URL is not the one of this service"
        ))
    }

    fn silent(&self, row: &source_state::Model) -> Option<String> {
        let last_at = self.last_webhook_at()?;
        let usual_ms = row.usual_gap_ms?;
        let allowed_ms = usual_ms.saturating_mul(SILENT_GAPS).max(LEAST_SILENCE_MS);
        if self.since_ms(last_at) < allowed_ms {
            return None;
        }
        let (name, since, usual) = (self.name, shown(last_at), minutes(usual_ms));
        Some(format!(
            "source {name} has heard nothing since {since}, where a gap is usually {usual} min. Likely cause: the provider has \
             switched the webhook off, or its URL is not the one of this service"
        ))
    }
}

fn likely_cause(said: &str) -> &'static str {
    if said.starts_with("no ") && said.contains("is configured") {
        "the configuration of this source lacks what it checks webhooks with"
    } else if said.starts_with("missing") {
        "the endpoint is registered without a key, or a proxy takes the header away"
    } else if said.contains("clock") {
        "one of the two clocks is wrong"
    } else if said.starts_with("media type") {
        "the endpoint is registered with another format"
    } else if said.starts_with("the body") {
        "the provider sends more than this source takes, or a proxy cuts it"
    } else {
        "the secret or key was changed on one side, or server.public_url is not the URL as registered"
    }
}

fn minutes(ms: i64) -> i64 {
    (ms / 60_000).max(1)
}

fn shown(at: Moment) -> String {
    at.to_datetime().to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment(1_767_225_600_000);
    const MINUTE: i64 = 60_000;

    fn row() -> source_state::Model {
        source_state::Model {
            alive_at: None,
            gap_since: None,
            gap_until: None,
            next_run_at: None,
            source_id: 1,
            revision: 0,
            lease_holder: None,
            lease_epoch: 0,
            lease_until: NOW,
            paused_at: None,
            pause_reason: None,
            paused_by: None,
            probe_at: None,
            probes: 0,
            throttled_until: None,
            last_webhook_at: None,
            usual_gap_ms: None,
            first_refusal_at: None,
            last_refusal_at: None,
            last_refusal: None,
            refusals: 0,
            last_applied_at: None,
            last_complete_sync_at: None,
        }
    }

    fn signs<'a>() -> Signs<'a> {
        let (state, pending, deletions, failing, found) = (None, None, None, None, None);
        Signs { name: "crm", state, pending, deletions, failing, found, is_configured: true, now: NOW }
    }

    fn judge(row: &source_state::Model, pending: Option<&Waiting>) -> Health {
        Signs { state: Some(row), pending, ..signs() }.judge()
    }

    fn ago(minutes: i64) -> Option<Moment> {
        Some(NOW.plus_ms(-minutes * MINUTE))
    }

    #[test]
    fn a_source_of_which_nothing_is_known_is_well() {
        assert_eq!(judge(&row(), None).state, State::Running);
        assert_eq!(signs().judge().state, State::Running);
    }

    #[test]
    fn one_that_refuses_everything_names_itself_and_the_likely_cause() {
        let mut row = row();
        (row.first_refusal_at, row.last_refusal_at, row.refusals) = (ago(9), ago(0), 30);
        assert_eq!(judge(&row, None).state, State::Running, "not for long");
        row.first_refusal_at = ago(10);
        for (said, cause) in [
            ("the signature does not hold", "secret or key"),
            ("missing x-signature", "without a key"),
            ("request time is 900 s away from ours, 300 s are allowed: check both clocks", "clocks is wrong"),
        ] {
            row.last_refusal = Some(said.to_owned());
            let reason = judge(&row, None).reason.unwrap();
            assert!(reason.contains("crm") && reason.contains(said) && reason.contains(cause), "{reason}");
        }
        row.last_webhook_at = ago(5);
        assert_eq!(judge(&row, None).state, State::Running, "one was kept since");
        row.last_webhook_at = ago(60);
        row.refusals = 1;
        assert_eq!(judge(&row, None).state, State::Running, "a single one may be anybody's");
    }

    #[test]
    fn a_webhook_that_is_kept_and_not_applied_yet_is_a_sign_of_life() {
        let mut row = row();
        (row.first_refusal_at, row.last_refusal_at, row.refusals) = (ago(60), ago(1), 30);
        let newest = ago(2);
        let waiting = Waiting { source_id: 1, count: 1, oldest_at: NOW, newest_webhook_at: newest };
        assert_eq!(judge(&row, Some(&waiting)).state, State::Running);
        (row.last_webhook_at, row.usual_gap_ms) = (ago(600), Some(MINUTE));
        assert_eq!(judge(&row, Some(&waiting)).state, State::Running);
    }

    #[test]
    fn silence_is_three_usual_gaps_and_no_less_than_an_hour() {
        let mut row = row();
        for (usual, well, silent) in [(1, 59, 60), (20, 59, 60), (60, 179, 180)] {
            row.usual_gap_ms = Some(usual * MINUTE);
            row.last_webhook_at = ago(well);
            assert_eq!(judge(&row, None).state, State::Running, "{usual} min, {well} min ago");
            row.last_webhook_at = ago(silent);
            let health = judge(&row, None);
            assert_eq!(health.state, State::Degraded, "{usual} min, {silent} min ago");
            assert!(health.reason.unwrap().contains("crm"));
        }
    }

    #[test]
    fn what_a_full_sync_finds_should_have_been_heard_of_since_the_one_before_it() {
        let mut row = row();
        let found = |count| ChangesFound { source_id: 1, run_id: 7, count, since: NOW.plus_ms(-120 * MINUTE) };
        let judge = |row: &source_state::Model, pending: Option<&Waiting>, found: &ChangesFound| {
            Signs { state: Some(row), pending, found: Some(found), ..signs() }.judge()
        };
        let health = judge(&row, None, &found(3));
        assert_eq!(health.state, State::Degraded);
        let reason = health.reason.unwrap();
        for part in ["source crm has heard nothing so far", "run 7 found 3 profiles", "no webhook is registered"] {
            assert!(reason.contains(part), "{part} in {reason}");
        }
        assert!(judge(&row, None, &found(1)).reason.unwrap().contains("run 7 found 1 profile new"));

        row.last_webhook_at = ago(121);
        let reason = judge(&row, None, &found(3)).reason.unwrap();
        assert!(reason.contains("has heard nothing since 2025-12-31T21:59:00Z, and run 7"), "{reason}");
        row.usual_gap_ms = Some(MINUTE);
        let reason = judge(&row, None, &found(3)).reason.unwrap();
        assert!(reason.contains("run 7") && !reason.contains("a gap is usually"), "it is told once: {reason}");

        row.usual_gap_ms = None;
        let waiting = Waiting { source_id: 1, count: 1, oldest_at: NOW, newest_webhook_at: ago(1) };
        assert_eq!(judge(&row, Some(&waiting), &found(3)).state, State::Running, "one is kept and not applied yet");
        row.last_webhook_at = ago(120);
        assert_eq!(judge(&row, None, &found(3)).state, State::Running, "webhooks do come");
        let ahead = ChangesFound { since: NOW.plus_ms(60 * MINUTE), ..found(3) };
        assert_eq!(judge(&row, None, &ahead).state, State::Running, "the clock was set back since");
    }

    #[test]
    fn a_delivery_that_waits_long_is_stuck() {
        let waiting =
            |at: Option<Moment>| Waiting { source_id: 1, count: 3, oldest_at: at.unwrap(), newest_webhook_at: None };
        assert_eq!(judge(&row(), Some(&waiting(ago(9)))).state, State::Running);
        assert_eq!(judge(&row(), Some(&waiting(ago(10)))).state, State::Degraded);
    }

    #[test]
    fn deletions_that_wait_are_counted_and_a_run_of_which_all_came_back_says_so() {
        let judge = |waiting: &DeletionsWaiting| {
            let (state, deletions) = (row(), Some(waiting));
            Signs { state: Some(&state), deletions, ..signs() }.judge()
        };
        let of_run = |source_id, run_id, count| DeletionsWaiting { source_id, run_id, count };
        let waiting = [of_run(1, 3, 8), of_run(2, 4, 40), of_run(1, 5, 2)];
        let health = judge(&DeletionsWaiting::of(&waiting, 1).unwrap());
        assert_eq!(health.state, State::Degraded);
        let reason = health.reason.unwrap();
        assert!(reason.contains("10 deletions that wait for approval") && reason.contains("run 5"), "{reason}");
        assert_eq!(DeletionsWaiting::of(&waiting, 3), None);
        let reason = judge(&of_run(1, 3, 0)).reason.unwrap();
        assert!(reason.contains("run 3") && reason.contains("nothing would be deleted"), "{reason}");
    }

    #[test]
    fn a_pause_says_whose_it_is_and_goes_before_all_else() {
        let mut row = row();
        (row.first_refusal_at, row.last_refusal_at, row.refusals) = (ago(60), ago(0), 30);
        (row.paused_at, row.pause_reason) = (ago(5), Some("the token is refused".to_owned()));
        let health = judge(&row, None);
        assert_eq!(health.state, State::Paused);
        assert!(health.reason.unwrap().contains("paused itself"));
        row.paused_by = Some("anna".to_owned());
        assert!(judge(&row, None).reason.unwrap().contains("by a person"));
        let elsewhere = Signs { state: Some(&row), is_configured: false, ..signs() };
        assert_eq!(elsewhere.judge().state, State::Running, "nothing is expected of it here");
    }
}
