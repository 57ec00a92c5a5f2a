//! Takes pending deliveries in order, and settles them in the transaction that applied them.

use crate::db::Database;
use entity::{DeliveryKind, DeliveryState, Moment, delivery};
use sea_orm::sea_query::{Condition, Expr, ExprTrait, JoinType, Query};
use sea_orm::{
    ActiveEnum, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, FromQueryResult, PaginatorTrait, QueryFilter,
    QueryOrder, QuerySelect, QueryTrait,
};
use serde_json::Value;

/// What is read of a delivery that is taken.
const TAKEN: [delivery::Column; 8] = [
    delivery::Column::Id,
    delivery::Column::Kind,
    delivery::Column::ReceivedAt,
    delivery::Column::MediaType,
    delivery::Column::Body,
    delivery::Column::Context,
    delivery::Column::Attempts,
    delivery::Column::ErasedAt,
];

/// A pending delivery.
#[derive(Clone, Debug, FromQueryResult)]
pub struct Taken {
    /// Inbox position.
    pub id: i64,
    /// Webhook, page or fetch.
    pub kind: DeliveryKind,
    /// When it arrived.
    pub received_at: Moment,
    /// Media type of the body.
    pub media_type: String,
    /// The raw body.
    pub body: Vec<u8>,
    /// For a page or a fetch: what was asked for, and where the inbox stood then.
    pub context: Option<Value>,
    /// Applies that failed so far.
    pub attempts: i32,
    /// When it was emptied with the profile that it told of.
    pub erased_at: Option<Moment>,
}

/// Deliveries that are due, to be applied together.
#[derive(Clone, Debug, Default)]
pub struct Due {
    /// The oldest that are due, in order.
    pub deliveries: Vec<Taken>,
    /// No other was due.
    pub is_all: bool,
}

/// A row of the statement that takes.
#[derive(FromQueryResult)]
struct Row {
    #[sea_orm(nested)]
    taken: Taken,
    /// How many are due, as far as they were counted.
    due: i64,
}

/// Takes the oldest deliveries of a source that are due: at most `count`, and no more than
/// `max_bytes` of bodies beyond the first.
///
/// # Errors
/// The database's own error.
pub async fn take(db: &Database, source_id: i32, now: Moment, count: u64, max_bytes: i64) -> Result<Due, DbErr> {
    use delivery::Column;
    let due = delivery::Entity::find()
        .filter(Column::SourceId.eq(source_id))
        .filter(Expr::cust("state = 'pending'"))
        // What is new is due whatever time the instance that kept it thinks it is.
        .filter(Condition::any().add(Column::Attempts.eq(0)).add(Column::NextAttemptAt.lte(now)))
        .order_by_asc(Column::Id)
        .select_only()
        .columns([Column::Id, Column::BodyBytes])
        .limit(count)
        .into_query();
    // No body is read that is not taken.
    let sized = Query::select()
        .column("id")
        .expr_as(Expr::cust("SUM(body_bytes) OVER (ORDER BY id)"), "bytes")
        .expr_as(Expr::cust("COUNT(*) OVER ()"), "due")
        .from_subquery(due, "due")
        .take();
    let sized_column = |name| Expr::col(("sized", name));
    let mut taking = delivery::Entity::find().select_only().columns(TAKEN).order_by_asc(Column::Id);
    let is_same = sized_column("id").equals((delivery::Entity, Column::Id));
    let is_first = || sized_column("bytes").equals((delivery::Entity, Column::BodyBytes));
    QuerySelect::query(&mut taking)
        .expr_as(sized_column("due"), "due")
        .join_subquery(JoinType::InnerJoin, sized, "sized", is_same)
        .and_where(sized_column("bytes").lte(max_bytes).or(is_first()));
    let rows = taking.into_model::<Row>().all(db.primary()).await?;
    let is_all = rows.first().is_none_or(|first| u64::try_from(first.due) == Ok(rows.len() as u64))
        && (rows.len() as u64) < count;
    Ok(Due { deliveries: rows.into_iter().map(|row| row.taken).collect(), is_all })
}

