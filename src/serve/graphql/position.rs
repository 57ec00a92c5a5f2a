//! Where a subscription stands in the change log, as the edge sees it: it may begin it at another place than the document
//! says, and learns the place of each answer.

use crate::publish::{Cursor, Kept};
use std::sync::{Arc, Mutex, PoisonError};

/// Where a subscription stands. A subscription whose place is never told cannot be resumed.
#[derive(Default)]
pub(crate) struct Position {
    resumed_at: Option<Cursor>,
    told: Mutex<Option<Told>>,
    passed: Mutex<Option<Cursor>>,
}

/// The place of an answer.
#[derive(Clone)]
pub(crate) struct Told {
    /// Where to go on behind it.
    pub cursor: Cursor,
    /// Source and revision of the change that it tells, where it tells one.
    pub change: Option<(Arc<str>, i64)>,
    /// What was made of it must not be shown any more once this is wiped.
    pub kept: Option<Kept>,
    /// Nothing comes behind it.
    pub is_last: bool,
}

impl Position {
    /// Goes on behind this cursor, whatever the document says, and is not told anew that it is caught up.
    pub fn resumed(cursor: Cursor) -> Self {
        Self { resumed_at: Some(cursor), ..Self::default() }
    }

    pub(super) fn resumed_at(&self) -> Option<&Cursor> {
        self.resumed_at.as_ref()
    }

    pub(super) fn tell(&self, told: Told) {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = Some(told);
    }

    /// Passes over what is no answer.
    pub(super) fn pass(&self, cursor: Cursor) {
        *self.passed.lock().unwrap_or_else(PoisonError::into_inner) = Some(cursor);
    }

    /// The place that it passed over last; an answer may have come since.
    pub fn passed(&self) -> Option<Cursor> {
        self.passed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The place of the answer that came last; none where it has none, as inside a snapshot.
    pub fn take(&self) -> Option<Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
