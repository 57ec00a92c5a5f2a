//! Pages of what hangs on profiles and runs: the first rows of each of many parents in one statement.
//!
//! A window function numbers the children of each parent, so that one statement brings a page for every profile
//! of a list, whatever its length.

use super::keyset::Limit;
use sea_orm::sea_query::{Condition, Expr, ExprTrait, SelectStatement, SimpleExpr};
use sea_orm::{EntityTrait, Iden, Iterable};

/// Which children of each parent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ChildPage {
    /// How many of each parent, from which end.
    pub limit: Limit,
    /// Only those behind this key.
    pub after: Option<i64>,
    /// Only those before this key.
    pub before: Option<i64>,
}

impl ChildPage {
    pub(super) fn window(&self, parent: &str, key: &str) -> SimpleExpr {
        let direction = if self.limit.is_forward() { "ASC" } else { "DESC" };
        Expr::cust(format!("ROW_NUMBER() OVER (PARTITION BY \"{parent}\" ORDER BY \"{key}\" {direction})"))
    }

    pub(super) fn bounds(&self, key: SimpleExpr) -> Condition {
        let mut bounds = Condition::all();
        if let Some(after) = self.after {
            bounds = bounds.add(key.clone().gt(after));
        }
        if let Some(before) = self.before {
            bounds = bounds.add(key.lt(before));
        }
        bounds
    }

    /// One more than wanted of each parent, to tell whether there are more.
    pub(super) fn numbered(&self) -> SimpleExpr {
        Expr::col("place").lte(self.limit.rows() + 1)
    }

    /// A page of all rows of one parent, given in the order of their keys.
    pub fn cut_all<T>(&self, mut rows: Vec<T>, key: impl Fn(&T) -> i64) -> super::Slice<T> {
        rows.retain(|row| {
            self.after.is_none_or(|after| key(row) > after) && self.before.is_none_or(|before| key(row) < before)
        });
        if !self.limit.is_forward() {
            rows.reverse();
        }
        self.cut(rows)
    }

    /// The rows of each parent as a page, given as the statement returned them.
    pub fn cut<T>(&self, rows: Vec<T>) -> super::Slice<T> {
        super::Slice::cut(rows, self.limit, self.after.is_some(), self.before.is_some())
    }
}

/// Selects all columns of a table, with a prefix to their names.
pub(super) fn select_prefixed<E: EntityTrait>(query: &mut SelectStatement, prefix: &str) {
    for column in E::Column::iter() {
        query.expr_as(Expr::col((E::default(), column)), format!("{prefix}{}", column.unquoted()));
    }
}
