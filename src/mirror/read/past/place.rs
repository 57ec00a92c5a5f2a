//! Where in the log a moment is.

use super::PastError;
use crate::mirror::read::{ReadError, Reader};
use ::entity::{Moment, change};
use std::collections::HashMap;

/// A place in the log of one source: behind this revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LogPlace {
    /// The source.
    pub source_id: i32,
    /// The newest revision that is seen from there; 0 at the beginning of the log.
    pub revision: i64,
    /// The time there.
    pub at: Moment,
}

impl LogPlace {
    /// Whether the source had no change yet, and so nobody.
    pub(super) fn is_beginning(self) -> bool {
        self.revision == 0
    }
}

/// What the log of one source holds.
struct Ends {
    source_id: i32,
    oldest: i64,
    newest: i64,
}

impl Reader {
    /// Where the log of each source was at a moment; a source that had no change yet is at its beginning.
    ///
    /// # Errors
    /// [`PastError::Expired`] where the log of a source begins later.
    pub async fn places_at(&self, at: Moment) -> Result<Vec<LogPlace>, PastError> {
        let mut places = Vec::new();
        for ends in self.log_ends().await? {
            let revision = self.newest_until(&ends, at).await?;
            check(&ends, revision)?;
            places.push(LogPlace { source_id: ends.source_id, revision, at });
        }
        Ok(places)
    }

    /// The places behind these revisions, by source; a source that is not named is at its beginning.
    ///
    /// # Errors
    /// [`PastError::Expired`] where the log of a source begins later, [`PastError::Ahead`] where it ends before.
    pub async fn places_of(&self, revisions: &HashMap<i32, i64>) -> Result<Vec<LogPlace>, PastError> {
        let mut places = Vec::new();
        for ends in self.log_ends().await? {
            let revision = revisions.get(&ends.source_id).copied().unwrap_or(0);
            check(&ends, revision)?;
            let at = self.time_of(ends.source_id, revision).await?.unwrap_or(Moment(0));
            places.push(LogPlace { source_id: ends.source_id, revision, at });
        }
        Ok(places)
    }

    async fn log_ends(&self) -> Result<Vec<Ends>, ReadError> {
        let oldest: HashMap<i32, i64> = self.oldest_revisions().await?.into_iter().collect();
        let ends = |(source_id, newest): (i32, i64)| {
            let oldest = oldest.get(&source_id).copied().unwrap_or(newest + 1);
            Ends { source_id, oldest, newest }
        };
        Ok(self.revisions().await?.into_iter().map(ends).collect())
    }

    /// The newest revision that was committed until then. Revisions are dense, and only they have an index: the log is
    /// halved until the place is found.
    async fn newest_until(&self, ends: &Ends, at: Moment) -> Result<i64, ReadError> {
        let (mut known, mut beyond) = (ends.oldest - 1, ends.newest + 1);
        while known + 1 < beyond {
            let middle = known + (beyond - known) / 2;
            match self.time_of(ends.source_id, middle).await? {
                Some(committed) if committed <= at => known = middle,
                _ => beyond = middle,
            }
        }
        Ok(known)
    }

    async fn time_of(&self, source_id: i32, revision: i64) -> Result<Option<Moment>, ReadError> {
        let found: Vec<change::Model> = self.log(source_id, revision - 1, 1).await?;
        Ok(found.into_iter().next().filter(|change| change.revision == revision).map(|change| change.at))
    }
}

fn check(ends: &Ends, revision: i64) -> Result<(), PastError> {
    if revision > ends.newest {
        return Err(PastError::Ahead);
    }
    // Before the oldest change that is kept everything was as that change found it, and when that was is not known.
    let is_beginning = ends.oldest <= 1;
    if revision < ends.oldest && !is_beginning { Err(PastError::Expired) } else { Ok(()) }
}
