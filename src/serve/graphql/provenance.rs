//! Where the value of a field comes from.

use super::change::Change;
use super::delivery::Delivery;
use super::fault::Answer;
use super::guard::Needs;
use super::loader::{ChangeOf, DeliveryById, Loader, ProvenanceOf};
use super::scalar::DateTime;
use super::word::VersionRung;
use crate::config::Role;
use crate::mirror::read::ProvenanceRow;
use ::entity::{RecordKind, source};
use async_graphql::{Context, Object};
use std::sync::Arc;

/// The record that a field is of.
pub(super) struct Owner {
    /// The profile that it is or belongs to.
    pub profile_id: i64,
    /// Whether it is that profile or a subprofile.
    pub kind: RecordKind,
    /// Its external id.
    pub external_id: String,
    /// Its source.
    pub source: Arc<source::Model>,
    /// The newest revision that is seen, where it is seen as it was.
    pub until: Option<i64>,
}

/// Where the value of a field comes from.
pub struct Provenance {
    row: ProvenanceRow,
    source: Arc<source::Model>,
}

impl Provenance {
    /// That of one field; none where the log no longer holds its newest change.
    pub(super) async fn find(ctx: &Context<'_>, owner: &Owner, name: &str) -> Answer<Option<Self>> {
        let rows = ctx.data_unchecked::<Loader>().load_one(ProvenanceOf(owner.profile_id)).await?.unwrap_or_default();
        let is_of_field = |row: &&ProvenanceRow| {
            row.record_kind == owner.kind && row.record_id == owner.external_id && row.name == name
        };
        let is_seen = |row: &&ProvenanceRow| owner.until.is_none_or(|until| row.revision <= until);
        let row = rows.iter().find(is_of_field).filter(is_seen).cloned();
        Ok(row.map(|row| Self { row, source: Arc::clone(&owner.source) }))
    }
}

/// Where the value of a field comes from.
#[Object]
impl Provenance {
    /// When the mirror took the value.
    async fn at(&self) -> DateTime {
        DateTime(self.row.at)
    }

    /// The change that brought the value.
    async fn change(&self, ctx: &Context<'_>) -> Answer<Option<Change>> {
        let key = ChangeOf { source_id: self.row.source_id, revision: self.row.revision };
        let row = ctx.data_unchecked::<Loader>().load_one(key).await?;
        Ok(row.map(|row| Change::new(row, Arc::clone(&self.source))))
    }

    /// The delivery that told it; null where it is no longer kept. For operators.
    #[graphql(guard = "Needs(Role::Operator)")]
    async fn delivery(&self, ctx: &Context<'_>) -> Answer<Option<Delivery>> {
        let row = ctx.data_unchecked::<Loader>().load_one(DeliveryById(self.row.delivery_id)).await?;
        Ok(row.map(|row| Delivery { row, source: Arc::clone(&self.source) }))
    }

    /// What told how new the value was; null where that is no longer known.
    async fn rung(&self) -> Option<VersionRung> {
        self.row.rung.map(Into::into)
    }
}
