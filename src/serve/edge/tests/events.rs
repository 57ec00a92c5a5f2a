//! GraphQL over server-sent events, as the protocol page asks for it: distinct connections mode.

use super::*;
use axum::body::BodyDataStream;
use futures::StreamExt;
use std::time::Duration;

const CHANGES: &str =
    "subscription { profileChanges { __typename ... on ProfileChange { change { kind } profile { externalId } } } }";

/// An event stream, read event by event.
struct Events {
    status: StatusCode,
    headers: HeaderMap,
    body: BodyDataStream,
    read: String,
}

impl Events {
    async fn open(edge: &Edge, request: Request<Body>) -> Self {
        let (parts, body) = edge.router.clone().oneshot(request).await.unwrap().into_parts();
        Self { status: parts.status, headers: parts.headers, body: body.into_data_stream(), read: String::new() }
    }

    async fn post(edge: &Edge, body: Value) -> Self {
        Self::open(edge, post(KEY).body(Body::from(body.to_string())).unwrap()).await
    }

    async fn query(edge: &Edge, query: &str) -> Self {
        let opened = Self::post(edge, json!({ "query": query })).await;
        assert_eq!(opened.status, StatusCode::OK);
        assert_eq!(opened.headers["content-type"], "text/event-stream");
        opened
    }

    /// The next block as it came, without its last line; none at the end.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.read.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.read = rest;
                return Some(block);
            }
            let more =
                tokio::time::timeout(Duration::from_secs(20), self.body.next()).await.expect("something in time");
            self.read += std::str::from_utf8(&more?.unwrap()).unwrap();
        }
    }

    /// The data of the next event, which must be of this name.
    async fn hear(&mut self, name: &str) -> Value {
        let block = self.block().await.expect("an event");
        let (event, data) = block.split_once('\n').unwrap_or_else(|| panic!("no data: {block:?}"));
        assert_eq!(event, format!("event: {name}"));
        let data = data.strip_prefix("data:").unwrap().trim_start();
        if data.is_empty() { Value::Null } else { serde_json::from_str(data).unwrap() }
    }

    async fn hear_the_end(&mut self) {
        assert_eq!(self.hear("complete").await, Value::Null);
        assert_eq!(self.block().await, None);
    }
}

fn post(key: &str) -> ::http::request::Builder {
    let request = Request::post("/graphql/stream").header("content-type", "application/json");
    request.header("accept", "text/event-stream").header("authorization", key)
}

fn get(query: &str) -> Request<Body> {
    let query = serde_urlencoded::to_string([("query", query)]).unwrap();
    let request = Request::get(format!("/graphql/stream?{query}")).header("authorization", KEY);
    request.header("accept", "text/event-stream").body(Body::empty()).unwrap()
}

#[tokio::test]
async fn a_subscription_streams_its_events_until_the_service_stops() {
    let edge = Edge::start().await;
    let source = edge.fixture.source("crm").await;
    let profile = edge.fixture.profile(source, "p", |_| {}).await;
    for is_get in [false, true] {
        let mut events =
            if is_get { Events::open(&edge, get(CHANGES)).await } else { Events::query(&edge, CHANGES).await };
        assert_eq!(events.headers["cache-control"], "no-store");
        assert_eq!(events.hear("next").await, json!({ "data": { "profileChanges": { "__typename": "CaughtUp" } } }));
        edge.fixture.changes(source, profile, ::entity::ChangeKind::Closed, 1).await;
        edge.publisher.ring();
        let change =
            json!({ "__typename": "ProfileChange", "change": { "kind": "CLOSED" }, "profile": { "externalId": "p" } });
        assert_eq!(events.hear("next").await, json!({ "data": { "profileChanges": change } }));
        if is_get {
            edge.stop.cancel();
            let last = json!({ "data": { "profileChanges": { "__typename": "Interrupted" } } });
            assert_eq!(events.hear("next").await, last);
            events.hear_the_end().await;
        }
    }
}

