//! Keeps what filters are served by in step with the configuration and with the mirror: an index for each reading of
//! each filterable field, none for others, and the words of profiles from before there was a search.
//!
//! It works in the background after the start, and nothing waits for it: a filter without its index is slower.

use crate::backoff;
use crate::db::fields::FieldAs;
use crate::db::{Database, dialect, field_index};
use crate::mirror::write;
use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Profiles whose words are made in one transaction: senders wait for SQLite's one writer.
const FILLED_AT_ONCE: u64 = 200;
/// Between two indexes or transactions, as many times as long as the last one took: others write meanwhile.
const REST_SHARE: u32 = 1;

/// Makes and drops the indexes of one database.
pub struct Indexer {
    db: Database,
    filterable: BTreeSet<String>,
}

impl Indexer {
    /// An indexer for the fields that the configuration names.
    pub fn new(db: Database, filterable: impl IntoIterator<Item = String>) -> Self {
        Self { db, filterable: filterable.into_iter().collect() }
    }

    /// Works until everything is there, or until told to stop.
    pub async fn run(self, stop: CancellationToken) {
        let work = async {
            let mut failures = 0;
            while let Err(error) = self.work().await {
                failures += 1;
                tracing::warn!(%error, "make what filters are served by");
                let pause_ms = backoff::pause_ms(failures, 1_000, 60_000);
                tokio::time::sleep(Duration::from_millis(pause_ms.unsigned_abs())).await;
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = work => {}
        }
    }

    async fn work(&self) -> Result<(), DbErr> {
        let unhurried = self.db.unhurried("0").await?;
        let worked = self.work_over(unhurried.connection()).await;
        worked.and(unhurried.close().await)
    }

    async fn work_over(&self, connection: &DatabaseConnection) -> Result<(), DbErr> {
        // One instance at a time; the next one finds nothing left to do.
        let guard = dialect::lock_indexes(&self.db, connection).await?;
        let has_filled = self.fill_search().await?;
        self.drop_indexes(connection).await?;
        let has_made = self.make_indexes(connection).await?;
        if has_filled || has_made {
            dialect::note_indexes(connection, self.db.dialect()).await?;
        }
        guard.release().await
    }

    /// Makes the words that are missing; false where none were.
    async fn fill_search(&self) -> Result<bool, DbErr> {
        let mut after = 0;
        loop {
            let begun = Instant::now();
            let transaction = self.db.begin().await?;
            let last = write::fill_search(&transaction, after, FILLED_AT_ONCE).await?;
            transaction.commit().await?;
            let Some(last) = last else { return Ok(after > 0) };
            after = last;
            tokio::time::sleep(begun.elapsed() * REST_SHARE).await;
        }
    }

    /// Drops what nobody asks for any more, and what was not made to its end.
    async fn drop_indexes(&self, connection: &DatabaseConnection) -> Result<(), DbErr> {
        let wanted: BTreeSet<String> =
            self.wanted().map(|(name, reading)| field_index::name(self.db.dialect(), name, reading)).collect();
        for index in field_index::list(self.db.primary()).await? {
            if !index.is_usable || !wanted.contains(&index.name) {
                connection.execute_unprepared(&field_index::drop(self.db.dialect(), &index.name)).await?;
                tracing::info!(index = index.name, "dropped an index of a field");
            }
        }
        Ok(())
    }

    /// Makes what is missing; false where nothing was.
    async fn make_indexes(&self, connection: &DatabaseConnection) -> Result<bool, DbErr> {
        let there: BTreeSet<String> =
            field_index::list(self.db.primary()).await?.into_iter().map(|index| index.name).collect();
        let mut has_made = false;
        for (field, reading) in self.wanted() {
            let name = field_index::name(self.db.dialect(), field, reading);
            if !there.contains(&name) {
                self.make_index(connection, field, reading).await?;
                has_made = true;
            }
            if let Some(statement) = field_index::without_statistics(self.db.dialect(), &name) {
                connection.execute_unprepared(&statement).await?;
            }
        }
        Ok(has_made)
    }

    async fn make_index(&self, connection: &DatabaseConnection, field: &str, reading: FieldAs) -> Result<(), DbErr> {
        let begun = Instant::now();
        connection.execute_unprepared(&field_index::create(self.db.dialect(), field, reading)).await?;
        let elapsed = begun.elapsed();
        tracing::info!(field, ?reading, ?elapsed, "made an index of a field");
        tokio::time::sleep(elapsed * REST_SHARE).await;
        Ok(())
    }

    fn wanted(&self) -> impl Iterator<Item = (&str, FieldAs)> {
        self.filterable.iter().flat_map(|name| FieldAs::ALL.map(|reading| (name.as_str(), reading)))
    }
}
