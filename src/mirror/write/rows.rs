//! Rows on their way into a table: many in one statement, as plain SQL.
//!
//! Every record of a sync comes this way, so that it is cheap: the text is put together once a statement, no tree of
//! expressions is built of thousands of values, and a JSON column is bound as text. A prepared statement takes memory
//! for each value that it binds and stays with its connection, hence statements of a few sizes only.

use crate::db::dialect;
use futures::future::{join, lazy};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ColumnType, ConnectionTrait, DbBackend, DbErr, EntityTrait, IdenStatic,
    IntoActiveModel, Iterable, QueryResult, Statement, Value,
};
use std::collections::VecDeque;
use std::sync::OnceLock;

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
    /// The same. New rows come with ids that were taken for them, and stored ones with their own, the second column.
    HasItsId(&'static [C], C),
    /// The same, unless the stored row has a greater value in this column.
    IsReplacedByNewer(&'static [C], C),
}

/// How rows come into a table. The beginning and the end of its statements are put together once.
pub(super) struct Table<E: EntityTrait> {
    id: Option<E::Column>,
    known: Known<E::Column>,
    returned: &'static [E::Column],
    most: usize,
    plans: [OnceLock<Plan<E>>; 2],
}

impl<E: EntityTrait> Table<E> {
    /// `id` is left to the database where the table makes its own.
    pub const fn new(id: Option<E::Column>, known: Known<E::Column>) -> Self {
        Self::returning(id, known, &[])
    }

    /// The same, and tells these columns of each row.
    pub const fn returning(id: Option<E::Column>, known: Known<E::Column>, returned: &'static [E::Column]) -> Self {
        Self { id, known, returned, most: SIZES[0], plans: [OnceLock::new(), OnceLock::new()] }
    }

    /// The same with at most so many rows in one statement: of large rows, half of them are put together while the
    /// others are carried out.
    pub const fn in_statements_of(mut self, most: usize) -> Self {
        self.most = most;
        self
    }
}

impl<E> Table<E>
where
    E: EntityTrait,
    E::Model: IntoActiveModel<E::ActiveModel>,
    E::ActiveModel: ActiveModelTrait<Entity = E>,
{
    fn plan(&self, backend: DbBackend) -> &Plan<E> {
        let of_backend = &self.plans[usize::from(backend == DbBackend::Postgres)];
        of_backend.get_or_init(|| Plan::new(backend, self))
    }

    /// Inserts rows.
    pub async fn insert(&'static self, transaction: &impl ConnectionTrait, rows: Vec<E::Model>) -> Result<(), DbErr> {
        let mut writes = Writes::new(transaction);
        writes.insert(self, rows);
        writes.carry_out(transaction).await
    }

    /// Inserts rows and hands what is returned of each to `read`, in no order.
    pub async fn insert_and_read(
        &self,
        transaction: &impl ConnectionTrait,
        rows: Vec<E::Model>,
        mut read: impl FnMut(&QueryResult) -> Result<(), DbErr>,
    ) -> Result<(), DbErr> {
        let plan = self.plan(transaction.get_database_backend());
        let mut rows = rows.into_iter();
        while let Some(Write { statement, .. }) = plan.next(&mut rows) {
            for row in transaction.query_all_raw(statement).await? {
                read(&row)?;
            }
        }
        Ok(())
    }
}

/// Puts the next statement together; none after the last.
type Source<'a> = Box<dyn FnMut() -> Option<Write> + Send + 'a>;

/// A statement on its way to the database.
pub(super) struct Write {
    statement: Statement,
    /// Rows in it.
    rows: u64,
    /// Each row must be written, or else an id that was given to it is wrong.
    is_checked: bool,
}

/// Statements of several tables, carried out in order. Each is put together while the database works on the one before it.
pub(crate) struct Writes<'a> {
    backend: DbBackend,
    sources: VecDeque<Source<'a>>,
}

impl<'a> Writes<'a> {
    /// None yet.
    pub fn new(connection: &impl ConnectionTrait) -> Self {
        Self { backend: connection.get_database_backend(), sources: VecDeque::new() }
    }

