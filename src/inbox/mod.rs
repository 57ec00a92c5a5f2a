//! The inbox: deliveries as they came, until apply has settled them.
//!
//! In: raw bytes from ingest (webhooks, pages, fetches). Out: batches of pending deliveries, in order,
//! for the holder of a source's lease. Guaranteed: what [`Inbox::append`] has answered is flushed to
//! disk; a second copy of a delivery is told apart in the same transaction; ids of one source are
//! committed in order, so that *everything up to id n* means something. Deliberately absent: any
//! reading of what the bytes say.

mod along;
mod append;
mod backlog;
mod commit;
mod context;
pub mod erase;
mod filed;
mod insert;
mod keys;
mod lease;
mod operate;
mod take;
mod turn;

pub use along::Along;
pub use append::{AppendError, Appended, Inbox, NewDelivery};
pub use backlog::{Backlog, backlog};
pub use context::{Context, load_contexts};
pub use lease::{Lease, Watched, free_unrenewed, is_held, renew};
pub use operate::{MAX_TOUCHED, Operation, Selection, Touched, count_selected, operate};
pub use take::{Due, Settlement, Taken, count_pending, head, settle, take, take_held};
