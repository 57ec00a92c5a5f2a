//! Indexes of fields: how each is called and made, and which there are.
//!
//! The catalogue of the database is the only record of them. An index is named after its own expression, so that one
//! that a later version reads otherwise is another index.

use super::Dialect;
use super::fields::{FieldAs, field_as};
use ring::digest;
use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement};

const PREFIX: &str = "profile_field_";

/// An index of a field that is in the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldIndex {
    /// Its name.
    pub name: String,
    /// False while it is made, or where making it failed.
    pub is_usable: bool,
}

/// The name of the index of one reading of a field.
pub fn name(dialect: Dialect, field: &str, reading: FieldAs) -> String {
    let digest = digest::digest(&digest::SHA256, expression(dialect, field, reading).as_bytes());
    let hex: String = digest.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("{PREFIX}{hex}")
}

/// The statement that makes it. On PostgreSQL it must run outside of a transaction, and blocks nobody.
pub fn create(dialect: Dialect, field: &str, reading: FieldAs) -> String {
    let (name, expression) = (name(dialect, field, reading), expression(dialect, field, reading));
    let how = match dialect {
        Dialect::Sqlite => "",
        Dialect::Postgres => "CONCURRENTLY",
    };
    format!("CREATE INDEX {how} IF NOT EXISTS {name} ON profile (({expression}), id) WHERE ({expression}) IS NOT NULL")
}

/// The statement that drops an index of a field by its name, under the same terms.
pub fn drop(dialect: Dialect, name: &str) -> String {
    match dialect {
        Dialect::Sqlite => format!("DROP INDEX IF EXISTS {name}"),
        Dialect::Postgres => format!("DROP INDEX CONCURRENTLY IF EXISTS {name}"),
    }
}

/// The indexes of fields that are there.
///
/// # Errors
/// The database's own error.
pub async fn list(connection: &impl ConnectionTrait) -> Result<Vec<FieldIndex>, DbErr> {
    let backend = connection.get_database_backend();
    let sql = match backend {
        DbBackend::Sqlite => {
            "SELECT name, 1 AS is_usable FROM sqlite_master WHERE type = 'index' AND tbl_name = 'profile'"
        }
        _ => {
            "SELECT class.relname::text AS name, CASE WHEN indisvalid AND indisready THEN 1 ELSE 0 END AS is_usable \
             FROM pg_index JOIN pg_class AS class ON class.oid = indexrelid WHERE indrelid = 'profile'::regclass"
        }
    };
    let rows = connection.query_all_raw(Statement::from_string(backend, sql)).await?;
    let read = rows.iter().map(|row| {
        Ok(FieldIndex { name: row.try_get("", "name")?, is_usable: row.try_get::<i32>("", "is_usable")? == 1 })
    });
    let all: Vec<FieldIndex> = read.collect::<Result<_, DbErr>>()?;
    Ok(all.into_iter().filter(|index| index.name.starts_with(PREFIX)).collect())
}

fn expression(dialect: Dialect, field: &str, reading: FieldAs) -> String {
    field_as(dialect, "fields", field, reading)
}
