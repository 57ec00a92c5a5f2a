//! The real program, started as an operator would, and killed.

use super::app::{ADMIN, READER};
use super::place::TestDatabase;
use super::world;
use profile_mirror::config::Keys;
use simulator::{ProviderKind, Simulator};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// The URL under which webhooks are registered: the same whatever port the program picks.
pub const PUBLIC_URL: &str = "http://mirror.test";

/// A configuration file for the program, and the variables that hold its secrets.
pub struct Setup {
    folder: tempfile::TempDir,
    secrets: Vec<(String, String)>,
}

impl Setup {
    /// Writes the file for the three providers of a world.
    pub fn new(simulator: &Simulator, database: &TestDatabase) -> Self {
        let mut secrets =
            vec![("ADMIN_KEY".to_owned(), ADMIN.to_owned()), ("READER_KEY".to_owned(), READER.to_owned())];
        let mut text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\npublic_url = \"{PUBLIC_URL}\"\n[database]\nurl = \"{}\"\n[access]\nkeys = [\
             {{ name = \"ops\", role = \"admin\", key = {{ env = \"ADMIN_KEY\" }} }},\
             {{ name = \"frontend\", role = \"reader\", key = {{ env = \"READER_KEY\" }} }}]\n",
            database.url
        );
        for provider in ProviderKind::ALL {
            let source = world::source(simulator, provider);
            let variable = format!("{}_TOKEN", provider.slug().to_uppercase());
            secrets.push((variable.clone(), source.token.expect("a token").reveal().expect("its value")));
            text += &format!(
                "[[source]]\nname = \"{}\"\nprovider = \"{}\"\nbase_url = \"{}\"\ntoken = {{ env = \"{variable}\" }}\n",
                source.name, source.provider, source.base_url
            );
            text += &match provider {
                ProviderKind::Copernica => {
                    let keys: toml::Table = simulator
                        .copernica()
                        .key_txt_records()
                        .into_iter()
                        .map(|(name, text)| (name, toml::Value::String(text)))
                        .collect();
                    format!(
                        "auth_url = \"{}\"\n[source.webhook]\naccount = \"{}\"\n[source.webhook.keys]\n{keys}\n",
                        simulator.copernica().auth_url(),
                        simulator.copernica().account()
                    )
                }
                ProviderKind::Parallel => {
                    let Keys::List(keys) = source.webhook.keys else { unreachable!() };
                    format!("[source.webhook]\nkeys = {keys:?}\n")
                }
                ProviderKind::GetProfile => format!(
                    "tenant = \"{}\"\n[source.webhook]\nsecrets = [{{ env = \"{variable}\" }}]\n",
                    simulator.getprofile().tenant()
                ),
            };
            // The simulated providers take any number.
            text += "[source.sync]\nrequests_per_minute = 60000\n";
            // Nobody is read at random in between.
            text += "[source.drift]\nreads_per_hour = 0\n";
        }
        let folder = tempfile::tempdir().expect("make a folder");
        std::fs::write(folder.path().join("mirror.toml"), text).expect("write the configuration");
        for provider in ProviderKind::ALL {
            simulator.point_webhooks(provider, &format!("{PUBLIC_URL}/webhooks/{}", world::source_of(provider)));
        }
        Self { folder, secrets }
    }

    /// The configuration file.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("mirror.toml")
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// What the program has written to its log.
    pub fn log_text(&self) -> String {
        std::fs::read_to_string(self.log()).expect("read the log")
    }

    /// The program with other arguments, with the same configuration and secrets.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_profile-mirror"));
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        command.env("PROFILE_MIRROR_CONFIG", self.file());
        command.envs(self.secrets.iter().cloned());
        command
    }

    /// Starts the program, to die at a failpoint where one is named, and waits until it listens.
    pub fn start(&self, failpoint: Option<&str>) -> Program {
        let log = std::fs::File::options().create(true).append(true).open(self.log()).expect("open the log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_profile-mirror"));
        command.arg("serve").arg("--config").arg(self.file());
        command.envs(self.secrets.iter().cloned()).envs(failpoint.map(|name| ("PROFILE_MIRROR_FAILPOINT", name)));
        command.current_dir(self.folder.path()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().expect("start the program");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("its output");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let Some(address) = line.trim().strip_prefix("listening on http://") else {
            panic!("it says {line:?}\n{}", std::fs::read_to_string(self.log()).unwrap_or_default());
        };
        Program { address: address.parse().expect("an address"), child }
    }
}

/// The running program; killed when this is dropped.
pub struct Program {
    /// Where it listens.
    pub address: SocketAddr,
    child: Child,
}

impl Program {
    /// Waits until it has died; none where it still lives after `deadline`.
    pub async fn death(&mut self, deadline: Duration) -> Option<ExitStatus> {
        let started = Instant::now();
        while started.elapsed() < deadline {
            if let Some(status) = self.child.try_wait().expect("ask for its status") {
                return Some(status);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        None
    }

    /// Asks it to stop, as service managers do.
    pub fn terminate(&self) {
        let status = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status();
        assert!(status.expect("run kill").success());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
