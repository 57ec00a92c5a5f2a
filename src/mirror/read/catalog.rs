//! Profile types in pages and by key, and the interests that they offer.

use super::keyset::{Limit, Slice};
use super::reader::{Reading, padded};
use super::{ReadError, Reader};
use ::entity::{interest, profile_type, relationship_type};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

/// Interests that are read at once; more are not.
const MAX_INTERESTS: u64 = 10_000;

impl Reader {
    /// A page of profile types, in the order in which the mirror met them; `after` is the key behind which it starts.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn profile_types(
        &self,
        source_id: Option<i32>,
        after: Option<i32>,
        limit: Limit,
    ) -> Result<Slice<profile_type::Model>, ReadError> {
        let mut query = profile_type::Entity::find();
        if let Some(source_id) = source_id {
            query = query.filter(profile_type::Column::SourceId.eq(source_id));
        }
        if let Some(after) = after {
            query = query.filter(profile_type::Column::Id.gt(after));
        }
        let rows = query
            .order_by_asc(profile_type::Column::Id)
            .limit(limit.rows() + 1)
            .all(self.connection())
            .await
            .reading("a page of profile types")?;
        Ok(Slice::cut(rows, limit, after.is_some(), false))
    }

    /// The profile types with these ids.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn profile_types_by_ids(&self, ids: &[i32]) -> Result<Vec<profile_type::Model>, ReadError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        profile_type::Entity::find()
            .filter(profile_type::Column::Id.is_in(padded(ids)))
            .all(self.connection())
            .await
            .reading("profile types by id")
    }

    /// The relationship types with these ids.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn relationship_types_by_ids(&self, ids: &[i32]) -> Result<Vec<relationship_type::Model>, ReadError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        relationship_type::Entity::find()
            .filter(relationship_type::Column::Id.is_in(padded(ids)))
            .all(self.connection())
            .await
            .reading("relationship types by id")
    }

    /// The profile type of a source with this upstream id.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn profile_type_by_key(
        &self,
        source_id: i32,
        external_id: &str,
    ) -> Result<Option<profile_type::Model>, ReadError> {
        profile_type::Entity::find()
            .filter(profile_type::Column::SourceId.eq(source_id))
            .filter(profile_type::Column::ExternalId.eq(external_id))
            .one(self.connection())
            .await
            .reading("a profile type by key")
    }

    /// The interests that these profile types offer, by group and name.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn interests_of_types(&self, type_ids: &[i32]) -> Result<Vec<interest::Model>, ReadError> {
        interest::Entity::find()
            .filter(interest::Column::ProfileTypeId.is_in(padded(type_ids)))
            .order_by_asc(interest::Column::GroupName)
            .order_by_asc(interest::Column::Name)
            .limit(MAX_INTERESTS)
            .all(self.connection())
            .await
            .reading("interests on offer")
    }
}
