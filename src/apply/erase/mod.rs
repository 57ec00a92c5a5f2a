//! Erases a person: everything that the mirror holds of them but their id, in the transaction that learns of it.
//!
//! Three parts. `search` runs before the transaction, because it may read and parse much: nobody else settles
//! deliveries of the source meanwhile. `carry_out` empties the log, the raw deliveries and the requests, writes the
//! receipt, and puts the id on the list of `suppression`. `late` takes care of every delivery that is settled
//! afterwards and tells of somebody erased, whatever apply made of it. The current rows are emptied by
//! `lifecycles::anonymize`.
//!
//! `named` says whom a delivery names, `redact` takes what it tells of them out of its body.

mod carry_out;
mod late;
mod named;
mod redact;
mod search;
mod suppression;

pub(super) use carry_out::{Eraser, Erasing, MAX_ERASURES, carry_out};
pub(super) use late::{Erased, Hit, empty_parked};
pub(super) use named::{erases, names, subjects};
pub(super) use search::{Found, search};
pub(super) use suppression::uphold;
