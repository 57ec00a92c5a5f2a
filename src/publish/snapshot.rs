//! What is there at the place where a feed begins, a page at a time.

use super::Cursor;
use crate::mirror::read::{Key, Limit, LogPlace, MAX_PAGE, Page, PastError, PastProfile, Place, Predicate, Reader};
use std::collections::VecDeque;

/// The profiles that were there where a feed begins: later changes are taken back, so that the feed brings each of them
/// once.
pub struct Snapshot {
    reader: Reader,
    places: Vec<LogPlace>,
    predicate: Option<Predicate>,
    start: Cursor,
    looked_at: Option<i64>,
    /// Row id of the last profile that was handed out.
    shown_at: i64,
    page: VecDeque<PastProfile>,
    is_over: bool,
}

impl Snapshot {
    pub(super) fn new(
        reader: Reader,
        places: Vec<LogPlace>,
        start: Cursor,
        looked_at: Option<i64>,
        predicate: Option<Predicate>,
    ) -> Self {
        let shown_at = looked_at.unwrap_or(0);
        Self { reader, places, predicate, start, looked_at, shown_at, page: VecDeque::new(), is_over: false }
    }

    /// The place behind the last profile that was handed out.
    pub fn cursor(&self) -> Cursor {
        self.start.in_snapshot(self.shown_at)
    }

    /// The next profile, in the order in which the mirror met them; none behind the last.
    ///
    /// # Errors
    /// [`PastError`].
    pub async fn next(&mut self) -> Result<Option<PastProfile>, PastError> {
        loop {
            if let Some(past) = self.page.pop_front() {
                self.shown_at = past.row.id;
                return Ok(Some(past));
            }
            if self.is_over {
                return Ok(None);
            }
            self.read_on().await?;
        }
    }

    async fn read_on(&mut self) -> Result<(), PastError> {
        let after = self.looked_at.map(|id| Place(vec![Key::Number(id)]));
        let page = Page { limit: Limit::First(MAX_PAGE), after, before: None };
        let slice = self.reader.profiles(self.predicate.as_ref(), &[], &page).await?;
        self.looked_at = slice.rows.last().map(|row| row.id).or(self.looked_at);
        self.is_over = !slice.has_next;
        self.page.extend(self.reader.as_they_were(&self.places, self.predicate.as_ref(), slice.rows).await?);
        Ok(())
    }
}
