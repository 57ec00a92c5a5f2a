//! Every difference between SQLite and PostgreSQL, and nothing else.

use super::{Database, pages};
use sea_orm::sea_query::{Expr, SimpleExpr};
use sea_orm::{ConnectionTrait, DbErr, RuntimeErr, Statement, TransactionTrait};

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
const MIGRATION_LOCK: i64 = 0x70_6d_02;

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
    let (DbErr::Exec(RuntimeErr::SqlxError(cause)) | DbErr::Query(RuntimeErr::SqlxError(cause))) = error else {
        return false;
    };
    cause.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "40P01")
}

/// Held while migrations run.
pub enum MigrationGuard {
    /// A lock on a file beside the database, let go when it is closed.
    Sqlite(std::fs::File),
    /// A transaction that holds an advisory lock.
    Postgres(sea_orm::DatabaseTransaction),
}

impl MigrationGuard {
    /// Lets the next process migrate.
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

/// Waits until no other process migrates this database.
///
/// Migrations are applied one by one: SQLite's own lock keeps two statements apart, not two migrators.
pub async fn lock_migrations(db: &Database) -> Result<MigrationGuard, DbErr> {
    if let Some(file) = db.file() {
        let mut path = file.clone().into_os_string();
        path.push(".migrating");
        let lock = move || {
            let file = std::fs::File::create(path)?;
            file.lock()?;
            std::io::Result::Ok(file)
        };
        let locked = tokio::task::spawn_blocking(lock).await.map_err(|error| lock_failed(&error))?;
        return locked.map(MigrationGuard::Sqlite).map_err(|error| lock_failed(&error));
    }
    let transaction = db.writer().begin().await?;
    let statement = Statement::from_sql_and_values(
        sea_orm::DbBackend::Postgres,
        "SELECT pg_advisory_xact_lock($1)",
        [MIGRATION_LOCK.into()],
    );
    transaction.execute_raw(statement).await?;
    Ok(MigrationGuard::Postgres(transaction))
}

/// Writes the place of a bound value, the `number`th of its statement, counted from 1. JSON is bound as text.
pub fn push_placeholder(sql: &mut String, backend: sea_orm::DbBackend, number: usize, is_json: bool) {
    match (backend, is_json) {
        (sea_orm::DbBackend::Postgres, false) => sql.push_str(&format!("${number}")),
        (sea_orm::DbBackend::Postgres, true) => sql.push_str(&format!("CAST(${number} AS jsonb)")),
        _ => sql.push('?'),
    }
}

/// The text of one field inside a JSON column: strings without quotes, null where it is absent.
pub fn json_field_text(dialect: Dialect, column: &str, name: &str) -> SimpleExpr {
    match dialect {
        Dialect::Sqlite => Expr::cust_with_values(
            format!("CAST(json_extract({column}, ?) AS TEXT)"),
            [format!("$.\"{}\"", name.replace('"', "\\\""))],
        ),
        Dialect::Postgres => Expr::cust_with_values(format!("({column} ->> $1)"), [name.to_owned()]),
    }
}

/// The text of one field inside a JSON column, and where the field is an object with a `value` (a scored value),
/// the text of that; null where it is absent. `true` and `false` read so on both.
pub fn json_field_plain(dialect: Dialect, column: &str, name: &str) -> SimpleExpr {
    match dialect {
        Dialect::Sqlite => {
            let path = format!("$.\"{}\"", name.replace('"', "\\\""));
            let inner = format!("{path}.value");
            let text = |place: &str| {
                format!(
                    "CASE json_type({column}, {place}) WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' \
                     ELSE CAST(json_extract({column}, {place}) AS TEXT) END"
                )
            };
            Expr::cust_with_values(
                format!("COALESCE({}, {})", text("?"), text("?")),
                [inner.clone(), inner, path.clone(), path],
            )
        }
        Dialect::Postgres => Expr::cust_with_values(
            format!("COALESCE({column} -> $1 ->> 'value', {column} ->> $2)"),
            [name.to_owned(), name.to_owned()],
        ),
    }
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
/// SQLite: deleted content is overwritten (`secure_delete`), yet copies of it lie between the cells of pages, and the
/// write-ahead log has it until it is folded into the file and cut. PostgreSQL: old versions of rows stay until a vacuum that no open snapshot holds up, their index
/// entries with them, and common values in the statistics of the planner.
///
/// # Errors
/// The database's own error.
pub async fn clean_files(db: &Database, tables: &[&str]) -> Result<bool, DbErr> {
    match db.dialect() {
        Dialect::Sqlite => {
            let aside = db.connect_aside().await?;
            let overwritten = pages::overwrite_middles(&aside).await;
            if let Err(error) = overwritten {
                aside.close().await?;
                return if is_locked(&error) { Ok(false) } else { Err(error) };
            }
            // Most of it without holding up writers, and the rest with them waiting for a moment.
            aside.execute_unprepared("PRAGMA wal_checkpoint(PASSIVE)").await?;
            let cut = Statement::from_string(sea_orm::DbBackend::Sqlite, "PRAGMA wal_checkpoint(TRUNCATE)");
            let outcome = aside.query_one_raw(cut).await;
            aside.close().await?;
            let is_busy = outcome?.map(|row| row.try_get_by_index::<i32>(0)).transpose()?;
            Ok(is_busy == Some(0))
        }
        Dialect::Postgres => {
            let holds_up = "SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE backend_xmin IS NOT NULL \
                AND datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend' \
                AND xact_start < to_timestamp($1))";
            let now = Statement::from_string(
                sea_orm::DbBackend::Postgres,
                "SELECT extract(epoch from clock_timestamp())::float8",
            );
            let now: f64 = match db.writer().query_one_raw(now).await? {
                Some(row) => row.try_get_by_index(0)?,
                None => return Ok(false),
            };
            let holds_up = Statement::from_sql_and_values(sea_orm::DbBackend::Postgres, holds_up, [now.into()]);
            let is_held_up = db.writer().query_one_raw(holds_up).await?.map(|row| row.try_get_by_index::<bool>(0));
            if is_held_up.transpose()?.unwrap_or(true) {
                return Ok(false);
            }
            for table in tables {
                let vacuum = format!("VACUUM (INDEX_CLEANUP ON, ANALYZE) \"{table}\"");
                db.writer().execute_unprepared(&vacuum).await?;
            }
            Ok(true)
        }
    }
}

fn is_locked(error: &DbErr) -> bool {
    error.to_string().contains("database is locked")
}
