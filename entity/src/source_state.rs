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
    /// Pulls and syncs stand still since then. Webhooks are still kept, and what is kept is applied.
    pub paused_at: Option<Moment>,
    /// Why, for the operator.
    pub pause_reason: Option<String>,
    /// The operator who paused it; none where the service did by itself.
    pub paused_by: Option<String>,
    /// When the service looks whether its own pause may end.
    pub probe_at: Option<Moment>,
    /// How often it has looked in vain.
    pub probes: i32,
    /// No call before then: upstream has asked for a pause. One that lies too far ahead was written by a wrong clock.
    pub throttled_until: Option<Moment>,
    /// Last webhook that was kept.
    pub last_webhook_at: Option<Moment>,
    /// The gap between webhooks in which a moment usually falls, milliseconds; none until two have come.
    pub usual_gap_ms: Option<i64>,
    /// First webhook that was refused since the last that was kept.
    pub first_refusal_at: Option<Moment>,
    /// Last webhook that was refused.
    pub last_refusal_at: Option<Moment>,
    /// Why it was refused.
    pub last_refusal: Option<String>,
    /// Webhooks that were refused since the last that was kept.
    pub refusals: i64,
    /// Last batch that was applied.
    pub last_applied_at: Option<Moment>,
    /// Start of the last complete sync.
    pub last_complete_sync_at: Option<Moment>,
    /// When its applier last renewed the lease: some instance was alive then.
    pub alive_at: Option<Moment>,
    /// From when nobody was alive for longer than the provider sends again; none where that never was.
    pub gap_since: Option<Moment>,
    /// When somebody was alive again after it.
    pub gap_until: Option<Moment>,
    /// When the schedule asks for the next run; in the past where it was missed.
    pub next_run_at: Option<Moment>,
}

/// Joins are written where they are needed; none is declared here.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
