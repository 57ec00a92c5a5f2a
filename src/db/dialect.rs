//! Every difference between SQLite and PostgreSQL, and nothing else.

use super::{Database, full_text, pages};
use sea_orm::sea_query::{Expr, ExprTrait, Query, SelectStatement, SimpleExpr};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr, RuntimeErr, Statement, TransactionTrait};
use std::time::{Duration, Instant};

/// Which database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// The embedded file.
    Sqlite,
    /// A server.
    Postgres,
}

impl std::fmt::Display for Dialect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        })
    }
}

/// Most values that one statement binds, with room to spare under both databases' limits
/// (SQLite 32,766, PostgreSQL 65,535).
pub const MAX_BINDS: usize = 30_000;

/// Advisory lock classes on PostgreSQL; any numbers will do as long as all instances agree.
const INBOX_LOCK: i32 = 0x70_6d_01;
/// Between two tries to take a lock that another process holds.
const LOCK_ASKED_EVERY: Duration = Duration::from_millis(100);
const MIGRATION_LOCK: i64 = 0x70_6d_02;
const INDEX_LOCK: i64 = 0x70_6d_03;
/// SQLite's full-text index of profiles.
const WORDS: &str = "profile_words";

/// Makes appends to one source's inbox commit in the order of their ids, until the transaction ends.
///
/// A sequence hands out ids before the commit; without this a reader that has seen id 7 could
/// miss id 6 that commits later. SQLite has one writer, so nothing is to be done there.
pub async fn order_inbox(transaction: &impl ConnectionTrait, dialect: Dialect, source_id: i32) -> Result<(), DbErr> {
    if dialect == Dialect::Postgres {
        let statement = Statement::from_sql_and_values(
            sea_orm::DbBackend::Postgres,
            "SELECT pg_advisory_xact_lock($1, $2)",
            [INBOX_LOCK.into(), source_id.into()],
        );
        transaction.execute_raw(statement).await?;
    }
    Ok(())
}

/// Whether the database gave up this transaction because two waited for each other; it works when it is done again.
/// SQLite has one writer, which waits for nobody.
pub fn is_deadlock(error: &DbErr) -> bool {
    code(error).is_some_and(|code| code == "40P01")
}

/// Whether an error tells of the database, its connection or its machine, and not of what was written: the same
/// statement works once that has passed.
pub fn is_of_the_database(error: &DbErr) -> bool {
    use sea_orm::sqlx::Error;
    let cause = match error {
        DbErr::Conn(_) | DbErr::ConnectionAcquire(_) => return true,
        DbErr::Exec(RuntimeErr::SqlxError(cause)) | DbErr::Query(RuntimeErr::SqlxError(cause)) => cause,
        _ => return false,
    };
    match &**cause {
        Error::Io(_) | Error::Tls(_) | Error::Protocol(_) => true,
        Error::PoolTimedOut | Error::PoolClosed | Error::WorkerCrashed => true,
        Error::Database(cause) => {
            let code = cause.code().unwrap_or_default();
            if cause.try_downcast_ref::<sea_orm::sqlx::postgres::PgDatabaseError>().is_some() {
                // Connection, transaction rollback, resources, operator intervention, system; a lock that was not to be
                // had, a transaction that was idle for too long, a standby.
                ["08", "40", "53", "57", "58"].iter().any(|class| code.starts_with(class))
                    || ["55P03", "25P03", "25006"].contains(&&*code)
            } else {
                let not_of_a_statement = [BUSY, LOCKED, NO_MEMORY, READ_ONLY, INTERRUPTED, IO, FULL, CANNOT_OPEN];
                primary(&code).is_some_and(|code| not_of_a_statement.contains(&code))
            }
        }
        _ => false,
    }
}

/// SQLite's result codes for what is no fault of a statement (<https://sqlite.org/rescode.html>).
const BUSY: u32 = 5;
const LOCKED: u32 = 6;
const NO_MEMORY: u32 = 7;
const READ_ONLY: u32 = 8;
const INTERRUPTED: u32 = 9;
const IO: u32 = 10;
const FULL: u32 = 13;
const CANNOT_OPEN: u32 = 14;

/// The primary one of SQLite's result codes: an extended one holds it in its last eight bits.
fn primary(code: &str) -> Option<u32> {
    code.parse::<u32>().ok().map(|code| code & 0xff)
}

/// The code that the database gave with an error.
fn code(error: &DbErr) -> Option<String> {
    let (DbErr::Exec(RuntimeErr::SqlxError(cause)) | DbErr::Query(RuntimeErr::SqlxError(cause))) = error else {
        return None;
    };
    cause.as_database_error().and_then(|error| error.code()).map(std::borrow::Cow::into_owned)
}

