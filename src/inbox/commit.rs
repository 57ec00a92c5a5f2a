//! Commits one group of deliveries after the other.
//!
//! In: deliveries that wait together. Out: what became of each, in order, once all of them are durable. On SQLite it knows
//! the keys of what it has kept, and keeps the one writing connection from one group to the next.

use super::along::{self, Along, Written, pass_over_copy, write_along};
use super::append::Appended;
use super::insert::{Row, insert_or_count, insert_unknown};
use super::keys::{Digest, Keys};
use super::turn::Turn;
use crate::db::{Database, Dialect, dialect};
use crate::failpoint::Failpoint;
use entity::{Moment, delivery};
use sea_orm::{ColumnTrait, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait, QueryFilter, QuerySelect};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// A commit that takes longer is given up, so that a connection that hangs does not hold up every group behind it. On
/// SQLite the lock's own timeout does that.
const DEADLINE: Duration = Duration::from_secs(6);

/// Pause after another transaction was met half way.
const GIVES_WAY: Duration = Duration::from_millis(20);
/// Later than this no group is begun again: its senders will have been told to come back.
const BEGINS_AGAIN: Duration = Duration::from_secs(3);

/// Commits groups.
pub(super) struct Committer {
    db: Database,
    on_sqlite: Option<OnSqlite>,
}

/// What it takes to append on SQLite.
#[derive(Default)]
struct OnSqlite {
    keys: Keys,
    turn: Turn,
}

impl Committer {
    /// Makes ready for the first group.
    pub async fn open(db: Database, stop: &CancellationToken) -> Self {
        let mut on_sqlite = match db.dialect() {
            Dialect::Sqlite => Some(OnSqlite::default()),
            Dialect::Postgres => None,
        };
        if let Some(OnSqlite { keys, .. }) = &mut on_sqlite
            && let Err(error) = keys.open(&db, stop).await
        {
            tracing::warn!(%error, "read the dedupe keys; the first append reads them again");
        }
        Self { db, on_sqlite }
    }

    /// Does what must be done between two groups, even if senders wait.
    pub async fn tidy(&mut self) {
        if let Some(on_sqlite) = &mut self.on_sqlite {
            on_sqlite.turn.end_if_long();
            if on_sqlite.keys.is_filing_due() {
                on_sqlite.file_some(&self.db).await;
            }
        }
    }

    /// Does some of what is better done while nobody waits, and lets everybody else write; whether there was any.
    pub async fn tidy_while_nobody_waits(&mut self) -> bool {
        let Some(on_sqlite) = &mut self.on_sqlite else { return false };
        let has_filed = on_sqlite.keys.is_filing() && on_sqlite.file_some(&self.db).await;
        on_sqlite.turn.end();
        has_filed
    }

    /// Commits a group within its time and tells what became of each, in order. One that met apply half way, each waiting
    /// for a row of the other, is done again as long as there is time.
    ///
    /// # Errors
    /// The database's own error; a part of the group may be kept all the same.
    pub async fn commit(
        &mut self,
        now: Moment,
        deliveries: Vec<Row>,
        sources: &BTreeSet<i32>,
    ) -> Result<Vec<Appended>, DbErr> {
        let is_bare = deliveries.iter().all(|(delivery, _)| matches!(delivery.along, Along::Nothing));
        if let Some(on_sqlite) = &mut self.on_sqlite {
            return match is_bare {
                true => on_sqlite.commit_bare(&self.db, now, deliveries).await,
                false => on_sqlite.commit_along(&self.db, now, deliveries, sources).await,
            };
        }
        let begun = Instant::now();
        let commit = async {
            loop {
                match commit_on_postgres(&self.db, now, deliveries.clone(), sources).await {
                    // Whoever was met is let go on first: it has been woken, and would be met again otherwise.
                    Err(error) if dialect::is_deadlock(&error) && begun.elapsed() < BEGINS_AGAIN => {
                        tracing::debug!(%error, "append again");
                        tokio::time::sleep(GIVES_WAY).await;
                    }
                    outcome => return outcome,
                }
            }
        };
        let too_late = |_| Err(DbErr::Custom(format!("no commit within {} s", DEADLINE.as_secs())));
        tokio::time::timeout(DEADLINE, commit).await.unwrap_or_else(too_late)
    }
}

impl OnSqlite {
    /// Files some keys; whether that worked.
    async fn file_some(&mut self, db: &Database) -> bool {
        let filed = match self.turn.writer(db).await {
            Ok(writer) => self.keys.file_some(writer).await,
            Err(error) => Err(error),
        };
        if let Err(error) = &filed {
            self.turn.end();
            self.keys.put_off_filing();
            tracing::warn!(%error, "file dedupe keys; they stay in memory until it works");
        }
        filed.is_ok()
    }

