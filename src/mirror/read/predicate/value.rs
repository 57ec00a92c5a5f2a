//! Tests on one value, each read in memory and as SQL.

use crate::db::Dialect;
use crate::db::fields::{self, FieldAs};
use crate::mirror::field;
use ::entity::Moment;
use sea_orm::sea_query::{Expr, ExprTrait, LikeExpr, SimpleExpr};
use serde_json::Value;

/// A test on a text.
#[derive(Clone, Debug, PartialEq)]
pub enum TextTest {
    /// It is this.
    Equals(String),
    /// It is one of these.
    In(Vec<String>),
    /// It starts with this, letter case ignored.
    StartsWith(String),
    /// This stands in it, letter case ignored.
    Contains(String),
    /// There is none.
    IsAbsent,
    /// There is none, or it is empty.
    IsEmpty,
}

/// A test on a number.
#[derive(Clone, Debug, PartialEq)]
pub enum NumberTest {
    /// It is one of these.
    In(Vec<f64>),
    /// It is greater than this.
    Above(f64),
    /// It is this or greater.
    AtLeast(f64),
    /// It is smaller than this.
    Below(f64),
    /// It is this or smaller.
    AtMost(f64),
}

/// A test on a field.
#[derive(Clone, Debug, PartialEq)]
pub enum FieldTest {
    /// On its text.
    Text(TextTest),
    /// On its number; a value that is none fails.
    Number(NumberTest),
    /// Its date is not earlier than `from` and earlier than `until`; a value that is none fails.
    Date {
        /// Not earlier than this.
        from: Option<Moment>,
        /// Earlier than this.
        until: Option<Moment>,
    },
}

/// A text as SQL, as it is and with ASCII letters in lower case.
pub(super) struct TextSql {
    pub exact: SimpleExpr,
    pub folded: SimpleExpr,
    /// An index holds the folded text rather than the exact one.
    pub is_indexed_folded: bool,
}

impl TextTest {
    /// Whether a text passes.
    pub fn accepts(&self, text: Option<&str>) -> bool {
        match (self, text) {
            (Self::IsAbsent, text) => text.is_none(),
            (Self::IsEmpty, text) => text.is_none_or(str::is_empty),
            (_, None) => false,
            (Self::Equals(wanted), Some(text)) => wanted == text,
            (Self::In(wanted), Some(text)) => wanted.iter().any(|one| one == text),
            (Self::StartsWith(start), Some(text)) => text.to_ascii_lowercase().starts_with(&start.to_ascii_lowercase()),
            (Self::Contains(part), Some(text)) => text.to_ascii_lowercase().contains(&part.to_ascii_lowercase()),
        }
    }

    pub(super) fn to_sql(&self, text: TextSql) -> SimpleExpr {
        let TextSql { exact, folded, is_indexed_folded } = text;
        // Without *is not null* a NOT around a test would be unknown where there is no text, and unknown is not true.
        let is_there = if is_indexed_folded { folded.clone().is_not_null() } else { exact.clone().is_not_null() };
        match self {
            Self::IsAbsent => exact.is_null(),
            Self::IsEmpty => exact.clone().is_null().or(exact.eq("")),
            Self::Equals(wanted) => {
                let is_equal = exact.eq(wanted.clone());
                is_there.and(if is_indexed_folded {
                    folded.eq(wanted.to_ascii_lowercase()).and(is_equal)
                } else {
                    is_equal
                })
            }
            Self::In(wanted) => {
                let is_one = exact.is_in(wanted.clone());
                is_there.and(if is_indexed_folded {
                    folded.is_in(wanted.iter().map(|one| one.to_ascii_lowercase())).and(is_one)
                } else {
                    is_one
                })
            }
            Self::StartsWith(start) => {
                let start = start.to_ascii_lowercase();
                let from = is_there.and(folded.clone().gte(start.clone()));
                match successor(&start) {
                    Some(end) => from.and(folded.lt(end)),
                    None => from,
                }
            }
            Self::Contains(part) => is_there.and(folded.like(pattern(part))),
        }
    }
}

/// The least text that is greater than all that start with this one; none where there is no such text.
fn successor(start: &str) -> Option<String> {
    let mut characters: Vec<char> = start.chars().collect();
    while let Some(last) = characters.pop() {
        let next = match last {
            '\u{d7ff}' => Some('\u{e000}'),
            other => char::from_u32(u32::from(other) + 1),
        };
        if let Some(next) = next {
            characters.push(next);
            return Some(characters.into_iter().collect());
        }
    }
    None
}

fn pattern(part: &str) -> LikeExpr {
    let mut pattern = "%".to_owned();
    for character in part.to_ascii_lowercase().chars() {
        if matches!(character, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push('%');
    LikeExpr::new(pattern).escape('\\')
}

impl NumberTest {
    fn accepts(&self, number: f64) -> bool {
        match self {
            Self::In(wanted) => wanted.contains(&number),
            Self::Above(bound) => number > *bound,
            Self::AtLeast(bound) => number >= *bound,
            Self::Below(bound) => number < *bound,
            Self::AtMost(bound) => number <= *bound,
        }
    }

    fn to_sql(&self, number: SimpleExpr) -> SimpleExpr {
        // Without statistics SQLite takes an index for a range with two ends, and reads every row for one with one.
        let (least, greatest) = (number.clone().gte(f64::MIN), number.clone().lte(f64::MAX));
        let test = match self {
            Self::In(wanted) => number.clone().is_in(wanted.iter().copied()),
            Self::Above(bound) => number.clone().gt(*bound).and(greatest),
            Self::AtLeast(bound) => number.clone().gte(*bound).and(greatest),
            Self::Below(bound) => number.clone().lt(*bound).and(least),
            Self::AtMost(bound) => number.clone().lte(*bound).and(least),
        };
        number.is_not_null().and(test)
    }
}

impl FieldTest {
    pub(super) fn accepts(&self, value: &Value) -> bool {
        match self {
            Self::Text(test) => test.accepts(field::text(value).as_deref()),
            Self::Number(test) => field::number(value).is_some_and(|number| test.accepts(number)),
            Self::Date { from, until } => field::date(value).is_some_and(|date| {
                from.is_none_or(|from| date >= field::date_bound(from))
                    && until.is_none_or(|until| date < field::date_bound(until))
            }),
        }
    }

    /// The test on a field of a JSON column.
    pub(super) fn to_sql(&self, dialect: Dialect, column: &str, name: &str) -> SimpleExpr {
        let reading = |reading| Expr::cust(fields::field_as(dialect, column, name, reading));
        match self {
            Self::Text(test) => test.to_sql(TextSql {
                exact: Expr::cust(fields::field_text(dialect, column, name)),
                folded: reading(FieldAs::Text),
                is_indexed_folded: true,
            }),
            Self::Number(test) => test.to_sql(reading(FieldAs::Number)),
            Self::Date { from, until } => {
                let date = reading(FieldAs::Date);
                // Two ends, as for numbers: every date begins with a digit.
                let from = from.map_or("0".to_owned(), field::date_bound);
                let until = until.map_or(":".to_owned(), field::date_bound);
                date.clone().is_not_null().and(date.clone().gte(from)).and(date.lt(until))
            }
        }
    }
}
