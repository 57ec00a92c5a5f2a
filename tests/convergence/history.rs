//! One random history: the world changes, and what tells of it arrives late, twice and out of order.

use super::line::{Line, OnItsWay};
use crate::support::picture::Picture;
use crate::support::rows;
use crate::support::world::{self, Terms};
use profile_mirror::db::Database;
use provider::Page;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use simulator::{ProviderKind, SignedWebhook, Simulator, TruthStatus};
use std::collections::BTreeSet;

/// Runs the history of a seed, and holds the mirror against the world at its end.
pub async fn run(db: &Database, seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let kind = ProviderKind::ALL[rng.random_range(0..3)];
    let profiles = match kind {
        ProviderKind::Copernica => 14,
        ProviderKind::Parallel => 24,
        ProviderKind::GetProfile => 30,
    };
    let simulator = world::start(seed, profiles).await;
    let line = Line::open(db, &simulator, kind, format!("{kind}-{seed}")).await;
    let pages = line.first_pages();
    let mut history = History { rng, simulator, kind, line, posted: Vec::new(), answers: Vec::new(), pages };
    if history.rng.random_bool(0.6) {
        history.import().await;
    }
    for step in 0..history.rng.random_range(10..45) {
        history.step(step).await;
    }
    history.end().await;
    history.compare(db, seed).await;
    history.line.close().await;
    history.simulator.stop().await;
}

struct History {
    rng: StdRng,
    simulator: Simulator,
    kind: ProviderKind,
    line: Line,
    /// Webhooks on their way, with the step at which each arrives.
    posted: Vec<(u32, SignedWebhook)>,
    answers: Vec<OnItsWay>,
    pages: Vec<Page>,
}

impl History {
    async fn step(&mut self, step: u32) {
        match self.rng.random_range(0..100) {
            0..40 => {
                let pause = self.rng.random_range(0..3);
                self.simulator.advance(chrono::Duration::seconds(pause));
                self.simulator.random_change_at(self.kind, &mut self.rng);
                self.post(step);
            }
            40..60 => self.receive(step).await,
            60..78 => {
                if let Some(answer) = self.line.start_fetch().await {
                    self.answers.push(answer);
                }
            }
            78..90 => {
                if !self.answers.is_empty() {
                    let at = self.rng.random_range(0..self.answers.len());
                    let answer = self.answers.remove(at);
                    self.line.finish(answer).await;
                }
            }
            90..94 => self.start_page().await,
            _ => self.line.settle().await,
        }
        if self.rng.random_bool(0.3) {
            self.line.settle().await;
        }
    }

    /// Puts what the provider sends on its way: some of it twice, each copy with a delay of its own.
    fn post(&mut self, step: u32) {
        for webhook in self.simulator.take_webhooks() {
            if webhook.provider != self.kind {
                continue;
            }
            let copies = if self.rng.random_bool(0.25) { 2 } else { 1 };
            for _ in 0..copies {
                let delay = if self.rng.random_bool(0.5) { 0 } else { self.rng.random_range(0..15) };
                self.posted.push((step + delay, webhook.clone()));
            }
        }
    }

    async fn receive(&mut self, step: u32) {
        let (mut due, later): (Vec<_>, Vec<_>) = self.posted.drain(..).partition(|(at, _)| *at <= step);
        self.posted = later;
        due.shuffle(&mut self.rng);
        for (_, webhook) in due {
            self.line.receive(&webhook).await;
        }
    }

    async fn start_page(&mut self) {
        if self.pages.is_empty() {
            return;
        }
        let page = self.pages.remove(0);
        let (answer, next) = self.line.start_page(page).await;
        self.pages.extend(next);
        self.answers.push(answer);
    }

    /// All pages that are left, each applied before the next.
    async fn import(&mut self) {
        while !self.pages.is_empty() {
            self.start_page().await;
            let answer = self.answers.pop().expect("the page");
            self.line.finish(answer).await;
            self.line.settle().await;
        }
    }

    /// Everything arrives, the pass over the lists ends, and every wish is looked up.
    async fn end(&mut self) {
        self.simulator.getprofile().settle();
        self.post(0);
        self.receive(u32::MAX).await;
        for answer in std::mem::take(&mut self.answers) {
            self.line.finish(answer).await;
        }
        self.import().await;
        for _ in 0..500 {
            self.line.settle().await;
            let Some(answer) = self.line.start_fetch().await else { return };
            self.line.finish(answer).await;
        }
        panic!("{}: fetches do not end", self.line.name);
    }

    async fn compare(&self, db: &Database, seed: u64) {
        let truth = self.simulator.truth(self.kind);
        let mut wanted = Picture::of_truth(&truth, &Terms::of(&self.simulator, self.kind));
        let mut found = rows::picture(db, &self.line.name).await;
        if self.kind != ProviderKind::Copernica {
            // No event tells of these; only a sweep finds them.
            let silent = truth.profiles.iter().filter(|(_, profile)| profile.status == TruthStatus::Deleted);
            let silent: BTreeSet<String> = silent.map(|(id, _)| id.clone()).collect();
            wanted.forget(&silent);
            found.forget(&silent);
        }
        found.assert_equals(&wanted, &format!("{} (PROFILE_MIRROR_TEST_SEED={seed})", self.line.name));
    }
}
