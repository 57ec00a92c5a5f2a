//! Operations that frontends were released with, and readers who run nothing else.

use profile_mirror::config::Config;
use ring::digest;
use serde_json::{Value, json};

/// Settings under which readers run these documents only, an object by id; and the folder that must outlive the start.
pub fn only(documents: &Value) -> (tempfile::TempDir, impl FnOnce(&mut Config) + Send + use<>) {
    let folder = tempfile::tempdir().expect("make a folder");
    let file = folder.path().join("operations.json");
    std::fs::write(&file, documents.to_string()).expect("write the operations");
    let configure = move |config: &mut Config| {
        config.server.persisted_operations = Some(file);
        config.server.persisted_only = Some(true);
    };
    (folder, configure)
}

/// Every way to ask for a document that is registered under this id.
pub fn ways_in(id: &str, document: &str) -> [Value; 5] {
    let hash = hash_of(document);
    [
        json!({ "query": document }),
        json!({ "documentId": id }),
        json!({ "documentId": hash }),
        json!({ "documentId": format!("sha256:{hash}") }),
        by_hash(document),
    ]
}

/// Every way to ask for a document that is not registered.
pub fn ways_around(document: &str) -> [Value; 4] {
    [json!({ "query": document }), with_hash(document), json!({ "documentId": hash_of(document) }), by_hash(document)]
}

/// A request that names its document by its hash.
pub fn by_hash(document: &str) -> Value {
    json!({ "extensions": persisted(document) })
}

/// A request that brings its document with its hash, so that it is kept.
pub fn with_hash(document: &str) -> Value {
    json!({ "query": document, "extensions": persisted(document) })
}

fn persisted(document: &str) -> Value {
    json!({ "persistedQuery": { "version": 1, "sha256Hash": hash_of(document) } })
}

fn hash_of(document: &str) -> String {
    let digest = digest::digest(&digest::SHA256, document.as_bytes());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
