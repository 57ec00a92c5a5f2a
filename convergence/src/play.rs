//! Plays a history on the real stages, and closes it with one complete run.

use crate::history::{Deed, History, Step};
use crate::oracle::{self, Memory};
use crate::stages::{Decision, Leg, Stages};
use crate::world::Terms;
use entity::{RunKind, RunState};
use futures::FutureExt;
use profile_mirror::config::Brake;
use profile_mirror::db::Database;
use profile_mirror::ingest::run::RunRequest;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use simulator::{FailureKind, ProviderKind, SignedWebhook, Simulator, SimulatorOptions};
use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

/// A brake that lets everything pass.
const OPEN: Brake = Brake { share: 1.0, count: 1_000_000 };

/// What a history did, added up.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Histories.
    pub histories: u64,
    /// Steps.
    pub steps: u64,
    /// Webhooks that arrived, each copy counted.
    pub webhooks: u64,
    /// Webhooks that were lost.
    pub lost: u64,
    /// Histories that lost nothing, and were held against the world before the run that closes them.
    pub whole: u64,
    /// Fetches that were started.
    pub fetches: u64,
    /// Runs that ended well.
    pub runs: u64,
    /// Times the service was killed.
    pub kills: u64,
    /// Changes in the change log.
    pub changes: u64,
}

impl Tally {
    /// Adds another.
    pub fn add(&mut self, other: &Self) {
        self.histories += other.histories;
        self.steps += other.steps;
        self.webhooks += other.webhooks;
        self.lost += other.lost;
        self.whole += other.whole;
        self.fetches += other.fetches;
        self.runs += other.runs;
        self.kills += other.kills;
        self.changes += other.changes;
    }
}

/// Plays a history as a source of its own. `tell` hears of each step.
///
/// # Errors
/// What is wrong at its end.
pub async fn play(db: &Database, history: &History, tell: &mut dyn FnMut(String)) -> Result<Tally, String> {
    match AssertUnwindSafe(Play::run(db, history, tell)).catch_unwind().await {
        Ok(outcome) => outcome,
        Err(panic) => {
            let said = panic.downcast_ref::<String>().cloned();
            Err(said.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default())
        }
    }
}

pub(crate) struct Play<'a> {
    pub(crate) history: &'a History,
    pub(crate) simulator: Arc<Simulator>,
    pub(crate) stages: Stages,
    /// Webhooks on their way, with the step at which each arrives.
    posted: Vec<(u32, SignedWebhook)>,
    pub(crate) memory: Memory,
    /// Runs that looked while the token had lost rights: what they found gone is there.
    pub(crate) misled: BTreeSet<i64>,
    tally: Tally,
    tell: &'a mut dyn FnMut(String),
}

impl<'a> Play<'a> {
    async fn run(db: &Database, history: &'a History, tell: &'a mut dyn FnMut(String)) -> Result<Tally, String> {
        let simulator = Arc::new(world(history));
        let name = format!("{}-{}-{:08x}", history.kind.slug(), history.seed, rand::random::<u32>());
        let brake = if history.temper.is_braked { Brake { share: 0.0, count: 0 } } else { OPEN };
        let stages = Stages::open(db, &simulator, history.kind, name, brake).await;
        let tally = Tally { histories: 1, ..Tally::default() };
        let memory = Memory::default();
        let (posted, misled) = (Vec::new(), BTreeSet::new());
        let mut play = Self { history, simulator, stages, posted, memory, misled, tally, tell };
        play.stages.apply().await;
        if history.temper.begins_full {
            play.complete_run(&mut ChaCha8Rng::seed_from_u64(history.temper.switches)).await?;
        }
        for step in &history.steps {
            play.take(step).await?;
        }
        play.close(db).await?;
        play.stages.close();
        Ok(play.tally)
    }

    fn say(&mut self, step: &Step, what: impl std::fmt::Display) {
        (self.tell)(format!("{step}: {what}"));
    }

