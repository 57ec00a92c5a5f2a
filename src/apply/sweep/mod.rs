//! The sweep after a complete run: what no page named is asked for by id before it is taken for gone.
//!
//! One bounded step at a time, each a fenced transaction, so that webhooks are applied in between and a crash
//! loses a step at most. Quarantine, verification, brake, tombstones; whatever is in doubt stays. A run over named profiles
//! has put into quarantine whom it did not find, and begins with the verification.

mod bury;
mod lists;
#[cfg(test)]
mod tests;

pub(super) use lists::take_ids;

use super::catalog::Catalog;
use super::drift::{Window, compare};
use super::policy;
use super::worker::ApplyError;
use crate::db::Database;
use crate::inbox::{self, Lease};
use crate::mirror::write::{self, Listed, Missable, NamedRows, Wish};
use entity::{
    CandidateState, FetchState, Moment, Purpose, RecordKind, RunKind, RunState, SweepStage, deletion_candidate,
    sync_run,
};
use provider::{Provider, Target};
use sea_orm::DatabaseTransaction;
use std::sync::Arc;

/// Rows that one step looks at.
const LISTED: u64 = 5_000;
/// Candidates that are asked for at the same time.
const ASKED: u64 = 500;
/// Of many candidates so many are asked for first: one that is there shows that the lists lie.
const SAMPLE: u64 = 20;
/// So few deletions pass the brake of any source that lets deletions pass at all: a share says nothing about a handful.
const ALWAYS: u64 = 5;
/// Names of candidates that a plan tells.
pub(super) const PLAN_SAMPLES: usize = 50;

/// How many deletions of one run need no person: as many as both let pass, and a handful whatever the share, unless it is 0.
#[derive(Clone, Copy, Debug)]
pub struct Brake {
    /// Share of the source's live records.
    pub share: f64,
    /// Count of records.
    pub count: u64,
}

impl Brake {
    /// Whether so many deletions among so many live records pass.
    pub fn lets_pass(self, deletions: u64, live: u64) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "a share")]
        let is_small_share = deletions as f64 <= self.share * live as f64;
        let is_handful = self.share > 0.0 && deletions <= ALWAYS;
        (is_handful || is_small_share) && deletions <= self.count
    }
}

/// What a step needs to know.
pub(super) struct Terms<'a> {
    pub db: &'a Database,
    pub lease: &'a Lease,
    pub provider: &'a Arc<dyn Provider>,
    pub now: Moment,
    pub brake: Brake,
}

/// The rows that a run's pages named, kept between steps.
pub(super) struct Named {
    run_id: i64,
    /// Each try reads the pages anew.
    attempt: i32,
    rows: NamedRows,
    is_measured: bool,
    /// What the pages showed of the rows that are looked at.
    window: Option<Window>,
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stepped {
    /// There is more to do at once.
    On,
    /// Answers of upstream are waited for.
    Waits,
    /// The sweep is over, or a person must decide.
    Over,
}

impl Terms<'_> {
    /// Carries a sweep on by one step.
    pub async fn advance(
        &self,
        run: &sync_run::Model,
        catalog: &Catalog,
        named: &mut Option<Named>,
    ) -> Result<Stepped, ApplyError> {
        match run.sweep_stage.unwrap_or(SweepStage::ListingProfiles) {
            SweepStage::ListingProfiles => self.list(run, RecordKind::Profile, catalog, named).await,
            SweepStage::ListingSubprofiles => self.list(run, RecordKind::Subprofile, catalog, named).await,
            SweepStage::Sampling => self.sample(run).await,
            SweepStage::Verifying => self.verify(run, catalog).await,
            SweepStage::Burying => self.bury(run, catalog).await,
        }
    }

    /// A transaction of the holder of the lease, with the source's revision. None where somebody ended the run since it
    /// was loaded: nothing may be written on its behalf any more.
    async fn begin(&self, run: &sync_run::Model) -> Result<Option<(DatabaseTransaction, i64)>, ApplyError> {
        let transaction = self.db.begin().await?;
        let Some(revision) = self.lease.fence(&transaction, self.now, None).await? else {
            return Err(ApplyError::LeaseLost);
        };
        Ok(write::hold_sweep(&transaction, run).await?.then_some((transaction, revision)))
    }

