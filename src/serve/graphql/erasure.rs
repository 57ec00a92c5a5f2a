//! The receipt of an erasure.

use super::scalar::DateTime;
use ::entity::erasure;
use async_graphql::SimpleObject;

/// What an erasure emptied, when and why. Counts are all that stays of it.
#[derive(SimpleObject)]
pub struct Erasure {
    /// When the mirror committed it.
    at: DateTime,
    /// What asked for it: the provider's word for the event, or how the state came that told it.
    reason: String,
    /// Interests that were on.
    interests: i32,
    /// Subprofiles that held values.
    subprofiles: i32,
    /// Relationships that stood.
    relationships: i32,
    /// Changes in the log that held values.
    changes: i32,
    /// Raw deliveries that were emptied whole.
    deliveries: i32,
    /// Raw deliveries about others that lost what they told of it.
    slices: i32,
    /// Deliveries that came later and were emptied as they were settled.
    late_deliveries: i32,
    /// When the database's files held nothing of it any more; null until that is done.
    files_cleaned_at: Option<DateTime>,
}

impl Erasure {
    pub(super) fn read(row: &erasure::Model) -> Self {
        Self {
            at: DateTime(row.at),
            reason: row.reason.clone(),
            interests: row.interests,
            subprofiles: row.subprofiles,
            relationships: row.relationships,
            changes: row.changes,
            deliveries: row.deliveries,
            slices: row.slices,
            late_deliveries: row.late_deliveries,
            files_cleaned_at: row.files_cleaned_at.map(DateTime),
        }
    }
}
