//! Dedupe keys on SQLite: the newest in memory, all others filed in a table of their own.
//!
//! Keys are random. In one index each of them would rewrite a page of its own, in the commit that its sender waits for,
//! and that was most of what a commit wrote. So a commit appends rows and touches no index of keys; once many have
//! gathered, their keys are filed in sorted order, a page for many of them, while nobody waits or between two groups.
//!
//! Of the filed ones, [`Filed`] keeps in memory which may be there, so that hardly any new key is looked for.
//!
//! Guaranteed: what [`Keys`] knows is what the table `delivery` says, never more. Every key above the mark is in memory, every
//! other one is filed, and an insert says up to which delivery its instance knows the keys: it does nothing where another
//! instance has appended meanwhile. A process that dies loses nothing but what it can read again.

use super::filed::Filed;
use crate::db::Database;
use entity::{delivery, delivery_key, delivery_key_mark};
use ring::digest::{Context, SHA256};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbBackend, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Statement,
};
use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Keys in memory before they are filed: the more, the more of them share a page. 50 bytes each.
const FILE_AT: usize = 32_768;
/// Keys that one statement files: some milliseconds, which senders may have to wait for.
const FILED_AT_ONCE: usize = 1024;
/// Deliveries kept between two such statements while senders wait. Below the number filed, so that filing gets done.
const KEPT_BETWEEN: usize = FILED_AT_ONCE / 2;
/// Deliveries read at once where another instance has appended, or after a start.
const READ_AT_ONCE: u64 = 4096;

/// Half of a SHA-256, over the source and the dedupe key.
pub(super) type Digest = [u8; 16];

/// What stands for a delivery's key.
pub(super) fn digest(source_id: i32, dedupe_key: &str) -> Digest {
    let mut context = Context::new(&SHA256);
    context.update(&source_id.to_le_bytes());
    context.update(dedupe_key.as_bytes());
    let mut digest = Digest::default();
    digest.copy_from_slice(&context.finish().as_ref()[..16]);
    digest
}

/// The keys that are not filed yet, and up to where they are known.
#[derive(Default)]
pub(super) struct Keys {
    fresh: HashMap<Digest, i64>,
    /// Which of the others may be filed; none where all of them are looked for.
    filed: Option<Arc<Filed>>,
    /// Id of the last delivery whose key is known; none before anything was read.
    known_to: Option<i64>,
    filing: Option<Filing>,
    kept_since: usize,
}

/// Keys on their way into the table, in sorted order.
struct Filing {
    left: std::vec::IntoIter<(Digest, i64)>,
    /// All keys up to this delivery are filed once none is left.
    filed_to: i64,
}

impl Keys {
    /// Position of the delivery with this key, if it is one of those in memory.
    pub fn find(&self, digest: &Digest) -> Option<i64> {
        self.fresh.get(digest).copied()
    }

    /// Whether the key may be filed; false only where it certainly is not.
    pub fn may_be_filed(&self, digest: &Digest) -> bool {
        self.filed.as_ref().is_none_or(|filed| filed.may_hold(digest))
    }

    /// An insert holds only if this is still the newest delivery there ever was.
    pub fn known_to(&self) -> i64 {
        self.known_to.unwrap_or(-1)
    }

    /// Takes up deliveries that have been committed, in the order of their ids.
    pub fn note(&mut self, kept: impl IntoIterator<Item = (Digest, i64)>) {
        for (digest, id) in kept {
            if let Some(filed) = &self.filed {
                filed.add(&digest);
            }
            self.fresh.insert(digest, id);
            self.known_to = self.known_to.max(Some(id));
            self.kept_since += 1;
        }
    }

    /// Reads what a process must know before its first append. Which keys are filed is read in the background, until the
    /// end of the task that is returned; each new one is looked for in their table meanwhile.
    ///
    /// # Errors
    /// The database's own error.
    pub async fn open(&mut self, db: &Database, stop: &CancellationToken) -> Result<JoinHandle<()>, DbErr> {
        self.load(db, stop).await?;
        // From here on every key is filed already, in memory, or noted later.
        let filed = Arc::new(Filed::beside(mark(db.primary()).await?.unsigned_abs()));
        self.fresh.keys().for_each(|digest| filed.add(digest));
        self.filed = Some(Arc::clone(&filed));
        let (db, stop) = (db.clone(), stop.clone());
        Ok(tokio::spawn(async move {
            match filed.read_all(&db, &stop).await {
                Err(error) if !stop.is_cancelled() => {
                    tracing::warn!(%error, "read the filed dedupe keys; each new one is looked for in their table");
                }
                _ => {}
            }
        }))
    }

