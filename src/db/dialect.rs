//! Every difference between SQLite and PostgreSQL, and nothing else.

use super::Database;
use sea_orm::sea_query::{Expr, SimpleExpr};
use sea_orm::{ConnectionTrait, DbErr, Statement, TransactionTrait};

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

/// A text with its ASCII letters in lower case. SQLite folds no others, and PostgreSQL does so where it is told to.
pub fn fold_case(dialect: Dialect, text: SimpleExpr) -> SimpleExpr {
    match dialect {
        Dialect::Sqlite => Expr::cust_with_exprs("lower(?)", [text]),
        Dialect::Postgres => Expr::cust_with_exprs("lower($1 COLLATE \"C\")", [text]),
    }
}
