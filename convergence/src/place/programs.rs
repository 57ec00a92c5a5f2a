//! Finds PostgreSQL's programs, and the user to run them as.

use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const INSTALL: &str = "PostgreSQL is not installed, and every test of the database runs on it too. Install it \
    (Debian: apt-get install postgresql; .ci/test does so by itself), or point PG_BIN at the folder of initdb, \
    or TEST_PG_URL at a server whose user may create databases.";

/// A user and group to run a program as.
#[derive(Clone, Copy, Debug)]
pub struct User {
    uid: u32,
    gid: u32,
}

/// The folder with `initdb`, `pg_ctl` and `postgres`.
pub fn find() -> PathBuf {
    let named = std::env::var_os("PG_BIN").map(PathBuf::from).into_iter();
    let on_path = std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect::<Vec<_>>());
    let packaged = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut packaged: Vec<PathBuf> = packaged.map(|entry| entry.path().join("bin")).collect();
    packaged.sort_by_key(|path| std::cmp::Reverse(version_of(path)));
    let is_whole = |folder: &PathBuf| ["initdb", "pg_ctl", "postgres"].iter().all(|name| folder.join(name).is_file());
    named.chain(packaged).chain(on_path.into_iter().flatten()).find(is_whole).unwrap_or_else(|| panic!("{INSTALL}"))
}

fn version_of(bin: &Path) -> u32 {
    bin.parent().and_then(Path::file_name).and_then(|name| name.to_str()?.parse().ok()).unwrap_or(0)
}

/// Own user id.
pub fn own_uid() -> u32 {
    tempfile::tempfile().and_then(|file| file.metadata()).expect("make a temporary file").uid()
}

/// Whom to run the server as: nobody else, but for root, whom PostgreSQL refuses.
pub fn server_user() -> Option<User> {
    if own_uid() != 0 {
        return None;
    }
    let passwd = std::fs::read_to_string("/etc/passwd").expect("read /etc/passwd");
    let entry = |wanted: &str| {
        let line = passwd.lines().find(|line| line.split(':').next() == Some(wanted))?;
        let mut parts = line.split(':').skip(2);
        Some(User { uid: parts.next()?.parse().ok()?, gid: parts.next()?.parse().ok()? })
    };
    Some(entry("postgres").or_else(|| entry("nobody")).expect("a user postgres or nobody to run PostgreSQL as"))
}

/// Gives a folder to the user.
pub fn give(folder: &Path, user: Option<User>) {
    if let Some(user) = user {
        std::os::unix::fs::chown(folder, Some(user.uid), Some(user.gid)).expect("give the folder to the server's user");
    }
}

/// A command that runs as the user, in a folder that every user may read.
pub fn command(program: &Path, user: Option<User>) -> Command {
    let mut command = Command::new(program);
    command.current_dir("/");
    if let Some(user) = user {
        command.uid(user.uid).gid(user.gid);
    }
    command
}
