//! What hangs on profiles: the first rows of each of many parents in one statement.
//!
//! A window function numbers the children of each parent, so that one statement brings a page for every profile
//! of a list, whatever its length.

use super::MAX_PAGE;
use super::keyset::Limit;
use super::predicate::{Predicate, Scope};
use super::reader::{Reading, padded};
use super::{ReadError, Reader};
use ::entity::{
    Moment, change, collection, interest, lifecycle_transition, profile, profile_interest, relationship,
    relationship_type, subprofile,
};
use sea_orm::sea_query::{Condition, Expr, ExprTrait, Query, SelectStatement, SimpleExpr, UnionType};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, FromQueryResult, Iden, Iterable, JoinType, QueryFilter, QueryOrder,
    QuerySelect, RelationDef,
};

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

/// Which end of a relationship a profile is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// The profile is the left end.
    Outgoing,
    /// The profile is the right end.
    Incoming,
}

/// A subprofile as readers see it.
#[derive(Clone, Debug, PartialEq, FromQueryResult)]
pub struct SubprofileRow {
    /// Its key.
    pub id: i64,
    /// Upstream id; unique within the source.
    pub external_id: String,
    /// The profile that it belongs to.
    pub profile_id: i64,
    /// Its collection, where told.
    pub collection_id: Option<i32>,
    /// Field values by name, raw.
    pub fields: serde_json::Value,
    /// Upstream creation time.
    pub created_at: Option<Moment>,
    /// Upstream time of last modification.
    pub modified_at: Option<Moment>,
    /// When the mirror last confirmed it.
    pub mirrored_at: Moment,
}

impl From<subprofile::Model> for SubprofileRow {
    fn from(row: subprofile::Model) -> Self {
        Self {
            id: row.id,
            external_id: row.external_id,
            profile_id: row.profile_id,
            collection_id: row.collection_id,
            fields: row.fields,
            created_at: row.created_at,
            modified_at: row.modified_at,
            mirrored_at: row.mirrored_at,
        }
    }
}

/// The columns of [`SubprofileRow`]: each costs time in every row.
const SUBPROFILE: [subprofile::Column; 8] = [
    subprofile::Column::Id,
    subprofile::Column::ExternalId,
    subprofile::Column::ProfileId,
    subprofile::Column::CollectionId,
    subprofile::Column::Fields,
    subprofile::Column::CreatedAt,
    subprofile::Column::ModifiedAt,
    subprofile::Column::MirroredAt,
];

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

/// An interest that is on.
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult)]
pub struct InterestRow {
    /// The profile.
    pub profile_id: i64,
    /// Its group, from the profile or else from its type; empty where neither tells.
    pub group_name: String,
    /// Its name.
    pub name: String,
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

fn profile_of() -> RelationDef {
    subprofile::Entity::belongs_to(profile::Entity).from(subprofile::Column::ProfileId).to(profile::Column::Id).into()
}

impl Reader {
    /// Subprofiles of these profiles, by key; `collection` is a name or an upstream id, `fields` tests on their fields.
    /// Of a profile with many it brings more than the page wants only where all of them together are few.
    ///
    /// # Ordering
    /// Each profile's rows stand in the order of the page's own direction.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn subprofiles(
        &self,
        profile_ids: &[i64],
        collection: Option<&str>,
        fields: Option<&Predicate>,
        page: &ChildPage,
    ) -> Result<Vec<SubprofileRow>, ReadError> {
        let mut wanted = Condition::all()
            .add(subprofile::Column::ProfileId.is_in(padded(profile_ids)))
            .add(subprofile::Column::DeletedAt.is_null())
            .add(page.bounds(Expr::col((subprofile::Entity, subprofile::Column::Id))));
        if let Some(name) = collection {
            wanted = wanted.add(subprofile::Column::CollectionId.in_subquery(collections_named(name)));
        }
        if let Some(fields) = fields {
            let sources = self.sources().await?;
            let scope = Scope { dialect: self.dialect(), sources: &sources, table: "subprofile" };
            wanted = wanted.add(fields.to_sql(scope));
        }
        // Numbering rows costs as much as reading them: it is left to profiles with more than fit on their pages.
        let room = (page.limit.rows() + 1) * profile_ids.len() as u64;
        let rows = self.ordered_subprofiles(wanted.clone(), page, room).await?;
        if (rows.len() as u64) < room {
            return Ok(rows);
        }
        let numbered = Query::select()
            .column(subprofile::Column::Id)
            .expr_as(page.window("profile_id", "id"), "place")
            .from(subprofile::Entity)
            .cond_where(wanted)
            .take();
        let ids = Query::select().column("id").from_subquery(numbered, "numbered").and_where(page.numbered()).take();
        let first = Condition::all().add(subprofile::Column::Id.in_subquery(ids));
        self.ordered_subprofiles(first, page, room).await
    }

