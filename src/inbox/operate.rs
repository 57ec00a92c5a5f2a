//! What people may do with deliveries that are settled: retry parked ones, give them up, replay what was applied.
//!
//! A delivery that goes through apply again goes alone: it no longer counts as a page of its run or as the answer to
//! a fetch request, since both have long gone on without it. So a replay changes nothing that is right already,
//! and nobody's counts. Bodies that are gone, erased or given up, cannot be replayed.

use crate::db::{Database, dialect};
use entity::{DeliveryKind, DeliveryState, Moment, delivery};
use sea_orm::sea_query::{Condition, Expr};
use sea_orm::{ActiveEnum, ColumnTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use std::collections::BTreeSet;

/// Most deliveries that one operation touches; it tells whether there are more.
pub const MAX_TOUCHED: u64 = 10_000;
/// Deliveries in one transaction, so that accepts never wait long.
const CHUNK: u64 = 500;

/// Which deliveries; everything that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Of this source.
    pub source_id: Option<i32>,
    /// At one of these inbox positions; empty for all.
    pub ids: Vec<i64>,
    /// Of one of these kinds; empty for all.
    pub kinds: Vec<DeliveryKind>,
    /// In one of these states, of those that the operation takes; empty for all of them.
    pub states: Vec<DeliveryState>,
    /// Arrived then or later.
    pub received_from: Option<Moment>,
    /// Arrived before then.
    pub received_before: Option<Moment>,
    /// With a reason, or without one; none for all.
    pub has_reason: Option<bool>,
    /// Behind this position: where the last operation ended.
    pub after: i64,
}

/// What is done with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Parked ones are pending again, with all their tries.
    Retry,
    /// Parked ones are given up; their bodies go.
    Discard {
        /// Why, and who says so.
        reason: String,
    },
    /// Applied and ignored ones are pending again.
    Replay,
}

impl Operation {
    /// The states in which deliveries are taken.
    pub fn takes(&self) -> &'static [DeliveryState] {
        match self {
            Self::Retry | Self::Discard { .. } => &[DeliveryState::Parked],
            Self::Replay => &[DeliveryState::Applied, DeliveryState::Ignored],
        }
    }
}

/// What was touched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// How many.
    pub count: u64,
    /// There are more, behind `last`: the operation must be asked for again.
    pub has_more: bool,
    /// The newest position that was looked at; none where nothing was found.
    pub last: Option<i64>,
    /// Of which sources.
    pub sources: BTreeSet<i32>,
}

/// How many deliveries an operation would touch.
///
/// # Errors
/// The database's own error.
pub async fn count_selected(db: &Database, selection: &Selection, operation: &Operation) -> Result<Touched, DbErr> {
    let mut found = find(db, selection, operation, selection.after, MAX_TOUCHED + 1).await?;
    let has_more = found.len() as u64 > MAX_TOUCHED;
    found.truncate(usize::try_from(MAX_TOUCHED).unwrap_or(usize::MAX));
    let last = found.last().map(|(id, _)| *id);
    let count = found.len() as u64;
    Ok(Touched { count, has_more, last, sources: found.into_iter().map(|(_, source_id)| source_id).collect() })
}

/// Carries an operation out, the oldest first, in transactions of a few hundred deliveries each. What was touched
/// before an error stays touched, and asking again goes on behind it.
///
/// # Errors
/// The database's own error.
pub async fn operate(
    db: &Database,
    now: Moment,
    selection: &Selection,
    operation: &Operation,
) -> Result<Touched, DbErr> {
    use delivery::Column;
    let mut touched = Touched::default();
    let mut after = selection.after;
    loop {
        let left = MAX_TOUCHED - touched.count;
        let found = find(db, selection, operation, after, Ord::min(left, CHUNK) + 1).await?;
        let wanted = usize::try_from(Ord::min(left, CHUNK)).unwrap_or(usize::MAX);
        let has_more = found.len() > wanted;
        let ids: Vec<i64> = found.iter().take(wanted).map(|(id, _)| *id).collect();
        let Some(last) = ids.last() else {
            touched.has_more = has_more;
            return Ok(touched);
        };
        after = *last;
        touched.last = Some(*last);
        let update = delivery::Entity::update_many()
            .filter(Column::Id.is_in(ids))
            .filter(Column::State.is_in(operation.takes().iter().copied()));
        let update = match operation {
            Operation::Discard { reason } => update
                .col_expr(Column::State, Expr::value(DeliveryState::Discarded.to_value()))
                .col_expr(Column::Body, Expr::value(Vec::<u8>::new()))
                .col_expr(Column::Reason, Expr::value(reason.clone()))
                .col_expr(Column::SettledAt, Expr::value(now)),
            Operation::Retry | Operation::Replay => update
                .col_expr(Column::State, Expr::value(DeliveryState::Pending.to_value()))
                .col_expr(Column::Attempts, Expr::value(0))
                .col_expr(Column::NextAttemptAt, Expr::value(now))
                .col_expr(Column::Reason, Expr::value(Option::<String>::None))
                .col_expr(Column::SettledAt, Expr::value(Option::<Moment>::None))
                .col_expr(Column::Context, dialect::json_without(db.dialect(), "context", &["run_id", "request_id"])),
        };
        touched.count += update.exec(db.writer()).await?.rows_affected;
        touched.sources.extend(found.into_iter().take(wanted).map(|(_, source_id)| source_id));
        if !has_more {
            return Ok(touched);
        }
    }
}

/// Position and source of the oldest deliveries behind a position that an operation takes.
async fn find(
    db: &Database,
    selection: &Selection,
    operation: &Operation,
    after: i64,
    limit: u64,
) -> Result<Vec<(i64, i32)>, DbErr> {
    use delivery::Column;
    let mut query = delivery::Entity::find().filter(Column::Id.gt(after));
    query = match operation {
        // Written out so that the partial index serves.
        Operation::Retry | Operation::Discard { .. } => query.filter(Expr::cust("state = 'parked'")),
        Operation::Replay => {
            query.filter(Column::State.is_in(operation.takes().iter().copied())).filter(Expr::cust("length(body) > 0"))
        }
    };
    let mut all = Condition::all();
    if let Some(source_id) = selection.source_id {
        all = all.add(Column::SourceId.eq(source_id));
    }
    if !selection.ids.is_empty() {
        all = all.add(Column::Id.is_in(selection.ids.iter().copied()));
    }
    if !selection.kinds.is_empty() {
        all = all.add(Column::Kind.is_in(selection.kinds.iter().copied()));
    }
    if !selection.states.is_empty() {
        all = all.add(Column::State.is_in(selection.states.iter().copied()));
    }
    if let Some(from) = selection.received_from {
        all = all.add(Column::ReceivedAt.gte(from));
    }
    match selection.has_reason {
        Some(true) => all = all.add(Column::Reason.is_not_null()),
        Some(false) => all = all.add(Column::Reason.is_null()),
        None => {}
    }
    if let Some(before) = selection.received_before {
        all = all.add(Column::ReceivedAt.lt(before));
    }
    query
        .filter(all)
        .order_by_asc(Column::Id)
        .limit(limit)
        .select_only()
        .columns([Column::Id, Column::SourceId])
        .into_tuple()
        .all(db.primary())
        .await
}
