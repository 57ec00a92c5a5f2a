//! What happened to profiles: their changes and the steps of their lives.

use super::MAX_PAGE;
use super::children::{ChildPage, select_prefixed};
use super::reader::{Reading, padded};
use super::{ReadError, Reader};
use ::entity::{change, lifecycle_transition};
use sea_orm::sea_query::{Expr, ExprTrait, Query};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, FromQueryResult, QueryFilter, QueryOrder};

impl Reader {
    /// The changes of these profiles, by revision; `until` is the last that is looked at.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn history(
        &self,
        profile_ids: &[i64],
        until: Option<i64>,
        page: &ChildPage,
    ) -> Result<Vec<change::Model>, ReadError> {
        let mut numbered = Query::select()
            .columns([change::Column::SourceId, change::Column::Revision])
            .expr_as(page.window("profile_id", "revision"), "place")
            .from(change::Entity)
            .and_where(change::Column::ProfileId.is_in(padded(profile_ids)))
            .cond_where(page.bounds(Expr::col((change::Entity, change::Column::Revision))))
            .take();
        if let Some(until) = until {
            numbered.and_where(change::Column::Revision.lte(until));
        }
        let order = if page.limit.is_forward() { sea_orm::Order::Asc } else { sea_orm::Order::Desc };
        let mut query = Query::select();
        select_prefixed::<change::Entity>(&mut query, "");
        query
            .from_subquery(numbered, "numbered")
            .inner_join(
                change::Entity,
                Expr::col((change::Entity, change::Column::SourceId))
                    .equals(("numbered", "source_id"))
                    .and(Expr::col((change::Entity, change::Column::Revision)).equals(("numbered", "revision"))),
            )
            .and_where(page.numbered())
            .order_by((change::Entity, change::Column::ProfileId), sea_orm::Order::Asc)
            .order_by((change::Entity, change::Column::Revision), order);
        let rows = self.connection().query_all(&query).await.reading("the history of profiles")?;
        let read = rows.iter().map(|row| change::Model::from_query_result(row, ""));
        read.collect::<Result<_, _>>().reading("the history of profiles")
    }

    /// The latest lifecycle transitions of these profiles, at most a page of each, oldest first.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn transitions(&self, profile_ids: &[i64]) -> Result<Vec<lifecycle_transition::Model>, ReadError> {
        let numbered = Query::select()
            .column(lifecycle_transition::Column::Id)
            .expr_as(
                Expr::cust("ROW_NUMBER() OVER (PARTITION BY \"profile_id\" ORDER BY \"at\" DESC, \"id\" DESC)"),
                "place",
            )
            .from(lifecycle_transition::Entity)
            .and_where(lifecycle_transition::Column::ProfileId.is_in(padded(profile_ids)))
            .take();
        let ids = Query::select()
            .column("id")
            .from_subquery(numbered, "numbered")
            .and_where(Expr::col("place").lte(MAX_PAGE))
            .take();
        lifecycle_transition::Entity::find()
            .filter(lifecycle_transition::Column::Id.in_subquery(ids))
            .order_by_asc(lifecycle_transition::Column::ProfileId)
            .order_by_asc(lifecycle_transition::Column::At)
            .order_by_asc(lifecycle_transition::Column::Id)
            .all(self.connection())
            .await
            .reading("lifecycle transitions")
    }
}
