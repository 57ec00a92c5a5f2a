//! Ingest: bytes in, nothing interpreted.
//!
//! In: webhooks that providers push, answers to calls that we make. Out: deliveries in the inbox.
//! Guaranteed: a webhook that is answered 2xx is flushed to disk; a fetch request is answered once, in
//! the transaction that keeps its answer; a run resumes at its checkpoint. Deliberately absent: any
//! reading of records, and any taking from the inbox.
//!
//! `webhook` is the door for pushes, `body` takes in what comes through it, `refusals` remembers whom it turned away. `upstream` makes calls as each
//! provider wants them made, each out of the source's one `budget` and through the gate of `pause`, and `wire` sends
//! them; `pull` carries out fetch requests with it, `run` pages through a source's lists, `schedule` wakes it at its
//! times, `keys` looks up signing keys in DNS.

mod body;
mod budget;
mod keys;
mod pause;
mod pull;
mod refusals;
pub mod run;
mod schedule;
mod upstream;
mod webhook;
mod wire;

pub use body::BodyRoom;
pub use budget::Reading as BudgetReading;
pub use keys::DnsKeys;
pub use pause::{Gate, PauseError, Paused};
pub use pull::Puller;
pub use refusals::Refusals;
pub use run::{Halt, Runner, Timetable};
pub use schedule::{Schedule, ScheduleError};
pub use upstream::{CallError, Upstream, UpstreamSettings};
pub use webhook::{Door, Doors, router};
pub use wire::{HttpWire, Wire, WireError, client_builder};
