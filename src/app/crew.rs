//! Keeps the workers of a process at work. One that panics, or ends before the stop, is started again; where the
//! process cannot go on without one, whoever runs the process is told.

use crate::backoff;
use futures::FutureExt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A worker that worked for so long is well: its next failure counts as the first.
const STEADY: Duration = Duration::from_secs(60);
/// First and longest pause before a worker is started again, milliseconds.
const PAUSES_MS: (i64, i64) = (200, 30_000);

/// The workers of one process.
pub(super) struct Crew {
    tracker: TaskTracker,
    stop: CancellationToken,
    lost: CancellationToken,
}

impl Crew {
    /// No workers yet; those to come end when `stop` is cancelled.
    pub fn new(stop: CancellationToken) -> Self {
        Self { tracker: TaskTracker::new(), stop, lost: CancellationToken::new() }
    }

    /// Keeps a worker at work until the stop. `start` makes a new one each time.
    pub fn keep<F>(&self, name: String, start: impl FnMut(CancellationToken) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.employ(name, false, start);
    }

    /// Has something done that comes to an end: only a worker that panics is started again.
    pub fn have_done<F>(&self, name: String, start: impl FnMut(CancellationToken) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.employ(name, true, start);
    }

    fn employ<F>(&self, name: String, may_end: bool, mut start: impl FnMut(CancellationToken) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let stop = self.stop.clone();
        let restarts = metrics::counter!("profile_mirror_worker_restarts_total", "worker" => name.clone());
        self.tracker.spawn(async move {
            let mut failures = 0;
            loop {
                let started = Instant::now();
                let end = AssertUnwindSafe(async { start(stop.clone()).await }).catch_unwind().await;
                if stop.is_cancelled() || (may_end && end.is_ok()) {
                    return;
                }
                failures = if started.elapsed() < STEADY { failures + 1 } else { 1 };
                restarts.increment(1);
                let how = if end.is_ok() { "ended" } else { "panicked" };
                tracing::error!(worker = name, how, failures, "a worker no longer works; it is started again");
                let pause_ms = backoff::pause_ms(failures, PAUSES_MS.0, PAUSES_MS.1);
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(Duration::from_millis(pause_ms.unsigned_abs())) => {}
                }
            }
        });
    }

    /// Watches over a task that the process cannot do without and that cannot be started again: going on after it has
    /// ended before `until` would be a lie.
    pub fn watch(&self, name: &'static str, until: CancellationToken, task: JoinHandle<()>) -> JoinHandle<()> {
        let lost = self.lost.clone();
        tokio::spawn(async move {
            if let Err(error) = task.await {
                tracing::error!(task = name, %error, "a task failed");
            }
            if !until.is_cancelled() {
                tracing::error!(task = name, "the service cannot go on without it");
                lost.cancel();
            }
        })
    }

    /// Waits until a task is lost that the process cannot do without.
    pub async fn lost(&self) {
        self.lost.cancelled().await;
    }

    /// Waits until every worker has ended, which they do after the stop.
    pub async fn ended(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use tokio::sync::Notify;
    use tokio::time::timeout;

    const SOON: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn a_worker_that_panics_or_ends_early_is_started_again_until_the_stop() {
        let stop = CancellationToken::new();
        let crew = Crew::new(stop.clone());
        let (starts, is_at_work) = (Arc::new(AtomicU32::new(0)), Arc::new(Notify::new()));
        crew.keep("a test".to_owned(), {
            let (starts, is_at_work) = (starts.clone(), is_at_work.clone());
            move |stop| {
                let (start, is_at_work) = (starts.fetch_add(1, Ordering::SeqCst), is_at_work.clone());
                async move {
                    match start {
                        0 => panic!("the first panics"),
                        1 => {}
                        _ => {
                            is_at_work.notify_one();
                            stop.cancelled().await;
                        }
                    }
                }
            }
        });
        timeout(SOON, is_at_work.notified()).await.expect("the third works");
        stop.cancel();
        timeout(SOON, crew.ended()).await.expect("it ends with the stop");
        assert_eq!(starts.load(Ordering::SeqCst), 3);
        assert!(timeout(Duration::ZERO, crew.lost()).await.is_err(), "the process goes on");
    }

    #[tokio::test]
    async fn what_is_to_be_done_once_is_tried_again_where_it_panics_and_not_where_it_ends() {
        let crew = Crew::new(CancellationToken::new());
        let starts = Arc::new(AtomicU32::new(0));
        let counted = starts.clone();
        crew.have_done("a test".to_owned(), move |_| {
            let start = counted.fetch_add(1, Ordering::SeqCst);
            async move { assert!(start > 0, "the first panics") }
        });
        timeout(SOON, crew.ended()).await.expect("it ends without a stop");
        assert_eq!(starts.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_task_that_the_process_cannot_do_without_is_missed_only_before_its_time() {
        let until = CancellationToken::new();
        let crew = Crew::new(CancellationToken::new());
        until.cancel();
        crew.watch("in time", until, tokio::spawn(async {})).await.unwrap();
        assert!(timeout(Duration::ZERO, crew.lost()).await.is_err());
        crew.watch("too early", CancellationToken::new(), tokio::spawn(async { panic!("it fails") })).await.unwrap();
        timeout(SOON, crew.lost()).await.expect("it is missed");
    }
}
