//! Asks a running service, over the GraphQL that everybody else uses.

use super::ConfigFile;
use crate::config::{Config, Role};
use crate::ingest;
use anyhow::{Context, anyhow, bail};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Args;
use serde_json::{Value, json};
use std::time::Duration;

/// The variable that holds the access key. A key never stands in a flag, where other users of the machine could read it.
const KEY: &str = "PROFILE_MIRROR_KEY";
/// Longest wait for one answer.
const ANSWER: Duration = Duration::from_secs(35);
/// Tries of a question that could not be sent or was not answered.
const TRIES: u32 = 4;

/// Which service is asked, and how its answer is printed.
#[derive(Args)]
pub(super) struct Server {
    /// Where the service listens; else where the configuration lets it listen.
    #[arg(long, value_name = "URL", env = "PROFILE_MIRROR_URL")]
    url: Option<String>,
    #[command(flatten)]
    file: ConfigFile,
    /// Print the answer as JSON.
    #[arg(long)]
    pub json: bool,
}

/// A way to a running service.
pub(crate) struct Client {
    http: reqwest::Client,
    url: String,
    key: String,
}

impl Client {
    /// A way to the service that the flags, the environment or the configuration name.
    ///
    /// # Errors
    /// A sentence with what to set.
    pub(super) fn new(server: &Server) -> anyhow::Result<Self> {
        let key = std::env::var(KEY).ok().filter(|key| !key.is_empty());
        let config = match (&server.url, &key) {
            (Some(_), Some(_)) => None,
            _ => Some(server.file.load()?),
        };
        let url = match (&server.url, &config) {
            (Some(url), _) => url.trim_end_matches('/').to_owned(),
            (None, Some(config)) => address(config)?,
            (None, None) => bail!("say where the service listens with --url"),
        };
        let key = match (key, &config) {
            (Some(key), _) => key,
            (None, Some(config)) => configured_key(config)?,
            (None, None) => bail!("set {KEY} to an access key of the role operator"),
        };
        Self::to(url, key)
    }

    /// A way to the service at this URL, with this key.
    ///
    /// # Errors
    /// The HTTP client cannot be built.
    pub fn to(url: String, key: String) -> anyhow::Result<Self> {
        let http = ingest::client_builder().map_err(|problem| anyhow!(problem))?;
        let http = http.connect_timeout(Duration::from_secs(5)).timeout(ANSWER).build();
        Ok(Self { http: http.context("build the HTTP client")?, url, key })
    }

    /// The data of the answer to a document. It is asked again where no answer came: what changes anything carries an
    /// id of its own, or changes nothing when it is done twice.
    ///
    /// # Errors
    /// A sentence with what to do.
    pub async fn ask(&self, document: &str, variables: Value) -> anyhow::Result<Value> {
        let mut tries = 1;
        loop {
            match self.ask_once(document, &variables).await {
                Err(Failed::NoAnswer(error)) if tries < TRIES && !error.is_connect() => {
                    tries += 1;
                    tokio::time::sleep(Duration::from_millis(250 << tries)).await;
                }
                Err(Failed::NoAnswer(error)) => {
                    let error = error.without_url();
                    let url = &self.url;
                    return Err(anyhow::Error::from(error)
                        .context(format!("ask {url}: is the service running there? --url names another place")));
                }
                Err(Failed::Later(error) | Failed::Refused(error)) => return Err(error),
                Ok(data) => return Ok(data),
            }
        }
    }

    /// The same, once, for who asks again anyway: none where no answer came, or one that says *later*.
    ///
    /// # Errors
    /// A sentence with what to do, where it is refused.
    pub async fn look(&self, document: &str, variables: Value) -> anyhow::Result<Option<Value>> {
        match self.ask_once(document, &variables).await {
            Ok(data) => Ok(Some(data)),
            Err(Failed::NoAnswer(_) | Failed::Later(_)) => Ok(None),
            Err(Failed::Refused(error)) => Err(error),
        }
    }

