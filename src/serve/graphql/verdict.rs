//! Why a record is as it is, for operators.

use super::change::Change;
use super::delivery::Delivery;
use super::fault::Answer;
use super::loader::{ChangesBy, DeliveryById, Loader};
use super::paging::connection;
use super::scalar::DateTime;
use super::word::{Decision, RecordKind};
use ::entity::{source, verdict};
use async_graphql::{Context, Object};
use std::sync::Arc;

/// What was decided for one observation of a delivery, and by which rule.
pub struct Verdict {
    pub(super) row: verdict::Model,
    pub(super) source: Arc<source::Model>,
}

/// What was decided for one observation of a delivery, and by which rule.
#[Object]
impl Verdict {
    /// When it was decided.
    async fn at(&self) -> DateTime {
        DateTime(self.row.at)
    }

    /// The decision.
    async fn decision(&self) -> Decision {
        self.row.decision.into()
    }

    /// The rule that decided, in words.
    async fn rule(&self) -> &str {
        &self.row.rule
    }

    /// Kind of the record.
    async fn record_kind(&self) -> RecordKind {
        self.row.record_kind.into()
    }

    /// Upstream id of the record.
    async fn record_id(&self) -> &str {
        &self.row.record_id
    }

    /// Version that was observed, for people.
    async fn observed_version(&self) -> Option<&str> {
        self.row.observed_version.as_deref()
    }

    /// Version that was stored at that moment, for people.
    async fn stored_version(&self) -> Option<&str> {
        self.row.stored_version.as_deref()
    }

    /// Everything that its delivery changed about the profile, in order; the first 100 where it was more.
    async fn changes(&self, ctx: &Context<'_>) -> Answer<Vec<Change>> {
        let Some(profile_id) = self.row.profile_id else { return Ok(Vec::new()) };
        let key = ChangesBy { delivery_id: self.row.delivery_id, profile_id };
        let rows = ctx.data_unchecked::<Loader>().load_one(key).await?;
        let changes = rows.iter().flat_map(|rows| rows.iter());
        Ok(changes.map(|row| Change::new(Arc::clone(row), Arc::clone(&self.source))).collect())
    }

    /// The delivery that was looked at; null once it is no longer kept.
    async fn delivery(&self, ctx: &Context<'_>) -> Answer<Option<Delivery>> {
        let row = ctx.data_unchecked::<Loader>().load_one(DeliveryById(self.row.delivery_id)).await?;
        Ok(row.map(|row| Delivery { row, source: Arc::clone(&self.source) }))
    }
}

connection!(
    /// A page of verdicts.
    VerdictConnection,
    /// A verdict with its cursor.
    VerdictEdge,
    Verdict
);
