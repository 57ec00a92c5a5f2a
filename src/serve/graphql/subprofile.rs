//! Subprofiles.

use super::fault::Answer;
use super::field::{self, Field};
use super::field_list::FieldList;
use super::global_id::{self, Kind};
use super::loader::{Loader, ProfileById};
use super::paging::connection;
use super::profile::Profile;
use super::profile_type::Collection;
use super::provenance::Owner;
use super::scalar::DateTime;
use crate::mirror::read::{Definitions, LogPlace, Reader, SubprofileRow};
use ::entity::{RecordKind, source};
use async_graphql::{Context, ID, Object};
use std::sync::Arc;

/// A record of a collection that belongs to a profile: an order, a pet, a subscription.
pub struct Subprofile {
    pub(super) row: Arc<SubprofileRow>,
    pub(super) source: Arc<source::Model>,
    /// Where in the past it is seen from.
    pub(super) place: Option<LogPlace>,
}

impl Subprofile {
    /// The owner of its fields.
    fn owner(&self) -> Owner {
        Owner {
            profile_id: self.row.profile_id,
            kind: RecordKind::Subprofile,
            external_id: self.row.external_id.clone(),
            source: Arc::clone(&self.source),
            until: self.place.map(|place| place.revision),
        }
    }

    async fn definitions(&self, ctx: &Context<'_>) -> Answer<Definitions> {
        let Some(id) = self.row.collection_id else { return Ok(Definitions::default()) };
        let found = ctx.data_unchecked::<Reader>().in_catalog(|catalog| catalog.fields_of_collection(id)).await?;
        Ok(found.unwrap_or_default())
    }
}

/// A record of a collection that belongs to a profile: an order, a pet, a subscription.
#[Object]
impl Subprofile {
    /// Opaque; stays the same when the mirror is built anew.
    pub async fn id(&self) -> ID {
        global_id::encode(Kind::Subprofile, &self.source.name, &self.row.external_id)
    }

    /// Its id upstream, unique within the source.
    async fn external_id(&self) -> &str {
        &self.row.external_id
    }

    /// The collection it is in; null where upstream has not told it.
    async fn collection(&self, ctx: &Context<'_>) -> Answer<Option<Collection>> {
        let Some(id) = self.row.collection_id else { return Ok(None) };
        let found = ctx.data_unchecked::<Reader>().in_catalog(|catalog| catalog.collection(id)).await?;
        Ok(found.map(Collection))
    }

    /// The profile it belongs to.
    async fn profile(&self, ctx: &Context<'_>) -> Answer<Option<Profile>> {
        let profile_id = self.row.profile_id;
        if let Some(place) = self.place {
            return Profile::at(ctx, place, profile_id).await;
        }
        match ctx.data_unchecked::<Loader>().load_one(ProfileById(profile_id)).await? {
            Some(row) => Profile::new(ctx, row).await,
            None => Ok(None),
        }
    }

    /// Its fields in the order of its collection: all that it holds, or the named ones of them.
    async fn fields(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only fields of these names.")] names: Option<Vec<String>>,
    ) -> Answer<FieldList<'_>> {
        let fields = field::list(&self.row.fields, &self.definitions(ctx).await?, names.as_deref(), self.owner());
        Ok(FieldList(fields))
    }

    /// One field; null where it does not hold it.
    async fn field(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The field's name.")] name: String,
    ) -> Answer<Option<Field<'_>>> {
        let fields = field::list(&self.row.fields, &self.definitions(ctx).await?, Some(&[name]), self.owner());
        Ok(fields.into_iter().next())
    }

    /// When it was created upstream, where told.
    async fn created_at(&self) -> Option<DateTime> {
        self.row.created_at.map(DateTime)
    }

    /// When it was last modified upstream, where told.
    async fn modified_at(&self) -> Option<DateTime> {
        self.row.modified_at.map(DateTime)
    }

    /// When the mirror last confirmed it.
    async fn mirrored_at(&self) -> DateTime {
        DateTime(self.row.mirrored_at)
    }
}

connection!(
    /// A page of subprofiles.
    SubprofileConnection,
    /// A subprofile with its cursor.
    SubprofileEdge,
    Subprofile
);