    /// Reads the keys of all deliveries that are not known yet. Too many are filed on the way.
    async fn load(&mut self, db: &Database, stop: &CancellationToken) -> Result<(), DbErr> {
        while !stop.is_cancelled() && !self.read_some(db.primary()).await? {
            while !stop.is_cancelled() && self.fresh.len() >= FILE_AT {
                self.file_some(db.writer()).await?;
            }
        }
        Ok(())
    }

    /// The same within a transaction that no other instance can append during.
    ///
    /// # Errors
    /// The database's own error.
    pub async fn catch_up(&mut self, transaction: &impl ConnectionTrait) -> Result<(), DbErr> {
        while !self.read_some(transaction).await? {}
        Ok(())
    }

    /// Reads some keys; whether those were all.
    async fn read_some(&mut self, connection: &impl ConnectionTrait) -> Result<bool, DbErr> {
        use delivery::Column;
        let after = match self.known_to {
            Some(known_to) => known_to,
            None => mark(connection).await?,
        };
        // Read first: all deliveries up to it are committed, and the newest may have been removed since.
        let newest = newest_id(connection).await?;
        if newest > after && self.filed.is_some() && mark(connection).await? > after {
            // Another instance has filed keys of which this one knows nothing: from now on each new one is looked for.
            self.filed = None;
        }
        let rows: Vec<(i64, i32, String)> = delivery::Entity::find()
            .filter(Column::Id.gt(after))
            .filter(Column::Id.lte(newest))
            .order_by_asc(Column::Id)
            .limit(READ_AT_ONCE)
            .select_only()
            .columns([Column::Id, Column::SourceId, Column::DedupeKey])
            .into_tuple()
            .all(connection)
            .await?;
        let is_all = (rows.len() as u64) < READ_AT_ONCE;
        self.known_to = self.known_to.max(Some(after));
        self.note(rows.into_iter().map(|(id, source_id, key)| (digest(source_id, &key), id)));
        if is_all {
            self.known_to = self.known_to.max(Some(newest));
        }
        Ok(is_all)
    }

    /// Which of these keys are filed, and where their deliveries are.
    ///
    /// # Errors
    /// The database's own error.
    pub async fn find_filed(
        &self,
        connection: &impl ConnectionTrait,
        digests: impl IntoIterator<Item = Digest>,
    ) -> Result<HashMap<Digest, i64>, DbErr> {
        use delivery_key::Column;
        let rows = delivery_key::Entity::find()
            .filter(Column::Digest.is_in(digests.into_iter().map(|digest| digest.to_vec())))
            .filter(Column::DeliveryId.lte(self.known_to()))
            .all(connection)
            .await?;
        let filed = rows.into_iter().filter_map(|row| Some((Digest::try_from(row.digest).ok()?, row.delivery_id)));
        Ok(filed.collect())
    }

    /// Whether keys are being filed: a few more at a time, whenever nobody waits.
    pub fn is_filing(&self) -> bool {
        self.filing.is_some()
    }

    /// Whether some must be filed now, even if senders wait.
    pub fn is_filing_due(&self) -> bool {
        self.fresh.len() >= FILE_AT && self.kept_since >= KEPT_BETWEEN
    }

    /// Files none for now: they are filed later, in another order.
    pub fn put_off_filing(&mut self) {
        self.kept_since = 0;
        self.filing = None;
    }

    /// Files some keys. Filing twice changes nothing, so that a process may die anywhere in it.
    ///
    /// # Errors
    /// The database's own error; the keys stay in memory.
    pub async fn file_some(&mut self, writer: &impl ConnectionTrait) -> Result<(), DbErr> {
        self.kept_since = 0;
        let mut filing = self.filing.take().unwrap_or_else(|| {
            let mut left: Vec<(Digest, i64)> = self.fresh.iter().map(|(digest, id)| (*digest, *id)).collect();
            left.sort_unstable();
            Filing { left: left.into_iter(), filed_to: self.known_to() }
        });
        let chunk: Vec<(Digest, i64)> = filing.left.by_ref().take(FILED_AT_ONCE).collect();
        if !chunk.is_empty() {
            writer.execute_raw(filing_statement(&chunk)).await?;
        }
        if filing.left.len() > 0 {
            self.filing = Some(filing);
            return Ok(());
        }
        delivery_key_mark::Entity::update_many()
            .col_expr(delivery_key_mark::Column::FiledTo, Expr::value(filing.filed_to))
            .filter(delivery_key_mark::Column::FiledTo.lt(filing.filed_to))
            .exec(writer)
            .await?;
        self.fresh.retain(|_, id| *id > filing.filed_to);
        Ok(())
    }
}

