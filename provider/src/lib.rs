//! What the mirror knows about each provider: how to verify, decode and pull.
//!
//! In: raw bytes and headers, exactly as they came. Out: [`Observation`]s, and descriptions of
//! requests ([`Call`]) for the pull stage to carry out. Everything here is a pure function of its
//! input and the source's configuration: no database, no server, no clock of its own and, but for
//! looking up a signing key through [`KeyLookup`], no network.
//!
//! A new provider is one folder with the same file names (`mod verify decode pull redact wire`), one line
//! in [`registry`], one simulator file and fixtures.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod copernica;
pub mod getprofile;
pub mod parallel;

mod answer;
mod contract;
mod digest;
mod joint;
mod json;
mod limits;
mod moment;
mod observation;
mod percent;
mod public_key;
mod redact;
pub mod registry;
mod text;
mod unknown;
mod version;

pub use contract::{
    Answer, Asked, Auth, Call, DecodeError, Decoded, Delivery, DeliveryKind, Derived, Inbound, KeyLookup,
    KeyLookupError, Method, Page, PageRead, Provider, Receipt, Records, Redacted, Reference, Refusal, Subjects, Target,
    VerifyContext, Vouch,
};
pub use limits::{Limits, Pause};
pub use observation::{
    CollectionSeen, FieldSeen, IdsSeen, InterestSeen, LifecycleSeen, Observation, ProfileKind, ProfileSeen,
    ProfileTypeSeen, RelationshipSeen, Scope, Status, SubprofileSeen, UnsubscribePlace,
};
pub use registry::{SettingsError, SourceSettings};
pub use unknown::Unknown;
pub use version::{Freshness, Rung, Version};
