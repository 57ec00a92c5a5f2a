//! Senders of prepared webhooks over connections that stay open. They share the machine with what they measure, so
//! they do as little as they can: one thread, no HTTP library, bytes patched in place.

use anyhow::{Context, bail, ensure};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Digits that each request replaces: an id of its own.
const EVENT_ID: &str = "00000000-0000-4000-8000-EEEEEEEEEEEE";
const PROFILE_ID: &str = "usr_PPPPPPPP";

/// A GetProfile webhook in which each request puts another event and one of so many profiles.
#[derive(Clone)]
pub struct Template {
    bytes: Vec<u8>,
    event_at: usize,
    profile_at: usize,
    profiles: u64,
    is_ordered: bool,
}

impl Template {
    /// A request with a body of about `body_bytes`, with ids that come in order or in none.
    ///
    /// # Errors
    /// None in practice: the places to patch are in it.
    pub fn new(
        path: &str,
        (secret, tenant): (&str, &str),
        body_bytes: usize,
        profiles: u64,
        is_ordered: bool,
    ) -> anyhow::Result<Self> {
        let mut body = format!(
            "{{\"id\":\"{EVENT_ID}\",\"event\":\"profile.updated\",\"tenant_id\":\"{tenant}\",\
             \"data\":{{\"profile_id\":\"{PROFILE_ID}\",\"status\":\"ready\",\"note\":\"\"}},\
             \"created_at\":\"2026-01-15T12:00:30Z\",\"webhook_id\":\"wh_0123456789abcdef\"}}"
        );
        let note = "something happened to this profile; ".repeat(body_bytes / 36 + 1);
        let note = &note[..body_bytes.saturating_sub(body.len())];
        body = body.replacen("\"note\":\"\"", &format!("\"note\":\"{note}\""), 1);
        let text = format!(
            "POST {path} HTTP/1.1\r\nhost: mirror.example.com\r\nuser-agent: GetProfile-Webhooks/1.0\r\naccept: */*\r\n\
             accept-encoding: gzip, deflate\r\ncontent-type: application/json\r\nauthorization: Bearer {secret}\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        Ok(Self {
            event_at: text.find(EVENT_ID).context("the event's id")?,
            profile_at: text.find(PROFILE_ID).context("the profile's id")? + 4,
            bytes: text.into_bytes(),
            profiles,
            is_ordered,
        })
    }

    /// The request with this number: the same number is the same event.
    pub fn patch(&mut self, number: u64) -> &[u8] {
        let mixed = mix(number);
        let first = if self.is_ordered { number } else { mixed >> 32 };
        write_hex(&mut self.bytes[self.event_at..self.event_at + 8], first);
        write_hex(
            &mut self.bytes[self.event_at + 24..self.event_at + 36],
            (mixed << 16 | number >> 32) & 0xffff_ffff_ffff,
        );
        write_hex(&mut self.bytes[self.event_at + 9..self.event_at + 13], number >> 16);
        write_hex(&mut self.bytes[self.event_at + 15..self.event_at + 18], number >> 4);
        write_hex(&mut self.bytes[self.event_at + 20..self.event_at + 23], number);
        write_hex(&mut self.bytes[self.profile_at..self.profile_at + 8], mixed % self.profiles.max(1));
        &self.bytes
    }
}

fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn write_hex(place: &mut [u8], mut value: u64) {
    for digit in place.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(value & 15) as usize];
        value >>= 4;
    }
}

/// A connection that stays open.
pub struct Line {
    stream: TcpStream,
    answer: Vec<u8>,
    body: std::ops::Range<usize>,
}

impl Line {
    /// Connects.
    ///
    /// # Errors
    /// Nobody listens.
    pub async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, answer: vec![0; 4096], body: 0..0 })
    }

    /// Sends a request and waits for the whole answer; its status.
    ///
    /// # Errors
    /// The connection ended, or the answer is nothing that these benches expect.
    pub async fn ask(&mut self, request: &[u8]) -> anyhow::Result<u16> {
        self.stream.write_all(request).await?;
        let mut filled = 0;
        loop {
            if filled == self.answer.len() {
                self.answer.resize(2 * filled, 0);
            }
            let read = self.stream.read(&mut self.answer[filled..]).await?;
            ensure!(read > 0, "the connection was closed");
            filled += read;
            let known = &self.answer[..filled];
            let Some(end) = known.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
            let head = std::str::from_utf8(&known[..end])?;
            let status = head.get(9..12).context("a status line")?.parse()?;
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let body: usize = length.map_or(Ok(0), str::parse)?;
            if filled >= end + 4 + body {
                self.body = end + 4..filled;
                return Ok(status);
            }
        }
    }

    /// The body of the last answer.
    pub fn body(&self) -> &[u8] {
        &self.answer[self.body.clone()]
    }
}

/// What is sent.
#[derive(Clone)]
pub struct Load {
    /// Where to.
    pub address: SocketAddr,
    /// What.
    pub template: Template,
    /// Senders, each waits for its answer before it goes on.
    pub senders: usize,
    /// For how long.
    pub duration: Duration,
    /// Number of the first event.
    pub first: u64,
}

/// What came of it.
pub struct Sent {
    /// Requests answered 200; any other answer is an error.
    pub accepted: u64,
    /// From the first request to the last answer.
    pub elapsed: Duration,
    /// Time of each answer, sorted.
    pub latencies_us: Vec<u32>,
}

impl Sent {
    /// Requests a second.
    pub fn rate(&self) -> f64 {
        self.accepted as f64 / self.elapsed.as_secs_f64()
    }
}

/// Sends from a thread of its own until the time is over.
///
/// # Errors
/// An answer other than 200.
pub fn drive(load: Load) -> anyhow::Result<Sent> {
    let driver = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(send(load))
    });
    match driver.join() {
        Ok(outcome) => outcome,
        Err(_) => bail!("the senders panicked"),
    }
}

async fn send(load: Load) -> anyhow::Result<Sent> {
    let next = Arc::new(AtomicU64::new(load.first));
    let mut lines = Vec::with_capacity(load.senders);
    for _ in 0..load.senders {
        lines.push(Line::open(load.address).await?);
    }
    let started = Instant::now();
    let until = started + load.duration;
    let senders = lines.into_iter().map(|mut line| {
        let (mut template, next) = (load.template.clone(), Arc::clone(&next));
        tokio::spawn(async move {
            let mut latencies = Vec::with_capacity(1 << 14);
            loop {
                let sent = Instant::now();
                if sent >= until {
                    return anyhow::Ok(latencies);
                }
                let status = line.ask(template.patch(next.fetch_add(1, Ordering::Relaxed))).await?;
                ensure!(status == 200, "answered {status}");
                latencies.push(u32::try_from(sent.elapsed().as_micros()).unwrap_or(u32::MAX));
            }
        })
    });
    let senders: Vec<_> = senders.collect();
    let mut latencies_us = Vec::new();
    for sender in senders {
        latencies_us.extend(sender.await??);
    }
    let elapsed = started.elapsed();
    latencies_us.sort_unstable();
    Ok(Sent { accepted: latencies_us.len() as u64, elapsed, latencies_us })
}
