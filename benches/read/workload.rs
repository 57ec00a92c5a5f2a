//! What is asked, checked and timed.

use super::people;
use super::server::{Role, Running};
use super::support::report::{cpu_seconds, quantile_ms};
use super::support::sender::Line;
use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};

const SINGLE: &str = "query Single($by: ProfileRef!) { profile(by: $by) { \
    id externalId displayName email status fields { name value } } }";
const SEARCH: &str = "query Search($email: String!) { profiles(filter: { email: { eq: $email } }, first: 10) { \
    nodes { id externalId displayName email status } } }";
const PAGE: &str = "query Page($after: String) { profiles(first: 50, after: $after) { nodes { \
    id externalId displayName email status fields { name value } \
    subprofiles(first: 10) { nodes { externalId fields { name value } } } } } }";
const WALK: &str = "query Walk($after: String) { profiles(first: 50, after: $after) { pageInfo { endCursor } } }";
const KEYS: u64 = 512;
const PAGES: usize = 64;

/// A kind of question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// One profile by its key, with its 12 fields.
    Single,
    /// The profiles of an e-mail address.
    Search,
    /// 50 profiles with 12 fields and 2 subprofiles of 4 fields each.
    Page,
}

/// What a phase cost.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Processor time of the server's process a request, microseconds.
    pub cpu_us: f64,
    /// Requests a second.
    pub rate: f64,
    /// Time to the answer.
    pub p50_ms: f64,
    /// Time to the answer.
    pub p99_ms: f64,
}

impl Workload {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Single, Self::Search, Self::Page];

    /// Its name in what is printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::Search => "search",
            Self::Page => "page",
        }
    }

    /// The requests for each server, after every one of them was answered by all servers alike.
    pub fn prepare(self, servers: &[Running], profiles: u64) -> anyhow::Result<Vec<Arc<Vec<Vec<u8>>>>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut prepared = Vec::new();
            let mut expected: Option<Vec<Value>> = None;
            for server in servers {
                let mut line = Line::open(server.address()).await?;
                let requests = self.requests(&mut line, profiles).await?;
                let mut answers = Vec::with_capacity(requests.len());
                for request in &requests {
                    answers
                        .push(data(&mut line, request).await.with_context(|| format!("ask {}", server.role.name()))?);
                }
                for answer in &answers {
                    self.check(answer)?;
                }
                match &expected {
                    None => expected = Some(answers),
                    Some(expected) => {
                        let differing = expected.iter().zip(&answers).find(|(one, other)| one != other);
                        if let Some((one, other)) = differing {
                            bail!("{} answers {other}\nand {} {one}", server.role.name(), Role::ALL[0].name());
                        }
                    }
                }
                prepared.push(Arc::new(requests));
            }
            Ok(prepared)
        })
    }

    async fn requests(self, line: &mut Line, profiles: u64) -> anyhow::Result<Vec<Vec<u8>>> {
        // Far from each other, and every one once.
        let numbers = (0..KEYS).map(|key| 1 + key * profiles.max(KEYS) / KEYS % profiles);
        match self {
            Self::Single => Ok(numbers
                .map(|number| {
                    let key = json!({ "source": people::SOURCE, "externalId": people::external_id(number) });
                    Running::request(SINGLE, &json!({ "by": { "key": key } }))
                })
                .collect()),
            Self::Search => {
                Ok(numbers.map(|number| Running::request(SEARCH, &json!({ "email": people::email(number) }))).collect())
            }
            Self::Page => {
                let mut requests = Vec::with_capacity(PAGES);
                let mut after = Value::Null;
                for _ in 0..PAGES {
                    requests.push(Running::request(PAGE, &json!({ "after": after })));
                    // Each server has cursors of its own.
                    after =
                        data(line, &Running::request(WALK, &json!({ "after": after }))).await?["profiles"]["pageInfo"]
                            ["endCursor"]
                            .take();
                }
                Ok(requests)
            }
        }
    }

    fn check(self, data: &Value) -> anyhow::Result<()> {
        let count = |list: &Value| list.as_array().map_or(0, Vec::len);
        let is_whole = match self {
            Self::Single => count(&data["profile"]["fields"]) == 12,
            Self::Search => count(&data["profiles"]["nodes"]) == 1,
            Self::Page => {
                let nodes = &data["profiles"]["nodes"];
                let is_whole = |node: &Value| {
                    let children = &node["subprofiles"]["nodes"];
                    count(&node["fields"]) == 12 && count(children) == 2 && count(&children[1]["fields"]) == 4
                };
                count(nodes) == 50 && nodes.as_array().is_some_and(|nodes| nodes.iter().all(is_whole))
            }
        };
        ensure!(is_whole, "{} is answered {data}", self.name());
        Ok(())
    }
}

async fn data(line: &mut Line, request: &[u8]) -> anyhow::Result<Value> {
    let status = line.ask(request).await?;
    let mut answer: Value = serde_json::from_slice(line.body()).context("read the answer")?;
    ensure!(status == 200 && answer.get("errors").is_none(), "answered {status}: {answer}");
    Ok(answer["data"].take())
}

/// Sends requests over some connections, each of which waits for its answer, until the time is over.
pub fn drive(server: &Running, requests: &Arc<Vec<Vec<u8>>>, connections: usize, seconds: f64) -> anyhow::Result<Cost> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut lines = Vec::with_capacity(connections);
        for _ in 0..connections {
            lines.push(Line::open(server.address()).await?);
        }
        let cpu = cpu_seconds(&server.process());
        let started = Instant::now();
        let until = started + Duration::from_secs_f64(seconds);
        let askers = lines.into_iter().enumerate().map(|(place, line)| {
            tokio::spawn(ask_until(line, Arc::clone(requests), place * requests.len() / connections.max(1), until))
        });
        let askers: Vec<_> = askers.collect();
        let mut latencies_us = Vec::new();
        for asker in askers {
            latencies_us.extend(asker.await??);
        }
        let elapsed = started.elapsed().as_secs_f64();
        latencies_us.sort_unstable();
        let answered = latencies_us.len().max(1) as f64;
        Ok(Cost {
            cpu_us: (cpu_seconds(&server.process()) - cpu) * 1e6 / answered,
            rate: answered / elapsed,
            p50_ms: quantile_ms(&latencies_us, 0.5),
            p99_ms: quantile_ms(&latencies_us, 0.99),
        })
    })
}

async fn ask_until(
    mut line: Line,
    requests: Arc<Vec<Vec<u8>>>,
    first: usize,
    until: Instant,
) -> anyhow::Result<Vec<u32>> {
    let mut latencies = Vec::with_capacity(1 << 14);
    for request in requests.iter().cycle().skip(first) {
        let sent = Instant::now();
        if sent >= until {
            break;
        }
        let status = line.ask(request).await?;
        ensure!(status == 200, "answered {status}");
        latencies.push(u32::try_from(sent.elapsed().as_micros()).unwrap_or(u32::MAX));
    }
    Ok(latencies)
}
