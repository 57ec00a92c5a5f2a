//! Registered operations: the documents that frontends are released with, read at start.

use super::automatic::hash_of;
use super::cost::check_cost;
use super::shape::check_shape;
use crate::config::{self, ConfigError};
use crate::serve::graphql::Validator;
use async_graphql::Variables;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const MAX_OPERATIONS: usize = 10_000;
const MAX_FILE_BYTES: u64 = 16 * 1024 * 1024;

/// Documents that may be run by their id, by their hash, or by their very text.
#[derive(Debug, Default)]
pub struct Registered {
    by_id: HashMap<String, Arc<str>>,
    by_hash: HashMap<String, Arc<str>>,
}

impl Registered {
    /// Reads the operations that the configuration names, and holds each against the schema and the limits.
    ///
    /// # Errors
    /// [`ConfigError::Value`] with the file, the operation, and what is wrong with it.
    pub async fn from_config(server: &config::Server) -> Result<Self, ConfigError> {
        let Some(path) = &server.persisted_operations else { return Ok(Self::default()) };
        let wrong = |problem| ConfigError::Value { key: "server.persisted_operations".to_owned(), problem };
        let mut documents = BTreeMap::new();
        for file in files(path).map_err(wrong)? {
            for (id, document) in read(&file).map_err(|problem| wrong(format!("{}: {problem}", file.display())))? {
                let is_other = documents.insert(id.clone(), document.clone()).is_some_and(|known| known != document);
                if is_other {
                    return Err(wrong(format!("{}: operation {id:?} is there twice, and differs", file.display())));
                }
            }
        }
        Self::new(documents).await.map_err(wrong)
    }

    async fn new(documents: BTreeMap<String, String>) -> Result<Self, String> {
        if documents.is_empty() {
            return Err("expected operations, found none".to_owned());
        }
        if documents.len() > MAX_OPERATIONS {
            return Err(format!("expected at most {MAX_OPERATIONS} operations, found {}", documents.len()));
        }
        let validator = Validator::new();
        let mut registered = Self::default();
        for (id, text) in documents {
            check(&validator, &text).await.map_err(|problem| format!("operation {id:?}: {problem}"))?;
            let document: Arc<str> = text.into();
            registered.by_hash.insert(hash_of(&document), Arc::clone(&document));
            registered.by_id.insert(id, document);
        }
        Ok(registered)
    }

    /// The document of this id or hash; `sha256:` may stand before a hash.
    pub(super) fn find(&self, id: &str) -> Option<Arc<str>> {
        let by_hash = || self.by_hash.get(id.strip_prefix("sha256:").unwrap_or(id));
        self.by_id.get(id).or_else(by_hash).cloned()
    }

    /// Whether this very text is registered.
    pub(super) fn holds(&self, document: &str) -> bool {
        !self.by_hash.is_empty() && self.by_hash.contains_key(&hash_of(document))
    }
}

async fn check(validator: &Validator, text: &str) -> Result<(), String> {
    check_shape(text).map_err(|fault| fault.message)?;
    let document = async_graphql::parser::parse_query(text).map_err(|error| error.to_string())?;
    check_cost(&document, &Variables::default()).map_err(|fault| fault.message)?;
    validator.check(document).await
}

/// The file, or those of the folder in the order of their names.
fn files(path: &Path) -> Result<Vec<PathBuf>, String> {
    let unreadable = |error: std::io::Error| format!("read {}: {error}", path.display());
    if !std::fs::metadata(path).map_err(unreadable)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        if file.is_file() && ["graphql", "gql", "json"].iter().any(|ending| has_ending(&file, ending)) {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

/// The documents of a file by id. A file of GraphQL is one document, whose id is the file's name without its ending.
fn read(file: &Path) -> Result<BTreeMap<String, String>, String> {
    let bytes = std::fs::metadata(file).map_err(|error| error.to_string())?.len();
    if bytes > MAX_FILE_BYTES {
        return Err(format!("has {bytes} bytes; {MAX_FILE_BYTES} are allowed"));
    }
    let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
    if has_ending(file, "json") {
        return serde_json::from_str(&text)
            .map_err(|error| format!("expected a JSON object of documents by id: {error}"));
    }
    let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Ok(BTreeMap::from([(name, text)]))
}

fn has_ending(file: &Path, ending: &str) -> bool {
    file.extension().is_some_and(|found| found.eq_ignore_ascii_case(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn load(files: &[(&str, &str)], path: &str) -> Result<Registered, String> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let server =
            config::Server { persisted_operations: Some(folder.path().join(path)), ..config::Server::default() };
        Registered::from_config(&server).await.map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn operations_are_found_by_id_by_hash_and_by_text() {
        let json = r#"{ "a1": "query A { viewer { name } }", "b2": "query B($id: ID!) { node(id: $id) { id } }" }"#;
        let files = [("all.json", json), ("Changes.graphql", "subscription { profileChanges { __typename } }")];
        for path in ["all.json", ""] {
            let registered = load(&files, path).await.unwrap();
            let document = registered.find("a1").unwrap();
            assert_eq!(&*document, "query A { viewer { name } }");
            let hash = hash_of(&document);
            assert!(registered.find(&hash).is_some() && registered.find(&format!("sha256:{hash}")).is_some());
            assert!(registered.holds(&document) && !registered.holds("{ viewer { name } }"));
            assert_eq!(registered.find("Changes").is_some(), path.is_empty());
            assert!(registered.find("c3").is_none());
        }
    }

    #[tokio::test]
    async fn a_wrong_file_is_refused_with_what_is_wrong() {
        let deep = format!("{{ node(id: {}1{}) {{ id }} }}", "[".repeat(2_000), "]".repeat(2_000));
        let cases = [
            ("x.json", "[]", "JSON object"),
            ("x.json", "{}", "found none"),
            ("x.json", r#"{ "a": 1 }"#, "JSON object"),
            ("x.json", r#"{ "a": "{" }"#, "operation \"a\""),
            ("x.json", r#"{ "a": "{ nothing }" }"#, "nothing"),
            ("x.graphql", "query { profiles { nodes { id } } nowhere }", "operation \"x\""),
            ("x.graphql", deep.as_str(), "nested"),
            ("missing", "", "read "),
        ];
        for (name, text, expected) in cases {
            let files = if name == "missing" { Vec::new() } else { vec![(name, text)] };
            let problem = load(&files, name).await.unwrap_err();
            assert!(problem.contains(expected) && problem.contains("server.persisted_operations"), "{problem}");
        }
        let twice = [("a.json", r#"{ "a": "{ viewer { name } }" }"#), ("a.graphql", "{ viewer { role } }")];
        assert!(load(&twice, "").await.unwrap_err().contains("twice"));
    }
}
