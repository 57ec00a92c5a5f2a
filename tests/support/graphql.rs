//! A GraphQL client as a frontend team would have one.

use serde_json::{Value, json};
use std::net::SocketAddr;

/// Asks over HTTP with a key.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base_url: String,
    key: Option<String>,
}

impl Client {
    /// A client for the service at `address`.
    pub fn new(address: SocketAddr, key: Option<&str>) -> Self {
        let http = reqwest::Client::builder().tls_certs_only([]).build().expect("build a client");
        Self { http, base_url: format!("http://{address}"), key: key.map(str::to_owned) }
    }

    /// The same client with another key, or none.
    pub fn with_key(&self, key: Option<&str>) -> Self {
        Self { key: key.map(str::to_owned), ..self.clone() }
    }

    /// Status and body of an answer to a document.
    pub async fn answer(&self, document: &str, variables: Value) -> (u16, Value) {
        let body = json!({ "query": document, "variables": variables });
        let mut request = self.http.post(format!("{}/graphql", self.base_url)).json(&body);
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        let answer = request.send().await.expect("an answer");
        let status = answer.status().as_u16();
        let text = answer.text().await.expect("a body");
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// The data of an answer that must hold no error.
    pub async fn query(&self, document: &str, variables: Value) -> Value {
        let (status, mut answer) = self.answer(document, variables).await;
        assert!(status == 200 && answer.get("errors").is_none(), "{status}: {answer:#}\n{document}");
        answer["data"].take()
    }

    /// The codes of the errors of an answer.
    pub async fn codes(&self, document: &str, variables: Value) -> Vec<String> {
        let (_, answer) = self.answer(document, variables).await;
        let errors = answer["errors"].as_array().cloned().unwrap_or_default();
        let code = |error: &Value| error["extensions"]["code"].as_str().unwrap_or("none").to_owned();
        errors.iter().map(code).collect()
    }

    /// Status and body of a plain GET.
    pub async fn get(&self, path: &str) -> (u16, String) {
        let mut request = self.http.get(format!("{}{path}", self.base_url));
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        let answer = request.send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("a body"))
    }
}