    async fn take(&mut self, step: &Step) -> Result<(), String> {
        let mut rng = ChaCha8Rng::seed_from_u64(step.draw);
        self.tally.steps += 1;
        match step.deed {
            Deed::Change => self.change(step, &mut rng).await,
            Deed::Arrive => self.arrive(step, step.at, &mut rng).await,
            Deed::Apply => {
                self.stages.apply().await;
                self.say(step, "applied what was pending");
            }
            Deed::Fetch => {
                let count = self.stages.start_fetches(rng.random_range(1..4)).await;
                self.tally.fetches += count as u64;
                self.say(step, format_args!("{count} started"));
            }
            Deed::Travel => {
                if !self.stages.fetches.is_empty() {
                    let at = rng.random_range(0..self.stages.fetches.len());
                    let name = self.stages.fetches[at].name.clone();
                    let leg = self.stages.advance_fetch(at).await;
                    self.say(step, format_args!("{name}: {leg:?}"));
                }
            }
            Deed::Run if self.stages.run.is_none() => {
                let request = self.request(&mut rng);
                let asked = match self.stages.request(request.clone()).await {
                    Ok(id) => format!("run {id} over {}", tell_request(&request)),
                    Err(id) => format!("run {id} goes on"),
                };
                let leg = self.stages.start_run().await;
                self.say(step, format_args!("{asked}: {leg:?}"));
            }
            Deed::Run | Deed::Page => self.turn_pages(step, &mut rng).await,
            Deed::Decide if rng.random_bool(0.4) => {
                let is_paused = rng.random_bool(0.4);
                self.stages.set_paused(is_paused).await;
                self.say(step, if is_paused { "an operator pauses the source" } else { "an operator lets it go on" });
            }
            Deed::Decide => {
                let text = self.decide(&mut rng).await;
                self.say(step, text);
            }
            Deed::Lapse => {
                let text = self.lapse(step, &mut rng).await?;
                self.say(step, text);
            }
            Deed::Retry => {
                let text = self.retry().await;
                self.say(step, text);
            }
            Deed::Wait => {
                let ms = [300, 1_500, 6_000, 40_000, 700_000][rng.random_range(0..5)];
                self.stages.pass(ms);
                self.stages.tend().await;
                self.say(step, format_args!("{ms} ms pass"));
            }
            Deed::Weather => {
                let text = self.weather(&mut rng);
                self.say(step, text);
            }
            Deed::Kill => {
                self.stages.kill();
                self.tally.kills += 1;
                let waits = rng.random_bool(0.8);
                if waits {
                    self.stages.pass(5_000);
                }
                self.stages.apply().await;
                self.say(step, if waits { "killed; another instance takes over" } else { "killed" });
            }
        }
        Ok(())
    }

    /// Something changes upstream.
    async fn change(&mut self, step: &Step, rng: &mut ChaCha8Rng) {
        let pauses = if self.history.temper.is_lossless { [0, 0, 0, 100, 1_000] } else { [0, 0, 200, 1_000, 3_000] };
        self.stages.pass(pauses[rng.random_range(0..5)]);
        let happening = self.simulator.random_change_at(self.history.kind, rng);
        self.say(step, happening);
        self.memory.remember(self.simulator.gone(self.history.kind), self.stages.now());
        self.post(step, rng).await;
    }

    /// The run comes legs further, one after the other; where nothing is lost, news may overtake the page that is on its
    /// way.
    async fn turn_pages(&mut self, step: &Step, rng: &mut ChaCha8Rng) {
        let is_lossless = self.history.temper.is_lossless;
        for _ in 0..if is_lossless { rng.random_range(1..8) } else { 1 } {
            if self.stages.run.is_none() {
                return;
            }
            let leg = self.stages.advance_run().await;
            self.tally.runs += u64::from(leg == Leg::Ended(Ok(())));
            self.say(step, format_args!("run: {leg:?}"));
            if is_lossless && rng.random_bool(0.3) {
                self.change(step, rng).await;
                self.arrive(step, u32::MAX, rng).await;
            }
            if is_lossless {
                self.stages.apply().await;
            }
        }
    }

    /// Puts what the provider sends on its way: some of it never, some twice, each copy with a delay of its own.
    async fn post(&mut self, step: &Step, rng: &mut ChaCha8Rng) {
        let temper = &self.history.temper;
        for webhook in self.simulator.take_webhooks() {
            self.hide_created(&webhook, rng).await;
            if rng.random_bool(temper.loss) {
                self.tally.lost += 1;
                (self.tell)(format!("      {} of {} is lost", webhook.event, webhook.profile));
                continue;
            }
            for _ in 0..1 + u32::from(rng.random_bool(temper.doubling)) {
                let late = rng.random_bool(temper.lateness);
                let delay = if late { rng.random_range(1..=temper.most_late) } else { 0 };
                (self.tell)(format!("      {} of {} comes {delay} late", webhook.event, webhook.profile));
                self.posted.push((step.at + delay, webhook.clone()));
            }
        }
    }

