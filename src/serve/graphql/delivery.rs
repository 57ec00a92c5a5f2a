//! Deliveries, for operators. Bodies hold personal data and are not shown.

use super::fault::{Answer, Code, Fault};
use super::global_id::{self, Kind};
use super::paging::connection;
use super::query::source_id;
use super::scalar::{DateTime, Json};
use super::source::Source;
use super::word::{DeliveryKind, DeliveryState};
use crate::mirror::read::{self, DeliveryRow};
use ::entity::source;
use async_graphql::{Context, ID, InputObject, Object};
use std::sync::Arc;

/// Most deliveries that a filter names one by one.
const MAX_IDS: usize = 100;

/// Bytes from a provider, kept as they came. The body itself is not shown.
pub struct Delivery {
    pub(super) row: Arc<DeliveryRow>,
    pub(super) source: Arc<source::Model>,
}

/// Bytes from a provider, kept as they came. The body itself is not shown.
#[Object]
impl Delivery {
    /// Opaque.
    pub async fn id(&self) -> ID {
        global_id::encode(Kind::Delivery, &self.source.name, &self.row.id.to_string())
    }

    /// Where it comes from.
    async fn source(&self) -> Source {
        Source::new(Arc::clone(&self.source))
    }

    /// How it came.
    async fn kind(&self) -> DeliveryKind {
        self.row.kind.into()
    }

    /// Where it stands.
    async fn state(&self) -> DeliveryState {
        self.row.state.into()
    }

    /// Why it is parked or was ignored, or what in an applied one this version does not know; null for others.
    async fn reason(&self) -> Option<&str> {
        self.row.reason.as_deref()
    }

    /// The provider's word for the event, once it has been read.
    async fn event(&self) -> Option<&str> {
        self.row.event.as_deref()
    }

    /// When it arrived.
    async fn received_at(&self) -> DateTime {
        DateTime(self.row.received_at)
    }

    /// Media type of the body.
    async fn media_type(&self) -> &str {
        &self.row.media_type
    }

    /// The headers that say something; credentials are not kept.
    async fn headers(&self) -> Json {
        Json(self.row.headers.clone())
    }

    /// Size of the body in bytes.
    async fn body_bytes(&self) -> i32 {
        self.row.body_bytes
    }

    /// Applies that failed so far.
    async fn attempts(&self) -> i32 {
        self.row.attempts
    }

    /// When it is tried next; null once it is settled.
    async fn next_attempt_at(&self) -> Option<DateTime> {
        (self.row.state == ::entity::DeliveryState::Pending).then_some(DateTime(self.row.next_attempt_at))
    }

    /// How often it came, the first time included.
    async fn copies(&self) -> i32 {
        self.row.copies
    }

    /// When it was applied, parked, ignored or discarded; null before.
    async fn settled_at(&self) -> Option<DateTime> {
        self.row.settled_at.map(DateTime)
    }

    /// When its body and headers were emptied, because the profile that it told of was erased.
    async fn erased_at(&self) -> Option<DateTime> {
        self.row.erased_at.map(DateTime)
    }
}

connection!(
    /// A page of deliveries.
    DeliveryConnection,
    /// A delivery with its cursor.
    DeliveryEdge,
    Delivery
);

/// Which deliveries. Everything that is given must hold.
#[derive(Clone, Debug, Default, InputObject)]
pub struct DeliveryFilter {
    /// Only of the source of this name.
    pub(super) source: Option<String>,
    /// Only in one of these states.
    pub(super) states: Option<Vec<DeliveryState>>,
    /// Only that came in one of these ways.
    pub(super) kinds: Option<Vec<DeliveryKind>>,
    /// Only these, by their ids; at most 100.
    pub(super) ids: Option<Vec<ID>>,
    /// Only that arrived at this moment or later.
    pub(super) received_from: Option<DateTime>,
    /// Only that arrived before this moment.
    pub(super) received_before: Option<DateTime>,
    /// Only with a `reason`, or only without one. With `states: [APPLIED]` and true: what this version does not know in
    /// full.
    pub(super) has_reason: Option<bool>,
}

impl DeliveryFilter {
    /// As the reader takes it; none where it names a source that does not exist.
    pub(super) async fn read(self, ctx: &Context<'_>) -> Answer<Option<read::DeliveryFilter>> {
        let mut ids = Vec::new();
        for id in self.ids.iter().flatten() {
            let place = global_id::decode(id).filter(|id| id.kind == Kind::Delivery);
            let place = place.and_then(|id| id.external_id.parse().ok());
            ids.push(place.ok_or_else(|| Fault::bad_input(format!("filter.ids: {:?} is no id of a delivery", id.0)))?);
        }
        if ids.len() > MAX_IDS {
            let message = format!("filter.ids: {} given, at most {MAX_IDS} are taken at once", ids.len());
            return Err(Fault::new(Code::PageTooLarge, message));
        }
        if self.ids.is_some() && ids.is_empty() {
            return Ok(None);
        }
        let Some(source_id) = source_id(ctx, self.source.as_deref()).await? else { return Ok(None) };
        Ok(Some(read::DeliveryFilter {
            source_id: source_id.0,
            states: self.states.into_iter().flatten().map(Into::into).collect(),
            kinds: self.kinds.into_iter().flatten().map(Into::into).collect(),
            ids,
            received_from: self.received_from.map(|at| at.0),
            received_before: self.received_before.map(|at| at.0),
            has_reason: self.has_reason,
        }))
    }
}
