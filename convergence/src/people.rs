//! What people do with runs while a history is played, and what they cannot know.

use crate::history::Step;
use crate::oracle;
use crate::play::Play;
use crate::stages::Decision;
use entity::{RunKind, RunState, sync_run};
use profile_mirror::ingest::run::RunRequest;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use simulator::ProviderKind;

impl Play<'_> {
    /// A person decides about the newest run, or about one that has waited for long.
    pub(crate) async fn decide(&mut self, rng: &mut ChaCha8Rng) -> String {
        let runs = self.stages.runs().await;
        let waiting: Vec<&sync_run::Model> =
            runs.iter().filter(|run| run.state == RunState::WaitingForApproval).collect();
        let run = match waiting.as_slice() {
            [] => runs.last(),
            waiting => Some(waiting[rng.random_range(0..waiting.len())]),
        };
        let Some(run) = run else { return "there is no run".to_owned() };
        let decisions = [Decision::Approve, Decision::Reject, Decision::Cancel, Decision::ApplyPlan];
        let mut decision = decisions[rng.random_range(0..decisions.len())];
        // Whoever looks at what a misled run found sees that it is there. Only an approval that comes late, when a newer
        // run was clean, is given unseen.
        let is_old = runs.iter().any(|newer| {
            newer.id > run.id
                && newer.state == RunState::Done
                && newer.kind == RunKind::Full
                && newer.profile_type.is_none()
                && !newer.is_plan
                && !self.misled.contains(&newer.id)
        });
        // At Parallel a refusal may stand for what is not there. Whoever looks sees that it is.
        let may_be_refused = self.history.kind == ProviderKind::Parallel && run.state == RunState::WaitingForApproval;
        if may_be_refused && oracle::check_candidates(self.stages.db(), run, &self.memory).await.is_err() {
            self.misled.insert(run.id);
        }
        if self.misled.contains(&run.id) {
            if !is_old {
                return format!("somebody looks at run {}, and leaves it", run.id);
            }
            decision = Decision::Approve;
        }
        let is_done = self.stages.decide(run, decision).await;
        format!("{decision:?} of run {}{}", run.id, if is_done { "" } else { " is refused" })
    }

    /// The token loses its rights on a database for as long as a run takes. Lists and reads by id agree that what it holds
    /// is gone: only the brake knows better. Webhooks arrive meanwhile, and what they have fetched is not found either.
    pub(crate) async fn lapse(&mut self, step: &Step, rng: &mut ChaCha8Rng) -> Result<String, String> {
        let temper = &self.history.temper;
        let is_possible = self.history.kind == ProviderKind::Copernica && temper.is_braked && !temper.is_lossless;
        if !is_possible || self.stages.run.is_some() {
            return Ok("no rights are lost".to_owned());
        }
        self.simulator.faults(self.history.kind).clear();
        self.stages.set_paused(false).await;
        // An instance that was just started may have to wait for the lease.
        self.stages.pass(5_000);
        self.stages.apply().await;
        self.stages.finish_runs().await?;
        let copernica = self.simulator.copernica();
        let lost = copernica.databases().first().and_then(|(id, _)| id.parse::<u64>().ok());
        copernica.configure(|switches| switches.lost_databases.extend(lost));
        self.arrive(step, u32::MAX, rng).await;
        let asked = self.stages.request(RunRequest::full("lapse")).await;
        if let Ok(id) = asked {
            self.misled.insert(id);
            self.stages.start_run().await;
        }
        let finished = self.stages.finish_runs().await;
        self.simulator.copernica().configure(|switches| switches.lost_databases.clear());
        finished.map(|()| format!("rights are lost while run {asked:?} looks"))
    }

    /// Approvals of misled runs that come after a clean one.
    pub(crate) async fn approve_late(&mut self) -> Result<(), String> {
        for run in self.stages.runs().await.iter().filter(|run| self.misled.contains(&run.id)) {
            self.stages.decide(run, Decision::Approve).await;
        }
        self.stages.finish_runs().await
    }

    /// Waits until a failed run is tried again, and lets it begin.
    pub(crate) async fn retry(&mut self) -> String {
        let runs = self.stages.runs().await;
        let failed = runs.iter().filter(|run| run.state == RunState::Failed);
        let next = failed.filter_map(|run| Some((run.retry_at?, run.id))).min();
        let Some((retry_at, id)) = next.filter(|_| self.stages.run.is_none()) else {
            return "no run is to be tried again".to_owned();
        };
        self.stages.pass((retry_at.0 - self.stages.now().0).max(0));
        self.stages.apply().await;
        // Once to put it back to work, once to begin.
        self.stages.start_run().await;
        if self.stages.run.is_none() {
            self.stages.start_run().await;
        }
        format!("run {id} is tried again")
    }
}