/// The next page of a plan after a position; a page that is held is taken by nobody else.
///
/// # Errors
/// The database's own error.
pub async fn take_held(db: &Database, source_id: i32, run_id: i64, after: i64) -> Result<Option<Taken>, DbErr> {
    use delivery::Column;
    delivery::Entity::find()
        .filter(Column::SourceId.eq(source_id))
        .filter(Expr::cust("state = 'held'"))
        .filter(Column::Id.gt(after))
        .filter(Column::DedupeKey.starts_with(format!("page:{run_id}:")))
        .order_by_asc(Column::Id)
        .select_only()
        .columns(TAKEN)
        .into_model::<Taken>()
        .one(db.primary())
        .await
}

/// How a delivery ends, or when it is tried again.
#[derive(Clone, Debug, PartialEq)]
pub enum Settlement {
    /// Its observations are in the mirror.
    Applied,
    /// The same, and something in it is not known to this version, and what.
    AppliedWithUnknown(String),
    /// There was nothing to do, and why.
    Ignored(String),
    /// A person must look at it, and why.
    Parked(String),
    /// It is tried again then, after so many failed attempts.
    Retried(Moment, i32),
}

/// Writes how deliveries end, with the event's word where it was decoded.
///
/// # Errors
/// The database's own error.
pub async fn settle(
    transaction: &impl ConnectionTrait,
    now: Moment,
    settlements: &[(i64, Option<String>, Settlement)],
) -> Result<(), DbErr> {
    use delivery::Column;
    let mut alike: Vec<(&Option<String>, &Settlement, Vec<i64>)> = Vec::new();
    for (id, event, settlement) in settlements {
        match alike.iter_mut().find(|(e, s, _)| *e == event && *s == settlement) {
            Some((_, _, ids)) => ids.push(*id),
            None => alike.push((event, settlement, vec![*id])),
        }
    }
    for (event, settlement, ids) in alike {
        let (state, reason) = match settlement {
            Settlement::Applied => (DeliveryState::Applied, None),
            Settlement::AppliedWithUnknown(reason) => (DeliveryState::Applied, Some(reason.clone())),
            Settlement::Ignored(reason) => (DeliveryState::Ignored, Some(reason.clone())),
            Settlement::Parked(reason) => (DeliveryState::Parked, Some(reason.clone())),
            Settlement::Retried(..) => (DeliveryState::Pending, None),
        };
        let mut update = delivery::Entity::update_many()
            .col_expr(Column::State, Expr::value(state.to_value()))
            .col_expr(Column::Reason, Expr::value(reason));
        if let Some(event) = event {
            update = update.col_expr(Column::Event, Expr::value(event.clone()));
        }
        update = match settlement {
            Settlement::Retried(at, attempts) => update
                .col_expr(Column::NextAttemptAt, Expr::value(*at))
                .col_expr(Column::Attempts, Expr::value(*attempts)),
            _ => update.col_expr(Column::SettledAt, Expr::value(now)),
        };
        update.filter(Column::Id.is_in(ids)).exec(transaction).await?;
    }
    Ok(())
}

/// Inbox position of the newest delivery of a source; 0 where there is none.
///
/// # Errors
/// The database's own error.
pub async fn head(connection: &impl ConnectionTrait, source_id: i32) -> Result<i64, DbErr> {
    let newest: Option<Option<i64>> = delivery::Entity::find()
        .filter(delivery::Column::SourceId.eq(source_id))
        .select_only()
        .column_as(delivery::Column::Id.max(), "head")
        .into_tuple()
        .one(connection)
        .await?;
    Ok(newest.flatten().unwrap_or(0))
}

/// Deliveries of a source that are not settled yet.
///
/// # Errors
/// The database's own error.
pub async fn count_pending(db: &Database, source_id: i32) -> Result<u64, DbErr> {
    delivery::Entity::find()
        .filter(delivery::Column::SourceId.eq(source_id))
        .filter(Expr::cust("state = 'pending'"))
        .count(db.primary())
        .await
}
