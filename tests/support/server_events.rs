//! A client of server-sent events that reads no further than it is asked to.

use serde_json::Value;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};

/// Longest wait for an event that must come.
const DEADLINE: Duration = Duration::from_secs(20);

/// One operation, on a connection of its own.
pub struct ServerEvents {
    stream: BufReader<TcpStream>,
}

impl ServerEvents {
    /// Asks for an operation; the answer must be a stream, and is read no further than to its head.
    pub async fn open(address: SocketAddr, key: &str, request: &Value) -> Self {
        let stream = TcpStream::connect(address).await.expect("connect");
        Self::ask(stream, address, key, request).await
    }

    /// The same on a connection that takes in as little as possible while nobody reads.
    pub async fn open_narrow(address: SocketAddr, key: &str, request: &Value) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4096).expect("a small buffer");
        let stream = socket.connect(address).await.expect("connect");
        Self::ask(stream, address, key, request).await
    }

    async fn ask(mut stream: TcpStream, address: SocketAddr, key: &str, request: &Value) -> Self {
        let body = request.to_string();
        // Of HTTP/1.0, so that the events come as they are and not in chunks.
        let head = format!(
            "POST /graphql/stream HTTP/1.0\r\nhost: {address}\r\nauthorization: Bearer {key}\r\naccept: text/event-stream\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.expect("write the head");
        stream.write_all(body.as_bytes()).await.expect("write the body");
        let mut opened = Self { stream: BufReader::new(stream) };
        let status = opened.line().await.expect("an answer");
        assert!(status.contains(" 200 "), "{status}");
        while opened.line().await.is_some_and(|header| !header.is_empty()) {}
        opened
    }

    /// Name and data of the next event; none at the end, or where the stream was cut.
    pub async fn next(&mut self) -> Option<(String, Value)> {
        let (mut name, mut data) = (String::new(), Value::Null);
        loop {
            let line = self.line().await?;
            if let Some(given) = line.strip_prefix("event: ") {
                name = given.to_owned();
            } else if let Some(given) = line.strip_prefix("data: ") {
                data = serde_json::from_str(given).expect("JSON");
            } else if line.is_empty() && !name.is_empty() {
                return Some((name, data));
            }
        }
    }

    /// The one result of an operation that is over with it.
    pub async fn only(mut self) -> Value {
        let (name, answer) = self.next().await.expect("a result");
        assert_eq!(name, "next", "{answer}");
        assert_eq!(self.next().await, Some(("complete".to_owned(), Value::Null)));
        assert_eq!(self.next().await, None);
        answer
    }

    /// The next line; none at the end. A part of one is nothing.
    async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = tokio::time::timeout(DEADLINE, self.stream.read_line(&mut line)).await.expect("a line in time");
        (read.is_ok() && line.ends_with('\n')).then(|| line.trim_end().to_owned())
    }
}
