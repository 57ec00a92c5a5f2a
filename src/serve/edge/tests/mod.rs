//! The edge from outside: requests to the router, and streams. What graphql-transport-ws asks for is in `tests/socket`.

mod documents;
mod events;
mod http;
mod limits;
mod sockets;

use super::registered::Registered;
use crate::config::{self, AccessKey, Role, Secret};
use crate::mirror::read::fixture::Fixture;
use crate::publish::Publisher;
use crate::serve::operations::fixture::NoStages;
use crate::serve::{Access, ServeState, router};
use ::http::{HeaderMap, Request, StatusCode};
use axum::Router;
use axum::body::{Body, to_bytes};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

const KEY: &str = "Bearer reader-key";
const OPERATOR: &str = "Bearer operator-key";

struct Edge {
    fixture: Fixture,
    publisher: Arc<Publisher>,
    router: Router,
    stop: CancellationToken,
    sockets: TaskTracker,
}

impl Drop for Edge {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Edge {
    async fn start() -> Self {
        Self::with(config::Server::default()).await
    }

    async fn with(server: config::Server) -> Self {
        let fixture = Fixture::new().await;
        let publisher = Publisher::new(fixture.db.clone(), fixture.clock.clone());
        let (stop, sockets) = (CancellationToken::new(), TaskTracker::new());
        tokio::spawn({
            let (publisher, stop) = (publisher.clone(), stop.clone());
            async move { publisher.run(stop).await }
        });
        let key = |name: &str, role| AccessKey { name: name.into(), role, key: Secret::Value(format!("{name}-key")) };
        let access = config::Access { keys: vec![key("reader", Role::Reader), key("operator", Role::Operator)] };
        let router = router(ServeState {
            publisher: publisher.clone(),
            access: Access::from_config(&access).unwrap(),
            clock: fixture.clock.clone(),
            operations: Arc::new(NoStages),
            registered: Registered::from_config(&server).await.unwrap(),
            server: config::Server { allowed_origins: vec!["https://app.example".into()], ..server },
            stop: stop.clone(),
            sockets: sockets.clone(),
        });
        Self { fixture, publisher, router, stop, sockets }
    }

    async fn send(&self, request: Request<Body>) -> (StatusCode, HeaderMap, String) {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        (parts.status, parts.headers, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn post(&self, body: Value, headers: &[(&str, &str)]) -> (StatusCode, Value) {
        let mut request = Request::post("/graphql").header("content-type", "application/json");
        if !headers.iter().any(|(name, _)| *name == "authorization") {
            request = request.header("authorization", KEY);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (status, _, body) = self.send(request.body(Body::from(body.to_string())).unwrap()).await;
        (status, serde_json::from_str(&body).unwrap_or(Value::Null))
    }

    /// Asks by GET with the reader's key.
    async fn get(&self, parameters: &[(&str, &str)], headers: &[(&str, &str)]) -> (StatusCode, HeaderMap, String) {
        let query = serde_urlencoded::to_string(parameters).unwrap();
        let mut request = Request::get(format!("/graphql?{query}")).header("authorization", KEY);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::empty()).unwrap()).await
    }

    async fn query(&self, query: &str, accept: &str) -> (StatusCode, Value) {
        self.post(json!({ "query": query }), &[("accept", accept)]).await
    }

    /// Listens, as the service would.
    async fn listen(&self) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = self.router.clone();
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }
}

fn code(body: &Value) -> &str {
    body["errors"][0]["extensions"]["code"].as_str().unwrap_or_else(|| panic!("no code: {body}"))
}

const SPEC: &str = "application/graphql-response+json";
const LEGACY: &str = "application/json";
