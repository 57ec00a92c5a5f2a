//! Takes connections and speaks HTTP on them. A client has bounded time for the head of a request, and only so many
//! connections are open at once; the rest waits where the operating system keeps it.

use crate::serve::Hangup;
use axum::Router;
use axum::serve::Listener;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What clients are given.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Time for the head of a request, from the connection's beginning or the end of the answer before.
    pub head_deadline: Duration,
    /// Connections that speak HTTP; sockets that were upgraded are counted by those who serve them.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { head_deadline: Duration::from_secs(10), connections: 16_384 }
    }
}

/// Serves until `stop` is cancelled, and then until every request under way is answered.
pub(super) async fn serve(mut listener: TcpListener, router: Router, limits: Limits, stop: CancellationToken) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.head_deadline);
    let places = Arc::new(Semaphore::new(limits.connections));
    let connections = TaskTracker::new();
    loop {
        let next = async { (take_place(&places).await, accept(&mut listener).await) };
        let (place, stream) = tokio::select! {
            () = stop.cancelled() => break,
            next = next => next,
        };
        let (http, router, stop) = (http.clone(), router.clone(), stop.clone());
        connections.spawn(async move {
            converse(&http, stream, router, stop).await;
            drop(place);
        });
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// Takes the next connection. What is written to it goes out at once: held back until the client acknowledges what came before
/// (Nagle), the events of a burst would wait for delayed acknowledgements.
async fn accept(listener: &mut TcpListener) -> TcpStream {
    let (stream, _) = Listener::accept(listener).await;
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection keeps small packets back");
    }
    stream
}

async fn take_place(places: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    if let Ok(place) = places.clone().try_acquire_owned() {
        return Some(place);
    }
    tracing::warn!("as many connections are open as may be; more wait until one closes");
    places.clone().acquire_owned().await.ok()
}

/// Answers the requests of one connection until it ends or is to be cut, or hands it over where it is upgraded.
async fn converse(http: &http1::Builder, stream: TcpStream, router: Router, stop: CancellationToken) {
    let (hangup, router) = (Hangup::default(), TowerToHyperService::new(router));
    let service = service_fn(|mut request: http::Request<Incoming>| {
        request.extensions_mut().insert(hangup.clone());
        router.call(request)
    });
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service).with_upgrades());
    let end = async {
        tokio::select! {
            end = connection.as_mut() => return end,
            () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        connection.await
    };
    let end = tokio::select! {
        end = end => end,
        () = hangup.asked_for() => Ok(()),
    };
    if let Err(error) = end {
        tracing::debug!(%error, "a connection ended early");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use std::net::SocketAddr;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::{Instant, timeout};

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: mirror\r\nconnection: close\r\n\r\n";
    const SOON: Duration = Duration::from_secs(10);

    async fn start(limits: Limits, stop: &CancellationToken) -> (SocketAddr, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", get(async || "here"));
        (address, tokio::spawn(serve(listener, router, limits, stop.clone())))
    }

    async fn answer(stream: &mut TcpStream) -> String {
        let mut text = String::new();
        let _ = timeout(SOON, stream.read_to_string(&mut text)).await.expect("an end in time");
        text
    }

    #[tokio::test]
    async fn connections_hold_nothing_back() {
        let mut listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        assert!(accept(&mut listener).await.nodelay().unwrap());
        drop(client);
    }

    #[tokio::test]
    async fn a_client_that_does_not_finish_the_head_of_its_request_is_cut() {
        let limits = Limits { head_deadline: Duration::from_millis(50), ..Limits::default() };
        let (address, _) = start(limits, &CancellationToken::new()).await;
        let mut slow = TcpStream::connect(address).await.unwrap();
        slow.write_all(b"GET / HTTP/1.1\r\nhost: mir").await.unwrap();
        assert!(!answer(&mut slow).await.contains("here"));
    }

    #[tokio::test]
    async fn a_connection_over_the_limit_waits_until_another_ends() {
        let limits = Limits { head_deadline: Duration::from_millis(200), connections: 1 };
        let (address, _) = start(limits, &CancellationToken::new()).await;
        let started = Instant::now();
        let _idle = TcpStream::connect(address).await.unwrap();
        let mut next = TcpStream::connect(address).await.unwrap();
        next.write_all(REQUEST).await.unwrap();
        assert!(answer(&mut next).await.ends_with("here"));
        assert!(started.elapsed() >= limits.head_deadline, "it waited for the idle one");
    }

    #[tokio::test]
    async fn a_stop_lets_idle_connections_go_and_takes_no_more() {
        let stop = CancellationToken::new();
        let (address, server) = start(Limits::default(), &stop).await;
        let mut idle = TcpStream::connect(address).await.unwrap();
        idle.write_all(b"GET / HTTP/1.1\r\nhost: mirror\r\n\r\n").await.unwrap();
        let mut first = [0; 12];
        timeout(SOON, idle.read_exact(&mut first)).await.expect("an answer in time").unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
        stop.cancel();
        timeout(SOON, server).await.expect("it ends in time").unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }
}
