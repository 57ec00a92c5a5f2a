//! What profile types are made of: fields, collections, interests.

use super::keyset::{Limit, Slice};
use super::reader::{Reading, padded};
use super::{ReadError, Reader};
use ::entity::{collection, field_definition, interest, profile_type, relationship_type};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

/// Rows of one kind that one profile type or collection may have; more are not read.
const MAX_PARTS: u64 = 10_000;

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

    /// The collections with these ids.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn collections_by_ids(&self, ids: &[i32]) -> Result<Vec<collection::Model>, ReadError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        collection::Entity::find()
            .filter(collection::Column::Id.is_in(padded(ids)))
            .all(self.connection())
            .await
            .reading("collections by id")
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

    /// The fields of these profile types, in their order.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn fields_of_types(&self, type_ids: &[i32]) -> Result<Vec<field_definition::Model>, ReadError> {
        self.definitions(field_definition::Column::ProfileTypeId, type_ids).await
    }

    /// The fields of these collections, in their order.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn fields_of_collections(&self, ids: &[i32]) -> Result<Vec<field_definition::Model>, ReadError> {
        self.definitions(field_definition::Column::CollectionId, ids).await
    }

    async fn definitions(
        &self,
        owner: field_definition::Column,
        ids: &[i32],
    ) -> Result<Vec<field_definition::Model>, ReadError> {
        field_definition::Entity::find()
            .filter(owner.is_in(padded(ids)))
            .order_by_asc(field_definition::Column::Position)
            .order_by_asc(field_definition::Column::Name)
            .limit(MAX_PARTS)
            .all(self.connection())
            .await
            .reading("field definitions")
    }

    /// The collections of these profile types, by name.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn collections_of_types(&self, type_ids: &[i32]) -> Result<Vec<collection::Model>, ReadError> {
        collection::Entity::find()
            .filter(collection::Column::ProfileTypeId.is_in(padded(type_ids)))
            .order_by_asc(collection::Column::Name)
            .order_by_asc(collection::Column::Id)
            .limit(MAX_PARTS)
            .all(self.connection())
            .await
            .reading("collections")
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
            .limit(MAX_PARTS)
            .all(self.connection())
            .await
            .reading("interests on offer")
    }
}