    /// What was just created may not be visible by id yet: only what the mirror has never seen, since the event may be late,
    /// and what lists leave out as well nothing tells from what is gone.
    async fn hide_created(&self, webhook: &SignedWebhook, rng: &mut ChaCha8Rng) {
        let is_creation = matches!(webhook.event.as_str(), "create" | "PROFILE_CREATED");
        if is_creation && rng.random_bool(self.history.temper.unseen) {
            let reads = rng.random_range(1..3);
            let faults = self.simulator.faults(self.history.kind);
            if let Some(subprofile) = webhook.subprofile() {
                if !faults.leave_out(&subprofile) && !self.stages.has_seen_subprofile(&subprofile).await {
                    faults.hide_subprofile(&subprofile, reads);
                }
            } else if !faults.leave_out(&webhook.profile) && !self.stages.has_seen(&webhook.profile).await {
                faults.hide(&webhook.profile, reads);
            }
        }
    }

    pub(crate) async fn arrive(&mut self, step: &Step, until: u32, rng: &mut ChaCha8Rng) {
        let (mut due, later): (Vec<_>, Vec<_>) = self.posted.drain(..).partition(|(at, _)| *at <= until);
        self.posted = later;
        due.shuffle(rng);
        for (_, webhook) in due {
            self.say(step, format_args!("{} of {}", webhook.event, webhook.profile));
            self.receive(&webhook).await;
        }
    }

    async fn receive(&mut self, webhook: &SignedWebhook) {
        if self.stages.receive(webhook).await {
            self.tally.webhooks += 1;
            self.memory.hear(webhook);
        }
    }

    /// The world comes to rest, what is on its way arrives, and one complete run follows.
    async fn close(&mut self, db: &Database) -> Result<(), String> {
        let end = Step { at: u32::MAX, deed: Deed::Arrive, draw: self.history.seed ^ 0xc105e };
        let mut rng = ChaCha8Rng::seed_from_u64(end.draw);
        self.simulator.faults(self.history.kind).clear();
        self.stages.set_paused(false).await;
        self.simulator.getprofile().settle();
        self.post(&Step { at: 0, ..end }, &mut rng).await;
        for (_, webhook) in self.posted.iter().filter(|_| self.history.temper.is_lossless) {
            self.hide_created(webhook, &mut rng).await;
        }
        let mut stragglers = Vec::new();
        if self.history.temper.stragglers {
            (stragglers, self.posted) = self.posted.drain(..).partition(|_| rng.random_bool(0.5));
        }
        self.arrive(&end, u32::MAX, &mut rng).await;
        self.stages.pass(5_000);
        self.stages.apply().await;
        // A run that began earlier has not read its first pages since.
        self.stages.finish_runs().await?;
        if self.history.temper.is_lossless {
            self.check_unrepaired(db, &end).await?;
        }
        self.say(&end, "one complete run");
        self.complete_run(&mut rng).await?;
        self.approve_late().await?;
        self.check(db, "after the run").await?;
        if !stragglers.is_empty() {
            for (_, webhook) in &stragglers {
                self.say(&end, format_args!("late: {} of {}", webhook.event, webhook.profile));
                self.receive(webhook).await;
            }
            self.stages.rest().await?;
            self.check(db, "after late webhooks").await?;
        }
        Ok(())
    }

    /// What somebody might want a run over.
    fn request(&self, rng: &mut ChaCha8Rng) -> RunRequest {
        let full = RunRequest::full("history");
        let truth = self.simulator.truth(self.history.kind);
        let terms = Terms::of(&self.simulator, self.history.kind);
        match rng.random_range(0..10) {
            0 => {
                let types: BTreeSet<&String> = truth.profiles.values().map(|profile| &profile.type_id).collect();
                let drawn = types.iter().nth(rng.random_range(0..types.len().max(1)));
                RunRequest { profile_type: drawn.map(|id| terms.profile_type(id).to_owned()), ..full }
            }
            1 => {
                let named: Vec<String> = truth.profiles.keys().filter(|_| rng.random_bool(0.3)).cloned().collect();
                if named.is_empty() { full } else { RunRequest { kind: RunKind::Named, named, ..full } }
            }
            2 => {
                let since = Some(self.stages.now().plus_ms(-rng.random_range(0..600_000)));
                RunRequest { kind: RunKind::Incremental, since, ..full }
            }
            3 => RunRequest { is_plan: true, ..full },
            _ => full,
        }
    }

