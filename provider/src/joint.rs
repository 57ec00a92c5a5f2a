//! Where two pages of a list join that comes in the order of creation.
//!
//! Rows that go while a list is paged by place move all later ones to places that were read already, and whatever was
//! between two pages is on neither. So a page joins the one before it where it has a row in common with it, or begins with a
//! row that is older than the last one of it.

use crate::{Page, moment};
use chrono::{DateTime, Utc};

/// A row of a list, as far as its place goes.
pub(crate) struct Row {
    pub id: Option<String>,
    pub created: Option<DateTime<Utc>>,
}

/// Between the parts of what is kept of a page.
const SEPARATOR: char = '\n';

/// Rows that are kept of the end of a page.
pub(crate) const KEPT: usize = 4;
/// Pages of a stream for each that it takes where nothing moves, and some for a list that was longer: more tell of a list in
/// no lasting order, or of one that shrinks faster than it is read.
const PATIENCE: u64 = 20;
const PATIENCE_AT_LEAST: u64 = 1_000;

/// Whether a stream may go back once more. After that its pages are taken as they come, and its total tells.
pub(crate) fn may_go_back(page: &Page, total: u64, size: u64) -> bool {
    let rows = total.max(page.expected.unwrap_or(0));
    u64::from(page.number) <= PATIENCE_AT_LEAST + PATIENCE * (rows / size.max(1))
}

/// What is kept of the rows at the end of a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Joint {
    /// When the last of them was created, RFC 3339; empty where upstream does not say.
    pub created: String,
    /// Their ids.
    pub ids: Vec<String>,
}

impl Joint {
    /// As written by [`Joint::to_text`], or by a version that kept ids alone.
    pub fn read(text: &str) -> Self {
        let mut parts = text.split(SEPARATOR).map(str::to_owned).peekable();
        let created = parts.next_if(|part| part.is_empty() || moment::iso(part).is_some()).unwrap_or_default();
        Self { created, ids: parts.filter(|id| !id.is_empty()).collect() }
    }

    /// For [`crate::Page::after`].
    pub fn to_text(&self) -> String {
        let parts: Vec<&str> = std::iter::once(&self.created).chain(&self.ids).map(String::as_str).collect();
        parts.join(&SEPARATOR.to_string())
    }

    /// Of the last of these rows.
    pub fn of(rows: &[Row], kept: usize) -> Self {
        let created = rows.last().and_then(|row| row.created).map(|at| at.to_rfc3339()).unwrap_or_default();
        let ids = rows[rows.len().saturating_sub(kept)..].iter().filter_map(|row| row.id.clone()).collect();
        Self { created, ids }
    }

    /// Whether a page of these rows joins.
    pub fn holds(&self, rows: &[Row]) -> bool {
        let last = self.created();
        let is_older = rows.first().and_then(|row| row.created).zip(last).is_some_and(|(first, last)| first < last);
        let is_kept = |row: &Row| {
            // An id may have been given again since.
            let is_newer = row.created.zip(last).is_some_and(|(created, last)| created > last);
            !is_newer && row.id.as_ref().is_some_and(|id| self.ids.contains(id))
        };
        is_older || rows.iter().any(is_kept)
    }

    /// When the last row was created, where upstream said so in a way that can be read.
    pub fn created(&self) -> Option<DateTime<Utc>> {
        moment::iso(&self.created)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_whose_id_was_given_again_is_not_the_one_that_was_read() {
        let row = |id: &str, created| Row { id: Some(id.to_owned()), created: moment::iso(created) };
        let joint = Joint::of(&[row("a", "2026-01-01T00:00:00Z"), row("z", "2026-01-02T00:00:00Z")], KEPT);
        assert!(joint.holds(&[row("y", "2026-01-02T00:00:00Z"), row("z", "2026-01-02T00:00:00Z")]));
        assert!(!joint.holds(&[row("y", "2026-01-03T00:00:00Z"), row("z", "2026-01-04T00:00:00Z")]));
    }

    #[test]
    fn it_is_read_as_it_was_written() {
        let times = ["", "2026-01-01T00:00:00.000Z"];
        for (created, ids) in times.iter().flat_map(|time| [(time, vec!["a", "b"]), (time, vec!["c"])]) {
            let joint = Joint { created: (*created).to_owned(), ids: ids.into_iter().map(str::to_owned).collect() };
            assert_eq!(Joint::read(&joint.to_text()), joint);
        }
        assert_eq!(Joint::read("a\nb").ids, ["a", "b"], "an older version kept ids alone");
        assert_eq!(Joint::read(""), Joint::default());
    }
}