/// Held while something is done to the schema that one process at a time may do.
pub enum SchemaGuard {
    /// A lock on a file beside the database, let go when it is closed.
    Sqlite(std::fs::File),
    /// A transaction that holds an advisory lock.
    Postgres(sea_orm::DatabaseTransaction),
}

impl SchemaGuard {
    /// Lets the next process go on.
    pub async fn release(self) -> Result<(), DbErr> {
        match self {
            Self::Sqlite(file) => file.unlock().map_err(|error| lock_failed(&error)),
            Self::Postgres(transaction) => transaction.commit().await,
        }
    }
}

fn lock_failed(error: &dyn std::fmt::Display) -> DbErr {
    DbErr::Custom(format!("lock the file beside the database that keeps two migrations apart: {error}"))
}

/// Waits until no other process migrates this database. On PostgreSQL `unhurried` holds the lock.
///
/// Migrations are applied one by one: SQLite's own lock keeps two statements apart, not two migrators.
pub async fn lock_migrations(db: &Database, unhurried: &DatabaseConnection) -> Result<SchemaGuard, DbErr> {
    lock_schema(db, unhurried, ".migrating", MIGRATION_LOCK).await
}

/// Waits until no other process makes or drops indexes of fields in this database. On PostgreSQL `unhurried` holds the
/// lock.
pub async fn lock_indexes(db: &Database, unhurried: &DatabaseConnection) -> Result<SchemaGuard, DbErr> {
    lock_schema(db, unhurried, ".indexing", INDEX_LOCK).await
}

async fn lock_schema(
    db: &Database,
    unhurried: &DatabaseConnection,
    suffix: &str,
    lock_id: i64,
) -> Result<SchemaGuard, DbErr> {
    if let Some(file) = db.file() {
        let mut path = file.clone().into_os_string();
        path.push(suffix);
        let lock = move || {
            let file = std::fs::File::create(path)?;
            file.lock()?;
            std::io::Result::Ok(file)
        };
        let locked = tokio::task::spawn_blocking(lock).await.map_err(|error| lock_failed(&error))?;
        return locked.map(SchemaGuard::Sqlite).map_err(|error| lock_failed(&error));
    }
    // Asked for again and again: a statement that waits holds a snapshot, for whose end whoever makes an index waits.
    loop {
        let transaction = unhurried.begin().await?;
        let statement = Statement::from_sql_and_values(
            sea_orm::DbBackend::Postgres,
            "SELECT pg_try_advisory_xact_lock($1)",
            [lock_id.into()],
        );
        let row = transaction.query_one_raw(statement).await?;
        if row.map(|row| row.try_get_by_index::<bool>(0)).transpose()?.unwrap_or(false) {
            return Ok(SchemaGuard::Postgres(transaction));
        }
        transaction.rollback().await?;
        tokio::time::sleep(LOCK_ASKED_EVERY).await;
    }
}

/// Tells the planner what new indexes of profiles and words hold. SQLite plans well without.
pub async fn note_indexes(connection: &impl ConnectionTrait, dialect: Dialect) -> Result<(), DbErr> {
    match dialect {
        Dialect::Sqlite => Ok(()),
        Dialect::Postgres => connection.execute_unprepared("ANALYZE profile, profile_search").await.map(|_| ()),
    }
}

/// Whether an id is among those that a query finds. PostgreSQL is made to look for them first: it takes the beginning of a
/// word for a common one, and would look whether each profile in its order has it, and a type by its name for a rare one.
pub fn is_among(dialect: Dialect, id: Expr, found: SelectStatement) -> Expr {
    match dialect {
        Dialect::Sqlite => id.in_subquery(found),
        Dialect::Postgres => {
            Expr::cust_with_exprs("$1 = ANY (ARRAY $2)", [id, Expr::SubQuery(None, Box::new(found.into()))])
        }
    }
}

/// A column that a filter tests and for which SQLite is to use no index: its unary plus changes nothing else.
pub fn without_index(dialect: Dialect, column: Expr) -> Expr {
    match dialect {
        Dialect::Sqlite => Expr::cust_with_exprs("+?", [column]),
        Dialect::Postgres => column,
    }
}

