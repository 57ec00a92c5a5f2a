//! How many subscriptions run, for the metric.

/// A subscription that is counted while this lives.
pub(super) struct Subscribed(());

impl Subscribed {
    pub fn new() -> Self {
        metrics::gauge!("profile_mirror_subscriptions").increment(1.0);
        Self(())
    }
}

impl Drop for Subscribed {
    fn drop(&mut self) {
        metrics::gauge!("profile_mirror_subscriptions").decrement(1.0);
    }
}
