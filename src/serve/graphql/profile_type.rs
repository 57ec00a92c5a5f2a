//! Profile types and what they are made of.

use super::fault::Answer;
use super::field::FieldDefinition;
use super::global_id::{self, Kind};
use super::loader::{InterestsOfType, Loader};
use super::paging::connection;
use super::scalar::{DateTime, Json};
use super::source::Source;
use super::word::{ProfileKind, UnsubscribeAction};
use crate::mirror::read::{Definitions, Reader};
use ::entity::{collection, profile_type, source};
use async_graphql::{Context, ID, Object, SimpleObject};
use std::sync::Arc;

/// A Copernica database, a Parallel profile type, a GetProfile tenant.
pub struct ProfileType {
    pub(super) row: Arc<profile_type::Model>,
    pub(super) source: Arc<source::Model>,
}

/// A Copernica database, a Parallel profile type, a GetProfile tenant.
#[Object]
impl ProfileType {
    /// Opaque; stays the same when the mirror is built anew.
    pub async fn id(&self) -> ID {
        global_id::encode(Kind::Type, &self.source.name, &self.row.external_id)
    }

    /// Where it comes from.
    async fn source(&self) -> Source {
        Source::new(Arc::clone(&self.source))
    }

    /// Its id upstream, unique within the source.
    async fn external_id(&self) -> &str {
        &self.row.external_id
    }

    /// Its name for people.
    async fn name(&self) -> &str {
        &self.row.name
    }

    /// What its profiles are about.
    async fn kind(&self) -> ProfileKind {
        self.row.kind.into()
    }

    /// The fields that its profiles may have, in order.
    async fn fields(&self, ctx: &Context<'_>) -> Answer<Vec<FieldDefinition>> {
        let id = self.row.id;
        Ok(definitions(ctx.data_unchecked::<Reader>().in_catalog(|catalog| catalog.fields_of_type(id)).await?))
    }

    /// Its collections of subprofiles, by name.
    async fn collections(&self, ctx: &Context<'_>) -> Answer<Vec<Collection>> {
        let id = self.row.id;
        let rows = ctx.data_unchecked::<Reader>().in_catalog(|catalog| catalog.collections_of_type(id)).await?;
        Ok(rows.unwrap_or_default().into_iter().map(Collection).collect())
    }

    /// The interests that it offers, by group and name.
    async fn interests(&self, ctx: &Context<'_>) -> Answer<Vec<Interest>> {
        let rows = ctx.data_unchecked::<Loader>().load_one(InterestsOfType(self.row.id)).await?.unwrap_or_default();
        Ok(rows.iter().map(|row| Interest::new(&row.group_name, &row.name)).collect())
    }

    /// What unsubscribing does to its profiles; null where the provider does not tell.
    async fn unsubscribing(&self) -> Option<Unsubscribing> {
        Unsubscribing::new(self.row.unsubscribe_action.as_deref(), self.row.unsubscribe_fields.as_ref())
    }

    /// When the mirror last confirmed it.
    async fn mirrored_at(&self) -> DateTime {
        DateTime(self.row.mirrored_at)
    }
}

connection!(
    /// A page of profile types.
    ProfileTypeConnection,
    /// A profile type with its cursor.
    ProfileTypeEdge,
    ProfileType
);

/// A collection of subprofiles.
pub struct Collection(pub(super) Arc<collection::Model>);

/// A collection of subprofiles.
#[Object]
impl Collection {
    /// Its id upstream, unique within the source.
    async fn external_id(&self) -> &str {
        &self.0.external_id
    }

    /// Its name for people.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// The fields that its subprofiles may have, in order.
    async fn fields(&self, ctx: &Context<'_>) -> Answer<Vec<FieldDefinition>> {
        let id = self.0.id;
        Ok(definitions(ctx.data_unchecked::<Reader>().in_catalog(|catalog| catalog.fields_of_collection(id)).await?))
    }

    /// What unsubscribing does to its subprofiles; null where the provider does not tell.
    async fn unsubscribing(&self) -> Option<Unsubscribing> {
        Unsubscribing::new(self.0.unsubscribe_action.as_deref(), self.0.unsubscribe_fields.as_ref())
    }
}

/// What unsubscribing does, as it is configured upstream.
#[derive(SimpleObject)]
pub struct Unsubscribing {
    /// What it does.
    action: UnsubscribeAction,
    /// The values that it gives to fields, by name; empty where it gives none.
    fields: Json,
}

impl Unsubscribing {
    fn new(action: Option<&str>, fields: Option<&serde_json::Value>) -> Option<Self> {
        let action = UnsubscribeAction::of(action?);
        let fields = fields.cloned().unwrap_or_else(|| serde_json::json!({}));
        Some(Self { action, fields: Json(fields) })
    }

    /// Whether values are those that unsubscribing gives; none where it gives none.
    pub(super) fn has_happened(row: &profile_type::Model, values: &serde_json::Value) -> Option<bool> {
        let given = row.unsubscribe_fields.as_ref()?.as_object().filter(|given| !given.is_empty())?;
        let is_update = row.unsubscribe_action.as_deref().map(UnsubscribeAction::of) == Some(UnsubscribeAction::Update);
        is_update.then(|| given.iter().all(|(name, value)| values.get(name) == Some(value)))
    }
}

/// An interest.
#[derive(SimpleObject)]
pub struct Interest {
    /// Its name.
    name: String,
    /// The group it belongs to, where it has one.
    group: Option<String>,
}

impl Interest {
    pub(super) fn new(group: &str, name: &str) -> Self {
        Self { name: name.to_owned(), group: (!group.is_empty()).then(|| group.to_owned()) }
    }
}

fn definitions(rows: Option<Definitions>) -> Vec<FieldDefinition> {
    rows.unwrap_or_default().iter().cloned().map(FieldDefinition).collect()
}