    /// Puts into quarantine what no page named: neither first seen nor touched since the run began.
    async fn list(
        &self,
        run: &sync_run::Model,
        kind: RecordKind,
        catalog: &Catalog,
        named: &mut Option<Named>,
    ) -> Result<Stepped, ApplyError> {
        let db = self.db.primary();
        let is_of_run = |named: &Named| (named.run_id, named.attempt) == (run.id, run.attempt);
        let mut known = match named.take().filter(is_of_run) {
            Some(known) => known,
            None => {
                let rows = write::load_named(db, run.id).await?;
                let is_measured = write::is_measured(db, run.id).await?;
                Named { run_id: run.id, attempt: run.attempt, rows, is_measured, window: None }
            }
        };
        let type_id = type_of(run, catalog);
        let (set, last_row) = match kind {
            RecordKind::Profile => (&known.rows.profiles, run.last_profile_id),
            _ => (&known.rows.subprofiles, run.last_subprofile_id),
        };
        // What came while the run went on cannot be missed by it; whether it is as shown is looked at all the same.
        let upto = if known.is_measured { i64::MAX } else { last_row };
        let (rows, last) = if kind == RecordKind::Profile {
            write::load_listed_profiles(db, run, type_id, run.sweep_after, upto, LISTED).await?
        } else {
            let collections = type_id.map(|id| catalog.collections_of(id));
            let collections = collections.as_deref();
            write::load_listed_subprofiles(db, run, collections, run.sweep_after, upto, LISTED).await?
        };
        let is_missed = |row: &&Listed| {
            row.is_missable && row.id <= last_row && row.position <= run.low_position && !set.contains(row.id)
        };
        let missed: Vec<Missable> = rows.iter().filter(is_missed).map(Listed::missable).collect();
        if let (true, Some(last)) = (known.is_measured, last) {
            let window = known.window.take();
            known.window = Some(Window::over(window, db, run.id, kind, run.sweep_after, last).await?);
        }
        let Some((transaction, _)) = self.begin(run).await? else { return Ok(Stepped::Over) };
        if run.is_plan {
            write::note_candidates(&transaction, run, kind, &missed, PLAN_SAMPLES).await?;
        } else {
            write::write_candidates(&transaction, run, kind, &missed).await?;
        }
        let count = run.candidates + i64::try_from(missed.len()).unwrap_or(i64::MAX);
        write::set_run_count(&transaction, run.id, sync_run::Column::Candidates, count).await?;
        let (stage, after) = match (last, kind) {
            (Some(last), RecordKind::Profile) => (SweepStage::ListingProfiles, last),
            (Some(last), _) => (SweepStage::ListingSubprofiles, last),
            (None, RecordKind::Profile) => (SweepStage::ListingSubprofiles, 0),
            (None, _) => (SweepStage::Sampling, 0),
        };
        if known.is_measured {
            let is_first = kind == RecordKind::Profile && run.sweep_after == 0;
            let is_last = stage == SweepStage::Sampling;
            let window = known.window.as_ref().filter(|_| last.is_some());
            compare(&transaction, run, &known.rows, window, &rows, is_first, is_last, self.now).await?;
        }
        let is_over = stage == SweepStage::Sampling && (run.is_plan || count == 0);
        if stage == SweepStage::Sampling && !run.is_plan {
            // Whatever an older run found gone has been looked for anew.
            write::supersede_waiting(&transaction, run, self.now).await?;
        }
        if is_over {
            write::end_sweep(&transaction, run, self.now, RunState::Done, None, None).await?;
        } else {
            write::advance_sweep(&transaction, run.id, stage, after).await?;
        }
        transaction.commit().await?;
        *named = (stage != SweepStage::Sampling).then_some(known);
        Ok(if is_over { Stepped::Over } else { Stepped::On })
    }

    /// Many candidates at once are more likely a lie than a loss: a few are asked for before all are.
    async fn sample(&self, run: &sync_run::Model) -> Result<Stepped, ApplyError> {
        let candidates = u64::try_from(run.candidates).unwrap_or(0);
        let live = write::count_live_profiles(self.db.primary(), run.source_id, None).await?;
        let is_few = candidates <= SAMPLE || self.brake.lets_pass(candidates, live);
        if is_few {
            return self.move_on(run, SweepStage::Verifying).await;
        }
        let sample = write::load_candidate_sample(self.db.primary(), run.id, SAMPLE).await?;
        let there = sample.iter().filter(|row| row.state == CandidateState::Present).count();
        if there > 0 {
            let (there, asked) = (u64::try_from(there).unwrap_or(0), u64::try_from(sample.len()).unwrap_or(0));
            return self.fail(run, tell_lie(candidates, there, asked)).await;
        }
        let waiting: Vec<_> = sample.into_iter().filter(|row| row.state == CandidateState::Quarantined).collect();
        if waiting.is_empty() {
            return self.move_on(run, SweepStage::Verifying).await;
        }
        self.ask(run, &waiting, None).await?;
        Ok(Stepped::Waits)
    }

