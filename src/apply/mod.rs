//! Apply: the only writer of the mirror.
//!
//! In: pending deliveries of a source, under its lease. Out: records, changes, verdicts, lifecycle
//! history and fetch requests, with the deliveries marked settled: one transaction for a batch, fenced,
//! so that an instance that has lost its lease commits nothing. Guaranteed: applying a delivery twice
//! changes nothing the second time; the order of arrival does not matter to where the mirror ends.
//! Deliberately absent: any I/O but the database. What must be looked up upstream becomes a fetch
//! request in the same transaction, and its answer comes back through the inbox.
//!
//! `worker` takes batches, `read` reads them and makes parts of them, `step` judges a part and is one transaction
//! for it, or none where it changes nothing: `unwritten` keeps that for the next one. `batch` holds the rows that it works on;
//! `observations` hands each to the module of its kind:
//! `profiles`, `lifecycles`, `subprofiles`, `relationships` and `absences` each take one, and `told` is what their changes
//! tell. `derive` carries on with what profiles show of metadata that has changed, `sweep` with what complete runs miss, `plan` compares without writing, `drift` measures how far
//! the mirror was from upstream. `freshness` and `lifecycle` are the rules, pure; `policy` decides what becomes of failures.
//! `erase` empties whatever tells of a person who is anonymized, `clean` the database's files after it; `due` looks after
//! deletions that are overdue. `indexer` makes in the background what filters and search are served by.

mod absences;
mod batch;
mod catalog;
mod clean;
mod content;
mod derive;
mod drift;
mod due;
mod erase;
pub mod freshness;
mod indexer;
pub mod lifecycle;
mod lifecycles;
mod observations;
mod plan;
pub mod policy;
mod profiles;
mod read;
mod relationships;
mod step;
mod subprofiles;
mod sweep;
mod told;
mod unwritten;
mod worker;

pub use clean::Cleaner;
pub use content::content_hash;
pub use indexer::Indexer;
pub use sweep::Brake;
pub use worker::{Applier, ApplyError, News};