/// How the fields of a row of the change log become rows: what is joined, the name of each, and whether it is a field
/// rather than an attribute of the record.
pub fn changed_fields(dialect: Dialect) -> (&'static str, &'static str, &'static str) {
    match dialect {
        Dialect::Sqlite => (
            "JOIN json_each(change.fields) AS field",
            "json_extract(field.value, '$.name')",
            "json_extract(field.value, '$.attribute') IS NULL",
        ),
        Dialect::Postgres => (
            "CROSS JOIN LATERAL jsonb_array_elements(change.fields) AS field(value)",
            "(field.value ->> 'name')",
            "field.value -> 'attribute' IS NULL",
        ),
    }
}

/// Writes the place of a bound value, the `number`th of its statement, counted from 1. JSON is bound as text.
pub fn push_placeholder(sql: &mut String, backend: sea_orm::DbBackend, number: usize, is_json: bool) {
    match (backend, is_json) {
        (sea_orm::DbBackend::Postgres, false) => sql.push_str(&format!("${number}")),
        (sea_orm::DbBackend::Postgres, true) => sql.push_str(&format!("CAST(${number} AS jsonb)")),
        _ => sql.push('?'),
    }
}

/// Ids for so many new rows of a table that makes its own, in a transaction that writes. On SQLite the rows must be written
/// before more are asked for: they are what moves the numbers on.
pub async fn new_ids(
    transaction: &impl ConnectionTrait,
    table: &str,
    count: usize,
) -> Result<std::vec::IntoIter<i64>, DbErr> {
    let wanted = i64::try_from(count).unwrap_or(i64::MAX);
    if wanted == 0 {
        return Ok(Vec::new().into_iter());
    }
    let ids = |statement: &str, values: Vec<sea_orm::Value>| {
        transaction.query_all_raw(Statement::from_sql_and_values(transaction.get_database_backend(), statement, values))
    };
    let taken = match transaction.get_database_backend() {
        sea_orm::DbBackend::Postgres => {
            let rows = "SELECT nextval(pg_get_serial_sequence($1, 'id')) FROM generate_series(1, $2)";
            let rows = ids(rows, vec![table.into(), wanted.into()]).await?;
            rows.iter().map(|row| row.try_get_by_index(0)).collect::<Result<_, _>>()?
        }
        // As SQLite itself does it: behind every id that was ever given, as far as is known, and every one that is there.
        _ => {
            let last = format!(
                "SELECT max(coalesce((SELECT seq FROM sqlite_sequence WHERE name = ?), 0), \
                 coalesce((SELECT max(id) FROM \"{table}\"), 0))"
            );
            let rows = ids(&last, vec![table.into()]).await?;
            let last = rows.first().map_or(Ok(0), |row| row.try_get_by_index::<i64>(0))?;
            (last + 1..=last + wanted).collect::<Vec<_>>()
        }
    };
    Ok(taken.into_iter())
}

/// A JSON column without some of its top-level keys. Keys are words of our own, never input.
pub fn json_without(dialect: Dialect, column: &str, keys: &[&str]) -> SimpleExpr {
    match dialect {
        Dialect::Sqlite => {
            let paths: String = keys.iter().map(|key| format!(", '$.{key}'")).collect();
            Expr::cust(format!("json_remove({column}{paths})"))
        }
        Dialect::Postgres => {
            let keys: String = keys.iter().map(|key| format!(" - '{key}'")).collect();
            Expr::cust(format!("({column}{keys})"))
        }
    }
}

/// A text with its ASCII letters in lower case. SQLite folds no others, and PostgreSQL does so where it is told to.
pub fn fold_case(dialect: Dialect, text: SimpleExpr) -> SimpleExpr {
    match dialect {
        Dialect::Sqlite => Expr::cust_with_exprs("lower(?)", [text]),
        Dialect::Postgres => Expr::cust_with_exprs("lower($1 COLLATE \"C\")", [text]),
    }
}

/// The profiles that have all of these words and one that begins like `prefix`, as a subquery of ids. Words are letters and
/// digits only, so that nothing of either database's query language is in them.
pub fn profiles_with_words(dialect: Dialect, words: &[String], prefix: &str) -> SelectStatement {
    match dialect {
        Dialect::Sqlite => {
            let whole: String = words.iter().map(|word| format!("\"{word}\" ")).collect();
            Query::select()
                .expr(Expr::cust(format!("\"{WORDS}\".\"rowid\"")))
                .from(WORDS)
                .and_where(Expr::cust_with_values(format!("\"{WORDS}\" MATCH ?"), [format!("{whole}\"{prefix}\"*")]))
                .take()
        }
        Dialect::Postgres => {
            let whole: String = words.iter().map(|word| format!("'{word}' & ")).collect();
            Query::select()
                .column(("profile_search", "profile_id"))
                .from("profile_search")
                // As a subquery it is unknown to the planner either way, so that a search is not planned anew each time.
                .and_where(Expr::cust_with_values(
                    "array_to_tsvector(string_to_array(\"profile_search\".\"words\", ' ')) @@ (SELECT CAST($1 AS tsquery))",
                    [format!("{whole}'{prefix}':*")],
                ))
                .take()
        }
    }
}

