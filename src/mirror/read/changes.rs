//! The change log.
//!
//! Revisions are dense and in commit order within a source, so that a reader can tell a gap from an end.

use super::keyset::Limit;
use super::reader::{Reading, padded};
use super::{ReadError, Reader};
use ::entity::{ChangeKind, change, profile, source_state};
use sea_orm::sea_query::{Condition, Expr, ExprTrait, Query, SelectStatement};
use sea_orm::{ColumnTrait, EntityTrait, FromQueryResult, QueryFilter, QueryOrder, QuerySelect};
use std::collections::BTreeSet;

/// Changes that are told of one delivery and one profile.
const MAX_BY_DELIVERY: u64 = 100;

/// Which part of one source's log.
#[derive(Clone, Debug)]
pub struct LogSlice {
    /// The source.
    pub source_id: i32,
    /// Only revisions greater than this.
    pub after: i64,
    /// Only of these kinds; empty for all.
    pub kinds: Vec<ChangeKind>,
    /// Only of this profile.
    pub profile_id: Option<i64>,
}

#[derive(FromQueryResult)]
struct OldestRevision {
    source_id: i32,
    revision: i64,
}

impl Reader {
    /// The newest revision of each source.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn revisions(&self) -> Result<Vec<(i32, i64)>, ReadError> {
        source_state::Entity::find()
            .select_only()
            .columns([source_state::Column::SourceId, source_state::Column::Revision])
            .into_tuple()
            .all(self.connection())
            .await
            .reading("the revisions of the sources")
    }

    /// The oldest revision that the log still holds, of each source that has any.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn oldest_revisions(&self) -> Result<Vec<(i32, i64)>, ReadError> {
        // A subquery for each source is answered from the primary key; GROUP BY would read the whole log.
        let oldest = Query::select()
            .expr(Expr::col((change::Entity, change::Column::Revision)).min())
            .from(change::Entity)
            .and_where(
                Expr::col((change::Entity, change::Column::SourceId))
                    .equals((source_state::Entity, source_state::Column::SourceId)),
            )
            .take();
        let rows = source_state::Entity::find()
            .select_only()
            .column(source_state::Column::SourceId)
            .expr_as(
                sea_orm::sea_query::Func::coalesce([
                    sea_orm::sea_query::SimpleExpr::SubQuery(None, Box::new(oldest.into())),
                    Expr::val(0_i64),
                ]),
                "revision",
            )
            .into_model::<OldestRevision>()
            .all(self.connection())
            .await
            .reading("the oldest revisions")?;
        Ok(rows.into_iter().filter(|row| row.revision > 0).map(|row| (row.source_id, row.revision)).collect())
    }

    /// Changes of one source in commit order, those about placeholders too: what the log holds, without gaps.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn log(&self, source_id: i32, after: i64, limit: u64) -> Result<Vec<change::Model>, ReadError> {
        change::Entity::find()
            .filter(change::Column::SourceId.eq(source_id))
            .filter(change::Column::Revision.gt(after))
            .order_by_asc(change::Column::Revision)
            .limit(limit)
            .all(self.connection())
            .await
            .reading("the change log")
    }

    /// Changes of one source that readers may see, in commit order, one more than the page wants.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn changes(&self, slice: &LogSlice, limit: Limit) -> Result<Vec<change::Model>, ReadError> {
        let mut query = change::Entity::find()
            .filter(change::Column::SourceId.eq(slice.source_id))
            .filter(change::Column::Revision.gt(slice.after))
            .filter(Expr::not_exists(placeholders()));
        if !slice.kinds.is_empty() {
            query = query.filter(change::Column::Kind.is_in(slice.kinds.iter().copied()));
        }
        if let Some(profile_id) = slice.profile_id {
            query = query.filter(change::Column::ProfileId.eq(profile_id));
        }
        query
            .order_by_asc(change::Column::Revision)
            .limit(limit.rows() + 1)
            .all(self.connection())
            .await
            .reading("changes")
    }

    /// The changes with these sources and revisions, where readers may see them.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn changes_by_keys(&self, keys: &[(i32, i64)]) -> Result<Vec<change::Model>, ReadError> {
        let mut any = Condition::any();
        for source_id in keys.iter().map(|key| key.0).collect::<BTreeSet<_>>() {
            let revisions: Vec<i64> = keys.iter().filter(|key| key.0 == source_id).map(|key| key.1).collect();
            any =
                any.add(change::Column::SourceId.eq(source_id).and(change::Column::Revision.is_in(padded(&revisions))));
        }
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        change::Entity::find()
            .filter(any)
            .filter(Expr::not_exists(placeholders()))
            .all(self.connection())
            .await
            .reading("changes by revision")
    }

    /// The changes that these deliveries made, each given with a profile, in order and where readers may see them; the
    /// first 100 of each.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn changes_by_deliveries(&self, keys: &[(i64, i64)]) -> Result<Vec<change::Model>, ReadError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let distinct = |ids: BTreeSet<i64>| padded(&ids.into_iter().collect::<Vec<_>>());
        let deliveries = distinct(keys.iter().map(|key| key.0).collect());
        let profiles = distinct(keys.iter().map(|key| key.1).collect());
        let place = Expr::cust(
            "ROW_NUMBER() OVER (PARTITION BY \"change\".\"profile_id\", \"change\".\"delivery_id\" \
             ORDER BY \"change\".\"revision\")",
        );
        let numbered = Query::select()
            .columns([change::Column::SourceId, change::Column::Revision])
            .expr_as(place, "place")
            .from(change::Entity)
            // The index is by profile.
            .and_where(Expr::col((change::Entity, change::Column::ProfileId)).is_in(profiles))
            .and_where(Expr::col((change::Entity, change::Column::DeliveryId)).is_in(deliveries))
            .and_where(Expr::not_exists(placeholders()))
            .take();
        let first = Query::select()
            .columns([change::Column::SourceId, change::Column::Revision])
            .from_subquery(numbered, "numbered")
            .and_where(Expr::col("place").lte(MAX_BY_DELIVERY))
            .take();
        let key = Expr::tuple(
            [change::Column::SourceId, change::Column::Revision].map(|column| Expr::col((change::Entity, column))),
        );
        change::Entity::find()
            .filter(key.in_subquery(first))
            .order_by_asc(change::Column::SourceId)
            .order_by_asc(change::Column::Revision)
            .all(self.connection())
            .await
            .reading("changes by delivery")
    }

    /// The change with this revision.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn change(&self, source_id: i32, revision: i64) -> Result<Option<change::Model>, ReadError> {
        let slice = LogSlice { source_id, after: revision.saturating_sub(1), kinds: Vec::new(), profile_id: None };
        let found = self.changes(&slice, Limit::First(1)).await?;
        Ok(found.into_iter().next().filter(|change| change.revision == revision))
    }
}

/// The placeholders among the profiles of changes: readers hear of none.
fn placeholders() -> SelectStatement {
    Query::select()
        .expr(Expr::val(1))
        .from(profile::Entity)
        .and_where(
            Expr::col((profile::Entity, profile::Column::Id)).equals((change::Entity, change::Column::ProfileId)),
        )
        .and_where(profile::Column::IsKnown.eq(false))
        .take()
}
