//! The hot statement: deliveries into the inbox, each key once.
//!
//! In: deliveries whose keys differ. Out: where each is kept, and whether it was there before. On SQLite the
//! statement is a transaction of its own, written so that it is prepared once and brings no rows back: begin, rows
//! and commit are three more waits for the database's thread, and every group of senders waits for them. On PostgreSQL
//! a unique index tells copies apart; on SQLite [`Keys`] do.

use super::append::{Appended, NewDelivery};
use super::keys::{Digest, Keys, NEWEST_ID};
use entity::{DeliveryState, Moment, delivery};
use sea_orm::ColumnTrait;
use sea_orm::sea_query::{Expr, OnConflict, Query};
use sea_orm::{ActiveEnum, ConnectionTrait, DbBackend, DbErr, EntityTrait, ExprTrait, QueryFilter, Statement, Value};
use std::collections::HashMap;

/// Rows that a statement is prepared for on SQLite; what is left over is filled with nulls.
const SIZES: [usize; 11] = [1, 2, 4, 8, 16, 24, 32, 48, 64, 128, 256];
/// Values of a row on SQLite.
const BINDS: usize = 9;

/// A delivery with the digest of its key.
pub(super) type Row = (NewDelivery, Digest);

/// Keeps deliveries on SQLite; outside a transaction they are durable when this returns. Nothing is kept, and none
/// returned, where another instance has appended what `keys` do not know.
///
/// Two statements where some were there before: what was not is kept then, and the sender of a copy is answered only
/// after the second has committed too.
///
/// # Errors
/// The database's own error.
pub(super) async fn insert_unknown(
    connection: &impl ConnectionTrait,
    now: Moment,
    rows: &[Row],
    keys: &Keys,
) -> Result<Option<Vec<Appended>>, DbErr> {
    let unknown: Vec<&Row> = rows.iter().filter(|(_, digest)| keys.find(digest).is_none()).collect();
    let mut filed = HashMap::new();
    let mut newest = 0;
    let mut kept = 0;
    if !unknown.is_empty() {
        let looks = unknown.iter().any(|(_, digest)| keys.may_be_filed(digest));
        let inserted = connection.execute_raw(insert_statement(now, &unknown, keys.known_to(), looks)).await?;
        newest = i64::try_from(inserted.last_insert_id()).unwrap_or(0);
        kept = usize::try_from(inserted.rows_affected()).unwrap_or(usize::MAX);
        if kept < unknown.len() {
            filed = keys.find_filed(connection, unknown.iter().map(|(_, digest)| *digest)).await?;
            if kept + filed.len() < unknown.len() {
                return Ok(None);
            }
        }
    }
    // Ids were given in the order of the rows, without gaps: nobody else writes meanwhile.
    let mut ids = newest - kept as i64 + 1..;
    let known = |digest| keys.find(digest).or_else(|| filed.get(digest).copied());
    let appended: Vec<Appended> = rows
        .iter()
        .map(|(_, digest)| match known(digest) {
            Some(id) => Appended::Duplicate(id),
            None => Appended::Kept(ids.next().unwrap_or_default()),
        })
        .collect();
    let copies: Vec<i64> = rows.iter().filter_map(|(_, digest)| known(digest)).collect();
    if !copies.is_empty() {
        count_copies(connection, now, &copies).await?;
    }
    Ok(Some(appended))
}

/// With `looks`, rows whose keys are filed are left out.
fn insert_statement(now: Moment, rows: &[&Row], known_to: i64, looks: bool) -> Statement {
    let size = SIZES.into_iter().find(|size| *size >= rows.len()).unwrap_or(rows.len());
    let mut sql = String::with_capacity(640 + size * 18);
    sql.push_str(
        "INSERT INTO delivery (source_id, kind, dedupe_key, received_at, media_type, headers, body, body_bytes, context, \
         state, attempts, next_attempt_at, copies) SELECT column1, column2, column3, ?, column4, column5, column6, \
         length(column6), column7, column9, 0, ?, 1 FROM (VALUES ",
    );
    let mut values: Vec<Value> = Vec::with_capacity(3 + size * BINDS);
    values.extend([now.into(), now.into()]);
    for place in 0..size {
        sql.push_str(if place == 0 { "(?,?,?,?,?,?,?,?,?)" } else { ",(?,?,?,?,?,?,?,?,?)" });
        match rows.get(place) {
            Some((row, digest)) => values.extend([
                row.source_id.into(),
                row.kind.to_value().into(),
                row.dedupe_key.clone().into(),
                row.media_type.clone().into(),
                row.headers.clone().into(),
                row.body.to_vec().into(),
                row.context.as_ref().map(ToString::to_string).into(),
                digest.to_vec().into(),
                row.first_state().to_value().into(),
            ]),
            None => values.extend([const { Value::Int(None) }; BINDS]),
        }
    }
    sql.push_str(") WHERE column3 IS NOT NULL AND ? = ");
    sql.push_str(NEWEST_ID);
    if looks {
        sql.push_str(" AND NOT EXISTS (SELECT 1 FROM delivery_key WHERE digest = column8)");
    }
    values.push(known_to.into());
    Statement::from_sql_and_values(DbBackend::Sqlite, sql, values)
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

/// Keeps deliveries on PostgreSQL, within a transaction.
///
/// # Errors
/// The database's own error.
pub(super) async fn insert_or_count(
    transaction: &impl ConnectionTrait,
    now: Moment,
    rows: &[Row],
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
    for (row, _) in rows {
        let headers: serde_json::Value =
            serde_json::from_str(&row.headers).map_err(|error| DbErr::Json(error.to_string()))?;
        statement.values_panic([
            row.source_id.into(),
            row.kind.to_value().into(),
            row.dedupe_key.clone().into(),
            now.into(),
            row.media_type.clone().into(),
            headers.into(),
            row.body.to_vec().into(),
            i32::try_from(row.body.len()).unwrap_or(i32::MAX).into(),
            row.context.clone().into(),
            row.first_state().to_value().into(),
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
    let place = |(row, _): &Row| {
        let key = (row.source_id, row.dedupe_key.clone());
        placed.remove(&key).unwrap_or(Appended::Duplicate(0))
    };
    Ok(rows.iter().map(place).collect())
}