/// Whether a column of bytes contains these.
pub fn bytes_contain(dialect: Dialect, column: &str, bytes: Vec<u8>) -> SimpleExpr {
    match dialect {
        Dialect::Sqlite => Expr::cust_with_values(format!("instr(\"{column}\", ?) > 0"), [bytes]),
        Dialect::Postgres => Expr::cust_with_values(format!("position($1 in \"{column}\") > 0"), [bytes]),
    }
}

/// The part of a list of changed values that tells of one attribute; an empty list where none does.
pub fn told_of_attribute(dialect: Dialect, column: &str, attribute: &str) -> SimpleExpr {
    let is_of = is_of_attribute(dialect, attribute);
    match dialect {
        Dialect::Sqlite => Expr::cust(format!(
            "(SELECT json_group_array(json(part.value)) FROM json_each(\"{column}\") AS part WHERE {is_of})"
        )),
        Dialect::Postgres => Expr::cust(format!(
            "(SELECT coalesce(jsonb_agg(part.value), '[]') FROM jsonb_array_elements(\"{column}\") AS part WHERE {is_of})"
        )),
    }
}

/// Whether a list of changed values tells of anything but one attribute.
pub fn tells_more_than(dialect: Dialect, column: &str, attribute: &str) -> SimpleExpr {
    let is_of = is_of_attribute(dialect, attribute);
    let parts = match dialect {
        Dialect::Sqlite => "json_each",
        Dialect::Postgres => "jsonb_array_elements",
    };
    Expr::cust(format!("EXISTS (SELECT 1 FROM {parts}(\"{column}\") AS part WHERE NOT ({is_of}))"))
}

/// Whether `part` of a list of changed values tells of this attribute, and not of a field of its name.
fn is_of_attribute(dialect: Dialect, attribute: &str) -> String {
    match dialect {
        Dialect::Sqlite => format!(
            "json_extract(part.value, '$.name') = '{attribute}' AND coalesce(json_extract(part.value, '$.attribute'), 0)"
        ),
        Dialect::Postgres => {
            format!("part.value ->> 'name' = '{attribute}' AND coalesce((part.value ->> 'attribute')::boolean, false)")
        }
    }
}

/// Cleans the database's files of what rows of these tables held before they were last written; false where somebody
/// still reads an older state, so that it must be tried again.
///
/// SQLite: deleted content is overwritten (`secure_delete`), yet the index of words keeps some of it, copies of cells lie
/// between the cells of pages, and the write-ahead log has it until it is folded into the file and cut. PostgreSQL: old
/// versions of rows stay until a vacuum that
/// no open snapshot holds up, their index entries with them, and common values in the statistics of the planner. A vacuum gives
/// the room of rows free and does not overwrite it: tables that are soon written anew are.
///
/// # Errors
/// The database's own error.
pub async fn clean_files(db: &Database, tables: &[&str]) -> Result<bool, DbErr> {
    match db.dialect() {
        Dialect::Sqlite => {
            let aside = db.connect_aside().await?;
            let overwritten = async {
                full_text::clean(&aside, WORDS).await?;
                pages::overwrite_middles(&aside).await
            };
            if let Err(error) = overwritten.await {
                aside.close().await?;
                let is_busy = code(&error).is_some_and(|code| primary(&code) == Some(BUSY));
                return if is_busy { Ok(false) } else { Err(error) };
            }
            let cut = cut_log(&aside).await;
            aside.close().await?;
            cut
        }
        Dialect::Postgres => {
            if !is_past_for_everybody(db).await? {
                return Ok(false);
            }
            // Whoever asks for a whole table makes everybody behind wait as well, milliseconds.
            let unhurried = db.unhurried("500").await?;
            let vacuumed = vacuum(db, unhurried.connection(), tables).await;
            unhurried.close().await?;
            match vacuumed {
                // Somebody holds a table for longer than others may be kept waiting.
                Err(error) if code(&error).is_some_and(|code| code == "55P03") => Ok(false),
                vacuumed => vacuumed,
            }
        }
    }
}

