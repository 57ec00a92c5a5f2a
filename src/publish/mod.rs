//! Reads each committed change once a process, and hands it to every subscriber.
//!
//! In: a ring after each commit, and the change log as the truth (polled, so that a lost ring or another
//! instance's commit costs half a second, never a change). Out: feeds, one a subscriber,
//! and snapshots of what is there where a feed begins.
//! Guaranteed: a feed brings each change after its cursor once, in the order of each source, with no gap at the
//! seam between log and live; idle feeds cost no statement; memory is bounded however slow a reader is, for one
//! that falls behind reads on from the log.
//! Deliberately absent: filters and roles, which belong to serve, and anything kept over a restart: the log and
//! the client's cursor are all that a feed needs.

mod before;
mod cursor;
mod event;
mod feed;
mod hub;
mod snapshot;
mod tail;

pub use before::Before;
pub use cursor::{Cursor, MalformedCursor};
pub use event::Event;
pub use feed::{Feed, FeedItem, Kept, SubscribeError};
pub use snapshot::Snapshot;
pub use tail::Publisher;

#[cfg(test)]
mod tests;
