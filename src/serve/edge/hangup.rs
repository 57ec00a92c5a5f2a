//! The end of a connection whose client takes nothing more.

use tokio_util::sync::CancellationToken;

/// Cuts the connection that a request came on. HTTP alone cannot: it waits until it may write, and a client that does not
/// read may let it wait for ever. Whoever owns connections puts one into the extensions of each request.
#[derive(Clone, Debug, Default)]
pub struct Hangup(CancellationToken);

impl Hangup {
    /// Asks for the end of the connection.
    pub(super) fn ask(&self) {
        self.0.cancel();
    }

    /// Returns once it is asked for.
    pub async fn asked_for(&self) {
        self.0.cancelled().await;
    }
}