/// Copies SQLite's log into the file and empties it; false where somebody is in the way. Whoever copies the log already
/// (`wal`) takes some tenths of a second, and no busy timeout waits for them.
async fn cut_log(aside: &DatabaseConnection) -> Result<bool, DbErr> {
    const TRIES: u32 = 10;
    const PAUSE: Duration = Duration::from_millis(100);
    for number in 0..TRIES {
        if number > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        // Most of it without holding up writers, and the rest with them waiting for a moment.
        aside.execute_unprepared("PRAGMA wal_checkpoint(PASSIVE)").await?;
        let cut = Statement::from_string(sea_orm::DbBackend::Sqlite, "PRAGMA wal_checkpoint(TRUNCATE)");
        let is_busy = aside.query_one_raw(cut).await?.map(|row| row.try_get_by_index::<i32>(0)).transpose()?;
        if is_busy == Some(0) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Longest wait for those who may still see what was there before.
const SNAPSHOTS_END: Duration = Duration::from_secs(10);

/// Waits until no snapshot of PostgreSQL shows what was there before now; false where one stays for long. Transactions of
/// other databases on the server count: while one runs that is older than the erasure, every new snapshot here keeps
/// what that one might see.
async fn is_past_for_everybody(db: &Database) -> Result<bool, DbErr> {
    const NEWEST: &str = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint";
    const RUNNING: &str = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint < $1";
    // The columns hold the lower half of the number, which wraps round. Replicas and slots hold rows back as well, vacuums
    // do not.
    const SEEN: &str = "SELECT EXISTS (SELECT 1 FROM ( \
             SELECT backend_xmin AS xmin FROM pg_stat_activity \
             WHERE (datname = current_database() OR datname IS NULL) AND pid <> pg_backend_pid() \
                 AND pid NOT IN (SELECT pid FROM pg_stat_progress_vacuum) \
             UNION ALL SELECT xmin FROM pg_replication_slots) AS held \
         WHERE xmin IS NOT NULL AND ((($1::bigint & 4294967295) - xmin::text::bigint + 4294967296) & 4294967295) \
             BETWEEN 1 AND 2147483647)";
    let of = |text| Statement::from_string(sea_orm::DbBackend::Postgres, text);
    let Some(newest) = db.writer().query_one_raw(of(NEWEST)).await? else { return Ok(false) };
    let newest: i64 = newest.try_get_by_index(0)?;
    let deadline = Instant::now() + SNAPSHOTS_END;
    loop {
        let mut is_past = true;
        // In this order: a snapshot that is made after nobody older runs shows nothing older.
        for holds_up in [RUNNING, SEEN] {
            let holds_up = Statement::from_sql_and_values(sea_orm::DbBackend::Postgres, holds_up, [newest.into()]);
            let row = db.writer().query_one_raw(holds_up).await?;
            is_past &= row.map(|row| row.try_get_by_index::<bool>(0)).transpose()? == Some(false);
        }
        if is_past || Instant::now() >= deadline {
            return Ok(is_past);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A table of PostgreSQL up to this size, indexes included, is written anew after an erasure: nobody reads or writes it
/// meanwhile, a second or two on a slow machine. Bytes.
const WRITTEN_ANEW: i64 = 64 << 20;

async fn vacuum(db: &Database, unhurried: &DatabaseConnection, tables: &[&str]) -> Result<bool, DbErr> {
    for table in tables {
        let size = Statement::from_sql_and_values(
            sea_orm::DbBackend::Postgres,
            "SELECT pg_total_relation_size($1::text::regclass)",
            [format!("\"{table}\"").into()],
        );
        let size = unhurried.query_one_raw(size).await?.map(|row| row.try_get_by_index::<i64>(0)).transpose()?;
        let is_small = size.is_some_and(|size| size <= WRITTEN_ANEW);
        let how = if is_small { "FULL, ANALYZE" } else { "INDEX_CLEANUP ON, ANALYZE" };
        unhurried.execute_unprepared(&format!("VACUUM ({how}) \"{table}\"")).await?;
        if !is_small {
            tracing::warn!(
                table,
                "PostgreSQL does not overwrite the room of erased rows: write the table anew in a quiet hour (VACUUM FULL)"
            );
        }
    }
    // The statistics that were just replaced are rows too, and somebody may still plan by them. Who does not own the
    // database is told so by the server, and nothing else happens.
    if !is_past_for_everybody(db).await? {
        return Ok(false);
    }
    unhurried.execute_unprepared("VACUUM (FULL) pg_statistic").await?;
    Ok(true)
}