    async fn ordered_subprofiles(
        &self,
        wanted: Condition,
        page: &ChildPage,
        room: u64,
    ) -> Result<Vec<SubprofileRow>, ReadError> {
        let order = if page.limit.is_forward() { sea_orm::Order::Asc } else { sea_orm::Order::Desc };
        subprofile::Entity::find()
            .select_only()
            .columns(SUBPROFILE)
            .filter(wanted)
            .order_by_asc(subprofile::Column::ProfileId)
            .order_by(subprofile::Column::Id, order)
            .limit(room)
            .into_model::<SubprofileRow>()
            .all(self.connection())
            .await
            .reading("subprofiles")
    }

    /// The living subprofiles of known profiles with these keys.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn subprofiles_by_keys(
        &self,
        source_id: i32,
        external_ids: &[String],
    ) -> Result<Vec<SubprofileRow>, ReadError> {
        let query = subprofile::by_external_ids(source_id, &padded(external_ids))
            .filter(subprofile::Column::DeletedAt.is_null())
            .join(JoinType::InnerJoin, profile_of())
            .filter(profile::Column::IsKnown.eq(true));
        query
            .select_only()
            .columns(SUBPROFILE)
            .into_model::<SubprofileRow>()
            .all(self.connection())
            .await
            .reading("subprofiles by key")
    }

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

    /// The interests that are on for these profiles, by group and name.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn interests(&self, profile_ids: &[i64]) -> Result<Vec<InterestRow>, ReadError> {
        let own = || Expr::col((profile_interest::Entity, profile_interest::Column::GroupName));
        let of_type = Query::select()
            .expr(Expr::col((interest::Entity, interest::Column::GroupName)).min())
            .from(interest::Entity)
            .and_where(
                Expr::col((interest::Entity, interest::Column::ProfileTypeId))
                    .equals((profile::Entity, profile::Column::ProfileTypeId)),
            )
            .and_where(
                Expr::col((interest::Entity, interest::Column::Name))
                    .equals((profile_interest::Entity, profile_interest::Column::Name)),
            )
            .take();
        let offered =
            sea_orm::sea_query::Func::coalesce([SimpleExpr::SubQuery(None, Box::new(of_type.into())), Expr::val("")]);
        let group = sea_orm::sea_query::CaseStatement::new().case(own().ne(""), own()).finally(offered);
        let query = Query::select()
            .column((profile_interest::Entity, profile_interest::Column::ProfileId))
            .expr_as(group, "group_name")
            .column((profile_interest::Entity, profile_interest::Column::Name))
            .from(profile_interest::Entity)
            .inner_join(
                profile::Entity,
                Expr::col((profile::Entity, profile::Column::Id))
                    .equals((profile_interest::Entity, profile_interest::Column::ProfileId)),
            )
            .and_where(profile_interest::Column::ProfileId.is_in(padded(profile_ids)))
            .order_by(("profile_interest", "profile_id"), sea_orm::Order::Asc)
            .order_by("group_name", sea_orm::Order::Asc)
            .order_by((profile_interest::Entity, profile_interest::Column::Name), sea_orm::Order::Asc)
            .take();
        let rows = self.connection().query_all(&query).await.reading("interests")?;
        rows.iter().map(|row| InterestRow::from_query_result(row, "")).collect::<Result<_, _>>().reading("interests")
    }

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

/// The collections with this name or upstream id.
pub(super) fn collections_named(wanted: &str) -> SelectStatement {
    Query::select()
        .column(collection::Column::Id)
        .from(collection::Entity)
        .cond_where(
            Condition::any().add(collection::Column::Name.eq(wanted)).add(collection::Column::ExternalId.eq(wanted)),
        )
        .take()
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

fn select_prefixed<E: EntityTrait>(query: &mut SelectStatement, prefix: &str) {
    for column in E::Column::iter() {
        query.expr_as(Expr::col((E::default(), column)), format!("{prefix}{}", column.unquoted()));
    }
}
