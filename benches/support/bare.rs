//! The ceiling of a sync: the rows that it has written, written again by bare multi-row upserts and nothing else.

use anyhow::{Context, ensure};
use entity::{
    change, collection, lifecycle_transition, profile, profile_interest, profile_search, profile_type, relationship,
    relationship_type, source, subprofile, verdict,
};
use profile_mirror::db::Database;
use profile_mirror::db::dialect::push_placeholder;
use sea_orm::sea_query::{Expr, Query};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ColumnType, ConnectionTrait, EntityTrait, IdenStatic, IntoActiveModel, Iterable,
    QueryFilter, QuerySelect, Statement, Value,
};
use std::ops::Add;
use std::time::{Duration, Instant};

/// Rows in a transaction, or a few times as many where some share a key.
const BATCH: usize = 10_000;
/// What profiles and subprofiles are known by.
const EXTERNAL_ID: &str = "\"source_id\", \"external_id\"";
/// Rows in a statement; PostgreSQL takes 65,535 values in one, SQLite half of them.
const ROWS: usize = 500;

/// What was written, and in which time; reading the rows is not in it.
#[derive(Clone, Copy)]
pub struct Written {
    /// Rows.
    pub rows: u64,
    /// Time in statements and commits.
    pub elapsed: Duration,
}

impl Add for Written {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { rows: self.rows + other.rows, elapsed: self.elapsed + other.elapsed }
    }
}

/// What a sync has written of a source.
pub struct Copied {
    /// Profiles and subprofiles.
    pub records: Written,
    /// What belongs to them: interests, relationships, words for search, lifecycle transitions, changes and verdicts.
    pub beside: Written,
}

/// Copies what is stored of a source into an empty database with the same schema.
///
/// # Errors
/// The databases'.
pub async fn copy(from: &Database, to: &Database, source: &str) -> anyhow::Result<Copied> {
    let known = source::Entity::find().filter(source::Column::Name.eq(source)).one(from.primary()).await?;
    let id = known.with_context(|| format!("there is no source {source}"))?.id;
    let small = to.begin().await?;
    source::Entity::insert_many(models::<source::Entity>(from).await?).exec_without_returning(&small).await?;
    profile_type::Entity::insert_many(models::<profile_type::Entity>(from).await?)
        .exec_without_returning(&small)
        .await?;
    collection::Entity::insert_many(models::<collection::Entity>(from).await?).exec_without_returning(&small).await?;
    relationship_type::Entity::insert_many(models::<relationship_type::Entity>(from).await?)
        .exec_without_returning(&small)
        .await?;
    small.commit().await?;

    let of_source = |_: Part| profile::Column::SourceId.eq(id);
    let profiles = table::<profile::Entity>(from, to, EXTERNAL_ID, profile::Column::Id, of_source).await?;
    let of_source = |_: Part| subprofile::Column::SourceId.eq(id);
    let subprofiles = table::<subprofile::Entity>(from, to, EXTERNAL_ID, subprofile::Column::Id, of_source).await?;

    let profile_ids = |part: Part| {
        use profile::Column;
        let mut ids = Query::select();
        ids.column(Column::Id).from(profile::Entity).and_where(Column::SourceId.eq(id));
        ids.and_where(Column::Id.gt(part.after)).and_where(Column::Id.lte(part.end)).take()
    };
    let key = profile_interest::Column::ProfileId;
    let of_source = |part: Part| key.in_subquery(profile_ids(part));
    let known_by = "\"profile_id\", \"group_name\", \"name\"";
    let interests = table::<profile_interest::Entity>(from, to, known_by, key, of_source).await?;
    let key = profile_search::Column::ProfileId;
    let of_source = |part: Part| key.in_subquery(profile_ids(part));
    let words = table::<profile_search::Entity>(from, to, "\"profile_id\"", key, of_source).await?;
    let of_source = |_: Part| relationship::Column::SourceId.eq(id);
    let key = relationship::Column::Id;
    let relationships = table::<relationship::Entity>(from, to, EXTERNAL_ID, key, of_source).await?;
    let of_source = |_: Part| lifecycle_transition::Column::SourceId.eq(id);
    let key = lifecycle_transition::Column::Id;
    let transitions = table::<lifecycle_transition::Entity>(from, to, "\"id\"", key, of_source).await?;
    let of_source = |_: Part| change::Column::SourceId.eq(id);
    let key = change::Column::Revision;
    let changes = table::<change::Entity>(from, to, "\"source_id\", \"revision\"", key, of_source).await?;
    let of_source = |_: Part| verdict::Column::SourceId.eq(id);
    let verdicts = table::<verdict::Entity>(from, to, "\"id\"", verdict::Column::Id, of_source).await?;
    Ok(Copied {
        records: profiles + subprofiles,
        beside: interests + relationships + words + transitions + changes + verdicts,
    })
}