    /// Goes on with a stage from its start.
    async fn move_on(&self, run: &sync_run::Model, stage: SweepStage) -> Result<Stepped, ApplyError> {
        let Some((transaction, _)) = self.begin(run).await? else { return Ok(Stepped::Over) };
        write::advance_sweep(&transaction, run.id, stage, 0).await?;
        transaction.commit().await?;
        Ok(Stepped::On)
    }

    /// Holds candidates against lists of ids, and asks for the others by id; then the brake decides. What was not found
    /// in a place that cannot be seen either, or is refused, is for a person, however little it is.
    async fn verify(&self, run: &sync_run::Model, catalog: &Catalog) -> Result<Stepped, ApplyError> {
        let db = self.db.primary();
        let open = write::count_candidates(db, run.id, CandidateState::Quarantined).await?;
        if open > 0 {
            if self.ask_lists(run, catalog).await? {
                return Ok(Stepped::Waits);
            }
            let asked = write::load_candidates(db, run.id, CandidateState::Quarantined, 0, ASKED).await?;
            self.ask(run, &asked, asked.last().map(|row| row.id)).await?;
            return Ok(Stepped::Waits);
        }
        let there = write::count_candidates(db, run.id, CandidateState::Present).await?;
        let candidates = u64::try_from(run.candidates).unwrap_or(0);
        if there > ALWAYS && there * 2 > candidates {
            let problem = match run.kind {
                RunKind::Named => tell_unsteady(candidates, there),
                _ => tell_lie(candidates, there, candidates),
            };
            return self.fail(run, problem).await;
        }
        let type_id = type_of(run, catalog);
        let collections = type_id.map(|id| catalog.collections_of(id));
        let mut held = Vec::new();
        let mut absent_in_all = 0;
        for kind in [RecordKind::Profile, RecordKind::Subprofile] {
            let absent = write::count_absent(db, run.id, kind).await?;
            let live = match kind {
                RecordKind::Profile => write::count_live_profiles(db, run.source_id, type_id).await?,
                _ => write::count_live_subprofiles(db, run.source_id, collections.as_deref()).await?,
            };
            absent_in_all += absent;
            if !self.brake.lets_pass(absent, live) && run.decided_by.is_none() {
                let word = if kind == RecordKind::Profile { "profiles" } else { "subprofiles" };
                held.push(format!("{absent} of {live} {word}"));
            }
        }
        let needs_person = if !held.is_empty() {
            Some(format!(
                "{} are gone upstream: more than the brake lets pass. Look at them, then approve or reject the deletions of this run",
                held.join(" and ")
            ))
        } else if run.decided_by.is_none() {
            let unvouched = self.count_unvouched(run).await?;
            (unvouched > 0).then(|| {
                format!(
                    "{unvouched} records are not found, and nothing vouches for that: they are refused, or what they belong to \
                     cannot be seen either. They are gone, or the token of this source has lost its right to them. Look \
                     at them, then approve or reject the deletions of this run"
                )
            })
        } else {
            None
        };
        let Some((transaction, _)) = self.begin(run).await? else { return Ok(Stepped::Over) };
        let absent = i64::try_from(absent_in_all).unwrap_or(i64::MAX);
        write::set_run_count(&transaction, run.id, sync_run::Column::Absent, absent).await?;
        write::advance_sweep(&transaction, run.id, SweepStage::Burying, 0).await?;
        let stepped = if needs_person.is_none() {
            Stepped::On
        } else {
            write::end_sweep(&transaction, run, self.now, RunState::WaitingForApproval, needs_person, None).await?;
            Stepped::Over
        };
        transaction.commit().await?;
        Ok(stepped)
    }

