//! The simulated Copernica account, in a process of its own where memory or processor time of the service counts.

use anyhow::Context;
use serde::{Deserialize, Serialize};
use simulator::{Simulator, SimulatorOptions};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};

/// Set for the process that plays the world: how many profiles Copernica has.
const VARIABLE: &str = "PROFILE_MIRROR_BENCH_WORLD";

/// What a configuration needs to know of the account.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Upstream {
    /// REST base URL.
    pub base_url: String,
    /// Where tokens are exchanged.
    pub auth_url: String,
    /// REST token.
    pub token: String,
    /// Name of the account.
    pub account: String,
    /// Signing keys by name.
    pub keys: BTreeMap<String, String>,
    /// Profiles that a mirror must show.
    pub profiles: u64,
    /// Records in each list that a full sync reads.
    pub lists: Vec<u64>,
}

impl Upstream {
    /// Of a running world.
    pub fn of(simulator: &Simulator) -> Self {
        let copernica = simulator.copernica();
        let of_databases = copernica.databases().into_iter().map(|(_, name)| copernica.profile_ids(&name).len() as u64);
        let of_databases: Vec<u64> = of_databases.collect();
        let of_collections =
            copernica.collections().into_iter().map(|(id, _)| copernica.subprofile_ids(&id).len() as u64);
        Self {
            base_url: copernica.base_url(),
            auth_url: copernica.auth_url(),
            token: copernica.token(),
            account: copernica.account(),
            keys: copernica.key_txt_records(),
            profiles: of_databases.iter().sum(),
            lists: of_databases.iter().copied().chain(of_collections).collect(),
        }
    }
}

/// A world whose Copernica account has so many profiles, the persons among them with 12 fields.
///
/// # Errors
/// No port.
pub async fn start(profiles: usize) -> anyhow::Result<Simulator> {
    // Half of a world's profiles are Copernica's.
    let options = SimulatorOptions { profiles: profiles * 2, real_time: true, ..SimulatorOptions::default() };
    Simulator::start(options).await
}

/// A world in a process of its own. Dropping it ends it.
pub struct World {
    child: Child,
    answers: BufReader<ChildStdout>,
    /// What it offers.
    pub upstream: Upstream,
}

impl World {
    /// Starts this program again as a world.
    ///
    /// # Errors
    /// It does not start.
    pub fn spawn(profiles: usize) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.env(VARIABLE, profiles.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let output = child.stdout.take().context("its output")?;
        let mut answers = BufReader::new(output);
        let mut line = String::new();
        answers.read_line(&mut line)?;
        let upstream = serde_json::from_str(&line).context("read what the world offers")?;
        Ok(Self { child, answers, upstream })
    }

    /// REST requests that it has been asked so far.
    ///
    /// # Errors
    /// It has ended.
    pub fn requests(&mut self) -> anyhow::Result<u64> {
        self.child.stdin.as_mut().context("its input")?.write_all(b"\n")?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        line.trim().parse().context("read how many requests came")
    }

    /// Its process id, as `/proc` names it.
    pub fn process(&self) -> String {
        self.child.id().to_string()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Plays the world where this process was started for it, until its standard input ends; false where it was not. Each
/// line of input is answered with the number of REST requests so far.
///
/// # Errors
/// No port.
pub fn play_if_asked() -> anyhow::Result<bool> {
    let Some(profiles) = std::env::var(VARIABLE).ok().and_then(|text| text.parse().ok()) else { return Ok(false) };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let simulator = runtime.block_on(start(profiles))?;
    println!("{}", serde_json::to_string(&Upstream::of(&simulator))?);
    for line in std::io::stdin().lines() {
        line?;
        println!("{}", simulator.requests());
    }
    Ok(true)
}
