//! SQLite's one writing connection, kept from one group of senders to the next while more of them wait.
//!
//! To give it back and take it again costs about as much as the statement of a group ([`Held`]). Everybody else who writes
//! waits meanwhile, so it is given back after some commits at the latest.

use crate::db::{Database, Held};
use sea_orm::DbErr;
use std::time::{Duration, Instant};

/// So long it is kept while others may wait for it, and until the commit under way ends: a few commits.
const LONG: Duration = Duration::from_millis(10);

/// The writing connection, where it is kept.
#[derive(Default)]
pub(super) struct Turn(Option<(Held, Instant)>);

impl Turn {
    /// The writer; waits for it where it is not kept.
    ///
    /// # Errors
    /// The database's own error.
    pub async fn writer(&mut self, db: &Database) -> Result<&Held, DbErr> {
        let held = match self.0.take() {
            Some(held) => held,
            None => (db.hold_writer().await?, Instant::now()),
        };
        Ok(&self.0.insert(held).0)
    }

    /// Gives it back where it was kept for long.
    pub fn end_if_long(&mut self) {
        self.0.take_if(|(_, since)| since.elapsed() >= LONG);
    }

    /// Gives it back.
    pub fn end(&mut self) {
        self.0 = None;
    }
}
