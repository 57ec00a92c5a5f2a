//! Whether few profiles or many lie in a stretch of an index: PostgreSQL's planner cannot know.
//!
//! Its statistics hold nothing of the values of fields, names and addresses, since nobody could erase them there. It takes
//! the same share of all for any stretch, and where a page is in another order walks through all profiles in that order
//! until the page is full: soon where many pass, never where next to nobody does. So a bounded part of the stretch is
//! counted first, and where it is all, the page is made of these profiles alone.

use super::predicate::Scope;
use super::reader::Reading;
use super::{Predicate, ReadError, Reader};
use crate::db::{Dialect, dialect, field_index};
use ::entity::profile;
use sea_orm::ConnectionTrait;
use sea_orm::sea_query::{Alias, Expr, Query, SelectStatement};

/// So many profiles are few. To count them takes some milliseconds, and where one profile in so many is more than that, a
/// page of a million is full after some ten thousand.
const FEW: u64 = 3_000;

impl Reader {
    /// The condition that PostgreSQL looks for first, where a filter has a test that few profiles pass. One statement where
    /// it has one of a stretch.
    pub(super) async fn rare(&self, predicate: &Predicate, scope: Scope<'_>) -> Result<Option<Expr>, ReadError> {
        if self.dialect() == Dialect::Sqlite || predicate.stretch(&|_, _| true).is_none() {
            return Ok(None);
        }
        let names = self.field_indexes().await?;
        let has_index = |name: &str, reading| names.contains(&field_index::name(Dialect::Postgres, name, reading));
        let Some(stretch) = predicate.stretch(&has_index) else { return Ok(None) };
        let within = Query::select().from(profile::Entity).cond_where(stretch.to_sql(scope)).take();
        if !self.are_few(within.clone()).await? {
            return Ok(None);
        }
        let ids = within.clone().column((profile::Entity, profile::Column::Id)).take();
        Ok(Some(dialect::is_among(Dialect::Postgres, scope.column(profile::Column::Id), ids)))
    }

    /// Whether a query finds few profiles. One statement, which counts no further.
    pub(super) async fn are_few(&self, within: SelectStatement) -> Result<bool, ReadError> {
        let some = within.clone().expr(Expr::val(1)).limit(FEW + 1).take();
        let count = Query::select().expr(Expr::cust("COUNT(*)")).from_subquery(some, Alias::new("some")).take();
        let row =
            self.connection().query_one(&count).await.reading("how many profiles are in a stretch of an index")?;
        let count: i64 = row.map_or(Ok(0), |row| row.try_get_by_index(0)).reading("a count")?;
        Ok(u64::try_from(count).is_ok_and(|count| count <= FEW))
    }
}
