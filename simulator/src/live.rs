//! A world that goes on by itself: random changes at a steady rate, their webhooks sent as they come.

use std::sync::Arc;
use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio_util::sync::CancellationToken;

use crate::random::Happening;
use crate::simulator::Simulator;

/// How often due webhooks are sent, and retried.
const SENDING_INTERVAL: Duration = Duration::from_millis(100);
/// How often GetProfile gets a step further with what it is working on.
const PROCESSING_INTERVAL: Duration = Duration::from_millis(1500);
/// How long the last round of sending may take after the end.
const LAST_ROUND: Duration = Duration::from_secs(2);

/// Lets `rate` random changes a second happen until it is cancelled. At rate 0 only webhooks are sent.
pub async fn run_live(simulator: Arc<Simulator>, rate: f64, cancel: CancellationToken) {
    run_live_told(simulator, rate, cancel, |_| {}).await;
}

/// As [`run_live`], and tells of everything that it did.
pub async fn run_live_told(
    simulator: Arc<Simulator>,
    rate: f64,
    cancel: CancellationToken,
    tell: impl FnMut(Happening) + Send,
) {
    let mut sender = tokio::spawn(send_due(Arc::clone(&simulator), cancel.clone()));
    tokio::select! {
        () = cancel.cancelled() => {}
        () = make_changes(&simulator, rate, tell) => {}
        () = process_text(&simulator) => {}
    }
    // What is on its way may arrive; an endpoint that hangs is not waited for.
    if tokio::time::timeout(LAST_ROUND, &mut sender).await.is_err() {
        sender.abort();
    }
}

async fn send_due(simulator: Arc<Simulator>, cancel: CancellationToken) {
    while !cancel.is_cancelled() {
        simulator.send_all().await;
        tokio::time::sleep(SENDING_INTERVAL).await;
    }
}

async fn make_changes(simulator: &Simulator, rate: f64, mut tell: impl FnMut(Happening) + Send) {
    if rate <= 0.0 {
        return std::future::pending().await;
    }
    let mut rng = ChaCha8Rng::seed_from_u64(simulator.history.lock().random());
    let mut tick = tokio::time::interval(Duration::from_secs_f64((1.0 / rate).clamp(0.0001, 3600.0)));
    loop {
        tick.tick().await;
        tell(simulator.random_change(&mut rng));
    }
}

async fn process_text(simulator: &Simulator) {
    let mut tick = tokio::time::interval(PROCESSING_INTERVAL);
    loop {
        tick.tick().await;
        simulator.getprofile().step_all();
    }
}