/// Some values of the column by which rows are read.
#[derive(Clone, Copy)]
struct Part {
    after: i64,
    end: i64,
}

async fn models<E>(from: &Database) -> anyhow::Result<Vec<E::ActiveModel>>
where
    E: EntityTrait,
    E::Model: IntoActiveModel<E::ActiveModel>,
    E::ActiveModel: ActiveModelTrait<Entity = E>,
{
    let rows = E::find().all(from.primary()).await?;
    Ok(rows.into_iter().map(|row| row.into_active_model().reset_all()).collect())
}

/// Copies the rows of a source, in parts of so many values of a dense column; `key` is what the table knows a row by.
async fn table<E>(
    from: &Database,
    to: &Database,
    key: &str,
    order: E::Column,
    of_source: impl Fn(Part) -> Expr,
) -> anyhow::Result<Written>
where
    E: EntityTrait,
    E::Model: IntoActiveModel<E::ActiveModel>,
    E::ActiveModel: ActiveModelTrait<Entity = E>,
{
    let columns: Vec<E::Column> = E::Column::iter().collect();
    let mut written = Written { rows: 0, elapsed: Duration::ZERO };
    let end: Option<Option<i64>> =
        E::find().select_only().column_as(order.max(), "end").into_tuple().one(from.primary()).await?;
    let end = end.flatten().unwrap_or(0);
    for after in (0..end).step_by(BATCH) {
        let part = Part { after, end: after + i64::try_from(BATCH)? };
        let some = E::find().filter(of_source(part)).filter(order.gt(part.after)).filter(order.lte(part.end));
        let page = some.all(from.primary()).await?;
        let mut rows: Vec<Vec<Value>> = Vec::with_capacity(page.len());
        for row in page {
            let mut row = row.into_active_model();
            rows.push(columns.iter().map(|column| bound(row.take(*column).into_value())).collect());
        }
        let count = rows.len() as u64;
        let started = Instant::now();
        let done = upsert::<E>(to, key, &columns, rows).await?;
        written.elapsed += started.elapsed();
        ensure!(done == count, "{done} of {count} rows were written");
        written.rows += count;
    }
    Ok(written)
}

/// One transaction; how many rows it wrote.
async fn upsert<E: EntityTrait>(
    to: &Database,
    key: &str,
    columns: &[E::Column],
    mut rows: Vec<Vec<Value>>,
) -> anyhow::Result<u64> {
    let transaction = to.begin().await?;
    let mut done = 0;
    while !rows.is_empty() {
        let some: Vec<Vec<Value>> = rows.drain(..ROWS.min(rows.len())).collect();
        done += transaction.execute_raw(statement::<E>(&transaction, key, columns, some)).await?.rows_affected();
    }
    transaction.commit().await?;
    Ok(done)
}

/// JSON is bound as text, as the mirror does it too.
fn bound(value: Option<Value>) -> Value {
    match value {
        Some(Value::Json(json)) => Value::String(json.map(|json| json.to_string())),
        Some(other) => other,
        None => Value::String(None),
    }
}

fn statement<E: EntityTrait>(
    connection: &impl ConnectionTrait,
    key: &str,
    columns: &[E::Column],
    rows: Vec<Vec<Value>>,
) -> Statement {
    let backend = connection.get_database_backend();
    let names: Vec<String> = columns.iter().map(|column| format!("\"{}\"", column.as_str())).collect();
    let mut sql = format!("INSERT INTO \"{}\" ({}) VALUES ", E::default().table_name(), names.join(", "));
    let mut number = 0;
    for place in 0..rows.len() {
        sql.push_str(if place == 0 { "(" } else { ", (" });
        for (at, column) in columns.iter().enumerate() {
            if at > 0 {
                sql.push_str(", ");
            }
            number += 1;
            let is_json = matches!(column.def().get_column_type(), ColumnType::Json | ColumnType::JsonBinary);
            push_placeholder(&mut sql, backend, number, is_json);
        }
        sql.push(')');
    }
    let replaced: Vec<String> = names.iter().map(|name| format!("{name} = excluded.{name}")).collect();
    sql.push_str(&format!(" ON CONFLICT ({key}) DO UPDATE SET {}", replaced.join(", ")));
    Statement::from_sql_and_values(backend, sql, rows.into_iter().flatten())
}