    /// Carries them out.
    pub async fn carry_out(mut self, transaction: &impl ConnectionTrait) -> Result<(), DbErr> {
        let mut next = self.next();
        while let Some(Write { statement, rows, is_checked }) = next {
            let (done, following) = join(transaction.execute_raw(statement), lazy(|_| self.next())).await;
            let written = done?.rows_affected();
            if is_checked && written != rows {
                let problem = "one is not there, or is stored under another id than it was given";
                return Err(DbErr::Custom(format!("{written} of {rows} rows were written: {problem}")));
            }
            next = following;
        }
        Ok(())
    }

    fn next(&mut self) -> Option<Write> {
        loop {
            match self.sources.front_mut()?() {
                None => drop(self.sources.pop_front()),
                some => return some,
            }
        }
    }

    /// Inserts rows.
    pub(super) fn insert<E>(&mut self, table: &'static Table<E>, rows: Vec<E::Model>)
    where
        E: EntityTrait,
        E::Model: IntoActiveModel<E::ActiveModel> + 'a,
        E::ActiveModel: ActiveModelTrait<Entity = E>,
    {
        if !rows.is_empty() {
            let plan = table.plan(self.backend);
            let mut rows = rows.into_iter();
            self.push(move || plan.next(&mut rows));
        }
    }

    /// Inserts rows, and after them what belongs to each in another table, made of the row before that one moves on.
    pub(super) fn insert_both<E, B>(
        &mut self,
        (table, belonging_table): (&'static Table<E>, &'static Table<B>),
        rows: Vec<E::Model>,
        belonging: impl Fn(&E::Model) -> Option<B::Model> + Send + 'a,
    ) where
        E: EntityTrait,
        E::Model: IntoActiveModel<E::ActiveModel> + 'a,
        E::ActiveModel: ActiveModelTrait<Entity = E>,
        B: EntityTrait,
        B::Model: IntoActiveModel<B::ActiveModel> + 'a,
        B::ActiveModel: ActiveModelTrait<Entity = B>,
    {
        let (plan, belonging_plan) = (table.plan(self.backend), belonging_table.plan(self.backend));
        let (mut rows, mut made, mut left) = (rows.into_iter(), Vec::new(), None);
        self.push(move || {
            let count = fitting(rows.len(), plan.most).unwrap_or(0);
            made.extend(rows.as_slice().iter().take(count).filter_map(&belonging));
            let next = plan.next(&mut rows);
            next.or_else(|| {
                let left = left.get_or_insert_with(|| std::mem::take(&mut made).into_iter());
                belonging_plan.next(left)
            })
        });
    }

    /// Of which database.
    pub(super) fn backend(&self) -> DbBackend {
        self.backend
    }

    /// Carries out what a source puts together.
    pub(super) fn push(&mut self, source: impl FnMut() -> Option<Write> + Send + 'a) {
        self.sources.push_back(Box::new(source));
    }

    /// Carries out updates by rows of numbers, many in one statement.
    pub(super) fn update<const N: usize>(&mut self, update: Update, rows: Vec<[i64; N]>) {
        let Update { head, tail, is_checked } = update;
        let (backend, mut rows) = (self.backend, rows.into_iter());
        self.push(move || {
            let size = fitting(rows.len(), SIZES[0])?;
            let mut sql = String::with_capacity(head.len() + tail.len() + size * N * 24);
            sql.push_str(head);
            let mut values: Vec<Value> = Vec::with_capacity(size * N);
            for (place, row) in rows.by_ref().take(size).enumerate() {
                sql.push_str(if place == 0 { "(" } else { ", (" });
                for (at, value) in row.into_iter().enumerate() {
                    sql.push_str(if at == 0 { "CAST(" } else { ", CAST(" });
                    values.push(value.into());
                    dialect::push_placeholder(&mut sql, backend, values.len(), false);
                    sql.push_str(" AS bigint)");
                }
                sql.push(')');
            }
            sql.push_str(tail);
            let statement = Statement::from_sql_and_values(backend, sql, values);
            Some(Write { statement, rows: size as u64, is_checked })
        });
    }

    /// Carries out one statement.
    pub(super) fn push_one(&mut self, statement: Statement) {
        let mut one = Some(Write { statement, rows: 0, is_checked: false });
        self.push(move || one.take());
    }
}

/// An update by many rows of numbers, which come between its beginning and its end.
#[derive(Clone, Copy)]
pub(super) struct Update {
    pub head: &'static str,
    pub tail: &'static str,
    /// Each of them must meet a stored row.
    pub is_checked: bool,
}

/// The beginning and the end of a table's statements on one database.
struct Plan<E: EntityTrait> {
    backend: DbBackend,
    /// The columns that are written, each with whether it holds JSON.
    columns: Vec<(E::Column, bool)>,
    head: String,
    tail: String,
    is_checked: bool,
    most: usize,
}

impl<E> Plan<E>
where
    E: EntityTrait,
    E::Model: IntoActiveModel<E::ActiveModel>,
    E::ActiveModel: ActiveModelTrait<Entity = E>,
{
    fn new(backend: DbBackend, table: &Table<E>) -> Self {
        let Table { id, known, returned, most, .. } = *table;
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
        let is_checked = matches!(known, Known::HasItsId(..));
        Self { backend, columns, head, tail, is_checked, most }
    }

    /// The next statement; none once every row is written.
    fn next(&self, rows: &mut std::vec::IntoIter<E::Model>) -> Option<Write> {
        let size = fitting(rows.len(), self.most)?;
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
        let statement = Statement::from_sql_and_values(self.backend, sql, values);
        Some(Write { statement, rows: size as u64, is_checked: self.is_checked })
    }
}

/// How many of the rows that are left go into the next statement; none where none is left.
fn fitting(left: usize, most: usize) -> Option<usize> {
    SIZES.into_iter().find(|size| *size <= Ord::min(left, most))
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
    let replaced = |key: &[C], kept: &[C]| {
        let (key, kept) = (list(key), list(kept));
        let replaced = names.iter().filter(|name| !key.contains(name) && !kept.contains(name));
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
        Known::IsReplaced(key) => replaced(key, &[]),
        Known::HasItsId(key, id) => {
            let same = quoted(&id);
            format!("{} WHERE \"{table}\".{same} = excluded.{same}", replaced(key, &[id]))
        }
        Known::IsReplacedByNewer(key, column) => {
            let column = quoted(&column);
            format!("{} WHERE \"{table}\".{column} <= excluded.{column}", replaced(key, &[]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mirror::read::fixture::Fixture;
    use crate::mirror::write::write_profiles;
    use entity::profile;

    #[tokio::test]
    async fn a_row_is_replaced_under_its_own_id_and_refused_under_another() {
        let fixture = Fixture::new().await;
        let source_id = fixture.source("crm").await;
        let id = fixture.profile(source_id, "p1", |_| ()).await;
        let stored = profile::Entity::find_by_id(id).one(fixture.db.primary()).await.unwrap().unwrap();
        let write = async |id: i64, name: &str| {
            let transaction = fixture.db.begin().await.unwrap();
            let mut writes = Writes::new(&transaction);
            let row = profile::Model { id, display_name: Some(name.to_owned()), ..stored.clone() };
            write_profiles(&mut writes, vec![row]);
            let written = writes.carry_out(&transaction).await;
            transaction.commit().await.unwrap();
            written.map_err(|error| error.to_string())
        };
        write(id, "Anna").await.unwrap();
        let problem = write(id + 1, "Bert").await.unwrap_err();
        assert!(problem.contains("stored under another id"), "{problem}");
        let rows = profile::Entity::find().all(fixture.db.primary()).await.unwrap();
        assert_eq!(
            rows.iter().map(|row| (row.id, row.display_name.as_deref())).collect::<Vec<_>>(),
            [(id, Some("Anna"))]
        );
    }
}
