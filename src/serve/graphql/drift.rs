//! How far the mirror was from upstream, as operators see it.

use super::fault::Answer;
use super::loader::{Loader, ProfileById};
use super::paging::{self, connection};
use super::profile::Profile;
use super::run::SyncRun;
use super::scalar::DateTime;
use super::word::{DriftMeans, DriftNature, RecordKind};
use crate::mirror::read::Reader;
use crate::serve::estimate::{Estimate, Known};
use ::entity::{BUCKETS, Digest, drift_difference, drift_run, source};
use async_graphql::{Context, Object, SimpleObject};
use std::sync::Arc;

/// How far a source's mirror was from upstream.
pub struct Drift {
    pub(super) source: Arc<source::Model>,
    pub(super) known: Known,
}

/// How far a source's mirror was from upstream. What news explains that came shortly before or after is no drift.
#[Object]
impl Drift {
    /// When it was last measured, by a full run or by a sampled read; null before either.
    async fn measured_at(&self) -> Option<DateTime> {
        self.known.measured_at().map(DateTime)
    }

    /// Share of records that differed: in the newest full run, or in sampled reads since, whichever is more.
    async fn ratio(&self) -> Option<f64> {
        self.known.ratio()
    }

    /// What the newest full run measured; null before the second one.
    async fn last_run(&self) -> Option<DriftOfRun> {
        self.known.run.clone().map(|row| DriftOfRun { row, source: Arc::clone(&self.source) })
    }

    /// What reads by id at random, since the last full run, let one expect.
    async fn estimate(&self) -> DriftEstimate {
        DriftEstimate::from(self.known.estimate)
    }

    /// Records that differed, newest first: the names of what differed, never values. The newest 1,000 are kept.
    async fn differences(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "That many, at most 100; needed.")] first: Option<i32>,
        #[graphql(desc = "Only behind this cursor.")] after: Option<String>,
    ) -> Answer<DriftDifferenceConnection> {
        let limit = paging::first(first)?;
        let after = paging::decode("drift", "after", after.as_deref())?;
        let slice = ctx.data_unchecked::<Reader>().drift_differences(self.source.id, after, limit).await?;
        let rows = slice.rows.into_iter().map(|row| (paging::encode("drift", &row.id), DriftDifference { row }));
        Ok(DriftDifferenceConnection::new(rows, slice.has_previous, slice.has_next))
    }
}

/// What a full run measured.
pub struct DriftOfRun {
    row: drift_run::Model,
    source: Arc<source::Model>,
}

/// What a full run measured. Both sides are summed up in digests of 256 buckets, of the records of which a page told
/// and no news came after it.
#[Object]
impl DriftOfRun {
    /// The run; null once it is no longer kept.
    async fn run(&self, ctx: &Context<'_>) -> Answer<Option<SyncRun>> {
        let row = ctx.data_unchecked::<Reader>().sync_run(self.row.run_id).await?;
        Ok(row.map(|row| SyncRun { row, source: Arc::clone(&self.source) }))
    }

    /// When both sides had been compared.
    async fn at(&self) -> Option<DateTime> {
        self.row.measured_at.map(DateTime)
    }

    /// Records that were compared.
    async fn compared(&self) -> i64 {
        self.row.compared
    }

    /// Records that differed, and no news explains it.
    async fn differed(&self) -> i64 {
        self.row.differed
    }

    /// Records that differed only because news of them was on its way.
    async fn explained(&self) -> i64 {
        self.row.explained
    }

    /// Records that differed, and that news may still explain: known some minutes after the run.
    async fn unsettled(&self) -> i64 {
        self.row.unsettled
    }

    /// Records that differed and are as upstream now.
    async fn repaired(&self) -> i64 {
        self.row.repaired
    }

    /// Records that were not as the pages had shown them when the run had taken them all; each is asked for by id.
    async fn remained(&self) -> i64 {
        self.row.remained
    }

    /// Buckets of each digest.
    async fn buckets(&self) -> i64 {
        i64::try_from(BUCKETS).unwrap_or(i64::MAX)
    }

    /// Buckets in which the mirror differed from what the pages showed, before they were taken.
    async fn buckets_differing_before(&self) -> i64 {
        differing(&self.row.mirror_before, &self.row.upstream)
    }

    /// Buckets in which it differs after they were taken; 0 where all is well.
    async fn buckets_differing_after(&self) -> i64 {
        differing(&self.row.mirror_after, &self.row.upstream)
    }
}

fn differing(mirror: &[u8], upstream: &[u8]) -> i64 {
    let count = Digest::from_bytes(mirror).differing(&Digest::from_bytes(upstream));
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The share of profiles that differ, as reads by id at random let one expect.
#[derive(SimpleObject)]
pub struct DriftEstimate {
    /// Share of the profiles read that differed; null without reads.
    share: Option<f64>,
    /// Lower end of the interval that holds the true share with a confidence of 95 % (Wilson).
    low: f64,
    /// Upper end of it.
    high: f64,
    /// Profiles that were read. Those are left out that news came between, or whose difference news may still explain.
    sampled: i64,
    /// Those of them that differed. The read repairs them.
    differed: i64,
    /// Reads from then on count: since the last complete run, at most seven days.
    since: DateTime,
}

impl From<Estimate> for DriftEstimate {
    fn from(estimate: Estimate) -> Self {
        Self {
            share: estimate.share(),
            low: estimate.low,
            high: estimate.high,
            sampled: estimate.sampled,
            differed: estimate.differed,
            since: DateTime(estimate.since),
        }
    }
}

/// A record that differed from upstream.
pub struct DriftDifference {
    row: drift_difference::Model,
}

/// A record that differed from upstream.
#[Object]
impl DriftDifference {
    /// The profile that differed, or that the record hangs on, as it is now; null where it is not mirrored any more.
    async fn profile(&self, ctx: &Context<'_>) -> Answer<Option<Profile>> {
        match ctx.data_unchecked::<Loader>().load_one(ProfileById(self.row.profile_id)).await? {
            Some(row) => Profile::new(ctx, row).await,
            None => Ok(None),
        }
    }

    /// Kind of the record.
    async fn record_kind(&self) -> RecordKind {
        self.row.record_kind.into()
    }

    /// Upstream id of the record.
    async fn record_id(&self) -> &str {
        &self.row.record_id
    }

    /// How it differed.
    async fn nature(&self) -> DriftNature {
        self.row.nature.into()
    }

    /// Names of the fields and attributes that differed. Empty where the whole record was missing or too much, or where
    /// they are not known yet.
    async fn field_names(&self) -> Vec<&str> {
        self.row.names.as_array().into_iter().flatten().filter_map(|name| name.as_str()).collect()
    }

    /// What showed it.
    async fn found_by(&self) -> DriftMeans {
        self.row.means.into()
    }

    /// When it was found.
    async fn found_at(&self) -> DateTime {
        DateTime(self.row.found_at)
    }

    /// When the mirror was as upstream again; null while it is not.
    async fn repaired_at(&self) -> Option<DateTime> {
        self.row.repaired_at.map(DateTime)
    }
}

connection!(
    /// A page of records that differed.
    DriftDifferenceConnection,
    /// A record that differed, with its cursor.
    DriftDifferenceEdge,
    DriftDifference
);
