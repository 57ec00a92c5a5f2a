//! The configuration: a TOML file, overridden by environment variables.
//!
//! Order: environment (`PROFILE_MIRROR__DATABASE__URL`) over file over default; the command line's
//! flags are put on top by `cli`. A key that nobody knows is an error that names its line.

mod server;

pub use server::{Introspection, Server};

use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const ENV_PREFIX: &str = "PROFILE_MIRROR__";

/// All settings.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The HTTP server.
    pub server: Server,
    /// The database.
    pub database: DatabaseSettings,
    /// The accounts at providers that are mirrored.
    #[serde(rename = "source")]
    pub sources: Vec<Source>,
    /// Who may ask.
    pub access: Access,
}

/// The database.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DatabaseSettings {
    /// `sqlite://FILE` or `postgres://…`.
    pub url: String,
    /// A PostgreSQL replica for queries.
    pub read_url: Option<String>,
    /// Bring the schema up to date at start.
    pub migrate: bool,
}

impl Default for DatabaseSettings {
    fn default() -> Self {
        Self { url: "sqlite://profile-mirror.db".to_owned(), read_url: None, migrate: true }
    }
}

/// One account at a provider.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Its name: letters, digits, `-` and `_`; part of the webhook's path and of every id.
    pub name: String,
    /// Name of the provider.
    pub provider: String,
    /// REST base URL.
    pub base_url: String,
    /// Copernica: where tokens are exchanged; its own address where absent.
    pub auth_url: Option<String>,
    /// REST token.
    pub token: Option<Secret>,
    /// IANA zone of local times, for providers that send them; Copernica's is `Europe/Amsterdam` where absent.
    pub time_zone: Option<String>,
    /// GetProfile: the tenant; needed there.
    pub tenant: Option<String>,
    /// Fields that clients filter by: each gets an index.
    #[serde(default)]
    pub filterable: Vec<String>,
    /// Webhooks.
    #[serde(default)]
    pub webhook: Webhook,
    /// Syncs.
    #[serde(default)]
    pub sync: Sync,
    /// Measuring drift between syncs.
    #[serde(default)]
    pub drift: Drift,
}

/// Webhooks of a source.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Webhook {
    /// Parallel: a list of Ed25519 public keys; without one every webhook is refused. Copernica: a table of fixed keys by
    /// name, in place of those that its domain publishes.
    pub keys: Keys,
    /// Parallel: accept the older signatures too.
    pub allow_v1: bool,
    /// Age window, seconds; absent, 60 for Copernica and 300 for Parallel. GetProfile has none.
    pub tolerance_seconds: Option<u32>,
    /// Copernica: the account that signs; without it every webhook is refused.
    pub account: Option<String>,
    /// Copernica: domain of the signing keys; `copernica.com` where absent.
    pub key_domain: Option<String>,
    /// GetProfile: bearer secrets; without one every webhook is refused.
    pub secrets: Vec<Secret>,
    /// Largest body, bytes; absent, 20 MiB for Copernica and 256 KiB for the others.
    pub body_limit: Option<usize>,
}

/// Public keys, in the form that the provider gives them.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "a list of public keys, or a table of keys by name")]
pub enum Keys {
    /// A list of keys.
    List(Vec<String>),
    /// Keys by name.
    Named(BTreeMap<String, String>),
}

impl Default for Keys {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

/// Syncs of a source.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sync {
    /// Cron expression, seconds first, UTC; none runs no scheduled sync.
    pub schedule: Option<String>,
    /// The same for runs over what has changed, where the provider can tell; none runs only full ones. Needs `schedule`.
    pub incremental: Option<String>,
    /// A run begins up to so many seconds after its time, so that sources do not all call at once.
    pub jitter_seconds: u32,
    /// Deletions beyond this in one run wait for a person.
    pub brake: Brake,
    /// Calls to the provider under way at once.
    pub concurrency: usize,
    /// Calls to the provider a minute at most; where it is left out, what the provider is known to take (Parallel 100,
    /// GetProfile 60). What its answers say is obeyed in any case.
    pub requests_per_minute: Option<u32>,
}

impl Default for Sync {
    fn default() -> Self {
        Self {
            schedule: None,
            incremental: None,
            jitter_seconds: 30,
            brake: Brake::default(),
            concurrency: 4,
            requests_per_minute: None,
        }
    }
}

/// Measuring drift between syncs.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Drift {
    /// Profiles an hour that are read by id at random, while nothing else is asked for; 0 for none.
    pub reads_per_hour: u32,
}

impl Default for Drift {
    fn default() -> Self {
        Self { reads_per_hour: 20 }
    }
}

