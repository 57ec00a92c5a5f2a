//! Where a subscription stands in the change log, as the edge sees it: it may begin it at another place than the document
//! says, and learns the place of each answer.

use crate::publish::Cursor;
use std::sync::{Arc, Mutex, PoisonError};

/// Where a subscription stands. A subscription whose place is never told cannot be resumed.
#[derive(Debug, Default)]
pub(crate) struct Position {
    resumed_at: Option<Cursor>,
    told: Mutex<Option<Told>>,
}

/// The place of an answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Told {
    /// Where to go on behind it.
    pub cursor: Cursor,
    /// Source and revision of the change that it tells, where it tells one.
    pub change: Option<(Arc<str>, i64)>,
    /// Nothing comes behind it.
    pub is_last: bool,
}

impl Position {
    /// Goes on behind this cursor, whatever the document says, and is not told anew that it is caught up.
    pub fn resumed(cursor: Cursor) -> Self {
        Self { resumed_at: Some(cursor), told: Mutex::default() }
    }

    pub(super) fn resumed_at(&self) -> Option<&Cursor> {
        self.resumed_at.as_ref()
    }

    pub(super) fn tell(&self, told: Told) {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = Some(told);
    }

    /// The place of the answer that came last; none where it has none, as inside a snapshot.
    pub fn take(&self) -> Option<Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
