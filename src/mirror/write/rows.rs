//! Rows on their way into a table: many in one statement, as plain SQL.
//!
//! Every record of a sync comes this way, so that it is cheap: the text is put together once a statement, no tree of
//! expressions is built of thousands of values, and a JSON column is bound as text. A prepared statement takes memory
//! for each value that it binds and stays with its connection, hence statements of a few sizes only.

use crate::db::dialect;
use futures::future::{join, lazy};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ColumnType, ConnectionTrait, DbErr, EntityTrait, IdenStatic, IntoActiveModel,
    Iterable, QueryResult, Statement, Value,
};
use std::collections::HashMap;

/// Rows in one statement, the largest first: as many of each as fit.
const SIZES: [usize; 8] = [128, 64, 32, 16, 8, 4, 2, 1];

/// What a row does that is there already. `key` are the columns by which it is known.
#[derive(Clone, Copy)]
pub(super) enum Known<C: 'static> {
    /// It cannot be there.
    Fails,
    /// The stored row stays.
    Stays,
    /// The stored row stays, and is returned like a new one.
    StaysAndReturns(&'static [C]),
    /// Everything but the key is taken from the new row.
    IsReplaced(&'static [C]),
    /// The same, unless the stored row has a greater value in this column.
    IsReplacedByNewer(&'static [C], C),
}

/// Inserts rows. `id` is left to the database where the table makes its own.
pub(super) async fn insert<E>(
    transaction: &impl ConnectionTrait,
    rows: Vec<E::Model>,
    id: Option<E::Column>,
    known: Known<E::Column>,
) -> Result<(), DbErr>
where
    E: EntityTrait,
    E::Model: IntoActiveModel<E::ActiveModel>,
    E::ActiveModel: ActiveModelTrait<Entity = E>,
{
    let plan = Plan::<E>::new(transaction, id, known, &[]);
    let mut rows = rows.into_iter();
    let mut next = plan.statement(&mut rows);
    while let Some(statement) = next {
        // The database works on one statement while the next is put together.
        let (done, statement) = join(transaction.execute_raw(statement), lazy(|_| plan.statement(&mut rows))).await;
        done?;
        next = statement;
    }
    Ok(())
}

/// Inserts rows and hands `returned` columns of each to `read`, in no order.
pub(super) async fn insert_returning<E>(
    transaction: &impl ConnectionTrait,
    rows: Vec<E::Model>,
    id: Option<E::Column>,
    known: Known<E::Column>,
    returned: &[E::Column],
    mut read: impl FnMut(&QueryResult) -> Result<(), DbErr>,
) -> Result<(), DbErr>
where
    E: EntityTrait,
    E::Model: IntoActiveModel<E::ActiveModel>,
    E::ActiveModel: ActiveModelTrait<Entity = E>,
{
    let plan = Plan::<E>::new(transaction, id, known, returned);
    let mut rows = rows.into_iter();
    let mut next = plan.statement(&mut rows);
    while let Some(statement) = next {
        let (found, statement) = join(transaction.query_all_raw(statement), lazy(|_| plan.statement(&mut rows))).await;
        for row in found? {
            read(&row)?;
        }
        next = statement;
    }
    Ok(())
}

/// Inserts rows and returns the id of each by its external id.
pub(super) async fn insert_returning_ids<E>(
    transaction: &impl ConnectionTrait,
    rows: Vec<E::Model>,
    id: E::Column,
    external_id: E::Column,
    known: Known<E::Column>,
) -> Result<HashMap<String, i64>, DbErr>
where
    E: EntityTrait,
    E::Model: IntoActiveModel<E::ActiveModel>,
    E::ActiveModel: ActiveModelTrait<Entity = E>,
{
    let mut ids = HashMap::with_capacity(rows.len());
    let returned = [id, external_id];
    insert_returning::<E>(transaction, rows, Some(id), known, &returned, |row| {
        ids.insert(row.try_get("", external_id.as_str())?, row.try_get("", id.as_str())?);
        Ok(())
    })
    .await?;
    Ok(ids)
}

/// How the rows of one table are written.
struct Plan<E: EntityTrait> {
    backend: sea_orm::DbBackend,
    /// The columns that are written, each with whether it holds JSON.
    columns: Vec<(E::Column, bool)>,
    head: String,
    tail: String,
}

impl<E> Plan<E>
where
    E: EntityTrait,
    E::Model: IntoActiveModel<E::ActiveModel>,
    E::ActiveModel: ActiveModelTrait<Entity = E>,
{
    fn new(
        connection: &impl ConnectionTrait,
        id: Option<E::Column>,
        known: Known<E::Column>,
        returned: &[E::Column],
    ) -> Self {
        let is_id = |column: &E::Column| id.is_some_and(|id| id.as_str() == column.as_str());
        let columns: Vec<_> = E::Column::iter()
            .filter(|column| !is_id(column))
            .map(|column| (column, matches!(column.def().get_column_type(), ColumnType::Json | ColumnType::JsonBinary)))
            .collect();
        let names: Vec<String> = columns.iter().map(|(column, _)| quoted(column)).collect();
        let head = format!("INSERT INTO \"{}\" ({}) VALUES ", E::default().table_name(), names.join(", "));
        let mut tail = conflict(E::default().table_name(), known, &names);
        if !returned.is_empty() {
            tail.push_str(" RETURNING ");
            tail.push_str(&returned.iter().map(quoted).collect::<Vec<_>>().join(", "));
        }
        Self { backend: connection.get_database_backend(), columns, head, tail }
    }

    /// The next statement; none once every row is written.
    fn statement(&self, rows: &mut std::vec::IntoIter<E::Model>) -> Option<Statement> {
        let size = SIZES.into_iter().find(|size| *size <= rows.len())?;
        let width = self.columns.len();
        let mut sql = String::with_capacity(self.head.len() + self.tail.len() + size * width * 8);
        sql.push_str(&self.head);
        let mut values: Vec<Value> = Vec::with_capacity(size * width);
        for (place, row) in rows.take(size).enumerate() {
            sql.push_str(if place == 0 { "(" } else { ", (" });
            let mut row = row.into_active_model();
            for (at, (column, is_json)) in self.columns.iter().enumerate() {
                if at > 0 {
                    sql.push_str(", ");
                }
                let value = row.take(*column).into_value().unwrap_or(Value::String(None));
                values.push(if *is_json { as_text(value) } else { value });
                dialect::push_placeholder(&mut sql, self.backend, values.len(), *is_json);
            }
            sql.push(')');
        }
        sql.push_str(&self.tail);
        Some(Statement::from_sql_and_values(self.backend, sql, values))
    }
}

fn quoted<C: ColumnTrait>(column: &C) -> String {
    format!("\"{}\"", column.as_str())
}

fn as_text(value: Value) -> Value {
    match value {
        Value::Json(json) => Value::String(json.map(|json| json.to_string())),
        other => other,
    }
}

fn conflict<C: ColumnTrait>(table: &str, known: Known<C>, names: &[String]) -> String {
    let list = |key: &[C]| key.iter().map(quoted).collect::<Vec<_>>();
    let replaced = |key: &[C]| {
        let key = list(key);
        let replaced = names.iter().filter(|name| !key.contains(name));
        let replaced: Vec<String> = replaced.map(|name| format!("{name} = excluded.{name}")).collect();
        format!(" ON CONFLICT ({}) DO UPDATE SET {}", key.join(", "), replaced.join(", "))
    };
    match known {
        Known::Fails => String::new(),
        Known::Stays => " ON CONFLICT DO NOTHING".to_owned(),
        Known::StaysAndReturns(key) => {
            let key = list(key);
            let last = key.last().cloned().unwrap_or_default();
            format!(" ON CONFLICT ({}) DO UPDATE SET {last} = excluded.{last}", key.join(", "))
        }
        Known::IsReplaced(key) => replaced(key),
        Known::IsReplacedByNewer(key, column) => {
            let column = quoted(&column);
            format!("{} WHERE \"{table}\".{column} <= excluded.{column}", replaced(key))
        }
    }
}
