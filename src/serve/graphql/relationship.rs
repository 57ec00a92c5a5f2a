//! Relationships between profiles of one source.

use super::fault::Answer;
use super::global_id::{self, Kind};
use super::loader::{Loader, ProfileById};
use super::paging::connection;
use super::profile::Profile;
use super::scalar::DateTime;
use crate::mirror::read::LogPlace;
use ::entity::{profile, relationship, relationship_type, source};
use async_graphql::{Context, ID, Object, SimpleObject};
use std::sync::Arc;

/// A relationship between two profiles of one source.
pub struct Relationship {
    pub(super) row: relationship::Model,
    pub(super) kind: relationship_type::Model,
    pub(super) source: Arc<source::Model>,
    /// Where in the past it is seen from.
    pub(super) place: Option<LogPlace>,
}

impl Relationship {
    async fn end(&self, ctx: &Context<'_>, profile_id: i64) -> Answer<ProfileEnd> {
        let row = ctx.data_unchecked::<Loader>().load_one(ProfileById(profile_id)).await?;
        Ok(ProfileEnd { row, source: Arc::clone(&self.source), place: self.place })
    }
}

/// A relationship between two profiles of one source.
#[Object]
impl Relationship {
    /// Opaque; stays the same when the mirror is built anew.
    pub async fn id(&self) -> ID {
        global_id::encode(Kind::Relationship, &self.source.name, &self.row.external_id)
    }

    /// Its id upstream, the same from both ends.
    async fn external_id(&self) -> &str {
        &self.row.external_id
    }

    /// What it means.
    #[graphql(name = "type")]
    async fn relationship_type(&self) -> RelationshipType {
        RelationshipType {
            external_id: self.kind.external_id.clone(),
            name: self.kind.name.clone(),
            inverse_name: self.kind.inverse_name.clone(),
        }
    }

    /// Its left end.
    async fn from(&self, ctx: &Context<'_>) -> Answer<ProfileEnd> {
        self.end(ctx, self.row.from_profile_id).await
    }

    /// Its right end.
    async fn to(&self, ctx: &Context<'_>) -> Answer<ProfileEnd> {
        self.end(ctx, self.row.to_profile_id).await
    }

    /// When it was made upstream, where told.
    async fn created_at(&self) -> Option<DateTime> {
        self.row.created_at.map(DateTime)
    }

    /// Gone since then; null while it stands.
    async fn removed_at(&self) -> Option<DateTime> {
        self.row.removed_at.map(DateTime)
    }
}

/// What a relationship means.
#[derive(SimpleObject)]
pub struct RelationshipType {
    /// Its alias or id upstream.
    external_id: String,
    /// Its name read from `from` to `to`.
    name: String,
    /// Its name read from `to` to `from`, where there is one.
    inverse_name: Option<String>,
}

/// One end of a relationship.
pub struct ProfileEnd {
    row: Option<Arc<profile::Model>>,
    source: Arc<source::Model>,
    place: Option<LogPlace>,
}

/// One end of a relationship.
#[Object]
impl ProfileEnd {
    /// The profile's id upstream.
    async fn external_id(&self) -> &str {
        self.row.as_ref().map_or("", |row| &row.external_id)
    }

    /// The profile; null while the mirror has only heard of it.
    async fn profile(&self, ctx: &Context<'_>) -> Answer<Option<Profile>> {
        let Some(row) = self.row.as_ref().filter(|row| row.is_known) else { return Ok(None) };
        match self.place {
            Some(place) => Profile::at(ctx, place, row.id).await,
            None => Ok(Some(Profile::now(Arc::clone(row), Arc::clone(&self.source)))),
        }
    }
}

connection!(
    /// A page of relationships.
    RelationshipConnection,
    /// A relationship with its cursor.
    RelationshipEdge,
    Relationship
);