/// When a run must wait for a person before it deletes: where its profiles or its subprofiles that are gone are more than
/// either lets pass. Five of each pass any share but 0, which says nothing about a handful. 0 for either lets none pass.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Brake {
    /// Share of the live ones.
    pub share: f64,
    /// Count of them.
    pub count: u64,
}

impl Default for Brake {
    fn default() -> Self {
        Self { share: 0.02, count: 500 }
    }
}

/// Who may ask.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Access {
    /// Fixed keys.
    pub keys: Vec<AccessKey>,
}

/// A fixed key.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessKey {
    /// Name, for logs.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// The key.
    pub key: Secret,
}

/// What a key may do; each role may do what the ones before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Query and subscribe to profiles.
    Reader,
    /// See deliveries and runs, resync, retry.
    Operator,
    /// Everything.
    Admin,
}

/// A secret that stands in the environment or in a file, never in the configuration itself.
#[derive(Clone, Debug, Deserialize)]
#[serde(
    rename_all = "snake_case",
    expecting = "{ env = \"NAME\" } or { file = \"PATH\" }; a secret never stands in the file itself"
)]
pub enum Secret {
    /// Name of an environment variable.
    Env(String),
    /// Path of a file; white space at its end is cut off.
    File(PathBuf),
    /// A value made by this process (the demo's key); cannot be written in a file.
    #[serde(skip)]
    Value(String),
}

impl Secret {
    /// The secret itself.
    ///
    /// # Errors
    /// [`ConfigError::Secret`] where it is absent, unreadable or empty.
    pub fn reveal(&self) -> Result<String, ConfigError> {
        let (place, value) = match self {
            Self::Env(name) => {
                (format!("environment variable {name}"), std::env::var(name).map_err(|error| error.to_string()))
            }
            Self::File(path) => (
                format!("file {}", path.display()),
                std::fs::read_to_string(path).map(|text| text.trim_end().to_owned()).map_err(|error| error.to_string()),
            ),
            Self::Value(value) => return Ok(value.clone()),
        };
        match value {
            Ok(value) if !value.is_empty() => Ok(value),
            Ok(_) => Err(ConfigError::Secret { place, problem: "is empty".to_owned() }),
            Err(problem) => Err(ConfigError::Secret { place, problem }),
        }
    }
}

/// What is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("read configuration {path}: create it, or name another with --config")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Wrong TOML, an unknown key, or a value of the wrong form; the cause names the line.
    #[error("configuration {place}: {problem}")]
    Invalid {
        /// The file, or the environment.
        place: String,
        /// Line, key, and what was expected.
        problem: String,
    },
    /// A value that is well formed and still wrong.
    #[error("configuration key {key}: {problem}")]
    Value {
        /// The key, with the source's name.
        key: String,
        /// What was expected.
        problem: String,
    },
    /// A secret that is not where the configuration says.
    #[error("secret from {place}: {problem}")]
    Secret {
        /// Where it should be.
        place: String,
        /// What is wrong.
        problem: String,
    },
}

/// Reads the configuration from a file and the environment.
///
/// # Errors
/// [`ConfigError`] with the line, the key and what was expected.
pub fn load(path: Option<&Path>, environment: impl Iterator<Item = (String, String)>) -> Result<Config, ConfigError> {
    let (text, place) = match path {
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
            (text, path.display().to_string())
        }
        None => (String::new(), "defaults".to_owned()),
    };
    parse(&text, &place, environment)
}

