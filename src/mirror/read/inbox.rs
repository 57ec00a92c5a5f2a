//! What operators see of the inbox and of verdicts. Bodies never come out here.

use super::keyset::{Limit, Slice};
use super::reader::Reading;
use super::{ReadError, Reader};
use ::entity::{DeliveryKind, DeliveryState, Moment, delivery, verdict};
use sea_orm::entity::prelude::Json;
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ColumnTrait, EntityTrait, FromQueryResult, QueryFilter, QueryOrder, QuerySelect};

/// Which deliveries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveryFilter {
    /// Of this source.
    pub source_id: Option<i32>,
    /// In one of these states; empty for all.
    pub states: Vec<DeliveryState>,
    /// Of one of these kinds; empty for all.
    pub kinds: Vec<DeliveryKind>,
    /// At one of these inbox positions; empty for all.
    pub ids: Vec<i64>,
    /// Arrived then or later.
    pub received_from: Option<Moment>,
    /// Arrived before then.
    pub received_before: Option<Moment>,
    /// With a reason, or without one; none for all.
    pub has_reason: Option<bool>,
}

/// A delivery without its body.
#[derive(Clone, Debug, FromQueryResult)]
pub struct DeliveryRow {
    /// Inbox position.
    pub id: i64,
    /// Its source.
    pub source_id: i32,
    /// Webhook, page or fetch.
    pub kind: DeliveryKind,
    /// When it arrived.
    pub received_at: Moment,
    /// Media type of the body.
    pub media_type: String,
    /// Headers, credentials left out.
    pub headers: Json,
    /// Size of the body.
    pub body_bytes: i32,
    /// Where it stands.
    pub state: DeliveryState,
    /// Applies that failed.
    pub attempts: i32,
    /// Not applied before then.
    pub next_attempt_at: Moment,
    /// How often it came.
    pub copies: i32,
    /// The provider's word for the event.
    pub event: Option<String>,
    /// Why it is parked or was ignored.
    pub reason: Option<String>,
    /// When it was settled.
    pub settled_at: Option<Moment>,
    /// When it was emptied with the profile that it told of.
    pub erased_at: Option<Moment>,
}

/// Deliveries of a source that wait, or that need a person.
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult)]
pub struct Waiting {
    /// The source.
    pub source_id: i32,
    /// How many.
    pub count: i64,
    /// When the oldest arrived.
    pub oldest_at: Moment,
    /// When the newest webhook among them arrived.
    pub newest_webhook_at: Option<Moment>,
}

const WITHOUT_BODY: [delivery::Column; 15] = [
    delivery::Column::Id,
    delivery::Column::SourceId,
    delivery::Column::Kind,
    delivery::Column::ReceivedAt,
    delivery::Column::MediaType,
    delivery::Column::Headers,
    delivery::Column::BodyBytes,
    delivery::Column::State,
    delivery::Column::Attempts,
    delivery::Column::NextAttemptAt,
    delivery::Column::Copies,
    delivery::Column::Event,
    delivery::Column::Reason,
    delivery::Column::SettledAt,
    delivery::Column::ErasedAt,
];

impl Reader {
    /// A page of deliveries, newest first; `after` is the position behind which it starts.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn deliveries(
        &self,
        filter: &DeliveryFilter,
        after: Option<i64>,
        limit: Limit,
    ) -> Result<Slice<DeliveryRow>, ReadError> {
        let mut query = delivery::Entity::find().select_only().columns(WITHOUT_BODY);
        if let Some(source_id) = filter.source_id {
            query = query.filter(delivery::Column::SourceId.eq(source_id));
        }
        query = match filter.states.as_slice() {
            [] => query,
            // Written out so that the partial indexes serve: neither database proves a bound value.
            [DeliveryState::Pending] => query.filter(Expr::cust("\"delivery\".\"state\" = 'pending'")),
            [DeliveryState::Held] => query.filter(Expr::cust("\"delivery\".\"state\" = 'held'")),
            [DeliveryState::Parked] => query.filter(Expr::cust("\"delivery\".\"state\" = 'parked'")),
            states => query.filter(delivery::Column::State.is_in(states.iter().copied())),
        };
        if !filter.kinds.is_empty() {
            query = query.filter(delivery::Column::Kind.is_in(filter.kinds.iter().copied()));
        }
        if !filter.ids.is_empty() {
            query = query.filter(delivery::Column::Id.is_in(super::reader::padded(&filter.ids)));
        }
        if let Some(from) = filter.received_from {
            query = query.filter(delivery::Column::ReceivedAt.gte(from));
        }
        if let Some(before) = filter.received_before {
            query = query.filter(delivery::Column::ReceivedAt.lt(before));
        }
        query = match filter.has_reason {
            Some(true) => query.filter(delivery::Column::Reason.is_not_null()),
            Some(false) => query.filter(delivery::Column::Reason.is_null()),
            None => query,
        };
        if let Some(after) = after {
            query = query.filter(delivery::Column::Id.lt(after));
        }
        let rows = query
            .order_by_desc(delivery::Column::Id)
            .limit(limit.rows() + 1)
            .into_model()
            .all(self.connection())
            .await
            .reading("a page of deliveries")?;
        Ok(Slice::cut(rows, limit, after.is_some(), false))
    }

    /// The deliveries with these positions.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn deliveries_by_ids(&self, ids: &[i64]) -> Result<Vec<DeliveryRow>, ReadError> {
        delivery::Entity::find()
            .select_only()
            .columns(WITHOUT_BODY)
            .filter(delivery::Column::Id.is_in(super::reader::padded(ids)))
            .into_model()
            .all(self.connection())
            .await
            .reading("deliveries by id")
    }

    /// Pending deliveries by source.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn pending(&self) -> Result<Vec<Waiting>, ReadError> {
        self.waiting("\"delivery\".\"state\" = 'pending'").await
    }

    /// Parked deliveries by source.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn parked(&self) -> Result<Vec<Waiting>, ReadError> {
        self.waiting("\"delivery\".\"state\" = 'parked'").await
    }

    async fn waiting(&self, in_state: &'static str) -> Result<Vec<Waiting>, ReadError> {
        delivery::Entity::find()
            .select_only()
            .column(delivery::Column::SourceId)
            .expr_as(Expr::col((delivery::Entity, delivery::Column::Id)).count(), "count")
            .expr_as(Expr::col((delivery::Entity, delivery::Column::ReceivedAt)).min(), "oldest_at")
            .expr_as(
                Expr::cust("MAX(CASE WHEN \"delivery\".\"kind\" = 'webhook' THEN \"delivery\".\"received_at\" END)"),
                "newest_webhook_at",
            )
            .filter(Expr::cust(in_state))
            .group_by(delivery::Column::SourceId)
            .into_model()
            .all(self.connection())
            .await
            .reading("the numbers of waiting deliveries")
    }

    /// A page of the verdicts about a profile, newest first.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn verdicts(
        &self,
        profile_id: i64,
        after: Option<i64>,
        limit: Limit,
    ) -> Result<Slice<verdict::Model>, ReadError> {
        let mut query = verdict::Entity::find().filter(verdict::Column::ProfileId.eq(profile_id));
        if let Some(after) = after {
            query = query.filter(verdict::Column::Id.lt(after));
        }
        let rows = query
            .order_by_desc(verdict::Column::Id)
            .limit(limit.rows() + 1)
            .all(self.connection())
            .await
            .reading("verdicts")?;
        Ok(Slice::cut(rows, limit, after.is_some(), false))
    }
}
