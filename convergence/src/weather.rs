//! What upstream may answer wrongly while a history is played.

use crate::play::Play;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use simulator::{FailureKind, ProviderKind};
use std::collections::HashSet;

/// How a request may fail.
const FAILURES: [Failure; 9] = [
    Failure::Busy,
    Failure::BusyFor7Seconds,
    Failure::Status500,
    Failure::Html503,
    Failure::Html200,
    Failure::Empty200,
    Failure::CutJson,
    Failure::Unauthorized,
    Failure::Forbidden,
];

/// A way for a request to fail.
#[derive(Clone, Copy, Debug)]
enum Failure {
    Busy,
    BusyFor7Seconds,
    Status500,
    Html503,
    Html200,
    Empty200,
    CutJson,
    Unauthorized,
    Forbidden,
}

impl From<Failure> for FailureKind {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Busy => Self::Status429 { retry_after: None },
            Failure::BusyFor7Seconds => Self::Status429 { retry_after: Some("7".to_owned()) },
            Failure::Status500 => Self::Status500,
            Failure::Html503 => Self::Html503,
            Failure::Html200 => Self::Html200,
            Failure::Empty200 => Self::Empty200,
            Failure::CutJson => Self::CutJson,
            Failure::Unauthorized => Self::Unauthorized,
            Failure::Forbidden => Self::Forbidden,
        }
    }
}

impl Play<'_> {
    /// Upstream begins or ceases to answer wrongly.
    pub(crate) fn weather(&self, rng: &mut ChaCha8Rng) -> String {
        let kind = self.history.kind;
        let faults = self.simulator.faults(kind);
        match rng.random_range(0..10) {
            0..3 => {
                faults.clear();
                "fair".to_owned()
            }
            3..5 => self.lie(rng),
            5 if kind == ProviderKind::Copernica => {
                self.simulator.copernica().expire_tokens();
                "the JWT has expired".to_owned()
            }
            // What a read shows that was asked for in time is believed.
            5 if self.history.temper.is_lossless => "no read is old".to_owned(),
            5 => self.freeze(rng),
            _ => {
                let failure = FAILURES[rng.random_range(0..FAILURES.len())];
                let share = [0.2, 0.5, 1.0][rng.random_range(0..3)];
                let text = format!("{share} of requests get {failure:?}");
                faults.fail_share(share, failure.into());
                text
            }
        }
    }

    /// Lists leave something out, and say that this is all.
    fn lie(&self, rng: &mut ChaCha8Rng) -> String {
        let truth = self.simulator.truth(self.history.kind);
        let living = truth.profiles.iter().filter(|(_, profile)| !profile.status.is_gone());
        let ids = living.flat_map(|(id, profile)| std::iter::once(id).chain(profile.subprofiles.keys()));
        let ids: Vec<String> = ids.cloned().collect();
        let left_out: HashSet<String> = match rng.random_range(0..3) {
            0 => ids.into_iter().collect(),
            1 => ids.into_iter().filter(|_| rng.random_bool(0.4)).collect(),
            _ => {
                let from = rng.random_range(0..=ids.len());
                ids.into_iter().skip(from).collect()
            }
        };
        let faults = self.simulator.faults(self.history.kind);
        let is_forbidden = rng.random_bool(0.3);
        faults.forbid(if is_forbidden { left_out.clone() } else { HashSet::new() });
        let text =
            format!("lists leave out {left_out:?}{}", if is_forbidden { ", and reads are forbidden" } else { "" });
        faults.unlist(left_out);
        if rng.random_bool(0.2) {
            faults.overstate_totals(rng.random_range(1..4));
            return format!("{text}, and totals are too high");
        }
        text
    }

    /// Reads by id show a profile as it is now, whatever becomes of it.
    fn freeze(&self, rng: &mut ChaCha8Rng) -> String {
        let truth = self.simulator.truth(self.history.kind);
        let living: Vec<&String> =
            truth.profiles.iter().filter(|(_, profile)| !profile.status.is_gone()).map(|(id, _)| id).collect();
        let Some(id) = living.get(rng.random_range(0..living.len().max(1))) else {
            return "nobody is there".to_owned();
        };
        let reads = rng.random_range(1..3);
        match self.history.kind {
            ProviderKind::Copernica => self.simulator.copernica().freeze_reads(id, reads),
            ProviderKind::Parallel => self.simulator.parallel().freeze_reads(id, reads),
            ProviderKind::GetProfile => self.simulator.getprofile().freeze_reads(id, reads),
        }
        format!("{reads} reads of {id} are old")
    }
}