    /// Commits rows with different keys in one statement, unless another instance has appended meanwhile.
    async fn commit_bare(&mut self, db: &Database, now: Moment, deliveries: Vec<Row>) -> Result<Vec<Appended>, DbErr> {
        let (rows, places) = distinct(deliveries);
        Failpoint::Append.pass();
        let inserted = insert_unknown(self.turn.writer(db).await?, now, &rows, &self.keys).await;
        if !matches!(inserted, Ok(Some(_))) {
            self.turn.end();
        }
        let placed = match inserted? {
            Some(placed) => placed,
            None => {
                let transaction = db.begin().await?;
                let placed = self.insert(&transaction, now, &rows).await?;
                Failpoint::Append.pass();
                transaction.commit().await?;
                placed
            }
        };
        self.note(&rows, &placed);
        Ok(answers(&placed, places))
    }

    /// Commits rows together with what must be true as soon as they are there.
    async fn commit_along(
        &mut self,
        db: &Database,
        now: Moment,
        deliveries: Vec<Row>,
        sources: &BTreeSet<i32>,
    ) -> Result<Vec<Appended>, DbErr> {
        self.turn.end();
        let transaction = begin_in_order(db, sources).await?;
        let known = self.known_pages(&transaction, &deliveries).await?;
        let welcomed = welcome(&transaction, deliveries, &known).await?;
        let placed = self.insert(&transaction, now, &welcomed.rows).await?;
        take_back(&transaction, &welcomed.rows, &placed).await?;
        Failpoint::Append.pass();
        transaction.commit().await?;
        self.note(&welcomed.rows, &placed);
        Ok(welcomed.answers(&placed))
    }

    /// The pages of runs among these that are there already.
    async fn known_pages(
        &mut self,
        transaction: &DatabaseTransaction,
        deliveries: &[Row],
    ) -> Result<HashSet<Digest>, DbErr> {
        let digests: Vec<Digest> = pages(deliveries).map(|(_, digest)| *digest).collect();
        if digests.is_empty() {
            return Ok(HashSet::new());
        }
        self.keys.catch_up(transaction).await?;
        let (fresh, other): (Vec<Digest>, Vec<Digest>) =
            digests.into_iter().partition(|digest| self.keys.find(digest).is_some());
        let mut known: HashSet<Digest> = fresh.into_iter().collect();
        let looked_for: Vec<Digest> = other.into_iter().filter(|digest| self.keys.may_be_filed(digest)).collect();
        if !looked_for.is_empty() {
            known.extend(self.keys.find_filed(transaction, looked_for).await?.into_keys());
        }
        Ok(known)
    }

    /// Inserts within a transaction: nobody else appends meanwhile.
    async fn insert(
        &mut self,
        transaction: &DatabaseTransaction,
        now: Moment,
        rows: &[Row],
    ) -> Result<Vec<Appended>, DbErr> {
        self.keys.catch_up(transaction).await?;
        let placed = insert_unknown(transaction, now, rows, &self.keys).await?;
        placed.ok_or_else(|| DbErr::Custom("two wrote to the inbox at once".to_owned()))
    }

    fn note(&mut self, rows: &[Row], placed: &[Appended]) {
        self.keys.note(rows.iter().zip(placed).filter_map(|((_, digest), placed)| match placed {
            Appended::Kept(id) => Some((*digest, *id)),
            Appended::Duplicate(_) | Appended::Refused => None,
        }));
    }
}

async fn commit_on_postgres(
    db: &Database,
    now: Moment,
    deliveries: Vec<Row>,
    sources: &BTreeSet<i32>,
) -> Result<Vec<Appended>, DbErr> {
    let transaction = begin_in_order(db, sources).await?;
    let known = known_pages(&transaction, &deliveries).await?;
    let welcomed = welcome(&transaction, deliveries, &known).await?;
    let mut placed = Vec::with_capacity(welcomed.rows.len());
    for chunk in welcomed.rows.chunks(128) {
        placed.extend(insert_or_count(&transaction, now, chunk).await?);
    }
    take_back(&transaction, &welcomed.rows, &placed).await?;
    Failpoint::Append.pass();
    transaction.commit().await?;
    Ok(welcomed.answers(&placed))
}

/// The pages of runs among these that are there already, on PostgreSQL.
async fn known_pages(transaction: &impl ConnectionTrait, deliveries: &[Row]) -> Result<HashSet<Digest>, DbErr> {
    use delivery::Column;
    let mut known = HashSet::new();
    let pages: Vec<&Row> = pages(deliveries).collect();
    for (page, digest) in pages {
        let there: Option<i64> = delivery::Entity::find()
            .filter(Column::SourceId.eq(page.source_id))
            .filter(Column::DedupeKey.eq(page.dedupe_key.as_str()))
            .select_only()
            .column(Column::Id)
            .into_tuple()
            .one(transaction)
            .await?;
        if there.is_some() {
            known.insert(*digest);
        }
    }
    Ok(known)
}

