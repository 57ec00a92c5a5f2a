//! A private PostgreSQL cluster under the temporary folder, shared by every test process of this user.
//!
//! - Made where there is none, in about half a second; any number of test processes may come at once.
//! - Safe by `start.lock` (who makes or removes it) and `users.lock` (held shared by each user).
//! - Nothing is left behind: a detached loop stops and removes it a minute after its last user.
//! - No port is opened: the socket lies in a folder that only the server's user may enter.

use super::programs::{self, User};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// A server that tests may make databases on.
pub struct Cluster {
    place: Place,
    _in_use: Option<File>,
}

enum Place {
    Socket(PathBuf),
    Given(String),
}

impl Cluster {
    /// The server of this process; starts one where there is none.
    pub fn shared() -> &'static Self {
        static CLUSTER: OnceLock<Cluster> = OnceLock::new();
        CLUSTER.get_or_init(|| match std::env::var("TEST_PG_URL") {
            Ok(url) if !url.is_empty() => Self { place: Place::Given(url), _in_use: None },
            _ => start(),
        })
    }

    /// The URL of a database on it.
    pub fn url(&self, database: &str) -> String {
        match &self.place {
            Place::Socket(folder) => format!("postgres://postgres@localhost/{database}?host={}", folder.display()),
            Place::Given(url) => {
                let (base, query) = url
                    .split_once('?')
                    .map_or((url.as_str(), String::new()), |(base, query)| (base, format!("?{query}")));
                let server = base.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
                format!("{server}/{database}{query}")
            }
        }
    }

    /// The URL of the database from which others are made.
    pub fn admin_url(&self) -> String {
        match &self.place {
            Place::Socket(_) => self.url("postgres"),
            Place::Given(url) => url.clone(),
        }
    }
}

fn start() -> Cluster {
    let bin = programs::find();
    let user = programs::server_user();
    let folder = std::env::temp_dir().join(format!("profile-mirror-pg-{}", programs::own_uid()));
    let socket = folder.join(".s.PGSQL.5432");
    assert!(socket.as_os_str().len() < 107, "{} is too long for a socket: set TMPDIR", socket.display());

    let start_lock = lock(&folder, "start.lock", user, File::lock);
    let in_use = lock(&folder, "users.lock", user, File::lock_shared);
    fs::write(folder.join("users.lock"), std::process::id().to_string()).expect("touch users.lock");
    if UnixStream::connect(&socket).is_err() {
        make(&bin, &folder, user);
        reap_when_unused(&bin, &folder, user);
    }
    drop(start_lock);
    Cluster { place: Place::Socket(folder), _in_use: Some(in_use) }
}

/// Takes a lock on a file of the folder, making both where they are not there.
///
/// Whoever removes the folder holds the locks meanwhile, so a lock may be won on a file that is gone.
fn lock(folder: &Path, name: &str, user: Option<User>, take: fn(&File) -> std::io::Result<()>) -> File {
    let path = folder.join(name);
    loop {
        match fs::create_dir(folder) {
            Ok(()) => {
                fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).expect("close the folder to others");
                programs::give(folder, user);
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => panic!("make {}: {error}", folder.display()),
        }
        let Ok(file) = File::options().create(true).truncate(false).write(true).open(&path) else { continue };
        take(&file).expect("take the lock");
        let is_current = match (fs::metadata(&path), file.metadata()) {
            (Ok(there), Ok(here)) => there.ino() == here.ino(),
            _ => false,
        };
        if is_current {
            return file;
        }
    }
}

fn make(bin: &Path, folder: &Path, user: Option<User>) {
    let data = folder.join("data");
    let log = folder.join("log");
    let _ = fs::remove_dir_all(&data);
    run(programs::command(&bin.join("initdb"), user)
        .args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N", "--no-instructions", "-D"])
        .arg(&data));
    let settings = [
        &format!("unix_socket_directories={}", folder.display()),
        "listen_addresses=",
        "fsync=off",
        "synchronous_commit=off",
        "full_page_writes=off",
        "wal_level=minimal",
        "max_wal_senders=0",
        "autovacuum=off",
        "jit=off",
        "shared_buffers=64MB",
        "max_connections=200",
    ];
    let settings = settings.map(|setting| format!("-c {setting}")).join(" ");
    run(programs::command(&bin.join("pg_ctl"), user)
        .arg("-D")
        .arg(&data)
        .arg("-l")
        .arg(&log)
        .args(["-w", "-t", "60", "-o", &settings, "start"]));
}

/// Runs to the end. Output goes to a file: a server that inherited a pipe would keep it open.
fn run(command: &mut Command) {
    let output = tempfile::NamedTempFile::new().expect("make a file for the output");
    let out = output.reopen().expect("reopen it");
    let err = output.reopen().expect("reopen it");
    let status = command.stdin(Stdio::null()).stdout(out).stderr(err).status();
    let said = fs::read_to_string(output.path()).unwrap_or_default();
    assert!(matches!(&status, Ok(status) if status.success()), "{command:?}: {status:?}\n{said}");
}

const REAPER: &str = r#"
folder=$1 bin=$2
while sleep 10; do
    exec 8<"$folder/start.lock" 9<"$folder/users.lock" || exit 0
    if flock -n 8 && flock -n 9 && [ -z "$(find "$folder/users.lock" -mmin -1)" ]; then
        "$bin/pg_ctl" -D "$folder/data" -m immediate -w stop
        rm -rf "$folder"
        exit 0
    fi
    exec 8<&- 9<&-
done
"#;

#[expect(clippy::zombie_processes, reason = "it outlives this process")]
fn reap_when_unused(bin: &Path, folder: &Path, user: Option<User>) {
    programs::command(Path::new("/bin/sh"), user)
        .args(["-c", REAPER, "reaper"])
        .args([folder, bin])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .expect("start the reaper");
}
