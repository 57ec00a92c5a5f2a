//! Who writes first: senders that wait for an answer go before work that nobody waits for.
//!
//! SQLite has one writer. Without this, apply would put a transaction of its own between any two commits of the
//! inbox as long as anything is pending, and senders would wait for both.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// Counts the senders that wait.
#[derive(Debug, Default)]
pub struct Precedence {
    waiting: AtomicUsize,
    nobody_waits: Notify,
}

/// A sender that waits, until this is dropped.
#[derive(Debug)]
pub struct Ticket(Arc<Precedence>);

impl Precedence {
    /// Counts a sender.
    pub fn wait_for_answer(self: &Arc<Self>) -> Ticket {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        Ticket(Arc::clone(self))
    }

    /// Returns once no sender waits, or after `longest`, so that the others get their share under any load.
    pub async fn let_senders_go_first(&self, longest: Duration) {
        let nobody_waits = self.nobody_waits.notified();
        tokio::pin!(nobody_waits);
        nobody_waits.as_mut().enable();
        if self.waiting.load(Ordering::SeqCst) > 0 {
            // Either way it is their turn no longer.
            let _ = tokio::time::timeout(longest, nobody_waits).await;
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
    async fn others_wait_for_senders_but_not_for_ever() {
        let precedence = Arc::new(Precedence::default());
        let long = Duration::from_secs(3600);
        precedence.let_senders_go_first(long).await;

        let ticket = precedence.wait_for_answer();
        let started = Instant::now();
        precedence.let_senders_go_first(Duration::from_millis(20)).await;
        assert!(started.elapsed() >= Duration::from_millis(20));

        let answering = tokio::spawn(async move { drop(ticket) });
        precedence.let_senders_go_first(long).await;
        assert!(answering.await.is_ok());
    }
}
