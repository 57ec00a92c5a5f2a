//! Empties deliveries of what they tell of a person who is erased, within apply's transaction.
//!
//! In: whom a delivery names, when it is settled; positions and bodies to write, when somebody is erased. Out: the
//! deliveries that may tell of a record. Pages of a sync say of most people *unchanged*, and no verdict names those;
//! hence eight bytes of a hash for each record that a page names, which is five hundred times less to look through
//! than the bodies.

use crate::db::{Dialect, dialect};
use entity::{DeliveryKind, DeliveryState, Moment, delivery, delivery_names};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveEnum, ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, ExprTrait, FromQueryResult,
    QueryFilter, QueryOrder, QuerySelect,
};
use serde_json::{Value, json};

/// Rows in one statement.
const CHUNK: usize = 400;
/// Bodies held at once: each may be a page.
const BODIES: usize = 16;
/// What a delivery that was parked says instead of the problem that it had.
const REASON: &str = "emptied with the profile that it told of";

/// A delivery with its body.
#[derive(Clone, Debug, FromQueryResult)]
pub struct Kept {
    /// Inbox position.
    pub id: i64,
    /// Webhook, page or fetch.
    pub kind: DeliveryKind,
    /// Media type of the body.
    pub media_type: String,
    /// The raw body.
    pub body: Vec<u8>,
    /// For a page or a fetch: what was asked for.
    pub context: Option<Value>,
}

/// Notes whom deliveries name: for each its position and the hashes one after the other.
///
/// # Errors
/// The database's own error.
pub async fn note_names(
    transaction: &impl ConnectionTrait,
    source_id: i32,
    named: Vec<(i64, Vec<u8>)>,
) -> Result<(), DbErr> {
    let rows = named.into_iter().map(|(delivery_id, names)| delivery_names::ActiveModel {
        source_id: Set(source_id),
        delivery_id: Set(delivery_id),
        names: Set(names),
    });
    let rows: Vec<_> = rows.collect();
    for chunk in rows.chunks(CHUNK) {
        // One that is applied again names the same records.
        delivery_names::Entity::insert_many(chunk.iter().cloned())
            .on_conflict_do_nothing()
            .exec_without_returning(transaction)
            .await?;
    }
    Ok(())
}

/// Positions of the deliveries of a source that name a record, by one of its hashes; a few may be others.
///
/// # Errors
/// The database's own error.
pub async fn find_named(
    connection: &impl ConnectionTrait,
    dialect: Dialect,
    source_id: i32,
    names: &[[u8; 8]],
) -> Result<Vec<i64>, DbErr> {
    let mut found = Vec::new();
    for name in names {
        let holding = delivery_names::Entity::find()
            .filter(delivery_names::Column::SourceId.eq(source_id))
            .filter(dialect::bytes_contain(dialect, "names", name.to_vec()))
            .select_only()
            .column(delivery_names::Column::DeliveryId);
        found.extend(holding.into_tuple::<i64>().all(connection).await?);
    }
    Ok(found)
}

/// Positions of the parked deliveries of a source whose body contains one of these texts: nobody could tell whom
/// they are about.
///
/// # Errors
/// The database's own error.
pub async fn find_parked(
    connection: &impl ConnectionTrait,
    dialect: Dialect,
    source_id: i32,
    texts: &[String],
) -> Result<Vec<i64>, DbErr> {
    let mut found = Vec::new();
    for text in texts {
        let holding = delivery::Entity::find()
            .filter(delivery::Column::SourceId.eq(source_id))
            .filter(Expr::cust("state IN ('parked', 'held')"))
            .filter(dialect::bytes_contain(dialect, "body", text.clone().into_bytes()))
            .select_only()
            .column(delivery::Column::Id);
        found.extend(holding.into_tuple::<i64>().all(connection).await?);
    }
    Ok(found)
}

/// The deliveries at these positions that have not been emptied yet, a few at a time; the first of `positions` go.
///
/// # Errors
/// The database's own error.
pub async fn take_bodies(connection: &impl ConnectionTrait, positions: &mut Vec<i64>) -> Result<Vec<Kept>, DbErr> {
    use delivery::Column;
    let some: Vec<i64> = positions.drain(..positions.len().min(BODIES)).collect();
    delivery::Entity::find()
        .filter(Column::Id.is_in(some))
        .filter(Column::ErasedAt.is_null())
        .select_only()
        .columns([Column::Id, Column::Kind, Column::MediaType, Column::Body, Column::Context])
        .order_by_asc(Column::Id)
        .into_model()
        .all(connection)
        .await
}

/// Empties deliveries whole: body, headers, and the problem of one that was parked. One that still waited is
/// discarded, since there is nothing left to apply.
///
/// # Errors
/// The database's own error.
pub async fn empty(transaction: &impl ConnectionTrait, now: Moment, positions: &[i64]) -> Result<(), DbErr> {
    use delivery::Column;
    let waits =
        || Expr::col(Column::State).is_in([DeliveryState::Parked.to_value(), DeliveryState::Pending.to_value()]);
    for chunk in positions.chunks(CHUNK) {
        delivery::Entity::update_many()
            .col_expr(Column::Body, Expr::value(Vec::<u8>::new()))
            .col_expr(Column::BodyBytes, Expr::value(0))
            .col_expr(Column::Headers, Expr::value(json!({})))
            .col_expr(Column::ErasedAt, Expr::value(now))
            .col_expr(
                Column::Reason,
                Expr::case(waits(), Expr::value(REASON)).finally(Expr::col(Column::Reason)).into(),
            )
            .col_expr(
                Column::SettledAt,
                Expr::case(waits(), Expr::value(now)).finally(Expr::col(Column::SettledAt)).into(),
            )
            .col_expr(
                Column::State,
                Expr::case(waits(), Expr::value(DeliveryState::Discarded.to_value()))
                    .finally(Expr::col(Column::State))
                    .into(),
            )
            .filter(Column::Id.is_in(chunk.iter().copied()))
            .exec(transaction)
            .await?;
    }
    Ok(())
}

/// Replaces the body of a delivery by one that tells less; nothing where it has been emptied since it was read.
///
/// # Errors
/// The database's own error.
pub async fn rewrite(transaction: &impl ConnectionTrait, position: i64, body: Vec<u8>) -> Result<(), DbErr> {
    use delivery::Column;
    delivery::Entity::update_many()
        .col_expr(Column::BodyBytes, Expr::value(i32::try_from(body.len()).unwrap_or(i32::MAX)))
        .col_expr(Column::Body, Expr::value(body))
        .filter(Column::Id.eq(position))
        .filter(Column::ErasedAt.is_null())
        .filter(Column::State.ne(DeliveryState::Discarded))
        .exec(transaction)
        .await
        .map(drop)
}
