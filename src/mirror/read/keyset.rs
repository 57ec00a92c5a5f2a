//! Pages by key: a place is the values of the sort keys of a row, so that rows may move without gaps.
//!
//! Rows without a value in the first key come last, and are read by themselves: an index holds them at its other end,
//! or not at all.

use super::{MAX_PAGE, Sought};
use crate::db::Dialect;
use crate::db::fields::{self, FieldAs};
use crate::mirror::field;
use ::entity::{Moment, profile, profile_search};
use sea_orm::sea_query::{CaseStatement, Condition, Expr, ExprTrait, NullOrdering, Query, SimpleExpr};
use sea_orm::{EntityTrait, Order as SqlOrder, QueryFilter, QueryOrder, Select};
use serde::{Deserialize, Serialize};
use serde_json::Value;

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
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
    /// A field, read in one way; rows without such a value come last.
    Field(String, FieldAs),
    /// How well a profile answers a search: those with all of it in their name come first.
    Relevance(Sought),
}

/// A sort key with its direction. Rows without a value come last in both.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
    fn expression(&self, dialect: Dialect) -> SimpleExpr {
        let column = |column| Expr::col((profile::Entity, column));
        match self {
            Self::DisplayName => column(profile::Column::DisplayName),
            Self::Email => column(profile::Column::Email),
            Self::CreatedAt => column(profile::Column::CreatedAt),
            Self::ModifiedAt => column(profile::Column::ModifiedAt),
            Self::ExternalId => column(profile::Column::ExternalId),
            Self::Id => column(profile::Column::Id),
            Self::Field(name, reading) => {
                Expr::cust(fields::field_as(dialect, "\"profile\".\"fields\"", name, *reading))
            }
            Self::Relevance(sought) => rank(sought),
        }
    }

    fn is_nullable(&self) -> bool {
        !matches!(self, Self::ExternalId | Self::Id | Self::Relevance(_))
    }

    fn of(&self, row: &profile::Model) -> Key {
        let text = |value: Option<String>| value.map_or(Key::Nothing, Key::Text);
        let time = |value: Option<Moment>| value.map_or(Key::Nothing, |moment| Key::Number(moment.0));
        match self {
            Self::DisplayName => text(row.display_name.clone()),
            Self::Email => text(row.email.clone()),
            Self::CreatedAt => time(row.created_at),
            Self::ModifiedAt => time(row.modified_at),
            Self::ExternalId => Key::Text(row.external_id.clone()),
            Self::Id => Key::Number(row.id),
            Self::Relevance(sought) => Key::Number(sought.rank(row)),
            Self::Field(name, reading) => {
                let value = row.fields.get(name).unwrap_or(&Value::Null);
                text(match reading {
                    FieldAs::Text => field::folded(value),
                    // As text, because JSON readers may round a double.
                    FieldAs::Number => field::number(value).map(|number| number.to_string()),
                    FieldAs::Date => field::date(value),
                })
            }
        }
    }

    /// What a key of this order is compared with; none where it is no value of it.
    fn value(&self, key: &Key) -> Option<sea_orm::Value> {
        match (self, key) {
            (Self::DisplayName | Self::Email | Self::ExternalId, Key::Text(text))
            | (Self::Field(_, FieldAs::Text | FieldAs::Date), Key::Text(text)) => Some(text.clone().into()),
            (Self::Field(_, FieldAs::Number), Key::Text(text)) => Some(text.parse::<f64>().ok()?.into()),
            (Self::CreatedAt | Self::ModifiedAt | Self::Id | Self::Relevance(_), Key::Number(number)) => {
                Some((*number).into())
            }
            _ => None,
        }
    }
}

/// [`Sought::rank`] as SQL. A profile whose words are not known yet ranks with those whose name has not all of it.
fn rank(sought: &Sought) -> SimpleExpr {
    let name = Expr::col((profile_search::Entity, profile_search::Column::Name));
    let mut is_in_name = name.clone().like(format!("% {}%", sought.prefix));
    for word in &sought.words {
        is_in_name = is_in_name.and(name.clone().like(format!("% {word} %")));
    }
    let is_in_name = Query::select()
        .expr(Expr::val(1))
        .from(profile_search::Entity)
        .and_where(
            Expr::col((profile_search::Entity, profile_search::Column::ProfileId))
                .equals((profile::Entity, profile::Column::Id)),
        )
        .and_where(is_in_name)
        .take();
    CaseStatement::new().case(Expr::exists(is_in_name), 0).finally(1).into()
}

