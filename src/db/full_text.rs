//! SQLite: takes deleted words out of where its full-text index keeps them.
//!
//! FTS5 keeps a segment of its index as pages in order of their words, and for each page a key by which it is found: the
//! first word that was written there, or as much of its beginning as tells it from the word before (`%_idx`). With
//! `secure-delete` a deleted word leaves the page, and stays in two places until its segment is merged into another, which may
//! be never. After an erasure they are cleaned:
//!
//! - **Keys.** Every key with which the first word of its page does not begin is replaced by that word. FTS5 itself writes
//!   whole words there as well: a key must be greater than every word of the pages before and not greater than the first of
//!   its own. Keys of pages whose words have been merged into another segment serve nobody, and go.
//! - **Segments that are used up.** A merge takes some pages at a time. A segment of which it has taken all stays, with its
//!   pages, until those beside it are taken as well; FTS5 looks into it no more, not even to delete. What it holds goes, as it
//!   would at the end of the merge.
//!
//! Of a page only the place of the first word is read, and of the index which segments there are, as FTS5's source lays down
//! (`fts5_index.c`, "Segment Leaf Format" and `fts5StructureDecode`).

use super::pages;
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr, QueryResult, Statement, Value};

/// Keys looked at in one statement, each with its page of up to 4 KiB.
const LOOK: usize = 512;
/// Keys or pages written in one transaction: senders wait for it.
const WRITE: usize = 64;
/// Where an index tells in its table of pages which segments it has.
const STRUCTURE: i64 = 10;

/// Takes deleted words out of an index. Returns how many keys and pages were replaced or taken away.
///
/// # Errors
/// The database's own error, where another connection writes for long too; what is written stays written. Another where the
/// index is not as this version knows it.
pub(super) async fn clean(connection: &DatabaseConnection, table: &str) -> Result<usize, DbErr> {
    Ok(remove_used_up(connection, table).await? + replace_stale(connection, table).await?)
}

/// Removes the pages and keys of segments that are used up.
async fn remove_used_up(connection: &DatabaseConnection, table: &str) -> Result<usize, DbErr> {
    let mut removed = 0;
    for segment in load_used_up(connection, table).await? {
        loop {
            let transaction = pages::begin(connection).await?;
            // Looked at again: the merge may have come to its end, and the number be another segment's.
            if !load_used_up(&transaction, table).await?.contains(&segment) {
                break;
            }
            let pages = format!(
                "DELETE FROM {table}_data WHERE id IN \
                 (SELECT id FROM {table}_data WHERE id >= ? << 37 AND id < (? + 1) << 37 LIMIT {WRITE})"
            );
            let pages = transaction.execute_raw(statement(&pages, [segment.into(), segment.into()])).await?;
            let keys = format!(
                "DELETE FROM {table}_idx WHERE segid = ? AND term IN \
                 (SELECT term FROM {table}_idx WHERE segid = ? LIMIT {WRITE})"
            );
            let keys = transaction.execute_raw(statement(&keys, [segment.into(), segment.into()])).await?;
            transaction.commit().await?;
            let rows = pages.rows_affected() + keys.rows_affected();
            if rows == 0 {
                break;
            }
            removed += usize::try_from(rows).unwrap_or(usize::MAX);
        }
    }
    Ok(removed)
}

async fn load_used_up(connection: &impl ConnectionTrait, table: &str) -> Result<Vec<i64>, DbErr> {
    let structure = format!("SELECT block FROM {table}_data WHERE id = ?");
    let Some(row) = connection.query_one_raw(statement(&structure, [STRUCTURE.into()])).await? else {
        return Ok(Vec::new());
    };
    let structure: Vec<u8> = row.try_get_by_index(0)?;
    let unknown =
        "SQLite keeps its full-text index in a way that this version does not know: what is erased may be left there";
    used_up(&structure).ok_or_else(|| DbErr::Custom(unknown.to_owned()))
}

