//! A plain REST client for the three skins, and an endpoint that keeps what it is sent.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use serde_json::Value;
use simulator::{ProviderKind, Simulator, SimulatorOptions};

/// Starts a small world.
pub async fn world(profiles: usize) -> Simulator {
    Simulator::start(SimulatorOptions { profiles, ..SimulatorOptions::default() }).await.unwrap()
}

pub struct Client {
    http: reqwest::Client,
    base: String,
    token: String,
}

/// Status, headers and JSON of an answer.
pub struct Reply {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub json: Value,
}

impl Client {
    pub async fn new(simulator: &Simulator, provider: ProviderKind) -> Self {
        let http = reqwest::Client::builder().tls_certs_only([]).build().unwrap();
        let (base, token) = match provider {
            ProviderKind::Copernica => {
                let copernica = simulator.copernica();
                let form = [("access_token", copernica.token())];
                let jwt = http.post(copernica.auth_url()).form(&form).send().await.unwrap().text().await.unwrap();
                (copernica.base_url(), jwt)
            }
            ProviderKind::Parallel => (simulator.parallel().base_url(), simulator.parallel().token()),
            ProviderKind::GetProfile => (simulator.getprofile().base_url(), simulator.getprofile().api_key()),
        };
        Self { http, base, token }
    }

    pub async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Reply {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.http.request(method, format!("{}{path}", self.base)).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let bytes = answer.bytes().await.unwrap();
        Reply { status, headers, json: serde_json::from_slice(&bytes).unwrap_or(Value::Null) }
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.call("GET", path, None).await
    }

    pub async fn get_ok(&self, path: &str) -> Value {
        let reply = self.get(path).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.json);
        reply.json
    }

    pub async fn try_get_bytes(&self, path: &str) -> reqwest::Result<Vec<u8>> {
        let answer = self.http.get(format!("{}{path}", self.base)).bearer_auth(&self.token).send().await?;
        Ok(answer.bytes().await?.to_vec())
    }
}

/// What an endpoint was sent.
pub struct Received {
    pub headers: axum::http::HeaderMap,
    pub body: String,
}

type Kept = Arc<Mutex<(u16, Vec<Received>)>>;

/// An endpoint that answers with a chosen status and keeps what it is sent.
pub struct Endpoint {
    pub url: String,
    state: Kept,
}

impl Endpoint {
    pub async fn start() -> Self {
        let state: Kept = Arc::new(Mutex::new((200, Vec::new())));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/webhooks/x", listener.local_addr().unwrap());
        let router = Router::new().fallback(keep).with_state(Arc::clone(&state));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, state }
    }

    pub fn answer_with(&self, status: u16) {
        self.state.lock().unwrap().0 = status;
    }

    /// Everything received since the last call.
    pub fn take(&self) -> Vec<Received> {
        std::mem::take(&mut self.state.lock().unwrap().1)
    }

    pub fn take_bodies(&self) -> Vec<String> {
        self.take().into_iter().map(|received| received.body).collect()
    }
}

async fn keep(State(state): State<Kept>, request: Request) -> StatusCode {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let mut state = state.lock().unwrap();
    state.1.push(Received { headers: parts.headers, body: String::from_utf8(body.to_vec()).unwrap() });
    StatusCode::from_u16(state.0).unwrap()
}

/// A percent-encoded path segment.
pub fn segment(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
