//! How far the mirror is likely to be from upstream, reckoned from what runs and sampled reads showed.

use crate::mirror::read::{ReadError, Reader, SampleCounts};
use ::entity::{Moment, drift_run};

/// An estimate looks back this far at most, milliseconds.
const WINDOW_MS: i64 = 7 * 24 * 3_600_000;

/// The share of profiles that differ, as sampled reads let one expect.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Estimate {
    /// Profiles that were read, and of which that tells.
    pub sampled: i64,
    /// Those of them that differed.
    pub differed: i64,
    /// Lower end of the 95 % interval.
    pub low: f64,
    /// Upper end of it.
    pub high: f64,
    /// Reads from then on count.
    pub since: Moment,
    /// The newest read that counts.
    pub newest_at: Option<Moment>,
}

impl Estimate {
    fn new(counts: SampleCounts, since: Moment) -> Self {
        let SampleCounts { sampled, differed, newest_at } = counts;
        let (low, high) = wilson_interval(differed, sampled);
        Self { sampled, differed, low, high, since, newest_at }
    }

    /// Share of the profiles that differed; none without reads.
    pub fn share(&self) -> Option<f64> {
        (self.sampled > 0).then(|| ratio(self.differed, self.sampled))
    }
}

/// What is known of a source's drift.
pub(super) struct Known {
    /// What the newest full run measured.
    pub run: Option<drift_run::Model>,
    /// What reads since then let one expect.
    pub estimate: Estimate,
}

impl Known {
    /// Reads what is known of a source that was last complete at a moment.
    pub async fn read(
        reader: &Reader,
        source_id: i32,
        complete_at: Option<Moment>,
        now: Moment,
    ) -> Result<Self, ReadError> {
        let run = reader.measured_run(source_id).await?;
        // A run repairs what differs: what was read before it tells nothing of now.
        let since = Ord::max(complete_at.unwrap_or_default(), now.plus_ms(-WINDOW_MS));
        let counts = reader.sample_counts(source_id, since).await?;
        Ok(Self { run, estimate: Estimate::new(counts, since) })
    }

    /// The share of records that differed when last looked at: by the newest run, or by reads since, whichever is more.
    /// None before either.
    pub fn ratio(&self) -> Option<f64> {
        let of_run = self.run.as_ref().map(|run| ratio(Ord::max(run.differed, run.remained), run.compared));
        of_run.into_iter().chain(self.estimate.share()).reduce(f64::max)
    }

    /// When it was last looked at.
    pub fn measured_at(&self) -> Option<Moment> {
        let of_run = self.run.as_ref().and_then(|run| run.measured_at);
        of_run.into_iter().chain(self.estimate.newest_at).max()
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share of counts")]
fn ratio(part: i64, whole: i64) -> f64 {
    if whole <= 0 { 0.0 } else { (part as f64 / whole as f64).min(1.0) }
}

/// The 95 % interval after Wilson of a share that was seen `hits` times in `trials`: sound for few trials and for shares
/// near 0 and 1, where the usual one is not.
fn wilson_interval(hits: i64, trials: i64) -> (f64, f64) {
    /// Two-sided 95 % quantile of the normal distribution.
    const Z: f64 = 1.959_963_984_540_054;
    if trials <= 0 {
        return (0.0, 1.0);
    }
    #[expect(clippy::cast_precision_loss, reason = "a count of reads")]
    let count = trials as f64;
    let share = ratio(hits, trials);
    let square = Z * Z;
    let middle = share + square / (2.0 * count);
    let reach = Z * (share * (1.0 - share) / count + square / (4.0 * count * count)).sqrt();
    let scale = 1.0 + square / count;
    (((middle - reach) / scale).max(0.0), ((middle + reach) / scale).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_near(found: (f64, f64), expected: (f64, f64)) {
        let is_near = (found.0 - expected.0).abs() < 0.000_1 && (found.1 - expected.1).abs() < 0.000_1;
        assert!(is_near, "{found:?}, expected {expected:?}");
    }

    #[test]
    fn intervals_are_those_of_the_textbook() {
        assert_near(wilson_interval(10, 100), (0.055_2, 0.174_4));
        assert_near(wilson_interval(0, 20), (0.0, 0.161_1));
        assert_near(wilson_interval(20, 20), (0.838_9, 1.0));
        assert_near(wilson_interval(1, 2), (0.094_5, 0.905_5));
        assert_near(wilson_interval(0, 0), (0.0, 1.0));
    }

    #[test]
    fn more_reads_narrow_the_interval() {
        let width = |(low, high): (f64, f64)| high - low;
        assert!(width(wilson_interval(100, 1_000)) < width(wilson_interval(10, 100)));
    }

    #[test]
    fn nothing_is_estimated_without_reads() {
        let none = Estimate::new(SampleCounts::default(), Moment(0));
        assert_eq!((none.share(), none.low, none.high), (None, 0.0, 1.0));
        let some = Estimate::new(SampleCounts { sampled: 20, differed: 2, newest_at: None }, Moment(0));
        assert_eq!(some.share(), Some(0.1));
    }
}
