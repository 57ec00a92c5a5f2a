//! What is awaited for a source: answers to sampled reads, and repairs of differences.

use super::differences::{KEPT, unrepaired};
use super::samples::open_samples;
use entity::{RecordKind, drift_difference, drift_sample};
use sea_orm::{ConnectionTrait, DbErr, QueryOrder, QuerySelect};
use std::collections::HashMap;

/// Reads without an answer, and differences that are not repaired yet, by the profile that they are about.
#[derive(Debug, Default)]
pub(crate) struct Awaited {
    /// Reads.
    pub samples: HashMap<i64, drift_sample::Model>,
    /// Differences.
    pub differences: HashMap<(RecordKind, String), drift_difference::Model>,
}

/// What is awaited for a source.
pub(crate) async fn load_awaited(connection: &impl ConnectionTrait, source_id: i32) -> Result<Awaited, DbErr> {
    let samples = open_samples(source_id).order_by_desc(drift_sample::Column::Id).limit(KEPT).all(connection).await?;
    let differences = unrepaired(source_id).limit(KEPT).all(connection).await?;
    Ok(Awaited {
        samples: samples.into_iter().map(|row| (row.profile_id, row)).collect(),
        differences: differences.into_iter().map(|row| ((row.record_kind, row.record_id.clone()), row)).collect(),
    })
}

/// Whether anything is awaited for a source.
pub(crate) async fn has_awaited(connection: &impl ConnectionTrait, source_id: i32) -> Result<bool, DbErr> {
    Ok(open_samples(source_id).limit(1).one(connection).await?.is_some()
        || unrepaired(source_id).limit(1).one(connection).await?.is_some())
}
