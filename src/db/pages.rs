//! SQLite: overwrites what is left between the cells of the file's pages.
//!
//! `secure_delete` overwrites a cell that is deleted. Yet when SQLite lays a page out anew, because it is split or shares
//! its cells with its neighbours, it does not overwrite the place where they were: a copy of a cell stays in the
//! unallocated middle of the page, out of reach of any later deletion. So after an erasure every page whose middle is
//! not zero is written once with zeros there. That goes through SQLite itself (`sqlite_dbpage`), in transactions of some
//! pages: locks, write-ahead log and the caches of other connections are its business as ever.
//!
//! Only the header of a page is read, as the file format lays down. The pages of large values cannot be taken for pages
//! with cells: they begin with the number of the next page, whose first byte is 0 or 1 up to [`MAX_PAGES`].

use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, Statement, TransactionTrait,
};
use sea_orm::{SqliteTransactionMode, TransactionOptions};
use std::ops::Range;

/// Pages looked at in one statement.
const LOOK: i64 = 512;
/// Pages written in one transaction: senders wait for it.
const WRITE: usize = 64;
/// A larger file could have pages of large values that look like others: 128 GiB at 4 KiB a page.
const MAX_PAGES: i64 = 0x0200_0000;
/// Where SQLite keeps its locks; the page that holds this byte has no content.
const LOCK_BYTE: i64 = 0x4000_0000;

const MANY: &str = "WITH RECURSIVE wanted(number) AS (SELECT ? UNION ALL SELECT number + 1 FROM wanted WHERE number < ?) \
    SELECT pgno, data FROM wanted CROSS JOIN sqlite_dbpage ON pgno = number \
    WHERE number <> ? AND hex(substr(data, CASE pgno WHEN 1 THEN 101 ELSE 1 END, 1)) IN ('02', '05', '0A', '0D')";

/// Overwrites the unallocated middle of every page. Returns how many pages were written.
///
/// # Errors
/// The database's own error, where another connection writes for long too; what is written stays written.
pub(super) async fn overwrite_middles(connection: &DatabaseConnection) -> Result<usize, DbErr> {
    let size = number(connection, "PRAGMA page_size").await?;
    let count = number(connection, "PRAGMA page_count").await?;
    if number(connection, "PRAGMA auto_vacuum").await? != 0 || count >= MAX_PAGES {
        return Err(DbErr::Custom(format!(
            "the pages of this SQLite file cannot be told apart for sure ({count} pages): VACUUM it into one without \
             auto_vacuum, or use PostgreSQL"
        )));
    }
    let lock_page = LOCK_BYTE / size.max(1) + 1;
    let mut written = 0;
    let mut first = 1;
    while first <= count {
        let last = count.min(first + LOOK - 1);
        let look =
            Statement::from_sql_and_values(DbBackend::Sqlite, MANY, [first.into(), last.into(), lock_page.into()]);
        let mut unclean = Vec::new();
        for row in connection.query_all_raw(look).await? {
            let (page, data): (i64, Vec<u8>) = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
            if middle(page, &data).is_some() {
                unclean.push(page);
            }
        }
        for pages in unclean.chunks(WRITE) {
            written += overwrite(connection, pages).await?;
        }
        first = last + 1;
    }
    Ok(written)
}

/// A transaction that will write.
pub(super) async fn begin(connection: &DatabaseConnection) -> Result<DatabaseTransaction, DbErr> {
    let immediate = TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    };
    connection.begin_with_options(immediate).await
}

async fn overwrite(connection: &DatabaseConnection, pages: &[i64]) -> Result<usize, DbErr> {
    let transaction = begin(connection).await?;
    let mut written = 0;
    for page in pages {
        // Read again: it may have been written meanwhile, or be a page of another kind.
        let one = "SELECT data FROM sqlite_dbpage WHERE pgno = ?";
        let one = Statement::from_sql_and_values(DbBackend::Sqlite, one, [(*page).into()]);
        let Some(row) = transaction.query_one_raw(one).await? else { continue };
        let mut data: Vec<u8> = row.try_get_by_index(0)?;
        let Some(middle) = middle(*page, &data) else { continue };
        data[middle].fill(0);
        let put = "UPDATE sqlite_dbpage SET data = ? WHERE pgno = ?";
        let put = Statement::from_sql_and_values(DbBackend::Sqlite, put, [data.into(), (*page).into()]);
        transaction.execute_raw(put).await?;
        written += 1;
    }
    transaction.commit().await?;
    Ok(written)
}

