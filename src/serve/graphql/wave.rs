//! When a batch of loads is sent: the moment when every resolver of a request waits for one.
//!
//! A timer would cost a millisecond a level, and yielding a few times breaks long lists into many statements, because
//! the executor itself yields while it walks a list. So the request's future is polled until it no longer wakes
//! itself; what it waits for then are loads, and they are sent.

use futures::Stream;
use futures::future::BoxFuture;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// Polls before other tasks of the process get their turn.
const MAX_POLLS: usize = 256;

/// Loads of one request that wait to be sent.
#[derive(Clone, Default)]
pub(super) struct Wave(Arc<Mutex<Vec<BoxFuture<'static, ()>>>>);

impl Wave {
    /// Puts a load off until the wave is sent.
    pub fn add(&self, load: BoxFuture<'static, ()>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(load);
    }

    fn send(&self) {
        let loads = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        for load in loads {
            tokio::spawn(load);
        }
    }

    fn poll<T>(&self, outer: &mut Context<'_>, mut inner: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        let noticed = Arc::new(Noticed { outer: outer.waker().clone(), is_woken: AtomicBool::new(false) });
        let waker = Waker::from(Arc::clone(&noticed));
        for _ in 0..MAX_POLLS {
            noticed.is_woken.store(false, Ordering::SeqCst);
            if let Poll::Ready(done) = inner(&mut Context::from_waker(&waker)) {
                return Poll::Ready(done);
            }
            if !noticed.is_woken.load(Ordering::SeqCst) {
                self.send();
                return Poll::Pending;
            }
        }
        outer.waker().wake_by_ref();
        Poll::Pending
    }

    /// Runs a request; its loads go through this wave.
    pub async fn run<F: Future>(self, request: F) -> F::Output {
        let mut request = pin!(request);
        poll_fn(|outer| self.poll(outer, |inner| request.as_mut().poll(inner))).await
    }

    /// Runs a stream; its loads go through this wave.
    pub fn stream<T>(self, mut stream: Pin<Box<dyn Stream<Item = T> + Send>>) -> impl Stream<Item = T> + Send {
        futures::stream::poll_fn(move |outer| self.poll(outer, |inner| stream.as_mut().poll_next(inner)))
    }
}

/// Notices that a future woke itself, and passes every waking on.
struct Noticed {
    outer: Waker,
    is_woken: AtomicBool,
}

impl Wake for Noticed {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_woken.store(true, Ordering::SeqCst);
        self.outer.wake_by_ref();
    }
}
