//! Receipts of erasures, and deletions that upstream owes.

use super::reader::{Reading, padded};
use super::{ReadError, Reader};
use ::entity::{Moment, Status, erasure, profile};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, EntityTrait, FromQueryResult, QueryFilter, QuerySelect};

/// A scheduled deletion is overdue when its date is this long ago without news, milliseconds.
const GRACE_MS: i64 = 24 * 60 * 60_000;

/// A number of a source.
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult)]
pub struct SourceCount {
    /// The source.
    pub source_id: i32,
    /// How many.
    pub count: i64,
}

/// Deletions that were due before this moment are overdue at `now`.
pub fn overdue_before(now: Moment) -> Moment {
    now.plus_ms(-GRACE_MS)
}

impl Reader {
    /// The receipts of these profiles.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn erasures(&self, profile_ids: &[i64]) -> Result<Vec<erasure::Model>, ReadError> {
        erasure::Entity::find()
            .filter(erasure::Column::ProfileId.is_in(padded(profile_ids)))
            .all(self.connection())
            .await
            .reading("receipts of erasures")
    }

    /// Erasures by source after which the database's files are not clean yet.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn pending_erasures(&self) -> Result<Vec<SourceCount>, ReadError> {
        erasure::Entity::find()
            .select_only()
            .column(erasure::Column::SourceId)
            .column_as(erasure::Column::Id.count(), "count")
            .filter(Expr::cust("files_cleaned_at IS NULL"))
            .group_by(erasure::Column::SourceId)
            .into_model()
            .all(self.connection())
            .await
            .reading("the numbers of pending erasures")
    }

    /// Scheduled deletions by source that are overdue at `now`.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn overdue(&self, now: Moment) -> Result<Vec<SourceCount>, ReadError> {
        profile::Entity::find()
            .select_only()
            .column(profile::Column::SourceId)
            .column_as(profile::Column::Id.count(), "count")
            // Written out so that the partial index serves.
            .filter(Expr::cust("\"profile\".\"status\" <> 'open'"))
            .filter(profile::Column::Status.eq(Status::ScheduledForDeletion))
            .filter(profile::Column::ScheduledFor.lt(overdue_before(now)))
            .group_by(profile::Column::SourceId)
            .into_model()
            .all(self.connection())
            .await
            .reading("the numbers of overdue deletions")
    }
}
