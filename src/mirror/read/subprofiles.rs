//! Subprofiles, under their profiles and by their own keys.

use super::children::ChildPage;
use super::predicate::{Predicate, Scope};
use super::reader::{Reading, padded};
use super::{ReadError, Reader};
use ::entity::{Moment, collection, profile, subprofile};
use sea_orm::sea_query::{Condition, Expr, Query, SelectStatement};
use sea_orm::{ColumnTrait, EntityTrait, FromQueryResult, JoinType, QueryFilter, QueryOrder, QuerySelect, RelationDef};

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
            .filter(Expr::col((profile::Entity, profile::Column::IsKnown)));
        query
            .select_only()
            .columns(SUBPROFILE)
            .into_model::<SubprofileRow>()
            .all(self.connection())
            .await
            .reading("subprofiles by key")
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
