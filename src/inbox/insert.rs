//! The hot statement: deliveries into the inbox, each key once.
//!
//! In: deliveries whose keys differ. Out: where each is kept, and whether it was there before. On SQLite the
//! statement is a transaction of its own, written so that it is prepared once and brings no rows back: begin, rows
//! and commit are three more waits for the database's thread, and every group of senders waits for them.

use super::append::{Appended, NewDelivery};
use crate::failpoint::Failpoint;
use entity::{DeliveryState, Moment, delivery};
use sea_orm::sea_query::{Expr, OnConflict, Query};
use sea_orm::{ActiveEnum, ConnectionTrait, DbBackend, DbErr, EntityTrait, ExprTrait, QueryFilter, Statement, Value};
use sea_orm::{ColumnTrait, Condition, QueryOrder, QuerySelect};
use std::collections::HashMap;

/// Rows that a statement is prepared for on SQLite; what is left over is filled with nulls.
const SIZES: [usize; 11] = [1, 2, 4, 8, 16, 24, 32, 48, 64, 128, 256];
/// The most rows in one statement.
pub(super) const MAX_ROWS: usize = 256;
/// Values of a row on SQLite.
const BINDS: usize = 7;

/// Keeps deliveries in one statement on SQLite, durable when this returns.
///
/// Two statements where some were there before: what was not is kept then, and the sender of a copy is answered only
/// after the second has committed too.
pub(super) async fn insert_at_once(
    connection: &impl ConnectionTrait,
    now: Moment,
    rows: &[NewDelivery],
) -> Result<Vec<Appended>, DbErr> {
    Failpoint::Append.pass();
    let inserted = connection.execute_raw(fresh_statement(now, rows)).await?;
    let fresh = usize::try_from(inserted.rows_affected()).unwrap_or(usize::MAX);
    if fresh == rows.len() {
        // Ids were given in the order of the rows, without gaps: nobody else writes meanwhile.
        let before = i64::try_from(inserted.last_insert_id()).unwrap_or(0) - rows.len() as i64;
        return Ok((1..).zip(rows).map(|(place, _)| Appended::Kept(before + place)).collect());
    }
    let mut places = find(connection, rows).await?;
    // New ids are above all old ones.
    let mut ids: Vec<i64> = places.values().copied().collect();
    ids.sort_unstable();
    let copies = &ids[..ids.len().saturating_sub(fresh)];
    count_copies(connection, now, copies).await?;
    let newest_copy = copies.last().copied().unwrap_or(0);
    let place = |row: &NewDelivery| {
        let id = places.remove(&(row.source_id, row.dedupe_key.clone())).unwrap_or_default();
        if id > newest_copy { Appended::Kept(id) } else { Appended::Duplicate(id) }
    };
    Ok(rows.iter().map(place).collect())
}

fn fresh_statement(now: Moment, rows: &[NewDelivery]) -> Statement {
    let size = SIZES.into_iter().find(|size| *size >= rows.len()).unwrap_or(rows.len());
    let mut sql = String::with_capacity(512 + size * 16);
    sql.push_str(
        "INSERT INTO delivery (source_id, kind, dedupe_key, received_at, media_type, headers, body, body_bytes, context, \
         state, attempts, next_attempt_at, copies) SELECT column1, column2, column3, ?, column4, column5, column6, \
         length(column6), column7, 'pending', 0, ?, 1 FROM (VALUES ",
    );
    let mut values: Vec<Value> = Vec::with_capacity(2 + size * BINDS);
    values.extend([now.into(), now.into()]);
    for place in 0..size {
        sql.push_str(if place == 0 { "(?,?,?,?,?,?,?)" } else { ",(?,?,?,?,?,?,?)" });
        match rows.get(place) {
            Some(row) => values.extend([
                row.source_id.into(),
                row.kind.to_value().into(),
                row.dedupe_key.clone().into(),
                row.media_type.clone().into(),
                row.headers.to_string().into(),
                row.body.to_vec().into(),
                row.context.as_ref().map(ToString::to_string).into(),
            ]),
            None => values.extend([const { Value::Int(None) }; BINDS]),
        }
    }
    sql.push_str(") WHERE column3 IS NOT NULL ON CONFLICT (source_id, dedupe_key) DO NOTHING");
    Statement::from_sql_and_values(DbBackend::Sqlite, sql, values)
}

