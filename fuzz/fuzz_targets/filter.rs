//! Puts any text where the filter of `profiles` stands, in a query to the service itself, over HTTP and on SQLite.
//!
//! Found is a panic, and an error that is not the client's.

#![no_main]

use libfuzzer_sys::fuzz_target;
use profile_mirror::app::{self, AppOptions, Running};
use profile_mirror::config::{AccessKey, Config, Role, Secret};
use profile_mirror::ingest::client_builder;
use serde_json::{Value, json};
use std::sync::LazyLock;
use tempfile::TempDir;
use tokio::runtime::Runtime;

const KEY: &str = "a-key-for-fuzzing";

/// The service, for as long as the process lives.
struct Service {
    runtime: Runtime,
    client: reqwest::Client,
    running: Running,
    _folder: TempDir,
}

static SERVICE: LazyLock<Service> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    config.server.listen = "127.0.0.1:0".to_owned();
    config.database.url = format!("sqlite://{}", folder.path().join("mirror.db").display());
    let key = Secret::Value(KEY.to_owned());
    config.access.keys = vec![AccessKey { name: "fuzz".to_owned(), role: Role::Reader, key }];
    let runtime = Runtime::new().unwrap();
    let running = runtime.block_on(app::start(config, AppOptions::default())).unwrap();
    let client = client_builder().unwrap().no_proxy().build().unwrap();
    Service { runtime, client, running, _folder: folder }
});

fuzz_target!(|text: &str| {
    let Service { runtime, client, running, .. } = &*SERVICE;
    let query = format!("{{ profiles(first: 2, filter: {{ {text} }}) {{ totalCount nodes {{ id }} }} }}");
    let request = client.post(format!("http://{}/graphql", running.address())).bearer_auth(KEY);
    let answer: Value = runtime.block_on(async {
        let answer = request.json(&json!({ "query": query })).send().await.unwrap();
        assert!(matches!(answer.status().as_u16(), 200 | 400), "status {}", answer.status());
        answer.json().await.unwrap()
    });
    for error in answer["errors"].as_array().into_iter().flatten() {
        let code = error["extensions"]["code"].as_str().expect("a code");
        assert!(!matches!(code, "INTERNAL_SERVER_ERROR" | "UNAVAILABLE"), "{error}");
    }
});
