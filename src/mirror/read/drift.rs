//! How far the mirror was from upstream: what runs measured, what sampled reads came to, which records differed.

use super::keyset::{Limit, Slice};
use super::reader::Reading;
use super::{ReadError, Reader};
use ::entity::{Moment, SampleOutcome, drift_difference, drift_run, drift_sample};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, EntityTrait, FromQueryResult, QueryFilter, QueryOrder, QuerySelect};

/// What sampled reads came to, by profile: one that is drawn again, after it was repaired, counts once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromQueryResult)]
pub struct SampleCounts {
    /// Profiles that were drawn and of which the read tells.
    pub sampled: i64,
    /// Those of them that differed.
    pub differed: i64,
    /// When the newest read was answered.
    pub newest_at: Option<Moment>,
}

impl Reader {
    /// What the newest run of a source measured that was compared to its end.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn measured_run(&self, source_id: i32) -> Result<Option<drift_run::Model>, ReadError> {
        drift_run::Entity::find()
            .filter(drift_run::Column::SourceId.eq(source_id))
            .filter(drift_run::Column::MeasuredAt.is_not_null())
            .order_by_desc(drift_run::Column::RunId)
            .limit(1)
            .one(self.connection())
            .await
            .reading("what a run measured")
    }

    /// What the sampled reads of a source came to that were asked for since a moment.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn sample_counts(&self, source_id: i32, since: Moment) -> Result<SampleCounts, ReadError> {
        let counts = drift_sample::Entity::find()
            .select_only()
            .expr_as(Expr::cust("COUNT(DISTINCT profile_id)"), "sampled")
            .expr_as(Expr::cust("COUNT(DISTINCT CASE WHEN outcome = 'differed' THEN profile_id END)"), "differed")
            .expr_as(Expr::cust("MAX(answered_at)"), "newest_at")
            .filter(drift_sample::Column::SourceId.eq(source_id))
            .filter(drift_sample::Column::AskedAt.gte(since))
            .filter(drift_sample::Column::Outcome.is_in([SampleOutcome::Same, SampleOutcome::Differed]))
            .into_model()
            .one(self.connection())
            .await
            .reading("what sampled reads came to")?;
        Ok(counts.unwrap_or_default())
    }

    /// A page of the records of a source that differed, newest first; only those that no news explains.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn drift_differences(
        &self,
        source_id: i32,
        after: Option<i64>,
        limit: Limit,
    ) -> Result<Slice<drift_difference::Model>, ReadError> {
        let mut query = drift_difference::Entity::find()
            .filter(drift_difference::Column::SourceId.eq(source_id))
            .filter(drift_difference::Column::ConfirmedAt.is_not_null());
        if let Some(after) = after {
            query = query.filter(drift_difference::Column::Id.lt(after));
        }
        let rows = query
            .order_by_desc(drift_difference::Column::Id)
            .limit(limit.rows() + 1)
            .all(self.connection())
            .await
            .reading("a page of differences")?;
        Ok(Slice::cut(rows, limit, after.is_some(), false))
    }
}
