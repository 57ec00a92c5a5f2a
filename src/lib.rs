//! profile-mirror: a relational mirror of customer profiles, kept equal to its providers.
//!
//! One way through, one folder a stage:
//!
//! ```text
//! provider REST ── schedule ─▶ pull ┐
//!                                   ├▶ inbox ─▶ apply ─▶ mirror + change log ─▶ publish ─▶ serve ─▶ clients
//! provider webhooks ──────▶ webhook ┘
//! ```
//!
//! - [`ingest`] takes bytes in and interprets nothing; a 2xx means durable.
//! - [`inbox`] keeps deliveries as they came, until apply has settled them.
//! - [`apply`] is the only writer of the mirror: decode, compare versions, write records, changes
//!   and verdicts in one transaction.
//! - [`mirror`] holds the statements: `write` is for apply, `read` is for serve.
//! - [`publish`] reads each committed change once a process and hands it to every subscriber.
//! - [`serve`] answers GraphQL, and never writes but through the named operations of other stages.
//!
//! Only [`app`] knows every stage. `ARCHITECTURE.md` walks a delivery from the socket to the subscriber.

pub mod app;
pub mod apply;
mod backoff;
mod causes;
pub mod cli;
pub mod clock;
pub mod config;
pub mod db;
pub mod demo;
pub mod failpoint;
pub mod inbox;
pub mod ingest;
pub mod mirror;
pub mod publish;
pub mod serve;
pub mod telemetry;
