//! What moves about a source: its revision, its lease, its pause, its last signs of life.

use crate::Moment;
use sea_orm::entity::prelude::*;

/// What moves about a source: its revision, its lease, its pause, its last signs of life.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "source_state")]
pub struct Model {
    /// The source.
    #[sea_orm(primary_key, auto_increment = false)]
    pub source_id: i32,
    /// Revision of the newest change; the change log is dense up to here.
    pub revision: i64,
    /// Instance that applies for this source.
    pub lease_holder: Option<String>,
    /// Fencing token: goes up by one with each new holder.
    pub lease_epoch: i64,
    /// The lease runs out then.
    pub lease_until: Moment,
    /// Pulls and applies stand still since then.
    pub paused_at: Option<Moment>,
    /// Why, for the operator.
    pub pause_reason: Option<String>,
    /// Last webhook that was kept.
    pub last_webhook_at: Option<Moment>,
    /// Last webhook that was refused.
    pub last_refusal_at: Option<Moment>,
    /// Why it was refused.
    pub last_refusal: Option<String>,
    /// Last batch that was applied.
    pub last_applied_at: Option<Moment>,
    /// Start of the last complete sync.
    pub last_complete_sync_at: Option<Moment>,
}

/// Joins are written where they are needed; none is declared here.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
