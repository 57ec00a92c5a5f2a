//! How the HTTP server behaves towards clients.

use super::{ConfigError, Role};
use serde::Deserialize;
use std::path::PathBuf;

/// The HTTP server.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Address to listen on; port 0 picks one.
    pub listen: String,
    /// Our URL as registered at the providers; some signatures cover it. Default: `http://{listen}`.
    pub public_url: Option<String>,
    /// Frontends are released and strangers come by: readers run registered operations only, the schema is told to operators
    /// only, and there is no GraphiQL, unless the keys below say otherwise.
    pub production: bool,
    /// Serve the GraphiQL page. Default: not in production.
    pub graphiql: Option<bool>,
    /// Who may ask the schema to describe itself. Default: everybody with a key; in production operators.
    pub introspection: Option<Introspection>,
    /// Registered operations: a JSON file of documents by id, or a folder of such files and of `.graphql` files.
    pub persisted_operations: Option<PathBuf>,
    /// Keys of the role reader run registered operations only. Default: in production.
    pub persisted_only: Option<bool>,
    /// What the operations of a key may cost in a minute, in values that they read; 0 for no limit. The default is about
    /// what one core can answer in that time.
    pub cost_per_minute: u64,
    /// Sockets and event streams open at once.
    pub streams: usize,
    /// The same for one key, so that none shuts out the others.
    pub streams_per_key: usize,
    /// An idle socket or event stream is proven alive this often. A client whose connection takes nothing for twice as long is
    /// given up.
    pub keep_alive_seconds: u16,
    /// Origins whose pages may open a WebSocket or call `/graphql` from a browser, beside our own.
    pub allowed_origins: Vec<String>,
}

/// Who may ask the schema to describe itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Introspection {
    /// Everybody with a key.
    All,
    /// Operators and administrators.
    Operator,
    /// Nobody.
    Off,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".to_owned(),
            public_url: None,
            production: false,
            graphiql: None,
            introspection: None,
            persisted_operations: None,
            persisted_only: None,
            cost_per_minute: 100_000_000,
            streams: 10_000,
            streams_per_key: 8_000,
            keep_alive_seconds: 12,
            allowed_origins: Vec::new(),
        }
    }
}

impl Server {
    /// Whether the GraphiQL page is served.
    pub fn has_graphiql(&self) -> bool {
        self.graphiql.unwrap_or(!self.production)
    }

    /// Whether readers run registered operations only.
    pub fn is_persisted_only(&self) -> bool {
        self.persisted_only.unwrap_or(self.production)
    }

    /// Whether this role may ask the schema to describe itself.
    pub fn may_introspect(&self, role: Role) -> bool {
        let default = if self.production { Introspection::Operator } else { Introspection::All };
        match self.introspection.unwrap_or(default) {
            Introspection::All => true,
            Introspection::Operator => role >= Role::Operator,
            Introspection::Off => false,
        }
    }

    /// Refuses what is well formed and still wrong.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let wrong = |key: &str, problem: &str| {
            Err(ConfigError::Value { key: format!("server.{key}"), problem: problem.to_owned() })
        };
        if self.is_persisted_only() && self.persisted_operations.is_none() {
            let problem = "readers could ask nothing: name their operations here, or set server.persisted_only = false";
            return wrong("persisted_operations", problem);
        }
        if self.streams == 0 || self.streams_per_key == 0 {
            return wrong("streams", "expected 1 or more, as for server.streams_per_key");
        }
        if self.keep_alive_seconds == 0 {
            return wrong("keep_alive_seconds", "expected 1 or more");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Server, ConfigError> {
        crate::config::parse(text, "test.toml", std::iter::empty()).map(|config| config.server)
    }

    #[test]
    fn production_closes_what_is_for_development_unless_told_otherwise() {
        let open = read("").unwrap();
        assert!(open.has_graphiql() && open.may_introspect(Role::Reader) && !open.is_persisted_only());
        let closed = read("[server]\nproduction = true\npersisted_operations = \"operations\"\n").unwrap();
        assert!(!closed.has_graphiql() && closed.is_persisted_only());
        assert!(!closed.may_introspect(Role::Reader) && closed.may_introspect(Role::Operator));
        let text = "[server]\nproduction = true\npersisted_only = false\ngraphiql = true\nintrospection = \"off\"\n";
        let mixed = read(text).unwrap();
        assert!(mixed.has_graphiql() && !mixed.is_persisted_only() && !mixed.may_introspect(Role::Admin));
    }

    #[test]
    fn production_without_operations_is_refused_with_what_to_set() {
        let error = read("[server]\nproduction = true\n").unwrap_err().to_string();
        assert!(error.contains("server.persisted_operations") && error.contains("persisted_only = false"), "{error}");
    }
}