/// The order made total: the row's own id decides last.
pub(super) fn complete(order: &[Order]) -> Vec<Order> {
    let mut complete: Vec<Order> = Vec::new();
    for one in order {
        if !complete.iter().any(|seen| seen.key == one.key) {
            complete.push(one.clone());
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
                key => one.key.value(key).is_some(),
            })
    }

    fn has_first(&self) -> bool {
        !matches!(self.0.first(), Some(Key::Nothing))
    }
}

/// Rows that are read by one statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// All: every row has the first key.
    Whole,
    /// Those that have the first key.
    With,
    /// Those that do not.
    Without,
}

/// The parts in which a page may lie, in the order in which it is read.
pub(super) fn parts(order: &[Order], page: &Page) -> Vec<Part> {
    if !order.first().is_some_and(|first| first.key.is_nullable()) {
        return vec![Part::Whole];
    }
    let mut parts = Vec::new();
    if page.after.as_ref().is_none_or(Place::has_first) {
        parts.push(Part::With);
    }
    if page.before.as_ref().is_none_or(|before| !before.has_first()) {
        parts.push(Part::Without);
    }
    if !page.limit.is_forward() {
        parts.reverse();
    }
    parts
}

/// Puts order and places on a query of profiles, for the rows of one part.
pub(super) fn page<E: EntityTrait>(
    mut query: Select<E>,
    dialect: Dialect,
    order: &[Order],
    page: &Page,
    part: Part,
) -> Select<E> {
    let order = complete(order);
    let first = order[0].key.expression(dialect);
    query = match part {
        Part::Whole => query,
        Part::With => query.filter(first.is_not_null()),
        Part::Without => query.filter(first.is_null()),
    };
    for (place, is_behind) in [(&page.after, true), (&page.before, false)] {
        let Some(place) = place else { continue };
        // A place in the other part is before or behind all of this one.
        query = match (part, place.has_first()) {
            (Part::With, false) | (Part::Without, true) => query,
            (Part::Without, false) => query.filter(beyond(dialect, &order[1..], &place.0[1..], is_behind)),
            (Part::Whole | Part::With, _) => {
                let query = query.filter(beyond(dialect, &order, &place.0, is_behind));
                match bound(dialect, &order[0], &place.0[0], is_behind) {
                    Some(bound) => query.filter(bound),
                    None => query,
                }
            }
        };
    }
    let sorted = if part == Part::Without { &order[1..] } else { &order[..] };
    for (place, one) in sorted.iter().enumerate() {
        let is_ascending = one.is_descending != page.limit.is_forward();
        let direction = if is_ascending { SqlOrder::Asc } else { SqlOrder::Desc };
        let expression = one.key.expression(dialect);
        let is_present = part == Part::With && place == 0;
        query = if one.key.is_nullable() && !is_present {
            let nulls = if page.limit.is_forward() { NullOrdering::Last } else { NullOrdering::First };
            query.order_by_with_nulls(expression, direction, nulls)
        } else {
            query.order_by(expression, direction)
        };
    }
    query
}

/// What [`beyond`] implies for the first key, written out so that an index starts at the place.
fn bound(dialect: Dialect, order: &Order, key: &Key, is_behind: bool) -> Option<SimpleExpr> {
    let value = Expr::val(order.key.value(key)?);
    let expression = order.key.expression(dialect);
    Some(if order.is_descending == is_behind { expression.lte(value) } else { expression.gte(value) })
}

/// Rows behind a place (or before it): the first key that differs decides.
fn beyond(dialect: Dialect, order: &[Order], place: &[Key], is_behind: bool) -> Condition {
    let mut any = Condition::any();
    let mut same = Condition::all();
    for (one, key) in order.iter().zip(place) {
        if let Some(step) = step(dialect, one, key, is_behind) {
            any = any.add(same.clone().add(step));
        }
        let expression = one.key.expression(dialect);
        same = same.add(match one.key.value(key) {
            Some(value) => expression.eq(Expr::val(value)),
            None => expression.is_null(),
        });
    }
    any
}

fn step(dialect: Dialect, order: &Order, key: &Key, is_behind: bool) -> Option<SimpleExpr> {
    let expression = order.key.expression(dialect);
    let Some(value) = order.key.value(key) else {
        return (!is_behind).then(|| expression.is_not_null());
    };
    let value = Expr::val(value);
    let is_greater = order.is_descending != is_behind;
    let compared = if is_greater { expression.clone().gt(value) } else { expression.clone().lt(value) };
    Some(if is_behind && order.key.is_nullable() { compared.or(expression.is_null()) } else { compared })
}