    async fn ask_once(&self, document: &str, variables: &Value) -> Result<Value, Failed> {
        let request = self.http.post(format!("{}/graphql", self.url)).bearer_auth(&self.key);
        let request = request.json(&json!({ "query": document, "variables": variables }));
        let answer = request.send().await.map_err(Failed::NoAnswer)?;
        let status = answer.status();
        let body = answer.text().await.map_err(Failed::NoAnswer)?;
        if status.as_u16() == 401 {
            return Err(anyhow!("{} refuses the access key: set {KEY} to one of the role operator", self.url).into());
        }
        let Ok(mut answer) = serde_json::from_str::<Value>(&body) else {
            let error = anyhow!("{} answered {status} and no GraphQL: is it a profile-mirror?", self.url);
            // A proxy, while the service is started again.
            return Err(if status.is_server_error() { Failed::Later(error) } else { error.into() });
        };
        let errors = answer.get("errors").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        if !errors.is_empty() {
            let told: Vec<String> = errors.iter().map(tell_error).collect();
            let error = anyhow!(told.join("; "));
            return Err(if errors.iter().all(says_later) { Failed::Later(error) } else { error.into() });
        }
        Ok(answer.get_mut("data").map(Value::take).unwrap_or_default())
    }

    /// The payload of the one mutation of a document, without problems.
    ///
    /// # Errors
    /// The problems, with what to do.
    pub async fn change(&self, document: &str, variables: Value) -> anyhow::Result<Value> {
        let data = self.ask(document, variables).await?;
        let payload = data.as_object().and_then(|data| data.values().next()).cloned().unwrap_or_default();
        let problems = payload.get("problems").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        if problems.is_empty() {
            return Ok(payload);
        }
        let tell = |problem: &Value| {
            format!("{}: {} ({})", text(problem, "code"), text(problem, "message"), text(problem, "docs"))
        };
        bail!(problems.iter().map(tell).collect::<Vec<_>>().join("; "))
    }
}

/// Why a question has no answer.
enum Failed {
    /// None came.
    NoAnswer(reqwest::Error),
    /// One came that says: not now.
    Later(anyhow::Error),
    /// Asked again it would be the same.
    Refused(anyhow::Error),
}

impl From<anyhow::Error> for Failed {
    fn from(error: anyhow::Error) -> Self {
        Self::Refused(error)
    }
}

fn code(error: &Value) -> &str {
    error.pointer("/extensions/code").and_then(Value::as_str).unwrap_or("error")
}

fn says_later(error: &Value) -> bool {
    matches!(code(error), "UNAVAILABLE" | "RATE_LIMITED")
}

fn tell_error(error: &Value) -> String {
    format!("{}: {}", code(error), text(error, "message"))
}

/// Where the configuration lets the service listen.
fn address(config: &Config) -> anyhow::Result<String> {
    let listen = config.server.listen.replace("0.0.0.0", "127.0.0.1").replace("[::]", "[::1]");
    if listen.ends_with(":0") {
        bail!("server.listen picks a free port: say where the service listens with --url");
    }
    Ok(format!("http://{listen}"))
}

/// The configured key with the smallest role that will do.
fn configured_key(config: &Config) -> anyhow::Result<String> {
    let able = config.access.keys.iter().filter(|key| key.role >= Role::Operator);
    let key = able.min_by_key(|key| key.role);
    let key = key.with_context(|| format!("set {KEY}: the configuration has no access key of the role operator"))?;
    key.key.reveal().with_context(|| format!("reveal access key {}; or set {KEY}", key.name))
}

/// A text of an answer; empty where there is none.
pub(crate) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// A number of an answer; 0 where there is none.
pub(crate) fn number(value: &Value, name: &str) -> i64 {
    value.get(name).and_then(Value::as_i64).unwrap_or_default()
}

/// The things in a list of an answer.
pub(crate) fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The id of a run: given as `SOURCE/NUMBER`, or as the API has it.
pub(super) fn run_id(given: &str) -> String {
    match given.split_once('/') {
        Some((source, number)) => URL_SAFE_NO_PAD.encode(format!("run:{source}:{number}")),
        None => given.to_owned(),
    }
}

/// The reference of a profile: given as `SOURCE/EXTERNAL_ID`, or by its id.
pub(super) fn profile_ref(given: &str) -> Value {
    match given.split_once('/') {
        Some((source, external_id)) => json!({ "key": { "source": source, "externalId": external_id } }),
        None => json!({ "id": given }),
    }
}

/// Prints an answer for programs.
pub(super) fn print_json(value: &Value) {
    println!("{value:#}");
}