async fn find(connection: &impl ConnectionTrait, rows: &[NewDelivery]) -> Result<HashMap<(i32, String), i64>, DbErr> {
    use delivery::Column;
    let mut keys: HashMap<i32, Vec<&str>> = HashMap::new();
    for row in rows {
        keys.entry(row.source_id).or_default().push(&row.dedupe_key);
    }
    let of_source = |(source_id, keys): (i32, Vec<&str>)| {
        Condition::all().add(Column::SourceId.eq(source_id)).add(Column::DedupeKey.is_in(keys))
    };
    let known = keys.into_iter().map(of_source).fold(Condition::any(), Condition::add);
    let found: Vec<(i64, i32, String)> = delivery::Entity::find()
        .filter(known)
        .select_only()
        .columns([Column::Id, Column::SourceId, Column::DedupeKey])
        .order_by_asc(Column::Id)
        .into_tuple()
        .all(connection)
        .await?;
    Ok(found.into_iter().map(|(id, source_id, key)| ((source_id, key), id)).collect())
}

/// Counts one more copy of each; one that was parked is tried again.
async fn count_copies(connection: &impl ConnectionTrait, now: Moment, ids: &[i64]) -> Result<(), DbErr> {
    use delivery::Column;
    delivery::Entity::update_many()
        .col_expr(Column::Copies, Expr::col(Column::Copies).add(1))
        .col_expr(Column::Attempts, again(Expr::value(0), Column::Attempts))
        .col_expr(Column::NextAttemptAt, again(Expr::value(now), Column::NextAttemptAt))
        .col_expr(Column::State, again(Expr::value(DeliveryState::Pending.to_value()), Column::State))
        .filter(Column::Id.is_in(ids.iter().copied()))
        .exec(connection)
        .await
        .map(drop)
}

/// What a copy sets where the delivery was parked.
fn again(fresh: Expr, column: delivery::Column) -> Expr {
    let stored = |column| Expr::col((delivery::Entity, column));
    Expr::case(stored(delivery::Column::State).eq(DeliveryState::Parked.to_value()), fresh)
        .finally(stored(column))
        .into()
}

/// Keeps deliveries within a transaction.
pub(super) async fn insert_within(
    transaction: &impl ConnectionTrait,
    now: Moment,
    rows: &[NewDelivery],
) -> Result<Vec<Appended>, DbErr> {
    use delivery::Column;
    let mut statement = Query::insert();
    statement.into_table(delivery::Entity).columns([
        Column::SourceId,
        Column::Kind,
        Column::DedupeKey,
        Column::ReceivedAt,
        Column::MediaType,
        Column::Headers,
        Column::Body,
        Column::BodyBytes,
        Column::Context,
        Column::State,
        Column::Attempts,
        Column::NextAttemptAt,
        Column::Copies,
    ]);
    for row in rows {
        statement.values_panic([
            row.source_id.into(),
            row.kind.to_value().into(),
            row.dedupe_key.clone().into(),
            now.into(),
            row.media_type.clone().into(),
            row.headers.clone().into(),
            row.body.to_vec().into(),
            i32::try_from(row.body.len()).unwrap_or(i32::MAX).into(),
            row.context.clone().into(),
            DeliveryState::Pending.to_value().into(),
            0.into(),
            now.into(),
            1.into(),
        ]);
    }
    statement.on_conflict(
        OnConflict::columns([Column::SourceId, Column::DedupeKey])
            .value(Column::Copies, Expr::col((delivery::Entity, Column::Copies)).add(1))
            .value(Column::Attempts, again(Expr::value(0), Column::Attempts))
            .value(Column::NextAttemptAt, again(Expr::value(now), Column::NextAttemptAt))
            .value(Column::State, again(Expr::value(DeliveryState::Pending.to_value()), Column::State))
            .to_owned(),
    );
    statement.returning(Query::returning().columns([Column::Id, Column::SourceId, Column::DedupeKey, Column::Copies]));
    let mut placed = HashMap::with_capacity(rows.len());
    for row in transaction.query_all(&statement).await? {
        let key: (i32, String) = (row.try_get("", "source_id")?, row.try_get("", "dedupe_key")?);
        let (id, copies): (i64, i32) = (row.try_get("", "id")?, row.try_get("", "copies")?);
        placed.insert(key, if copies == 1 { Appended::Kept(id) } else { Appended::Duplicate(id) });
    }
    let place = |row: &NewDelivery| {
        let key = (row.source_id, row.dedupe_key.clone());
        placed.remove(&key).unwrap_or(Appended::Duplicate(0))
    };
    Ok(rows.iter().map(place).collect())
}
