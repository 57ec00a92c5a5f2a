//! Senders that take their time, whoever they are: nobody is authentic before the last byte.

use crate::support::app::TestApp;
use crate::support::both;
use crate::support::webhook::{parallel_event, signed};
use serde_json::json;
use simulator::ProviderKind::{Copernica, Parallel};
use simulator::SignedWebhook;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const SOON: Duration = Duration::from_secs(10);

/// A webhook whose head and first bytes are sent, in chunks of unknown number.
struct Begun {
    stream: TcpStream,
    rest: Vec<u8>,
}

impl Begun {
    async fn chunked(address: SocketAddr, webhook: &SignedWebhook) -> Self {
        let path = webhook.url.splitn(4, '/').nth(3).expect("a path");
        let mut head = format!("POST /{path} HTTP/1.1\r\ntransfer-encoding: chunked\r\nconnection: close\r\n");
        if !webhook.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            head += &format!("host: {address}\r\n");
        }
        for (name, value) in &webhook.headers {
            head += &format!("{name}: {value}\r\n");
        }
        let (first, rest) = webhook.body.split_at(webhook.body.len() / 2);
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&[head.as_bytes(), b"\r\n", &chunk(first)].concat()).await.unwrap();
        Self { stream, rest: [chunk(rest), chunk(b"")].concat() }
    }

    async fn end(mut self) -> String {
        self.stream.write_all(&self.rest).await.unwrap();
        status(self.stream).await
    }
}

fn chunk(bytes: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

/// The status of the answer.
async fn status(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    tokio::time::timeout(SOON, stream.read_to_end(&mut answer)).await.expect("an answer in time").unwrap();
    String::from_utf8_lossy(&answer).split(' ').nth(1).expect("a status").to_owned()
}

both!(ten_webhooks_of_unknown_length_at_once_are_all_taken, |database| {
    let app = TestApp::builder(&database).start().await;
    let mut begun = Vec::new();
    for number in 0..10 {
        let body = format!("type=click&profile=1&parameters%5Bn%5D={number}&time=1768478400");
        begun.push(Begun::chunked(app.address(), &signed(&app, Copernica, body)).await);
    }
    for webhook in begun {
        assert_eq!(webhook.end().await, "200");
    }
    assert_eq!(app.deliveries_in_all().await, 10);
    app.finish_apart_from_world().await;
});

both!(senders_that_stall_at_one_source_do_not_keep_another_from_being_heard, |database| {
    let app = TestApp::builder(&database).start().await;
    let mut stalled = Vec::new();
    for announced in [20_000_000, 1_000_000, 50_000, 2_000].repeat(30) {
        let mut stream = TcpStream::connect(app.address()).await.unwrap();
        let head = format!("POST /webhooks/marketing HTTP/1.1\r\nhost: mirror\r\ncontent-length: {announced}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        // Some of them send as much as they are let, and no more.
        if announced == 20_000_000 && stalled.len() < 16 {
            let _ = tokio::time::timeout(Duration::from_secs(1), stream.write_all(&[b'x'].repeat(19_000_000))).await;
        }
        stalled.push(stream);
    }
    let event = parallel_event("PETITION_COMPLETED", "", json!({}));
    assert_eq!(app.post(&signed(&app, Parallel, event)).await, 200);
    assert_eq!(status(stalled.pop().unwrap()).await, "408", "who stalls is not waited for");
    drop(stalled);
    app.finish_apart_from_world().await;
});