/// Reads the configuration from text; `place` is what errors call it.
///
/// # Errors
/// As [`load`].
pub fn parse(
    text: &str,
    place: &str,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<Config, ConfigError> {
    let invalid = |place: &str, error: toml::de::Error| ConfigError::Invalid {
        place: place.to_owned(),
        problem: error.to_string().trim_end().to_owned(),
    };
    let file: Config = toml::from_str(text).map_err(|error| invalid(place, error))?;
    let mut table: toml::Table = toml::from_str(text).map_err(|error| invalid(place, error))?;
    let mut overrides: Vec<_> = environment.filter(|(name, _)| name.starts_with(ENV_PREFIX)).collect();
    let config = if overrides.is_empty() {
        file
    } else {
        overrides.sort();
        for (name, value) in &overrides {
            set_override(&mut table, name, value)?;
        }
        table.try_into().map_err(|error| invalid("environment (PROFILE_MIRROR__…)", error))?
    };
    check(&config)?;
    Ok(config)
}

/// Puts one variable into the table: `PROFILE_MIRROR__SERVER__LISTEN` is `server.listen`.
fn set_override(table: &mut toml::Table, name: &str, value: &str) -> Result<(), ConfigError> {
    let path: Vec<String> = name[ENV_PREFIX.len()..].split("__").map(str::to_lowercase).collect();
    let Some((key, parents)) = path.split_last() else { return Ok(()) };
    let mut here = table;
    for parent in parents {
        let entry = here.entry(parent.clone()).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        let toml::Value::Table(next) = entry else {
            return Err(ConfigError::Value {
                key: name.to_owned(),
                problem: format!("{parent} is not a table that a variable can reach into"),
            });
        };
        here = next;
    }
    // Numbers, booleans and lists are written as in TOML; anything else is text.
    let parsed =
        toml::from_str::<toml::Table>(&format!("value = {value}")).ok().and_then(|mut table| table.remove("value"));
    here.insert(key.clone(), parsed.unwrap_or_else(|| toml::Value::String(value.to_owned())));
    Ok(())
}

fn check(config: &Config) -> Result<(), ConfigError> {
    config.server.check()?;
    let mut seen = std::collections::BTreeSet::new();
    for source in &config.sources {
        let wrong = |key: &str, problem: String| ConfigError::Value {
            key: format!("source {:?}: {key}", source.name),
            problem,
        };
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if source.name.is_empty() || source.name.len() > 64 || !source.name.chars().all(is_plain) {
            return Err(wrong("name", "expected 1 to 64 letters, digits, - or _".to_owned()));
        }
        if !seen.insert(source.name.clone()) {
            return Err(wrong("name", "each source needs a name of its own".to_owned()));
        }
        let providers = provider::registry::names();
        if !providers.contains(&source.provider.as_str()) {
            return Err(wrong(
                "provider",
                format!("expected one of {}, got {:?}", providers.join(", "), source.provider),
            ));
        }
        if !source.base_url.starts_with("http://") && !source.base_url.starts_with("https://") {
            return Err(wrong("base_url", format!("expected an http:// or https:// URL, got {:?}", source.base_url)));
        }
        if !(0.0..=1.0).contains(&source.sync.brake.share) {
            return Err(wrong("sync.brake.share", "expected a share from 0 to 1".to_owned()));
        }
        if source.sync.incremental.is_some() && source.sync.schedule.is_none() {
            let problem = "needs sync.schedule too: what incremental runs may miss only full ones repair";
            return Err(wrong("sync.incremental", problem.to_owned()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, ConfigError> {
        parse(text, "test.toml", std::iter::empty())
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line() {
        let error = read("[server]\nlisten = \"127.0.0.1:0\"\nlisen = 1\n").unwrap_err().to_string();
        assert!(error.contains("line 3"), "{error}");
        assert!(error.contains("lisen") && error.contains("listen"), "{error}");
    }

    #[test]
    fn a_secret_in_the_file_is_refused() {
        let error =
            read("[[access.keys]]\nname = \"a\"\nrole = \"admin\"\nkey = \"hunter2\"\n").unwrap_err().to_string();
        assert!(error.contains("env"), "{error}");
    }

    #[test]
    fn the_environment_overrides_the_file() {
        let environment = [
            ("PROFILE_MIRROR__DATABASE__URL".to_owned(), "postgres://localhost/x".to_owned()),
            ("PROFILE_MIRROR__SERVER__GRAPHIQL".to_owned(), "false".to_owned()),
            ("HOME".to_owned(), "/".to_owned()),
        ];
        let config = parse("[database]\nurl = \"sqlite://a.db\"\n", "test.toml", environment.into_iter()).unwrap();
        assert_eq!(config.database.url, "postgres://localhost/x");
        assert!(!config.server.has_graphiql());
    }

    #[test]
    fn incremental_syncs_without_full_ones_are_refused() {
        let source = "[[source]]\nname = \"a\"\nprovider = \"copernica\"\nbase_url = \"https://api.example.com\"\n";
        let incremental = "[source.sync]\nincremental = \"0 0 * * * *\"\n";
        let error = read(&format!("{source}{incremental}")).unwrap_err().to_string();
        assert!(error.contains("sync.incremental") && error.contains("sync.schedule"), "{error}");
        assert!(read(&format!("{source}{incremental}schedule = \"0 0 3 * * *\"\n")).is_ok());
    }

    #[test]
    fn a_wrong_variable_is_refused() {
        let environment = [("PROFILE_MIRROR__SERVER__LISEN".to_owned(), "x".to_owned())];
        let error = parse("", "test.toml", environment.into_iter()).unwrap_err().to_string();
        assert!(error.contains("lisen"), "{error}");
    }
}
