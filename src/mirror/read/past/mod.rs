//! Profiles as they were: the change log followed back from the rows of today.
//!
//! Every change holds what it replaced, so that undoing the newer ones, the newest first, leads to any earlier place of
//! the log. The row is read before the changes: one that is committed in between is undone without having been done,
//! which leaves the same values. What was erased stays erased, since the log does not hold it any more; only the status
//! is known from then.

mod place;
mod profiles;
mod related;
mod undo;

pub use place::LogPlace;
pub use profiles::{PastPage, PastProfile};
pub use undo::undo;

use super::ReadError;

/// Why the past cannot be told.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PastError {
    /// The log no longer holds what comes after that place.
    #[error("read the past: the change log does not go back so far")]
    Expired,
    /// The place is ahead of the log.
    #[error("read the past: the place is ahead of the change log")]
    Ahead,
    /// Too much has changed since.
    #[error("read the past: more has changed since than is followed back at once")]
    TooFar,
    /// The database does not answer.
    #[error(transparent)]
    Unreadable(#[from] ReadError),
}

/// Changes that are followed back at once.
const MAX_CHANGES: u64 = 20_000;
