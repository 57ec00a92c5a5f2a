//! Pages by key: a place is the values of the sort keys of a row, so that rows may move without gaps.

use super::MAX_PAGE;
use ::entity::{Moment, profile};
use sea_orm::sea_query::{Condition, Expr, ExprTrait, NullOrdering, SimpleExpr};
use sea_orm::{EntityTrait, Order as SqlOrder, QueryFilter, QueryOrder, QuerySelect, Select};
use serde::{Deserialize, Serialize};

/// How many rows, counted from which end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Limit {
    /// From the start, or from `after`.
    First(u32),
    /// From the end, or from `before`.
    Last(u32),
}

impl Limit {
    /// How many, never more than a page holds.
    pub fn rows(self) -> u64 {
        let (Self::First(rows) | Self::Last(rows)) = self;
        u64::from(Ord::min(rows, MAX_PAGE))
    }

    /// Whether rows are counted from the start.
    pub fn is_forward(self) -> bool {
        matches!(self, Self::First(_))
    }
}

/// What profiles are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SortKey {
    /// Display name; rows without come last.
    DisplayName,
    /// E-mail address; rows without come last.
    Email,
    /// Upstream creation time; rows without come last.
    CreatedAt,
    /// Upstream modification time; rows without come last.
    ModifiedAt,
    /// External id.
    ExternalId,
    /// The order in which the mirror first met them.
    Id,
}

/// A sort key with its direction. Rows without a value come last in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Order {
    /// The key.
    pub key: SortKey,
    /// From the greatest down.
    pub is_descending: bool,
}

/// One value of a place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Key {
    /// A number or a time.
    Number(i64),
    /// A text.
    Text(String),
    /// No value.
    Nothing,
}

/// The place of a row in an order: one value for each key of the order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Place(pub Vec<Key>);

/// Which rows of an ordered list.
#[derive(Clone, Debug)]
pub struct Page {
    /// How many, from which end.
    pub limit: Limit,
    /// Only rows behind this place.
    pub after: Option<Place>,
    /// Only rows before this place.
    pub before: Option<Place>,
}

/// A page of rows.
#[derive(Clone, Debug)]
pub struct Slice<T> {
    /// The rows, in order.
    pub rows: Vec<T>,
    /// There is something before them.
    pub has_previous: bool,
    /// There is something behind them.
    pub has_next: bool,
}

impl<T> Default for Slice<T> {
    fn default() -> Self {
        Self { rows: Vec::new(), has_previous: false, has_next: false }
    }
}

impl<T> Slice<T> {
    /// Makes a page of rows that were read with one to spare, from the end that `limit` says.
    pub(super) fn cut(mut rows: Vec<T>, limit: Limit, has_after: bool, has_before: bool) -> Self {
        let wanted = usize::try_from(limit.rows()).unwrap_or(usize::MAX);
        let has_more = rows.len() > wanted;
        rows.truncate(wanted);
        if limit.is_forward() {
            Self { rows, has_previous: has_after, has_next: has_more || has_before }
        } else {
            rows.reverse();
            Self { rows, has_previous: has_more || has_after, has_next: has_before }
        }
    }
}

impl SortKey {
    fn column(self) -> profile::Column {
        match self {
            Self::DisplayName => profile::Column::DisplayName,
            Self::Email => profile::Column::Email,
            Self::CreatedAt => profile::Column::CreatedAt,
            Self::ModifiedAt => profile::Column::ModifiedAt,
            Self::ExternalId => profile::Column::ExternalId,
            Self::Id => profile::Column::Id,
        }
    }

    fn is_nullable(self) -> bool {
        !matches!(self, Self::ExternalId | Self::Id)
    }

    fn is_text(self) -> bool {
        matches!(self, Self::DisplayName | Self::Email | Self::ExternalId)
    }

