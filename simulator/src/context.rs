//! What the three providers share: the clock, the queue of webhooks, the faults and the record of traffic.

use std::fmt;

use crate::clock::Clock;
use crate::faults::Faults;
use crate::outbox::Outbox;
use crate::traffic::Traffic;

/// One of the three providers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProviderKind {
    /// Databases, profiles, subprofiles, interests.
    Copernica,
    /// Profiles of people and companies with relationships and a lifecycle.
    Parallel,
    /// Profiles distilled from text.
    GetProfile,
}

impl ProviderKind {
    /// All three, in their usual order.
    pub const ALL: [Self; 3] = [Self::Copernica, Self::Parallel, Self::GetProfile];

    /// Its name as written in paths and on the command line.
    pub fn slug(self) -> &'static str {
        match self {
            Self::Copernica => "copernica",
            Self::Parallel => "parallel",
            Self::GetProfile => "getprofile",
        }
    }

    /// Finds a provider by [`slug`](Self::slug).
    pub fn parse(slug: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.slug() == slug)
    }

    pub(crate) fn index(self) -> usize {
        match self {
            Self::Copernica => 0,
            Self::Parallel => 1,
            Self::GetProfile => 2,
        }
    }
}

impl fmt::Display for ProviderKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Copernica => "Copernica",
            Self::Parallel => "Parallel",
            Self::GetProfile => "GetProfile",
        })
    }
}

/// Why a provider would not make a change; the text is the one its REST API answers with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal(pub String);

impl Refusal {
    pub(crate) fn because(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

/// Shared by the providers of one simulator.
#[derive(Debug)]
pub(crate) struct Context {
    /// `http://127.0.0.1:PORT`
    pub(crate) origin: String,
    pub(crate) clock: Clock,
    pub(crate) outbox: Outbox,
    pub(crate) traffic: Traffic,
    faults: [Faults; 3],
}

impl Context {
    pub(crate) fn new(origin: String, clock: Clock, seed: u64) -> Self {
        Self {
            origin,
            clock,
            outbox: Outbox::default(),
            traffic: Traffic::default(),
            faults: ProviderKind::ALL.map(|kind| Faults::seeded(seed ^ (0xfa17 + kind.index() as u64))),
        }
    }

    pub(crate) fn faults(&self, provider: ProviderKind) -> &Faults {
        &self.faults[provider.index()]
    }
}
