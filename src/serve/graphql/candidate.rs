//! Records that no page of a complete run named: whether they are gone, and how that was found out.

use super::delivery::Delivery;
use super::fault::Answer;
use super::loader::{DeliveryById, Loader, ProfileById};
use super::paging::connection;
use super::profile::Profile;
use super::word::{CandidateState, RecordKind};
use ::entity::{deletion_candidate, source};
use async_graphql::{Context, Object};
use std::sync::Arc;

/// A record that no page of a complete run named.
pub struct DeletionCandidate {
    pub(super) row: deletion_candidate::Model,
    pub(super) source: Arc<source::Model>,
}

/// A record that no page of a complete run named.
#[Object]
impl DeletionCandidate {
    /// Kind of the record.
    async fn record_kind(&self) -> RecordKind {
        self.row.record_kind.into()
    }

    /// Its upstream id.
    async fn external_id(&self) -> &str {
        &self.row.external_id
    }

    /// What became of it.
    async fn state(&self) -> CandidateState {
        self.row.state.into()
    }

    /// The profile as it is now; null where the record is no profile.
    async fn profile(&self, ctx: &Context<'_>) -> Answer<Option<Profile>> {
        if self.row.record_kind != ::entity::RecordKind::Profile {
            return Ok(None);
        }
        match ctx.data_unchecked::<Loader>().load_one(ProfileById(self.row.record_id)).await? {
            Some(row) => Profile::new(ctx, row).await,
            None => Ok(None),
        }
    }

    /// The answer by id that settled it; null while there is none.
    async fn delivery(&self, ctx: &Context<'_>) -> Answer<Option<Delivery>> {
        let Some(delivery_id) = self.row.delivery_id else { return Ok(None) };
        let row = ctx.data_unchecked::<Loader>().load_one(DeliveryById(delivery_id)).await?;
        Ok(row.map(|row| Delivery { row, source: Arc::clone(&self.source) }))
    }
}

connection!(
    /// A page of candidates for deletion.
    DeletionCandidateConnection,
    /// A candidate with its cursor.
    DeletionCandidateEdge,
    DeletionCandidate
);