async fn number(connection: &DatabaseConnection, pragma: &str) -> Result<i64, DbErr> {
    let row = connection.query_one_raw(Statement::from_string(DbBackend::Sqlite, pragma)).await?;
    row.map_or(Ok(0), |row| row.try_get_by_index(0))
}

/// The unallocated middle of a page with cells: between the list of their places and the first of them. None where
/// there is none, where it is zero already, and for pages of other kinds.
fn middle(page: i64, data: &[u8]) -> Option<Range<usize>> {
    // The file's own header comes first on the first page.
    let header = if page == 1 { 100 } else { 0 };
    let two = |at: usize| Some(usize::from(u16::from_be_bytes([*data.get(at)?, *data.get(at + 1)?])));
    let header_size = match data.get(header)? {
        0x02 | 0x05 => 12,
        0x0a | 0x0d => 8,
        _ => return None,
    };
    let cells = two(header + 3)?;
    let content = match two(header + 5)? {
        0 => 65_536,
        content => content,
    };
    let middle = header + header_size + 2 * cells..content;
    let is_unclean = data.get(middle.clone())?.iter().any(|byte| *byte != 0);
    is_unclean.then_some(middle)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(cells: u8, content: u16) -> Vec<u8> {
        let mut page = vec![b'x'; 512];
        page[0] = 0x0d;
        page[3..5].copy_from_slice(&[0, cells]);
        page[5..7].copy_from_slice(&content.to_be_bytes());
        page
    }

    /// Rows of many lengths under an index, written again and again in no order; some are emptied in the end.
    #[tokio::test]
    async fn nothing_stays_between_the_cells_and_the_file_stays_whole() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pages.db");
        let db = crate::db::connect(&format!("sqlite://{}", file.display()), None).await.unwrap();
        let run = async |sql: String| db.writer().execute_unprepared(&sql).await.map(drop).unwrap();
        run("CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT, big BLOB)".to_owned()).await;
        run("CREATE INDEX person_name ON person (name)".to_owned()).await;
        let name = |number: u32, round: u32| {
            let mixed = number.wrapping_mul(2_654_435_761).rotate_left(round * 7);
            let mark = if number.is_multiple_of(7) { "cAnArY" } else { "others" };
            format!("{mixed:08x}{mark}{}", "x".repeat((mixed % 300) as usize))
        };
        for number in 0..600 {
            run(format!("INSERT INTO person VALUES ({number}, '{}', randomblob(5000))", name(number, 0))).await;
        }
        for round in 1..4 {
            for number in 0..600 {
                run(format!("UPDATE person SET name = '{}' WHERE id = {number}", name(number, round))).await;
            }
        }
        run("UPDATE person SET name = NULL WHERE id % 7 = 0".to_owned()).await;
        let left = || {
            let bytes = std::fs::read(&file).unwrap();
            bytes.windows(6).filter(|window| *window == b"cAnArY").count()
        };
        let fold = "PRAGMA wal_checkpoint(TRUNCATE)".to_owned();
        run(fold.clone()).await;
        assert!(left() > 0, "SQLite overwrites by itself now: this module can go");
        let written = overwrite_middles(db.writer()).await.unwrap();
        run(fold).await;
        assert!(written > 0);
        assert_eq!(left(), 0);
        assert_eq!(overwrite_middles(db.writer()).await.unwrap(), 0, "once is enough");
        let check = Statement::from_string(DbBackend::Sqlite, "PRAGMA integrity_check");
        let check: String = db.primary().query_one_raw(check).await.unwrap().unwrap().try_get_by_index(0).unwrap();
        assert_eq!(check, "ok");
        db.close().await.unwrap();
    }

    #[test]
    fn the_middle_lies_between_the_places_and_the_cells() {
        assert_eq!(middle(2, &leaf(3, 400)), Some(14..400));
        let mut clean = leaf(3, 400);
        clean[14..400].fill(0);
        assert_eq!(middle(2, &clean), None);
        assert_eq!(middle(2, &leaf(3, 14)), None, "a full page");
    }

    #[test]
    fn pages_of_other_kinds_and_damaged_ones_are_left_alone() {
        let mut overflow = leaf(3, 400);
        overflow[0] = 0;
        assert_eq!(middle(2, &overflow), None);
        assert_eq!(middle(2, &leaf(255, 40)), None);
        assert_eq!(middle(2, &leaf(3, 600)), None);
        assert_eq!(middle(2, b"\x0d\0"), None);
        let mut first = vec![b'x'; 512];
        first[100..108].copy_from_slice(&[0x0d, 0, 0, 0, 1, 1, 0x90, 0]);
        assert_eq!(middle(1, &first), Some(110..400));
    }
}