/// Replaces keys that are no beginning of a word any more.
async fn replace_stale(connection: &DatabaseConnection, table: &str) -> Result<usize, DbErr> {
    // A page's number in the table of pages: the segment's, then 37 bits for its place there.
    let keys = format!(
        "SELECT of_page.segid, of_page.term, page.block, page.id IS NULL AND NOT EXISTS (SELECT 1 FROM {table}_data AS before \
             WHERE before.id > of_page.segid << 37 AND before.id < (of_page.segid << 37) + (of_page.pgno >> 1)) \
         FROM {table}_idx AS of_page LEFT JOIN {table}_data AS page \
             ON page.id = (of_page.segid << 37) + (of_page.pgno >> 1)"
    );
    let behind = format!("{keys} WHERE (segid, term) > (?, ?) ORDER BY segid, term LIMIT {LOOK}");
    let one = format!("{keys} WHERE segid = ? AND term = ?");
    let mut written = 0;
    let mut last: (i64, Vec<u8>) = (0, Vec::new());
    loop {
        let look = statement(&behind, [last.0.into(), last.1.into()]);
        let found = connection.query_all_raw(look).await?;
        let found = found.iter().map(Key::of).collect::<Result<Vec<_>, _>>()?;
        let stale: Vec<_> = found.iter().filter(|key| key.stale().is_some()).collect();
        for keys in stale.chunks(WRITE) {
            let transaction = pages::begin(connection).await?;
            for key in keys {
                // Read again: words may have come or gone meanwhile.
                let again = statement(&one, [key.segment.into(), key.term.clone().into()]);
                let Some(row) = transaction.query_one_raw(again).await? else { continue };
                let key = Key::of(&row)?;
                let (segment, term) = (key.segment, key.term.clone());
                let change = match key.stale() {
                    None => continue,
                    Some(Stale::Replaced(word)) => {
                        let replace = format!("UPDATE {table}_idx SET term = ? WHERE segid = ? AND term = ?");
                        statement(&replace, [word.into(), segment.into(), term.into()])
                    }
                    Some(Stale::Gone) => {
                        let remove = format!("DELETE FROM {table}_idx WHERE segid = ? AND term = ?");
                        statement(&remove, [segment.into(), term.into()])
                    }
                };
                transaction.execute_raw(change).await?;
                written += 1;
            }
            transaction.commit().await?;
        }
        match found.into_iter().next_back() {
            Some(key) => last = (key.segment, key.term),
            None => return Ok(written),
        }
    }
}

fn statement<const N: usize>(text: &str, values: [Value; N]) -> Statement {
    Statement::from_sql_and_values(DbBackend::Sqlite, text, values)
}

/// The key of a page.
struct Key {
    segment: i64,
    term: Vec<u8>,
    page: Option<Vec<u8>>,
    /// The page and those before it have been merged into another segment.
    is_merged: bool,
}

/// What becomes of a key that is no beginning of a word.
#[derive(Debug, PartialEq, Eq)]
enum Stale {
    Replaced(Vec<u8>),
    Gone,
}

impl Key {
    fn of(row: &QueryResult) -> Result<Self, DbErr> {
        Ok(Self {
            segment: row.try_get_by_index(0)?,
            term: row.try_get_by_index(1)?,
            page: row.try_get_by_index(2)?,
            is_merged: row.try_get_by_index(3)?,
        })
    }

    /// None where a word begins with it. The first page of a segment has an empty key.
    fn stale(&self) -> Option<Stale> {
        let Some(page) = &self.page else {
            return (self.is_merged && !self.term.is_empty()).then_some(Stale::Gone);
        };
        let word = first_word(page)?;
        (!word.starts_with(&self.term)).then(|| Stale::Replaced(word.to_vec()))
    }
}