fn pages(deliveries: &[Row]) -> impl Iterator<Item = &Row> {
    deliveries.iter().filter(|(delivery, _)| matches!(delivery.along, Along::Checkpoint { .. }))
}

/// A transaction in which positions are handed out in the order in which they commit.
async fn begin_in_order(db: &Database, sources: &BTreeSet<i32>) -> Result<DatabaseTransaction, DbErr> {
    let transaction = db.begin().await?;
    for source_id in sources {
        dialect::order_inbox(&transaction, db.dialect(), *source_id).await?;
    }
    Ok(transaction)
}

/// Deliveries that are to be kept, each key once, and where each delivery of the group is among them.
struct Welcomed {
    is_welcome: Vec<bool>,
    rows: Vec<Row>,
    places: Vec<usize>,
}

/// Writes what comes along with each delivery, unless it is a page that is known already; one of a run that has gone on
/// without its sender is not welcome. What was not written is no longer along.
async fn welcome(
    transaction: &impl ConnectionTrait,
    deliveries: Vec<Row>,
    known: &HashSet<Digest>,
) -> Result<Welcomed, DbErr> {
    let mut is_welcome = Vec::with_capacity(deliveries.len());
    let mut kept = Vec::with_capacity(deliveries.len());
    for (mut delivery, digest) in deliveries {
        let written = match known.contains(&digest) {
            true => pass_over_copy(transaction, &delivery.along).await?,
            false => write_along(transaction, &delivery.along).await?,
        };
        is_welcome.push(written != Written::Refused);
        match written {
            Written::Yes => kept.push((delivery, digest)),
            Written::Nothing => {
                delivery.along = Along::Nothing;
                kept.push((delivery, digest));
            }
            Written::Refused => {}
        }
    }
    let (rows, places) = distinct(kept);
    Ok(Welcomed { is_welcome, rows, places })
}

/// Takes back what came along with copies.
async fn take_back(transaction: &impl ConnectionTrait, rows: &[Row], placed: &[Appended]) -> Result<(), DbErr> {
    for ((delivery, _), placed) in rows.iter().zip(placed) {
        if let Appended::Duplicate(_) = placed {
            along::take_back(transaction, &delivery.along).await?;
        }
    }
    Ok(())
}

impl Welcomed {
    fn answers(self, placed: &[Appended]) -> Vec<Appended> {
        let mut answered = answers(placed, self.places).into_iter();
        let answer = |is_welcome: bool| if is_welcome { answered.next() } else { None };
        self.is_welcome.into_iter().map(answer).map(|answer| answer.unwrap_or(Appended::Refused)).collect()
    }
}

/// What became of each delivery: the first of several copies is the one that is kept.
fn answers(placed: &[Appended], places: Vec<usize>) -> Vec<Appended> {
    let mut is_first = vec![true; placed.len()];
    let answer = |place: usize| match placed[place] {
        Appended::Kept(id) if !std::mem::take(&mut is_first[place]) => Appended::Duplicate(id),
        appended => appended,
    };
    places.into_iter().map(answer).collect()
}

/// Each key once, and for every delivery which of them is its own: copies that wait side by side would
/// touch one row twice in one statement.
fn distinct(deliveries: Vec<Row>) -> (Vec<Row>, Vec<usize>) {
    let mut rows: Vec<Row> = Vec::with_capacity(deliveries.len());
    let mut places = Vec::with_capacity(deliveries.len());
    let mut known: HashMap<Digest, usize> = HashMap::with_capacity(deliveries.len());
    for (delivery, digest) in deliveries {
        let place = *known.entry(digest).or_insert(rows.len());
        if place == rows.len() {
            rows.push((delivery, digest));
        }
        places.push(place);
    }
    (rows, places)
}

#[cfg(test)]
mod tests {
    use super::super::keys::tests::{database, rows};
    use super::*;

    #[tokio::test]
    async fn filing_is_put_off_where_there_is_no_writer() {
        let folder = tempfile::tempdir().unwrap();
        let db = database(&folder).await;
        let mut committer = Committer::open(db.clone(), &CancellationToken::new()).await;
        for group in rows(0..2_500).chunks(250) {
            let kept = committer.commit(Moment(1), group.to_vec(), &BTreeSet::from([1])).await.unwrap();
            assert!(kept.iter().all(|appended| matches!(appended, Appended::Kept(_))));
        }
        assert!(!committer.tidy_while_nobody_waits().await, "nothing is being filed yet");
        let on_sqlite = committer.on_sqlite.as_mut().unwrap();
        assert!(on_sqlite.file_some(&db).await && on_sqlite.keys.is_filing(), "more than one statement");
        assert!(committer.tidy_while_nobody_waits().await, "one more of them");

        db.close().await.unwrap();
        assert!(!committer.tidy_while_nobody_waits().await, "so that whoever asks waits for senders");
        assert!(!committer.tidy_while_nobody_waits().await);
    }
}
