//! Where two pages of a list join that comes in the order of creation.
//!
//! Rows that go while a list is paged by place move all later ones to places that were read already, and whatever was
//! between two pages is on neither. Rows that come do so at the end. So a page joins the one before it where it has a row
//! in common with it, or begins with a row that is older than the last one of it.

use crate::moment;
use chrono::{DateTime, Utc};

/// Between the parts of what is kept of a page.
const SEPARATOR: char = '\n';

/// What is kept of the rows at the end of a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Joint {
    /// When the last of them was created, as upstream writes it; empty where it does not say.
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

    /// Whether a page with these ids joins, whose first row was created then.
    pub fn holds(&self, mut ids: impl Iterator<Item = impl AsRef<str>>, first_created: Option<DateTime<Utc>>) -> bool {
        let is_older = first_created.zip(self.created()).is_some_and(|(first, last)| first < last);
        is_older || ids.any(|id| self.ids.iter().any(|known| known == id.as_ref()))
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
