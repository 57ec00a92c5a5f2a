//! The clock and the network in the driver's hand: a stage that waits for either stands still until it is let go.

use bytes::Bytes;
use entity::Moment;
use futures::future::BoxFuture;
use http::{Request, Response};
use profile_mirror::clock::Clock;
use profile_mirror::ingest::{Wire, WireError};
use simulator::Simulator;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

/// Something that a stage waits for.
pub enum Held {
    /// An answer from upstream.
    Call(Box<HeldCall>),
    /// A moment.
    Pause(HeldPause),
}

/// A request on its way.
pub struct HeldCall {
    /// The request.
    pub request: Request<Bytes>,
    answer: oneshot::Sender<Result<Response<Bytes>, WireError>>,
}

impl HeldCall {
    /// Lets the answer arrive. A stage that was killed meanwhile never gets it.
    pub fn answer(self, answer: Result<Response<Bytes>, WireError>) {
        drop(self.answer.send(answer));
    }
}

/// A pause that is not over.
pub struct HeldPause {
    /// Over then.
    pub until: Moment,
    go: oneshot::Sender<()>,
}

impl HeldPause {
    /// Whether nobody waits for its end any more.
    pub fn is_over(&self) -> bool {
        self.go.is_closed()
    }

    /// Ends it.
    pub fn end(self) {
        let _ = self.go.send(());
    }
}

/// What stages have begun to wait for, in order.
pub type Holds = UnboundedReceiver<Held>;

/// A clock and a network, and what waits for them.
pub fn seams(simulator: &Arc<Simulator>, now: Moment) -> (Arc<VirtualClock>, Arc<HeldWire>, Holds) {
    let (held, holds) = unbounded_channel();
    let clock = Arc::new(VirtualClock { now: AtomicI64::new(now.0), held: held.clone() });
    let wire = Arc::new(HeldWire { simulator: simulator.clone(), held });
    (clock, wire, holds)
}

/// A clock that stands still until it is moved.
pub struct VirtualClock {
    now: AtomicI64,
    held: UnboundedSender<Held>,
}

impl VirtualClock {
    /// Moves it ahead.
    pub fn advance_ms(&self, ms: i64) {
        self.now.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Moment {
        Moment(self.now.load(Ordering::SeqCst))
    }

    fn pause(&self, ms: u64) -> BoxFuture<'static, ()> {
        let (go, gone) = oneshot::channel();
        let until = self.now().plus_ms(i64::try_from(ms).unwrap_or(i64::MAX));
        drop(self.held.send(Held::Pause(HeldPause { until, go })));
        Box::pin(async move { drop(gone.await) })
    }
}

/// A network on which a request travels until the driver has it answered.
pub struct HeldWire {
    simulator: Arc<Simulator>,
    held: UnboundedSender<Held>,
}

impl Wire for HeldWire {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, WireError>> {
        // All calls wait for the one that gets a token: it is answered at once.
        if request.uri().path().starts_with("/copernica/auth") {
            return Box::pin(ask(&self.simulator, request));
        }
        let (answer, answered) = oneshot::channel();
        drop(self.held.send(Held::Call(Box::new(HeldCall { request, answer }))));
        Box::pin(async move {
            answered.await.unwrap_or_else(|_| Err(WireError::Unreachable("the network is gone".to_owned())))
        })
    }
}

/// What upstream answers now.
///
/// # Errors
/// The answer is cut.
pub async fn ask(simulator: &Simulator, request: Request<Bytes>) -> Result<Response<Bytes>, WireError> {
    simulator.answer(request).await.map_err(|error| WireError::Cut(format!("{error:#}")))
}
