//! Relationships, from either end and by their own keys.

use super::children::{ChildPage, select_prefixed};
use super::reader::{Reading, padded};
use super::{ReadError, Reader};
use ::entity::{relationship, relationship_type};
use sea_orm::sea_query::{Condition, Expr, ExprTrait, Query, SelectStatement, UnionType};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, FromQueryResult, JoinType, QueryFilter, QuerySelect, RelationDef,
};

/// Which end of a relationship a profile is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// The profile is the left end.
    Outgoing,
    /// The profile is the right end.
    Incoming,
}

/// A relationship seen from one of its ends.
#[derive(Clone, Debug)]
pub struct RelationshipRow {
    /// The profile it is listed under.
    pub owner_id: i64,
    /// The relationship.
    pub relationship: relationship::Model,
    /// Its type.
    pub kind: relationship_type::Model,
}

impl Reader {
    /// Relationships of these profiles, from either end. `kind` is a type's name, inverse name or upstream id.
    /// A relationship of two listed profiles comes once under each.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn relationships(
        &self,
        profile_ids: &[i64],
        kind: Option<&str>,
        direction: Option<Direction>,
        with_removed: bool,
        page: &ChildPage,
    ) -> Result<Vec<RelationshipRow>, ReadError> {
        let ids = padded(profile_ids);
        let from_end = |end: relationship::Column| {
            let mut side = Query::select()
                .expr_as(Expr::col(end), "owner_id")
                .column(relationship::Column::Id)
                .from(relationship::Entity)
                .and_where(end.is_in(ids.clone()))
                .cond_where(page.bounds(Expr::col((relationship::Entity, relationship::Column::Id))))
                .take();
            if !with_removed {
                side.and_where(relationship::Column::RemovedAt.is_null());
            }
            if let Some(kind) = kind {
                side.and_where(relationship::Column::RelationshipTypeId.in_subquery(types_named(kind)));
            }
            side
        };
        let mut sides = match direction {
            Some(Direction::Incoming) => from_end(relationship::Column::ToProfileId),
            _ => from_end(relationship::Column::FromProfileId),
        };
        if direction.is_none() {
            // A relationship of a profile with itself is listed once.
            let other = from_end(relationship::Column::ToProfileId)
                .and_where(
                    Expr::col(relationship::Column::FromProfileId)
                        .not_equals((relationship::Entity, relationship::Column::ToProfileId)),
                )
                .take();
            sides.union(UnionType::All, other);
        }
        let numbered = Query::select()
            .columns(["owner_id", "id"])
            .expr_as(page.window("owner_id", "id"), "place")
            .from_subquery(sides, "sides")
            .take();
        let order = if page.limit.is_forward() { sea_orm::Order::Asc } else { sea_orm::Order::Desc };
        let mut query = Query::select();
        query.column(("numbered", "owner_id"));
        select_prefixed::<relationship::Entity>(&mut query, "r_");
        select_prefixed::<relationship_type::Entity>(&mut query, "t_");
        query
            .from_subquery(numbered, "numbered")
            .inner_join(
                relationship::Entity,
                Expr::col((relationship::Entity, relationship::Column::Id)).equals(("numbered", "id")),
            )
            .inner_join(
                relationship_type::Entity,
                Expr::col((relationship_type::Entity, relationship_type::Column::Id))
                    .equals((relationship::Entity, relationship::Column::RelationshipTypeId)),
            )
            .and_where(page.numbered())
            .order_by(("numbered", "owner_id"), sea_orm::Order::Asc)
            .order_by(("numbered", "id"), order);
        let rows = self.connection().query_all(&query).await.reading("relationships")?;
        rows.iter()
            .map(|row| {
                Ok(RelationshipRow {
                    owner_id: row.try_get("", "owner_id")?,
                    relationship: relationship::Model::from_query_result(row, "r_")?,
                    kind: relationship_type::Model::from_query_result(row, "t_")?,
                })
            })
            .collect::<Result<_, _>>()
            .reading("relationships")
    }

    /// The relationship of a source with this upstream id, removed or not.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn relationship_by_key(
        &self,
        source_id: i32,
        external_id: &str,
    ) -> Result<Option<(relationship::Model, relationship_type::Model)>, ReadError> {
        let kind: RelationDef = relationship::Entity::belongs_to(relationship_type::Entity)
            .from(relationship::Column::RelationshipTypeId)
            .to(relationship_type::Column::Id)
            .into();
        let row = relationship::Entity::find()
            .filter(relationship::Column::SourceId.eq(source_id))
            .filter(relationship::Column::ExternalId.eq(external_id))
            .join(JoinType::InnerJoin, kind)
            .select_also(relationship_type::Entity)
            .one(self.connection())
            .await
            .reading("a relationship by key")?;
        Ok(row.and_then(|(relationship, kind)| Some((relationship, kind?))))
    }
}

/// The relationship types with this name, inverse name or upstream id.
pub(super) fn types_named(kind: &str) -> SelectStatement {
    Query::select()
        .column(relationship_type::Column::Id)
        .from(relationship_type::Entity)
        .cond_where(
            Condition::any()
                .add(relationship_type::Column::Name.eq(kind))
                .add(relationship_type::Column::InverseName.eq(kind))
                .add(relationship_type::Column::ExternalId.eq(kind)),
        )
        .take()
}
