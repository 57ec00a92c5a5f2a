//! Webhooks at a steady rate for as long as something else goes on.

use super::sender::{Line, Template};
use anyhow::{bail, ensure};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Connections that take turns: one slow answer delays no other webhook.
const LINES: u64 = 8;

/// Senders under way, on a thread of their own.
pub struct Steady {
    is_over: Arc<AtomicBool>,
    driver: JoinHandle<anyhow::Result<Vec<u32>>>,
}

impl Steady {
    /// Sends so many webhooks a second, numbered from `first`.
    pub fn start(address: SocketAddr, template: &Template, rate: f64, first: u64) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let (template, over) = (template.clone(), Arc::clone(&is_over));
        let driver = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(send(address, template, rate, first, over))
        });
        Self { is_over, driver }
    }

    /// Ends it. How long each answer took, microseconds, sorted; from the moment at which the webhook was to be sent,
    /// so that a stall counts for every webhook that it held up.
    ///
    /// # Errors
    /// An answer other than 200.
    pub fn stop(self) -> anyhow::Result<Vec<u32>> {
        self.is_over.store(true, Ordering::Relaxed);
        match self.driver.join() {
            Ok(outcome) => outcome,
            Err(_) => bail!("the senders panicked"),
        }
    }
}

async fn send(
    address: SocketAddr,
    template: Template,
    rate: f64,
    first: u64,
    is_over: Arc<AtomicBool>,
) -> anyhow::Result<Vec<u32>> {
    let started = Instant::now();
    let mut senders = Vec::new();
    for at in 0..LINES {
        let (mut template, is_over) = (template.clone(), Arc::clone(&is_over));
        let mut line = Line::open(address).await?;
        senders.push(tokio::spawn(async move {
            let mut latencies = Vec::new();
            let mut number = at;
            while !is_over.load(Ordering::Relaxed) {
                let due = started + Duration::from_secs_f64(number as f64 / rate);
                tokio::time::sleep_until(due.into()).await;
                let status = line.ask(template.patch(first + number)).await?;
                ensure!(status == 200, "answered {status}");
                latencies.push(u32::try_from(due.elapsed().as_micros()).unwrap_or(u32::MAX));
                number += LINES;
            }
            anyhow::Ok(latencies)
        }));
    }
    let mut latencies = Vec::new();
    for sender in senders {
        latencies.extend(sender.await??);
    }
    latencies.sort_unstable();
    Ok(latencies)
}