/// The segments that are used up, of those that an index tells of; none where it is not as it should be. After a number that
/// changes with the settings come those of levels, of segments and of writes; of each level how many of its segments are
/// being merged, and how many it has; of each segment its number, its first page and its last.
fn used_up(structure: &[u8]) -> Option<Vec<i64>> {
    let mut left = structure.get(4..)?;
    let mut number = || {
        let (number, size) = varint(left)?;
        left = left.get(size..)?;
        Some(number)
    };
    let (levels, segments, _) = (number()?, number()?, number()?);
    let mut used_up = Vec::new();
    let mut count = 0;
    for _ in 0..levels {
        number()?;
        for _ in 0..number()? {
            let (segment, first, last) = (number()?, number()?, number()?);
            if (first, last) == (0, 0) {
                used_up.push(i64::try_from(segment).ok()?);
            }
            count += 1;
        }
    }
    (count == segments && left.is_empty()).then_some(used_up)
}

/// The first word of a page; none where none begins on it. Its header tells where a list of places begins that lies behind
/// the words; the first of these is that of the first word, which has its length before it.
fn first_word(page: &[u8]) -> Option<&[u8]> {
    let places = usize::from(u16::from_be_bytes([*page.get(2)?, *page.get(3)?]));
    let (place, _) = varint(page.get(places..)?)?;
    let word = page.get(usize::try_from(place).ok()?..places)?;
    let (length, size) = varint(word)?;
    word.get(size..size.checked_add(usize::try_from(length).ok()?)?)
}

