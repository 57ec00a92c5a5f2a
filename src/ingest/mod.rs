//! Ingest: bytes in, nothing interpreted.
//!
//! In: webhooks that providers push, answers to calls that we make. Out: deliveries in the inbox.
//! Guaranteed: a webhook that is answered 2xx is flushed to disk; a fetch request is answered once, in
//! the transaction that keeps its answer; an import resumes at its checkpoint. Deliberately absent: any
//! reading of records, and any taking from the inbox.
//!
//! `webhook` is the door for pushes. `upstream` makes calls as each provider wants them made; `pull`
//! carries out fetch requests with it, `import` pages through a source's lists, `schedule` starts
//! imports, `keys` looks up signing keys in DNS.

mod import;
mod keys;
mod pull;
mod schedule;
mod upstream;
mod webhook;

pub use import::{ImportError, Importer, Progress};
pub use keys::DnsKeys;
pub use pull::Puller;
pub use schedule::{Schedule, ScheduleError};
pub use upstream::{CallError, Upstream, UpstreamSettings};
pub use webhook::{Budget, Door, Doors, router};
