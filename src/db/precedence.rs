//! Who writes first: senders that wait for an answer go before work that nobody waits for.
//!
//! SQLite has one writer. Without this, apply would put a transaction of its own between any two commits of the
//! inbox as long as anything is pending, and senders would wait for both.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// So many senders at once are a crowd: more of them are on their way, even while all are being answered.
const CROWD: usize = 8;
/// A few senders are let go first for so long: their commit takes less, and more of them must not hold up the others
/// as a crowd does.
const FEW_TAKE: Duration = Duration::from_millis(5);
/// How long a crowd is expected to come back.
const CROWD_STAYS: Duration = Duration::from_millis(20);

/// Counts the senders that wait.
#[derive(Debug)]
pub struct Precedence {
    waiting: AtomicUsize,
    nobody_waits: Notify,
    since: Instant,
    /// Microseconds after `since` until which a crowd is expected.
    crowd_until: AtomicU64,
}

/// A sender that waits, until this is dropped.
#[derive(Debug)]
pub struct Ticket(Arc<Precedence>);

impl Default for Precedence {
    fn default() -> Self {
        Self {
            waiting: AtomicUsize::new(0),
            nobody_waits: Notify::new(),
            since: Instant::now(),
            crowd_until: AtomicU64::new(0),
        }
    }
}

impl Precedence {
    /// Counts a sender.
    pub fn wait_for_answer(self: &Arc<Self>) -> Ticket {
        if self.waiting.fetch_add(1, Ordering::SeqCst) + 1 >= CROWD {
            let until = self.since.elapsed() + CROWD_STAYS;
            self.crowd_until.store(u64::try_from(until.as_micros()).unwrap_or(u64::MAX), Ordering::SeqCst);
        }
        Ticket(Arc::clone(self))
    }

    /// Returns once no sender waits and no crowd is about to come back; after `longest` at the latest, so that the
    /// others get their share under any load, and much sooner where there is no crowd.
    pub async fn let_senders_go_first(&self, longest: Duration) {
        let longest = if self.is_crowded() { longest } else { longest.min(FEW_TAKE) };
        // Either way it is their turn no longer.
        let _ = tokio::time::timeout(longest, self.all_senders()).await;
    }

    fn is_crowded(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) >= CROWD || self.crowd_stays().is_some()
    }

    /// How long a crowd is expected yet.
    fn crowd_stays(&self) -> Option<Duration> {
        let until = Duration::from_micros(self.crowd_until.load(Ordering::SeqCst));
        until.checked_sub(self.since.elapsed()).filter(|left| !left.is_zero())
    }

    async fn all_senders(&self) {
        loop {
            let nobody_waits = self.nobody_waits.notified();
            tokio::pin!(nobody_waits);
            nobody_waits.as_mut().enable();
            if self.waiting.load(Ordering::SeqCst) > 0 {
                nobody_waits.await;
            }
            match self.crowd_stays() {
                Some(left) => tokio::time::sleep(left).await,
                _ if self.waiting.load(Ordering::SeqCst) == 0 => return,
                _ => {}
            }
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.0.waiting.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.nobody_waits.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[tokio::test]
    async fn others_wait_for_a_crowd_but_not_for_ever() {
        let precedence = Arc::new(Precedence::default());
        let long = Duration::from_secs(3600);
        precedence.let_senders_go_first(long).await;

        let tickets: Vec<Ticket> = (0..CROWD).map(|_| precedence.wait_for_answer()).collect();
        let started = Instant::now();
        precedence.let_senders_go_first(Duration::from_millis(20)).await;
        assert!(started.elapsed() >= Duration::from_millis(20));

        let answering = tokio::spawn(async move { drop(tickets) });
        precedence.let_senders_go_first(long).await;
        assert!(answering.await.is_ok());
    }

    #[tokio::test]
    async fn a_few_senders_hold_up_the_others_for_the_time_of_a_commit() {
        let precedence = Arc::new(Precedence::default());
        let _ticket = precedence.wait_for_answer();
        let started = Instant::now();
        precedence.let_senders_go_first(Duration::from_secs(3600)).await;
        assert!(started.elapsed() >= FEW_TAKE);
    }

    #[tokio::test]
    async fn a_crowd_that_is_being_answered_still_goes_first() {
        let precedence = Arc::new(Precedence::default());
        let tickets: Vec<Ticket> = (0..CROWD).map(|_| precedence.wait_for_answer()).collect();
        drop(tickets);
        let until = Duration::from_micros(precedence.crowd_until.load(Ordering::SeqCst));
        assert!(until >= CROWD_STAYS);

        precedence.let_senders_go_first(Duration::from_secs(3600)).await;
        assert!(precedence.since.elapsed() >= until);
    }
}