/// A number, its highest seven bits first, and the bytes that it takes: nine at most, of which the last has eight bits.
fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut number = 0;
    for (at, byte) in bytes.iter().take(9).enumerate() {
        if at == 8 {
            return Some((number << 8 | u64::from(*byte), 9));
        }
        number = number << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((number, at + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::Database;

    const KEYS: &str = "SELECT count(*) FROM words_idx WHERE instr(term, CAST('canary' AS blob)) > 0";
    const PAGES: &str = "SELECT count(*) FROM words_data WHERE instr(block, CAST('canary' AS blob)) > 0";
    /// Errs where a key, a page or a row does not fit the others.
    const CHECK: &str = "INSERT INTO words (words, rank) VALUES ('integrity-check', 1)";

    async fn run(db: &Database, sql: &str) {
        db.writer().execute_unprepared(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    async fn number(db: &Database, sql: &str) -> i64 {
        let row = db.primary().query_one_raw(Statement::from_string(DbBackend::Sqlite, sql)).await.unwrap().unwrap();
        row.try_get_by_index(0).unwrap()
    }

    /// 3000 rows of one word each; every third is a canary's. All words of a transaction make one segment.
    async fn index(db: &Database) {
        run(
            db,
            "CREATE VIRTUAL TABLE words USING fts5(word); INSERT INTO words (words, rank) VALUES ('secure-delete', 1)",
        )
        .await;
        let rows: Vec<_> = (0..3000_u32)
            .map(|number| {
                let kind = if number % 3 == 0 { "canary" } else { "other" };
                format!("({}, '{kind}{:08x}')", number + 1, number.wrapping_mul(2_654_435_761))
            })
            .collect();
        run(db, &format!("INSERT INTO words (rowid, word) VALUES {}", rows.join(", "))).await;
    }

    async fn all_others_are_found(db: &Database) {
        for number in (0..3000_u32).filter(|number| number % 3 != 0) {
            let word = format!("other{:08x}", number.wrapping_mul(2_654_435_761));
            let found = format!("SELECT coalesce(max(rowid), 0) FROM words WHERE word MATCH '{word}'");
            assert_eq!(self::number(db, &found).await, i64::from(number) + 1, "{word}");
        }
        assert_eq!(self::number(db, "SELECT count(*) FROM words WHERE word MATCH 'other*'").await, 2000);
        assert_eq!(self::number(db, "SELECT count(*) FROM words WHERE word MATCH 'canary*'").await, 0);
    }

    async fn in_a_file(test: impl AsyncFnOnce(&Database)) {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("words.db").display());
        let db = crate::db::connect(&url, None).await.unwrap();
        test(&db).await;
        db.close().await.unwrap();
    }

    #[tokio::test]
    async fn no_deleted_word_stays_as_a_key_and_every_other_is_found() {
        in_a_file(async |db| {
            index(db).await;
            run(db, "DELETE FROM words WHERE word MATCH 'canary*'").await;
            assert!(number(db, KEYS).await > 0, "FTS5 takes them out by itself now: this module can go");
            assert!(clean(db.writer(), "words").await.unwrap() > 0);
            assert_eq!((number(db, KEYS).await, number(db, PAGES).await), (0, 0));
            assert_eq!(clean(db.writer(), "words").await.unwrap(), 0, "once is enough");
            run(db, CHECK).await;
            all_others_are_found(db).await;
            // What is written afterwards is found as well, also before every other word of its page.
            run(db, "INSERT INTO words (rowid, word) VALUES (9001, 'canaryzz'), (9002, 'other')").await;
            run(db, "DELETE FROM words WHERE rowid = 9001").await;
            run(db, "INSERT INTO words (words) VALUES ('optimize')").await;
            run(db, CHECK).await;
        })
        .await;
    }

    /// A merge that has not come to its end leaves whole segments that it has done with, and the keys of pages of others.
    #[tokio::test]
    async fn what_was_merged_goes() {
        in_a_file(async |db| {
            index(db).await;
            run(db, "INSERT INTO words (rowid, word) VALUES (9001, 'canary0')").await;
            run(db, "INSERT INTO words (words, rank) VALUES ('merge', -4)").await;
            run(db, "DELETE FROM words WHERE word MATCH 'canary*'").await;
            let merged = "SELECT count(*) FROM words_idx AS k WHERE term <> x'' AND NOT EXISTS \
                (SELECT 1 FROM words_data WHERE id = (k.segid << 37) + (k.pgno >> 1))";
            assert!(number(db, merged).await > 0, "FTS5 takes these keys away by itself now");
            assert!(number(db, PAGES).await > 0, "FTS5 takes used up segments away by itself now");
            clean(db.writer(), "words").await.unwrap();
            assert_eq!((number(db, KEYS).await, number(db, PAGES).await, number(db, merged).await), (0, 0, 0));
            run(db, CHECK).await;
            all_others_are_found(db).await;
            run(db, "INSERT INTO words (words) VALUES ('optimize')").await;
            run(db, CHECK).await;
            all_others_are_found(db).await;
        })
        .await;
    }

    #[test]
    fn segments_without_pages_are_used_up() {
        // A level of two that are being merged, one of which is used up, and one of their output.
        let structure = [0, 0, 0, 1, 2, 3, 9, 2, 2, 7, 0, 0, 8, 3, 5, 0, 1, 9, 1, 4];
        assert_eq!(used_up(&structure), Some(vec![7]));
        assert_eq!(used_up(&structure[..19]), None, "cut off");
        assert_eq!(used_up(&[&structure[..], &[0]].concat()), None, "more than is known");
        assert_eq!(used_up(&[0, 0, 0, 1, 0xff, 0, 0, 1, 1, 1, 0]), None, "of another kind");
    }

    #[test]
    fn the_first_word_is_where_the_page_says() {
        // Header, a list that goes on from the page before, a word of three letters with its list, the places.
        let page = [0, 0, 0, 13, 9, 9, 9, 3, b'0', b'a', b'b', 1, 1, 7, 4];
        assert_eq!(first_word(&page), Some(&b"0ab"[..]));
        assert_eq!(first_word(&page[..13]), None, "no word begins there");
        assert_eq!(first_word(&[0, 0, 0, 200, 1]), None);
        assert_eq!(first_word(&[0, 0]), None);
        assert_eq!(varint(&[0x81, 0x01]), Some((129, 2)));
        assert_eq!(varint(&[0x80; 8]), None);
        assert_eq!(varint(&[0xff; 10]), Some((u64::MAX, 9)));
    }
}
