//! The service as a process of its own: the very binary, with a configuration file.

use super::report;
use super::world::Upstream;
use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const BINARY: &str = env!("CARGO_BIN_EXE_profile-mirror");
/// The key of the role *admin*.
pub const KEY: &str = "admin-key-for-benches-0123456789abcdef";

/// A running service. Dropping it kills it.
pub struct Service {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    /// From its start to the line that says where it listens.
    pub listening_after: Duration,
}

/// Writes the configuration of one source that mirrors the upstream's Copernica account into a file of the folder.
///
/// # Errors
/// The disk's.
pub fn configure(folder: &Path, upstream: &Upstream) -> anyhow::Result<PathBuf> {
    configure_on(folder, &format!("sqlite://{}", folder.join("mirror.db").display()), upstream, "")
}

/// The same on any database, with more sources as TOML.
///
/// # Errors
/// The disk's.
pub fn configure_on(
    folder: &Path,
    database_url: &str,
    upstream: &Upstream,
    more_sources: &str,
) -> anyhow::Result<PathBuf> {
    // Upstream changes before the webhooks that tell of it are sent: a read at random would tell some of it first.
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n[database]\nurl = \"{database_url}\"\n\
         [[source]]\nname = \"marketing\"\nprovider = \"copernica\"\nbase_url = {:?}\nauth_url = {:?}\n\
         token = {{ env = \"BENCH_TOKEN\" }}\ntime_zone = \"Europe/Amsterdam\"\n\
         [source.webhook]\naccount = {:?}\nkey_domain = \"copernica.com\"\nkeys = {{ {} }}\n\
         [source.sync]\nschedule = \"0 0 3 1 1 *\"\n[source.drift]\nreads_per_hour = 0\n{more_sources}\
         [[access.keys]]\nname = \"bench\"\nrole = \"admin\"\nkey = {{ env = \"BENCH_KEY\" }}\n",
        upstream.base_url,
        upstream.auth_url,
        upstream.account,
        upstream.keys.iter().map(|(name, key)| format!("{name:?} = {key:?}")).collect::<Vec<_>>().join(", "),
    );
    let path = folder.join("mirror.toml");
    std::fs::write(&path, text)?;
    std::fs::write(folder.join("token"), &upstream.token)?;
    Ok(path)
}

impl Service {
    /// Starts it with the configuration in this folder, and returns once it listens.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(folder: &Path) -> anyhow::Result<Self> {
        Self::start_with(folder, &[])
    }

    /// The same with more variables in its environment.
    ///
    /// # Errors
    /// It does not start.
    pub fn start_with(folder: &Path, variables: &[(&str, &str)]) -> anyhow::Result<Self> {
        let mut command = Command::new(BINARY);
        command.args(["serve", "--config"]).arg(folder.join("mirror.toml"));
        command.env("BENCH_TOKEN", std::fs::read_to_string(folder.join("token"))?);
        let log = std::fs::File::create(folder.join("log"))?;
        command.env("BENCH_KEY", KEY).envs(variables.iter().copied()).stderr(log);
        Self::spawn(command)
    }

    /// Starts any program that prints `listening on http://ADDRESS`.
    ///
    /// # Errors
    /// It does not.
    pub fn spawn(mut command: Command) -> anyhow::Result<Self> {
        let started = Instant::now();
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take().context("its output")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let listening_after = started.elapsed();
        let address = line.trim().strip_prefix("listening on http://").map(str::parse);
        let Some(Ok(address)) = address else {
            let _ = child.kill();
            bail!("it did not say where it listens but {line:?}");
        };
        Ok(Self { child, address, listening_after })
    }

    /// Its process id, as `/proc` names it.
    pub fn process(&self) -> String {
        self.child.id().to_string()
    }

    /// Megabytes resident now, and at most so far.
    pub fn resident_mb(&self) -> (f64, f64) {
        (report::memory_mb(&self.process(), "VmRSS"), report::memory_mb(&self.process(), "VmHWM"))
    }

    /// Stops it as a service manager does, and waits for its end.
    ///
    /// # Errors
    /// It ends with a failure.
    pub fn stop(mut self) -> anyhow::Result<()> {
        let asked = Command::new("kill").arg("-TERM").arg(self.process()).status()?;
        ensure!(asked.success(), "it is gone already");
        let status = self.child.wait()?;
        ensure!(status.success(), "it ended with {status}");
        Ok(())
    }

    /// Kills it as a power cut would.
    ///
    /// # Errors
    /// It is gone already.
    pub fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks for a path; status and body.
    ///
    /// # Errors
    /// No whole answer.
    pub fn get(&self, path: &str) -> anyhow::Result<(u16, Vec<u8>)> {
        self.exchange(&format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"))
    }

    /// The data that a GraphQL query is answered with.
    ///
    /// # Errors
    /// The answer has errors.
    pub fn query(&self, document: &str) -> anyhow::Result<Value> {
        let body = json!({ "query": document }).to_string();
        let (status, answer) = self.exchange(&format!(
            "POST /graphql HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n\
             authorization: Bearer {KEY}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ))?;
        let mut answer: Value = serde_json::from_slice(&answer).context("read the answer")?;
        ensure!(status == 200 && answer.get("errors").is_none(), "answered {status}: {answer}");
        Ok(answer["data"].take())
    }

    fn exchange(&self, request: &str) -> anyhow::Result<(u16, Vec<u8>)> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let end = answer.windows(4).position(|window| window == b"\r\n\r\n").context("an answer")?;
        let status = std::str::from_utf8(&answer[9..12])?.parse()?;
        Ok((status, answer.split_off(end + 4)))
    }

    /// How the source stands, as `/readyz` tells.
    ///
    /// # Errors
    /// It is not ready.
    pub fn source(&self) -> anyhow::Result<Value> {
        let (status, body) = self.get("/readyz")?;
        ensure!(status == 200, "not ready: {status}");
        let mut ready: Value = serde_json::from_slice(&body)?;
        Ok(ready["sources"]["marketing"].take())
    }

    /// Waits until the first import is done and applied; `seen` is called some times a second.
    ///
    /// # Errors
    /// It takes longer than an hour.
    pub fn wait_for_import(&self, mut seen: impl FnMut(&Self)) -> anyhow::Result<()> {
        let started = Instant::now();
        loop {
            let source = self.source()?;
            if !source["last_complete_sync"].is_null() && source["pending"] == 0 {
                return Ok(());
            }
            ensure!(started.elapsed() < Duration::from_secs(3600), "the import does not end: {source}");
            seen(self);
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