    /// How many of those that are gone are refused, or belong to what cannot be seen either.
    async fn count_unvouched(&self, run: &sync_run::Model) -> Result<usize, ApplyError> {
        let (mut count, mut after) = (0, 0);
        loop {
            let gone = write::load_candidates(self.db.primary(), run.id, CandidateState::Absent, after, LISTED).await?;
            let Some(last) = gone.last() else { return Ok(count) };
            after = last.id;
            let answers: Vec<i64> = gone.iter().filter_map(|row| row.delivery_id).collect();
            let contexts = inbox::load_contexts(self.db.primary(), &answers).await?;
            count += contexts.iter().filter(|context| context.is_unvouched).count();
        }
    }

    /// Wishes for the candidates that nobody is asking for. Those whose request was given up since the run began stay as
    /// they are; one that was given up before is asked for again.
    async fn ask(
        &self,
        run: &sync_run::Model,
        candidates: &[deletion_candidate::Model],
        upto: Option<i64>,
    ) -> Result<(), ApplyError> {
        let targets: Vec<(i64, Target)> = candidates.iter().map(|row| (row.id, target_of(row))).collect();
        let keys: Vec<String> = targets.iter().map(|(_, target)| write::target_key(target)).collect();
        let requests = write::load_request_states(self.db.primary(), run.source_id, &keys).await?;
        let mut given_up = Vec::new();
        let mut wishes = Vec::new();
        for ((id, target), key) in targets.into_iter().zip(keys) {
            match requests.get(&key) {
                Some(request) if request.state != FetchState::Parked => {}
                Some(request) if request.wanted_position > run.low_position => given_up.push(id),
                _ => wishes.push(self.wish(run, target, missed_by(run))),
            }
        }
        if given_up.is_empty() && wishes.is_empty() {
            return Ok(());
        }
        write::locate_wishes(self.db.primary(), run.source_id, &mut wishes).await?;
        let Some((transaction, _)) = self.begin(run).await? else { return Ok(()) };
        write::settle_candidates(&transaction, &given_up, CandidateState::Unknown, None).await?;
        write::write_wishes(&transaction, run.source_id, self.now, wishes).await?;
        if let Some(after) = upto {
            write::advance_sweep(&transaction, run.id, SweepStage::Verifying, after).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// A question of a run to upstream.
    fn wish(&self, run: &sync_run::Model, target: Target, reason: String) -> Wish {
        // Who was just not found is given a moment.
        let not_before = if run.kind == RunKind::Named { policy::after_miss(1, self.now) } else { self.now };
        Wish {
            target,
            within: None,
            // Later than all that asked before the run, and before the reads that follow its first page.
            position: run.low_position + 1,
            reason,
            not_before,
            is_creation: false,
            purpose: Purpose::Repair,
        }
    }

    async fn fail(&self, run: &sync_run::Model, problem: String) -> Result<Stepped, ApplyError> {
        tracing::warn!(run = run.id, problem, "sweep");
        let Some((transaction, _)) = self.begin(run).await? else { return Ok(Stepped::Over) };
        write::dismiss_candidates(&transaction, run.id).await?;
        let retry_at = policy::after_failed_sweep(run.restarts + 1, self.now);
        write::end_sweep(&transaction, run, self.now, RunState::Failed, Some(problem), retry_at).await?;
        transaction.commit().await?;
        Ok(Stepped::Over)
    }
}

/// The one profile type that a run is about; no row of any where it is not known.
fn type_of(run: &sync_run::Model, catalog: &Catalog) -> Option<i32> {
    let only = run.profile_type.as_deref();
    only.map(|id| catalog.profile_type(id).map_or(-1, |known| known.row.id))
}

/// What a run missed of a candidate, for people.
fn missed_by(run: &sync_run::Model) -> String {
    match run.kind {
        RunKind::Named => format!("run {} named it and did not find it", run.id),
        _ => format!("no page of run {} named it", run.id),
    }
}

fn tell_unsteady(candidates: u64, there: u64) -> String {
    format!(
        "{candidates} of the named profiles were not found, but {there} of them were when asked for again. Nothing was deleted"
    )
}

fn tell_lie(candidates: u64, there: u64, asked: u64) -> String {
    format!(
        "no page named {candidates} records that the mirror holds, but {there} of {asked} exist when asked for by id: \
         the lists are not complete. Nothing was deleted. Check what the token of this source may list"
    )
}

fn target_of(row: &deletion_candidate::Model) -> Target {
    match row.record_kind {
        RecordKind::Profile => Target::Profile { id: row.external_id.clone() },
        _ => Target::Subprofile { id: row.external_id.clone() },
    }
}
