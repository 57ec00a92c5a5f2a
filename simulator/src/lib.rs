//! A seeded world behind the three providers' REST APIs and signed webhooks, with faults.
//!
//! One [`Simulator`] holds people, companies and their relationships, and answers as Copernica, Parallel and GetProfile on
//! one local HTTP listener. A change to the world puts the webhooks in a queue that its provider would send; the caller
//! takes, permutes, loses or sends them. [`Simulator::truth`] tells what a perfect mirror would hold.
//!
//! Each provider is one folder with the same file names: `mod` (the handle and its mutations), `world` (the store), `seed`
//! (its first content), `event` (webhook bodies), `skin` (REST), `truth`. Everything random comes from the seed.
//!
//! Deliberately absent: any code of the `provider` crate. Both sides read the same documents, and check each other.

mod clock;
mod context;
pub mod copernica;
mod door;
pub mod faults;
pub mod getprofile;
mod guarded;
mod http;
pub mod live;
mod names;
mod outbox;
pub mod parallel;
mod random;
pub mod sign;
mod simulator;
mod traffic;
mod truth;
mod webhook;

pub use clock::real_now;
pub use context::{ProviderKind, Refusal};
pub use copernica::CopernicaSim;
pub use faults::{FailureKind, Faults, OutgoingFaults};
pub use getprofile::GetProfileSim;
pub use outbox::RetryPolicy;
pub use parallel::ParallelSim;
pub use random::Happening;
pub use simulator::{Simulator, SimulatorOptions};
pub use traffic::{PausedRequest, UpstreamRequest};
pub use truth::{Gone, Truth, TruthProfile, TruthRelationship, TruthStatus, TruthSubprofile};
pub use webhook::SignedWebhook;