#[tokio::test]
async fn a_query_and_a_mutation_are_one_event_and_the_end() {
    let edge = Edge::start().await;
    let mut events = Events::query(&edge, "{ viewer { name } }").await;
    assert_eq!(events.hear("next").await["data"]["viewer"]["name"], "reader");
    events.hear_the_end().await;
    let mut events = Events::query(&edge, "mutation { __typename }").await;
    assert_eq!(events.hear("next").await["data"]["__typename"], "Mutation");
    events.hear_the_end().await;
    let refused = Events::open(&edge, get("mutation { __typename }")).await;
    assert_eq!(refused.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(refused.headers["allow"], "POST");
}

#[tokio::test]
async fn a_wrong_document_is_told_as_an_event() {
    let edge = Edge::start().await;
    let bomb = format!("{{ node(id: {}1{}) {{ id }} }}", "[".repeat(1_500), "]".repeat(1_500));
    let cases = [
        ("{", "GRAPHQL_PARSE_FAILED"),
        ("{ nothing }", "GRAPHQL_VALIDATION_FAILED"),
        (bomb.as_str(), "QUERY_TOO_DEEP"),
        ("subscription { nothing }", "GRAPHQL_VALIDATION_FAILED"),
        ("subscription { profileChanges(after: \"x\") { __typename } }", "CURSOR_INVALID"),
    ];
    for (query, expected) in cases {
        let mut events = Events::query(&edge, query).await;
        let told = events.hear("next").await;
        assert_eq!((code(&told), told.get("data").is_none_or(Value::is_null)), (expected, true));
        events.hear_the_end().await;
    }
}

#[tokio::test]
async fn a_wrong_request_is_told_by_its_status() {
    let edge = Edge::start().await;
    let body = || Body::from(r#"{"query":"{ viewer { name } }"}"#);
    let cases = [
        (post("Bearer wrong").body(body()), StatusCode::UNAUTHORIZED),
        (Request::post("/graphql/stream").body(body()), StatusCode::UNAUTHORIZED),
        (post(KEY).body(Body::from("x")), StatusCode::BAD_REQUEST),
        (post(KEY).body(Body::from("[]")), StatusCode::BAD_REQUEST),
        (
            Request::post("/graphql/stream").header("authorization", KEY).body(body()),
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ),
    ];
    for (request, expected) in cases {
        assert_eq!(Events::open(&edge, request.unwrap()).await.status, expected);
    }
    let json = Request::post("/graphql/stream").header("content-type", LEGACY).header("authorization", KEY);
    let events = Events::open(&edge, json.header("accept", LEGACY).body(body()).unwrap()).await;
    assert_eq!(events.status, StatusCode::NOT_ACCEPTABLE);
    let delete = Request::delete("/graphql/stream").header("authorization", KEY).body(Body::empty());
    assert_eq!(Events::open(&edge, delete.unwrap()).await.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn an_idle_stream_is_proven_alive_by_comments() {
    let edge = Edge::with(config::Server { keep_alive_seconds: 1, ..config::Server::default() }).await;
    let mut events = Events::query(&edge, CHANGES).await;
    events.hear("next").await;
    for _ in 0..2 {
        assert_eq!(events.block().await.as_deref(), Some(":"));
    }
}

#[tokio::test]
async fn streams_are_counted_and_end_with_their_client() {
    let server = config::Server { streams: 3, streams_per_key: 2, ..config::Server::default() };
    let edge = Edge::with(server).await;
    let open = async |key: &str| {
        let body = Body::from(json!({ "query": CHANGES }).to_string());
        Events::open(&edge, post(key).body(body).unwrap()).await
    };
    let (one, _two) = (open(KEY).await, open(KEY).await);
    assert_eq!(open(KEY).await.status, StatusCode::TOO_MANY_REQUESTS);
    let _three = open(OPERATOR).await;
    let full = open(OPERATOR).await;
    assert_eq!(full.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(full.headers["retry-after"], "5");
    drop(one);
    // The task of the stream sees it once it runs.
    let reopened = async {
        loop {
            let again = open(OPERATOR).await;
            if again.status == StatusCode::OK {
                return again;
            }
            tokio::task::yield_now().await;
        }
    };
    let mut again = tokio::time::timeout(Duration::from_secs(20), reopened).await.expect("the place is free again");
    assert_eq!(again.hear("next").await["data"]["profileChanges"]["__typename"], "CaughtUp");
}
