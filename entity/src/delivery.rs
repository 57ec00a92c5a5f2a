//! The inbox: bytes from a provider, kept as they came.

use crate::{DeliveryKind, DeliveryState, Moment};
use sea_orm::entity::prelude::*;

/// The inbox: bytes from a provider, kept as they came.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "delivery")]
pub struct Model {
    /// Inbox position; in commit order within a source.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// The source.
    pub source_id: i32,
    /// Webhook, page or fetch.
    pub kind: DeliveryKind,
    /// Unique within the source.
    pub dedupe_key: String,
    /// When it arrived.
    pub received_at: Moment,
    /// Media type of the body.
    pub media_type: String,
    /// Request headers that say something, credentials left out.
    #[sea_orm(column_type = "JsonBinary")]
    pub headers: Json,
    /// The raw body.
    pub body: Vec<u8>,
    /// Its size.
    pub body_bytes: i32,
    /// For a fetch or a page: what was asked for, and the inbox position when the request started.
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub context: Option<Json>,
    /// Where it stands.
    pub state: DeliveryState,
    /// Applies that failed so far.
    pub attempts: i32,
    /// Not applied before then.
    pub next_attempt_at: Moment,
    /// How often it came, the first included.
    pub copies: i32,
    /// The provider's word for the event, once decoded.
    pub event: Option<String>,
    /// Why it is parked or was ignored, for the operator.
    pub reason: Option<String>,
    /// When it was applied, parked or discarded.
    pub settled_at: Option<Moment>,
    /// When its body and headers were emptied with the profile that it told of.
    pub erased_at: Option<Moment>,
}

/// Joins are written where they are needed; none is declared here.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
