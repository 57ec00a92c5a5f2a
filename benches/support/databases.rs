//! Databases of the kind that `BENCH_DATABASE` names: files in the bench's folder, or databases of a server of its own.

use super::report::knob;
use convergence::place::TestDatabase;
use profile_mirror::db::Dialect;
use std::path::{Path, PathBuf};

/// Makes databases of one kind. They go with the value.
pub struct Databases {
    /// Which kind.
    pub dialect: Dialect,
    folder: PathBuf,
    /// Those on the server.
    made: Vec<TestDatabase>,
}

impl Databases {
    /// Of the kind that is asked for, `sqlite` unless told otherwise; files lie in this folder.
    ///
    /// # Errors
    /// There is no such kind.
    pub fn asked_for(folder: &Path) -> anyhow::Result<Self> {
        // Connections to a server ask for it; it may be there already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let dialect = match knob("BENCH_DATABASE", "sqlite".to_owned()).as_str() {
            "sqlite" => Dialect::Sqlite,
            "postgres" => Dialect::Postgres,
            other => anyhow::bail!("BENCH_DATABASE is {other:?}: sqlite or postgres"),
        };
        Ok(Self { dialect, folder: folder.to_owned(), made: Vec::new() })
    }

    /// The URL of a new database.
    pub fn make(&mut self, name: &str) -> String {
        if self.dialect == Dialect::Sqlite {
            return format!("sqlite://{}", self.folder.join(format!("{name}.db")).display());
        }
        let database = TestDatabase::new(self.dialect);
        let url = database.url.clone();
        self.made.push(database);
        url
    }
}
