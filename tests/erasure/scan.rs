//! Looks for planted text in everything that the database keeps, rows and files.

use crate::support::app::TestApp;
use crate::support::place::TestDatabase;
use profile_mirror::db::{Database, Dialect};
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use std::path::{Path, PathBuf};

/// What every planted value begins with. It appears nowhere else, however its letters are written.
pub const CANARY: &str = "cAnArY7q";

/// Places that hold planted text: files with the number of times, and tables of PostgreSQL with the number of rows.
pub async fn places(database: &TestDatabase, db: &Database) -> Vec<String> {
    match database.dialect {
        Dialect::Sqlite => in_files(&folder(database)),
        Dialect::Postgres => {
            let mut found = in_tables(db).await;
            found.extend(in_files(&data_folder(db).await));
            found
        }
    }
}

/// The folder in which the server keeps the files of this PostgreSQL database, everything written out.
async fn data_folder(db: &Database) -> PathBuf {
    db.writer().execute_unprepared("CHECKPOINT").await.unwrap();
    let folder = "SELECT current_setting('data_directory') || '/base/' || oid FROM pg_database \
         WHERE datname = current_database()";
    let row = db.writer().query_one_raw(Statement::from_string(DbBackend::Postgres, folder)).await.unwrap();
    PathBuf::from(row.expect("this database").try_get_by_index::<String>(0).unwrap())
}

/// The folder of a SQLite database: its file, the write-ahead log, and whatever else the service left there.
pub fn folder(database: &TestDatabase) -> PathBuf {
    let file = database.url.trim_start_matches("sqlite://");
    Path::new(file).parent().expect("a folder").to_owned()
}

fn in_files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut files = 0;
    for entry in std::fs::read_dir(folder).expect("list the folder") {
        let path = entry.expect("an entry").path();
        files += 1;
        // The server removes files whenever it likes.
        let bytes = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            bytes => bytes.expect("read the file"),
        };
        let places: Vec<usize> = bytes
            .windows(CANARY.len())
            .enumerate()
            // Search keeps words in lower case.
            .filter(|(_, window)| window.eq_ignore_ascii_case(CANARY.as_bytes()))
            .map(|(at, _)| at)
            .collect();
        if let Some(first) = places.first() {
            let around = &bytes[first.saturating_sub(60)..bytes.len().min(first + 60)];
            let around = String::from_utf8_lossy(around).replace('\0', ".");
            found.push(format!("{} times in {}: {around}", places.len(), path.display()));
        }
    }
    assert!(files > 0, "the folder holds the database");
    found
}

/// Every row of every table as text; bytes are shown in hexadecimal.
async fn in_tables(db: &Database) -> Vec<String> {
    let hex: String = CANARY.bytes().map(|byte| format!("{byte:02x}")).collect();
    let tables = "SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'public'";
    let tables = db.primary().query_all_raw(Statement::from_string(DbBackend::Postgres, tables)).await.unwrap();
    assert!(tables.len() > 10, "the tables are where this looks for them");
    let mut found = Vec::new();
    for table in tables {
        let table: String = table.try_get_by_index(0).unwrap();
        let holding = format!(
            "SELECT t::text FROM \"{table}\" t WHERE t::text ILIKE '%{CANARY}%' OR t::text LIKE '%{hex}%' LIMIT 100"
        );
        let rows = db.primary().query_all_raw(Statement::from_string(DbBackend::Postgres, holding)).await.unwrap();
        if let Some(first) = rows.first() {
            let first: String = first.try_get_by_index(0).unwrap();
            found.push(format!("{} rows of {table}: {}", rows.len(), first.chars().take(600).collect::<String>()));
        }
    }
    // What the planner remembers of common values; not every role may read all of it.
    let statistics = format!(
        "SELECT tablename::text FROM pg_stats WHERE schemaname = 'public' AND \
         (most_common_vals::text ILIKE '%{CANARY}%' OR histogram_bounds::text ILIKE '%{CANARY}%' \
         OR most_common_elems::text ILIKE '%{CANARY}%')"
    );
    let rows = db.primary().query_all_raw(Statement::from_string(DbBackend::Postgres, statistics)).await.unwrap();
    found.extend(rows.iter().map(|row| format!("statistics of {}", row.try_get_by_index::<String>(0).unwrap())));
    found
}

impl TestApp {
    /// No place holds planted text.
    pub async fn assert_no_canary(&self, database: &TestDatabase) {
        let found = places(database, self.database()).await;
        assert!(found.is_empty(), "planted text is still there:\n{}", found.join("\n"));
    }
}