/// Deliveries up to this one have their keys filed.
async fn mark(connection: &impl ConnectionTrait) -> Result<i64, DbErr> {
    let mark = delivery_key_mark::Entity::find().one(connection).await?;
    Ok(mark.map_or(0, |mark| mark.filed_to))
}

/// Id of the newest delivery there ever was.
async fn newest_id(connection: &impl ConnectionTrait) -> Result<i64, DbErr> {
    let statement = Statement::from_string(DbBackend::Sqlite, format!("SELECT {NEWEST_ID} AS id"));
    let row = connection.query_one_raw(statement).await?;
    row.map_or(Ok(0), |row| row.try_get("", "id"))
}

/// The id that the newest delivery was given, even if it has been removed since.
pub(super) const NEWEST_ID: &str = "coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'delivery'), 0)";

/// One value for all keys: a statement with a place for each would have to be prepared for every number of them.
fn filing_statement(chunk: &[(Digest, i64)]) -> Statement {
    let mut keys = String::with_capacity(2 + chunk.len() * 48);
    keys.push('[');
    for (place, (digest, id)) in chunk.iter().enumerate() {
        let start = if place == 0 { "" } else { "," };
        // Writing to a String cannot fail.
        let _ = write!(keys, "{start}\"{:032x} {id}\"", u128::from_be_bytes(*digest));
    }
    keys.push(']');
    Statement::from_sql_and_values(
        DbBackend::Sqlite,
        "INSERT OR IGNORE INTO delivery_key (digest, delivery_id) \
         SELECT unhex(substr(value, 1, 32)), CAST(substr(value, 34) AS integer) FROM json_each(?)",
        [keys.into()],
    )
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::along::Along;
    use super::super::append::{Appended, NewDelivery};
    use super::super::insert::{Row, insert_unknown};
    use super::*;
    use entity::{DeliveryKind, Moment};
    use sea_orm::PaginatorTrait;
    use std::ops::Range;

    pub(in crate::inbox) async fn database(folder: &tempfile::TempDir) -> Database {
        let url = format!("sqlite://{}", folder.path().join("mirror.db").display());
        let db = crate::db::connect(&url, None).await.expect("connect");
        db.migrate().await.expect("migrate");
        db
    }

    pub(in crate::inbox) fn rows(numbers: Range<u32>) -> Vec<Row> {
        let row = |number: u32| {
            // In no order, as the keys of most providers.
            let dedupe_key = format!("id:{:08x}", number.wrapping_mul(0x9e37_79b9));
            let digest = digest(1, &dedupe_key);
            let delivery = NewDelivery {
                source_id: 1,
                kind: DeliveryKind::Webhook,
                dedupe_key,
                media_type: "application/json".to_owned(),
                headers: "{}".to_owned(),
                body: bytes::Bytes::from_static(b"{}"),
                context: None,
                along: Along::Nothing,
            };
            (delivery, digest)
        };
        numbers.map(row).collect()
    }

    /// Appends as the inbox does; how many were new.
    async fn append(db: &Database, keys: &mut Keys, numbers: Range<u32>) -> usize {
        let mut kept = 0;
        for group in rows(numbers).chunks(250) {
            let placed =
                insert_unknown(db.writer(), Moment(1), group, keys).await.unwrap().expect("nobody else appends");
            let is_kept = |appended: &&Appended| matches!(appended, Appended::Kept(_));
            kept += placed.iter().filter(is_kept).count();
            keys.note(group.iter().zip(&placed).filter_map(|((_, digest), placed)| match placed {
                Appended::Kept(id) => Some((*digest, *id)),
                Appended::Duplicate(_) | Appended::Refused => None,
            }));
        }
        kept
    }

    async fn load(db: &Database) -> Keys {
        let mut keys = Keys::default();
        keys.open(db, &CancellationToken::new()).await.unwrap().await.unwrap();
        keys
    }

    /// Files all that is in memory, or the rest of what is being filed.
    async fn file_all(db: &Database, keys: &mut Keys) {
        keys.file_some(db.writer()).await.unwrap();
        while keys.is_filing() {
            keys.file_some(db.writer()).await.unwrap();
        }
    }

    /// Every copy so far must be told apart by an instance that has been there all the time, and by one that starts now.
    async fn assert_known(db: &Database, keys: &mut Keys, count: u32) {
        assert_eq!(append(db, keys, 0..count).await, 0, "by the one that has been there");
        assert_eq!(append(db, &mut load(db).await, 0..count).await, 0, "by the one that starts");
        assert_eq!(delivery::Entity::find().count(db.reader()).await.unwrap(), u64::from(count));
    }

    #[tokio::test]
    async fn copies_are_told_apart_before_while_and_after_their_keys_are_filed() {
        let folder = tempfile::tempdir().unwrap();
        let db = database(&folder).await;
        let mut keys = load(&db).await;
        assert_eq!(append(&db, &mut keys, 0..2_500).await, 2_500);
        assert_known(&db, &mut keys, 2_500).await;

        keys.file_some(db.writer()).await.unwrap();
        assert!(keys.is_filing(), "more than one statement");
        assert_eq!(append(&db, &mut keys, 2_400..3_000).await, 500);
        assert_known(&db, &mut keys, 3_000).await;

        file_all(&db, &mut keys).await;
        assert_eq!(keys.fresh.len(), 500, "what came meanwhile is not filed");
        assert_eq!(delivery_key::Entity::find().count(db.reader()).await.unwrap(), 2_500);
        let started = load(&db).await;
        assert_eq!(started.fresh.len(), 500, "and only that is read at a start");
        let looked_for = |row: &Row| started.may_be_filed(&row.1);
        assert!(rows(0..3_000).iter().all(looked_for), "of each that is there");
        assert!(rows(3_000..6_000).iter().filter(|row| looked_for(row)).count() < 10, "of hardly any that is new");
        assert_eq!(append(&db, &mut keys, 2_900..3_100).await, 100);
        assert_known(&db, &mut keys, 3_100).await;
    }

    #[tokio::test]
    async fn a_pass_that_was_cut_off_is_done_again_by_the_next_instance() {
        let folder = tempfile::tempdir().unwrap();
        let db = database(&folder).await;
        let mut first = load(&db).await;
        append(&db, &mut first, 0..2_500).await;
        first.file_some(db.writer()).await.unwrap();
        drop(first);

        let mut second = load(&db).await;
        file_all(&db, &mut second).await;
        assert_eq!(delivery_key::Entity::find().count(db.reader()).await.unwrap(), 2_500);
        assert_known(&db, &mut second, 2_500).await;
    }

    #[tokio::test]
    async fn nothing_is_kept_by_an_instance_that_does_not_know_what_another_has_appended() {
        let folder = tempfile::tempdir().unwrap();
        let db = database(&folder).await;
        let (mut one, mut two) = (load(&db).await, load(&db).await);
        append(&db, &mut one, 0..10).await;
        let news = rows(10..20);
        assert_eq!(insert_unknown(db.writer(), Moment(1), &news, &two).await.unwrap(), None);
        assert_eq!(delivery::Entity::find().count(db.reader()).await.unwrap(), 10);

        two.catch_up(db.writer()).await.unwrap();
        assert_eq!(append(&db, &mut two, 0..20).await, 10);
    }

    #[tokio::test]
    async fn keys_that_another_instance_has_filed_are_told_apart_though_their_deliveries_are_gone() {
        let folder = tempfile::tempdir().unwrap();
        let db = database(&folder).await;
        let (mut one, mut two) = (load(&db).await, load(&db).await);
        append(&db, &mut one, 0..1_500).await;
        file_all(&db, &mut one).await;
        delivery::Entity::delete_many().exec(db.writer()).await.unwrap();
        assert_eq!(insert_unknown(db.writer(), Moment(1), &rows(0..10), &two).await.unwrap(), None);
        two.catch_up(db.writer()).await.unwrap();
        assert_eq!(append(&db, &mut two, 0..1_500).await, 0);
    }

    #[tokio::test]
    async fn the_newest_delivery_may_be_removed() {
        let folder = tempfile::tempdir().unwrap();
        let db = database(&folder).await;
        let mut keys = load(&db).await;
        append(&db, &mut keys, 0..10).await;
        delivery::Entity::delete_many().exec(db.writer()).await.unwrap();
        assert_eq!(append(&db, &mut keys, 0..11).await, 1, "the keys outlive the bytes");
        assert_eq!(append(&db, &mut load(&db).await, 20..30).await, 10, "and a start finds the next position");
    }
}
