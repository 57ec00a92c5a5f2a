//! The simulated Copernica account, in a process of its own where memory or processor time of the service counts.

use anyhow::Context;
use serde::{Deserialize, Serialize};
use simulator::{ProviderKind, Simulator, SimulatorOptions, TruthStatus};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

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
}

impl Upstream {
    /// Of a running world.
    pub fn of(simulator: &Simulator) -> Self {
        let copernica = simulator.copernica();
        let truth = simulator.truth(ProviderKind::Copernica);
        let alive = truth.profiles.values().filter(|profile| profile.status == TruthStatus::Open);
        Self {
            base_url: copernica.base_url(),
            auth_url: copernica.auth_url(),
            token: copernica.token(),
            account: copernica.account(),
            keys: copernica.key_txt_records(),
            profiles: alive.count() as u64,
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
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        Ok(Self { child, upstream: serde_json::from_str(&line).context("read what the world offers")? })
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

/// Plays the world where this process was started for it, until its standard input ends; false where it was not.
///
/// # Errors
/// No port.
pub fn play_if_asked() -> anyhow::Result<bool> {
    let Some(profiles) = std::env::var(VARIABLE).ok().and_then(|text| text.parse().ok()) else { return Ok(false) };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let simulator = runtime.block_on(start(profiles))?;
    println!("{}", serde_json::to_string(&Upstream::of(&simulator))?);
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(true)
}
