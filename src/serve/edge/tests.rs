//! The edge from outside: requests to the router, and raw frames on a socket.

use crate::config::{self, AccessKey, Role, Secret};
use crate::mirror::read::fixture::Fixture;
use crate::publish::Publisher;
use crate::serve::operations::fixture::NoStages;
use crate::serve::{Access, ServeState, router};
use axum::Router;
use axum::body::{Body, to_bytes};
use futures::{SinkExt, StreamExt};
use http::{Request, StatusCode};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

const KEY: &str = "Bearer reader-key";

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
            db: fixture.db.clone(),
            publisher: publisher.clone(),
            access: Access::from_config(&access).unwrap(),
            clock: fixture.clock.clone(),
            operations: Arc::new(NoStages),
            server: config::Server { allowed_origins: vec!["https://app.example".into()], ..config::Server::default() },
            stop: stop.clone(),
            sockets: sockets.clone(),
        });
        Self { fixture, publisher, router, stop, sockets }
    }

    async fn send(&self, request: Request<Body>) -> (StatusCode, http::HeaderMap, String) {
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

#[tokio::test]
async fn a_query_is_answered_in_both_media_types() {
    let edge = Edge::start().await;
    for accept in [SPEC, LEGACY, "*/*"] {
        let (status, body) = edge.query("{ viewer { name role } }", accept).await;
        assert_eq!(
            (status, body),
            (StatusCode::OK, json!({ "data": { "viewer": { "name": "reader", "role": "READER" } } }))
        );
    }
    let request = Request::get("/graphql?query=%7Bviewer%7Bname%7D%7D&variables=%7B%7D").header("authorization", KEY);
    let (status, headers, _) = edge.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(headers["content-type"], "application/json; charset=utf-8");
    assert_eq!(edge.query("{ viewer { name } }", "text/html").await.0, StatusCode::NOT_ACCEPTABLE);
}

#[tokio::test]
async fn refused_documents_are_400_in_the_new_media_type_and_200_in_the_old() {
    let edge = Edge::start().await;
    let nested = format!("{{ node(id: {}1{}) {{ id }} }}", "[".repeat(20_000), "]".repeat(20_000));
    let variables =
        json!({ "query": "query($n: Int) { profiles(first: $n) { nodes { id } } }", "variables": { "n": "x" } });
    let cases = [
        (json!({ "query": "{" }), "GRAPHQL_PARSE_FAILED"),
        (json!({ "query": "{ nothing }" }), "GRAPHQL_VALIDATION_FAILED"),
        (json!({ "query": "query A { viewer { name } } query B { viewer { name } }" }), "GRAPHQL_VALIDATION_FAILED"),
        (json!({ "query": nested }), "QUERY_TOO_DEEP"),
        (json!({ "query": " ".repeat(70_000) }), "QUERY_TOO_COMPLEX"),
        (variables, "BAD_USER_INPUT"),
        (json!({ "query": "subscription { profileChanges { __typename } }" }), "BAD_USER_INPUT"),
    ];
    for (request, expected) in cases {
        let (status, body) = edge.post(request.clone(), &[("accept", SPEC)]).await;
        assert_eq!((status, code(&body)), (StatusCode::BAD_REQUEST, expected), "{body}");
        assert!(body.get("data").is_none(), "nothing was executed: {body}");
        if !request["query"].as_str().unwrap().starts_with("subscription") {
            let (status, body) = edge.post(request, &[("accept", LEGACY)]).await;
            assert_eq!((status, code(&body)), (StatusCode::OK, expected));
        }
    }
    let (status, body) = edge.query("{ profiles(first: 101) { nodes { id } } }", SPEC).await;
    assert_eq!((status, code(&body)), (StatusCode::OK, "PAGE_TOO_LARGE"));
    assert_eq!(body["errors"][0]["path"], json!(["profiles"]));
}

#[tokio::test]
async fn nobody_is_answered_without_a_known_key() {
    let edge = Edge::start().await;
    for key in ["", "Bearer wrong", "Basic reader-key", "reader-key"] {
        let (status, body) = edge.post(json!({ "query": "{ __typename }" }), &[("authorization", key)]).await;
        assert_eq!((status, code(&body)), (StatusCode::UNAUTHORIZED, "UNAUTHENTICATED"));
    }
    let request = Request::get("/graphql?query={__typename}").body(Body::empty());
    let (status, headers, _) = edge.send(request.unwrap()).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert_eq!(headers["www-authenticate"], "Bearer");
}

#[tokio::test]
async fn other_bodies_methods_and_types_are_refused() {
    let edge = Edge::start().await;
    let post = |content_type: &str, body: &str| {
        let request = Request::post("/graphql").header("authorization", KEY).header("content-type", content_type);
        request.body(Body::from(body.to_owned())).unwrap()
    };
    let query = r#"{"query":"{ __typename }"}"#;
    for foreign in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""] {
        assert_eq!(edge.send(post(foreign, query)).await.0, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
    assert_eq!(edge.send(post("application/json; charset=utf-8", query)).await.0, StatusCode::OK);
    let large = format!(r#"{{"query":"{}"}}"#, " ".repeat(1024 * 1024));
    assert_eq!(edge.send(post("application/json", &large)).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    for wrong in [
        "",
        "x",
        "[]",
        r#"[{"query":"{ __typename }"}]"#,
        "{}",
        r#"{"query":1}"#,
        r#"{"query":"{ __typename }","variables":"x"}"#,
        r#"{"query":"{ __typename }","operationName":1}"#,
        r#"{"query":"{ __typename }","extensions":[]}"#,
    ] {
        assert_eq!(edge.send(post("application/json", wrong)).await.0, StatusCode::BAD_REQUEST, "{wrong}");
    }
    let nested =
        format!(r#"{{"query":"{{ __typename }}","variables":{{"a":{}1{}}}}}"#, "[".repeat(500), "]".repeat(500));
    assert_eq!(edge.send(post("application/json", &nested)).await.0, StatusCode::BAD_REQUEST);
    let delete = Request::delete("/graphql").header("authorization", KEY).body(Body::empty()).unwrap();
    assert_eq!(edge.send(delete).await.0, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn pages_of_allowed_origins_may_read_answers_and_no_others() {
    let edge = Edge::start().await;
    for (origin, is_allowed) in [("https://app.example", true), ("https://evil.example", false)] {
        let request = Request::options("/graphql").header("origin", origin).body(Body::empty()).unwrap();
        let (status, headers, _) = edge.send(request).await;
        assert_eq!(status, StatusCode::NO_CONTENT);
        assert_eq!(headers.contains_key("access-control-allow-origin"), is_allowed);
    }
}

#[tokio::test]
async fn health_paths_need_no_key() {
    let edge = Edge::start().await;
    edge.fixture.source("crm").await;
    let get = |path: &str| Request::get(path).body(Body::empty()).unwrap();
    assert_eq!(edge.send(get("/livez")).await.0, StatusCode::OK);
    let (status, _, body) = edge.send(get("/readyz")).await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &body["sources"]["crm"]["state"]), (StatusCode::OK, &json!("running")));
    let (status, _, body) = edge.send(get("/metrics")).await;
    assert_eq!(status, StatusCode::OK);
    assert!(body.contains("profile_mirror_inbox_pending{source=\"crm\""), "{body}");
    edge.fixture.db.clone().close().await.unwrap();
    assert_eq!(edge.send(get("/livez")).await.0, StatusCode::OK);
    assert_eq!(edge.send(get("/readyz")).await.0, StatusCode::SERVICE_UNAVAILABLE);
    let (status, body) = edge.query("{ sources { name } }", SPEC).await;
    assert_eq!(status, StatusCode::OK);
    assert!(!body.to_string().to_lowercase().contains("sql"), "{body}");
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn connect(address: SocketAddr, headers: &[(&'static str, &str)]) -> Result<Socket, tungstenite::Error> {
    let mut request = format!("ws://{address}/graphql").into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    tokio_tungstenite::connect_async(request).await.map(|(socket, _)| socket)
}

async fn open(edge: &Edge) -> Socket {
    connect(edge.listen().await, &[("sec-websocket-protocol", "graphql-transport-ws")]).await.unwrap()
}

async fn say(socket: &mut Socket, message: Value) {
    socket.send(Message::text(message.to_string())).await.unwrap();
}

/// The next text, or the code that the socket was closed with.
async fn hear(socket: &mut Socket) -> Result<Value, u16> {
    loop {
        match tokio::time::timeout(Duration::from_secs(20), socket.next()).await.expect("something in time") {
            Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
            Some(Ok(Message::Close(frame))) => return Err(frame.map_or(0, |frame| frame.code.into())),
            Some(Ok(_)) => {}
            other => panic!("the socket was cut: {other:?}"),
        }
    }
}

async fn greet(socket: &mut Socket) {
    say(socket, json!({ "type": "connection_init", "payload": { "Authorization": KEY } })).await;
    assert_eq!(hear(socket).await, Ok(json!({ "type": "connection_ack" })));
}

fn subscribe(id: &str, query: &str) -> Value {
    json!({ "id": id, "type": "subscribe", "payload": { "query": query } })
}

const CHANGES: &str =
    "subscription { profileChanges { __typename ... on ProfileChange { change { kind } profile { externalId } } } }";

#[tokio::test]
async fn a_socket_carries_subscriptions_and_queries_side_by_side() {
    let edge = Edge::start().await;
    let source = edge.fixture.source("crm").await;
    let profile = edge.fixture.profile(source, "p", |_| {}).await;
    let mut socket = open(&edge).await;
    greet(&mut socket).await;
    say(&mut socket, subscribe("a", CHANGES)).await;
    let caught_up =
        json!({ "id": "a", "type": "next", "payload": { "data": { "profileChanges": { "__typename": "CaughtUp" } } } });
    assert_eq!(hear(&mut socket).await, Ok(caught_up));
    say(&mut socket, subscribe("b", "{ viewer { name } }")).await;
    let viewer = json!({ "id": "b", "type": "next", "payload": { "data": { "viewer": { "name": "reader" } } } });
    assert_eq!(hear(&mut socket).await, Ok(viewer));
    assert_eq!(hear(&mut socket).await, Ok(json!({ "id": "b", "type": "complete" })));
    say(&mut socket, json!({ "type": "ping", "payload": { "x": 1 } })).await;
    assert_eq!(hear(&mut socket).await, Ok(json!({ "type": "pong", "payload": { "x": 1 } })));

    edge.fixture.changes(source, profile, ::entity::ChangeKind::Closed, 1).await;
    edge.publisher.ring();
    let event = hear(&mut socket).await.unwrap();
    assert_eq!(
        event["payload"]["data"]["profileChanges"],
        json!({ "__typename": "ProfileChange", "change": { "kind": "CLOSED" }, "profile": { "externalId": "p" } })
    );
    say(&mut socket, json!({ "id": "a", "type": "complete" })).await;
    say(&mut socket, subscribe("a", "{ viewer { name } }")).await;
    assert_eq!(
        hear(&mut socket).await.unwrap()["payload"]["data"]["viewer"]["name"],
        "reader",
        "an id can be used again"
    );
}

#[tokio::test]
async fn wrong_operations_end_in_error_and_leave_the_socket_open() {
    let edge = Edge::start().await;
    let mut socket = open(&edge).await;
    greet(&mut socket).await;
    let bomb = format!("{{ node(id: {}1{}) {{ id }} }}", "[".repeat(1500), "]".repeat(1500));
    let after = "subscription { profileChanges(after: \"x\") { __typename } }";
    let cases = [
        ("{", "GRAPHQL_PARSE_FAILED"),
        ("{ nothing }", "GRAPHQL_VALIDATION_FAILED"),
        (bomb.as_str(), "QUERY_TOO_DEEP"),
        (after, "CURSOR_INVALID"),
    ];
    for (query, expected) in cases {
        say(&mut socket, subscribe("a", query)).await;
        let message = hear(&mut socket).await.unwrap();
        assert_eq!((&message["type"], &message["id"]), (&json!("error"), &json!("a")));
        assert_eq!(message["payload"][0]["extensions"]["code"], expected);
    }
}

#[tokio::test]
async fn breaches_of_the_protocol_close_with_their_codes() {
    let edge = Edge::start().await;
    let mut socket = open(&edge).await;
    say(&mut socket, subscribe("a", CHANGES)).await;
    assert_eq!(hear(&mut socket).await, Err(4401), "an operation before the greeting");

    for payload in [json!({ "Authorization": "Bearer wrong" }), json!({}), Value::Null] {
        let mut socket = open(&edge).await;
        say(&mut socket, json!({ "type": "connection_init", "payload": payload })).await;
        assert_eq!(hear(&mut socket).await, Err(4403), "a bad key");
    }
    for bad in [
        "x",
        "[]",
        "{}",
        r#"{"type":"nonsense"}"#,
        r#"{"type":"subscribe","payload":{"query":"{a}"}}"#,
        r#"{"id":"a","type":"subscribe"}"#,
        r#"{"id":"","type":"subscribe","payload":{"query":"{a}"}}"#,
        r#"{"id":"a","type":"subscribe","payload":{"query":1}}"#,
        r#"{"type":"complete"}"#,
        r#"{"type":"ping","payload":1}"#,
    ] {
        let mut socket = open(&edge).await;
        greet(&mut socket).await;
        socket.send(Message::text(bad)).await.unwrap();
        assert_eq!(hear(&mut socket).await, Err(4400), "{bad}");
    }
    let mut socket = open(&edge).await;
    socket.send(Message::binary(b"{}".to_vec())).await.unwrap();
    assert_eq!(hear(&mut socket).await, Err(4400), "a binary message");

    let mut socket = open(&edge).await;
    greet(&mut socket).await;
    say(&mut socket, json!({ "type": "connection_init" })).await;
    assert_eq!(hear(&mut socket).await, Err(4429), "a second greeting");

    let mut socket = open(&edge).await;
    greet(&mut socket).await;
    say(&mut socket, subscribe("a", CHANGES)).await;
    hear(&mut socket).await.unwrap();
    say(&mut socket, subscribe("a", CHANGES)).await;
    assert_eq!(hear(&mut socket).await, Err(4409), "an id in use");

    let mut socket = connect(edge.listen().await, &[]).await.unwrap();
    assert_eq!(hear(&mut socket).await, Err(4406), "another protocol");
}

#[tokio::test]
async fn foreign_pages_open_no_socket() {
    let edge = Edge::start().await;
    let address = edge.listen().await;
    let own = format!("http://{address}");
    for (origin, is_allowed) in
        [(own.as_str(), true), ("https://app.example", true), ("https://evil.example", false), ("null", false)]
    {
        let opened = connect(address, &[("sec-websocket-protocol", "graphql-transport-ws"), ("origin", origin)]).await;
        assert_eq!(opened.is_ok(), is_allowed, "{origin}");
    }
}

#[tokio::test]
async fn the_end_of_the_service_completes_streams_and_closes_sockets() {
    let edge = Edge::start().await;
    let mut socket = open(&edge).await;
    greet(&mut socket).await;
    say(&mut socket, subscribe("a", CHANGES)).await;
    hear(&mut socket).await.unwrap();
    edge.stop.cancel();
    let last = hear(&mut socket).await.unwrap();
    assert_eq!(last["payload"]["data"]["profileChanges"]["__typename"], "Interrupted", "{last}");
    assert_eq!(hear(&mut socket).await, Ok(json!({ "id": "a", "type": "complete" })));
    assert_eq!(hear(&mut socket).await, Err(1001));
    drop(socket);
    edge.sockets.close();
    tokio::time::timeout(Duration::from_secs(5), edge.sockets.wait()).await.expect("no socket stays");
}