    fn of(self, row: &profile::Model) -> Key {
        let text = |value: &Option<String>| value.clone().map_or(Key::Nothing, Key::Text);
        let time = |value: Option<Moment>| value.map_or(Key::Nothing, |moment| Key::Number(moment.0));
        match self {
            Self::DisplayName => text(&row.display_name),
            Self::Email => text(&row.email),
            Self::CreatedAt => time(row.created_at),
            Self::ModifiedAt => time(row.modified_at),
            Self::ExternalId => Key::Text(row.external_id.clone()),
            Self::Id => Key::Number(row.id),
        }
    }
}

/// The order made total: the row's own id decides last.
pub(super) fn complete(order: &[Order]) -> Vec<Order> {
    let mut complete: Vec<Order> = Vec::new();
    for one in order {
        if !complete.iter().any(|seen| seen.key == one.key) {
            complete.push(*one);
        }
        if one.key == SortKey::Id {
            return complete;
        }
    }
    let is_descending = complete.last().is_some_and(|last| last.is_descending);
    complete.push(Order { key: SortKey::Id, is_descending });
    complete
}

impl Place {
    /// The place of a row.
    pub fn of(row: &profile::Model, order: &[Order]) -> Self {
        Self(complete(order).iter().map(|one| one.key.of(row)).collect())
    }

    /// Whether this place belongs to the order.
    pub fn fits(&self, order: &[Order]) -> bool {
        let complete = complete(order);
        complete.len() == self.0.len()
            && complete.iter().zip(&self.0).all(|(one, key)| match key {
                Key::Nothing => one.key.is_nullable(),
                Key::Text(_) => one.key.is_text(),
                Key::Number(_) => !one.key.is_text(),
            })
    }
}

/// Puts order, places and limit on a query of profiles; one row more than wanted is asked for.
pub(super) fn page<E: EntityTrait>(mut query: Select<E>, order: &[Order], page: &Page) -> Select<E> {
    let order = complete(order);
    if let Some(after) = &page.after {
        query = query.filter(beyond(&order, &after.0, true));
    }
    if let Some(before) = &page.before {
        query = query.filter(beyond(&order, &before.0, false));
    }
    for one in &order {
        let is_ascending = one.is_descending != page.limit.is_forward();
        let direction = if is_ascending { SqlOrder::Asc } else { SqlOrder::Desc };
        query = if one.key.is_nullable() {
            let nulls = if page.limit.is_forward() { NullOrdering::Last } else { NullOrdering::First };
            query.order_by_with_nulls(one.key.column(), direction, nulls)
        } else {
            query.order_by(one.key.column(), direction)
        };
    }
    query.limit(page.limit.rows() + 1)
}

/// Rows behind a place (or before it): the first key that differs decides.
fn beyond(order: &[Order], place: &[Key], is_behind: bool) -> Condition {
    let mut any = Condition::any();
    let mut same = Condition::all();
    for (one, key) in order.iter().zip(place) {
        if let Some(step) = step(*one, key, is_behind) {
            any = any.add(same.clone().add(step));
        }
        let column = Expr::col((profile::Entity, one.key.column()));
        same = same.add(match key {
            Key::Number(value) => column.eq(*value),
            Key::Text(value) => column.eq(value.clone()),
            Key::Nothing => column.is_null(),
        });
    }
    any
}

fn step(order: Order, key: &Key, is_behind: bool) -> Option<SimpleExpr> {
    let column = Expr::col((profile::Entity, order.key.column()));
    let is_greater = order.is_descending != is_behind;
    let compared = match (key, is_greater) {
        (Key::Number(value), true) => column.clone().gt(*value),
        (Key::Number(value), false) => column.clone().lt(*value),
        (Key::Text(value), true) => column.clone().gt(value.clone()),
        (Key::Text(value), false) => column.clone().lt(value.clone()),
        (Key::Nothing, _) => return (!is_behind).then(|| column.is_not_null()),
    };
    Some(if is_behind && order.key.is_nullable() { compared.or(column.is_null()) } else { compared })
}