    /// Carries a full run from its first page to its end, and everything that follows from it. It may be killed and
    /// resumed, or fail and be tried again: it is complete all the same.
    async fn complete_run(&mut self, rng: &mut ChaCha8Rng) -> Result<(), String> {
        let id = self.stages.request(RunRequest::full("one complete run")).await;
        let id = id.map_err(|id| format!("run {id} is under way still"))?;
        if rng.random_bool(0.1) {
            self.simulator.faults(self.history.kind).fail_next(rng.random_range(1..12), FailureKind::Status500);
        }
        if rng.random_bool(0.25) {
            self.stages.start_run().await;
            for _ in 0..rng.random_range(1..16) {
                self.stages.apply().await;
                self.stages.advance_run().await;
            }
            self.stages.kill();
            self.stages.pass(5_000);
            self.stages.apply().await;
        }
        self.stages.finish_runs().await?;
        let mut run = self.stages.run_of(id).await;
        // Others that failed before may be tried again first.
        for _ in 0..12 {
            let Some(retry_at) = run.retry_at.filter(|_| run.state == RunState::Failed) else { break };
            self.stages.pass((retry_at.0 - self.stages.now().0).max(0));
            self.stages.apply().await;
            self.stages.start_run().await;
            self.stages.finish_runs().await?;
            run = self.stages.run_of(id).await;
        }
        if run.state == RunState::WaitingForApproval && self.history.temper.is_braked {
            oracle::check_waiting(self.stages.db(), &run).await?;
            assert!(self.stages.decide(&run, Decision::Approve).await, "the deletions can be approved");
            self.stages.finish_runs().await?;
            run = self.stages.run_of(id).await;
        }
        if run.state != RunState::Done {
            return Err(format!("the run ends {:?}: {}", run.state, run.error.unwrap_or_default()));
        }
        if self.history.temper.is_braked && run.deleted > 0 && run.decided_by.is_none() {
            return Err(format!("{} deletions passed a closed brake", run.deleted));
        }
        oracle::check_candidates(self.stages.db(), &run, &self.memory).await?;
        self.tally.runs += 1;
        Ok(())
    }

    /// Where nothing is lost and nothing was given up, webhooks and what they lead to are enough: the mirror is right
    /// before any run repairs it.
    async fn check_unrepaired(&mut self, db: &Database, end: &Step) -> Result<(), String> {
        if self.stages.has_given_up().await {
            return Ok(());
        }
        self.say(end, "nothing was lost: the mirror is held against the world");
        self.tally.whole += 1;
        let wrong = oracle::check_unrepaired(db, &self.stages, &self.simulator, self.history.kind, &self.memory).await;
        if wrong.is_empty() { Ok(()) } else { Err(format!("before the run: {}", wrong.join("\n"))) }
    }

    async fn check(&mut self, db: &Database, when: &str) -> Result<(), String> {
        let odd = oracle::check(db, &self.stages, &self.simulator, self.history.kind, &self.memory).await;
        self.tally.changes = odd.changes;
        oracle::check_first_seen(db, &self.stages).await?;
        if odd.wrong.is_empty() { Ok(()) } else { Err(format!("{when}: {}", odd.wrong.join("\n"))) }
    }
}

fn tell_request(request: &RunRequest) -> String {
    let plan = if request.is_plan { ", as a plan" } else { "" };
    match (&request.profile_type, request.named.as_slice()) {
        (Some(id), _) => format!("type {id}{plan}"),
        (None, []) => format!("{:?}{plan}", request.kind),
        (None, named) => format!("{named:?}{plan}"),
    }
}

/// The world that a history begins with.
fn world(history: &History) -> Simulator {
    let temper = &history.temper;
    // The simulator spreads profiles over its three providers.
    let share = match history.kind {
        ProviderKind::Copernica => 50,
        ProviderKind::Parallel => 30,
        ProviderKind::GetProfile => 20,
    };
    let profiles = temper.profiles * 100 / share + 1;
    let options = SimulatorOptions { seed: history.seed, profiles, fields: 3, ..SimulatorOptions::default() };
    let simulator = Simulator::unconnected(options).expect("make the world");
    let mut rng = ChaCha8Rng::seed_from_u64(temper.switches);
    simulator.copernica().configure(|switches| {
        switches.most_rows = temper.rows_a_page as i64;
        switches.cascaded_delete_webhooks = rng.random_bool(0.3);
        switches.minimal_delete_body = rng.random_bool(0.3);
        switches.noop_update_webhook = rng.random_bool(0.3);
        switches.interest_change_bumps_modified = rng.random_bool(0.5);
    });
    simulator.parallel().configure(|switches| {
        switches.most_rows = temper.rows_a_page;
        switches.lists_open_only = rng.random_bool(0.3);
        switches.relationship_events_on_end = rng.random_bool(0.4);
    });
    simulator.getprofile().configure(|switches| {
        switches.most_rows = temper.rows_a_page;
        switches.wrapped = rng.random_bool(0.3);
        switches.processing_events = rng.random_bool(0.4);
        switches.absent_is_400 = rng.random_bool(0.3);
    });
    simulator
}
