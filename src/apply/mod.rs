//! Apply: the only writer of the mirror.
//!
//! In: pending deliveries of a source, under its lease. Out: records, changes, verdicts, lifecycle
//! history and fetch requests, with the deliveries marked settled: one transaction for a batch, fenced,
//! so that an instance that has lost its lease commits nothing. Guaranteed: applying a delivery twice
//! changes nothing the second time; the order of arrival does not matter to where the mirror ends.
//! Deliberately absent: any I/O but the database. What must be looked up upstream becomes a fetch
//! request in the same transaction, and its answer comes back through the inbox.
//!
//! `worker` takes batches, `step` is one transaction, `batch` holds the rows that it works on;
//! `profiles`, `lifecycles`, `subprofiles`, `relationships` and `absences` each take one kind of
//! observation. `freshness` and `lifecycle` are the rules, pure; `policy` decides what becomes of failures.

mod absences;
mod batch;
mod catalog;
pub mod freshness;
pub mod lifecycle;
mod lifecycles;
pub mod policy;
mod profiles;
mod relationships;
mod step;
mod subprofiles;
mod worker;

pub use batch::content_hash;
pub use worker::{Applier, ApplyError};
