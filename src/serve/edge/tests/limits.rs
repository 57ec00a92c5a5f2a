//! What operations may cost, and who may ask the schema to describe itself.

use super::*;
use crate::config::Introspection;

#[tokio::test]
async fn answers_tell_what_they_cost() {
    let edge = Edge::start().await;
    let source = edge.fixture.source("crm").await;
    for id in ["a", "b"] {
        edge.fixture.profile(source, id, |_| {}).await;
    }
    let (_, body) = edge.query("{ profiles(first: 50) { nodes { id externalId } } }", SPEC).await;
    // The list, and 50 times nodes, id and externalId; of which there are 2 profiles.
    let cost = &body["extensions"]["cost"];
    assert_eq!((&cost["estimated"], &cost["actual"]), (&json!(151), &json!(6)));
    let limit = cost["limit"].as_u64().unwrap();
    assert_eq!(cost["remaining"].as_u64(), Some(limit - 6));
}

#[tokio::test]
async fn a_key_that_has_spent_its_minute_waits() {
    let edge = Edge::with(config::Server { cost_per_minute: 60, ..config::Server::default() }).await;
    let query = json!({ "query": "{ viewer { name role } }" });
    for _ in 0..20 {
        assert_eq!(edge.post(query.clone(), &[]).await.0, StatusCode::OK);
    }
    for accept in [SPEC, LEGACY] {
        let request = Request::post("/graphql").header("content-type", "application/json");
        let request = request.header("authorization", KEY).header("accept", accept);
        let (status, headers, body) = edge.send(request.body(Body::from(query.to_string())).unwrap()).await;
        assert_eq!((status, headers["retry-after"].to_str().unwrap()), (StatusCode::TOO_MANY_REQUESTS, "3"));
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(code(&body), "RATE_LIMITED");
        assert_eq!(body["errors"][0]["extensions"]["retryAfterSeconds"], 3);
    }
    let (status, _) = edge.post(query.clone(), &[("authorization", OPERATOR)]).await;
    assert_eq!(status, StatusCode::OK, "another key has its own");
    edge.fixture.clock.advance_ms(3_000);
    assert_eq!(edge.post(query, &[]).await.0, StatusCode::OK);
}

#[tokio::test]
async fn the_schema_describes_itself_to_those_who_may_know() {
    let cases = [
        (None, false, [true, true]),
        (None, true, [false, true]),
        (Some(Introspection::All), true, [true, true]),
        (Some(Introspection::Operator), false, [false, true]),
        (Some(Introspection::Off), false, [false, false]),
    ];
    for (introspection, production, is_told) in cases {
        let server = config::Server { introspection, production, persisted_only: Some(false), ..Default::default() };
        let edge = Edge::with(server).await;
        for (key, is_told) in [KEY, OPERATOR].into_iter().zip(is_told) {
            for query in ["{ __schema { queryType { name } } }", "{ ...{ __type(name: \"Query\") { name } } }"] {
                let (_, body) = edge.post(json!({ "query": query }), &[("authorization", key)]).await;
                assert_eq!(body.get("errors").is_none(), is_told, "{introspection:?} {production} {key}: {body}");
                assert!(is_told || code(&body) == "FORBIDDEN");
            }
            let (_, body) = edge.post(json!({ "query": "{ __typename }" }), &[("authorization", key)]).await;
            assert_eq!(body["data"]["__typename"], "Query");
        }
    }
}

#[tokio::test]
async fn variables_are_nested_so_deep_and_no_deeper() {
    let edge = Edge::start().await;
    let variables = |depth: usize| {
        let text = format!(
            r#"{{"query":"{{ __typename }}","variables":{{"a":{}1{}}}}}"#,
            "[".repeat(depth),
            "]".repeat(depth)
        );
        serde_json::from_str::<Value>(&text).unwrap()
    };
    assert_eq!(edge.post(variables(32), &[]).await.0, StatusCode::OK);
    let (status, body) = edge.post(variables(33), &[]).await;
    assert_eq!((status, code(&body)), (StatusCode::BAD_REQUEST, "BAD_USER_INPUT"));
}

#[tokio::test]
async fn fields_come_in_the_order_of_the_document() {
    let edge = Edge::start().await;
    let source = edge.fixture.source("crm").await;
    edge.fixture.profile(source, "a", |_| {}).await;
    // Some of these wait for the database, others do not.
    let query = "{ profiles(first: 1) { totalCount nodes { history(last: 1) { nodes { id } } externalId
        type { name } subprofiles(first: 1) { nodes { id } } status source { name } id } pageInfo { endCursor } } viewer { name } }";
    let (_, _, body) = edge.get(&[("query", query)], &[]).await;
    let names =
        ["data", "profiles", "totalCount", "nodes", "history", "externalId", "type", "subprofiles", "status", "source"];
    let places: Vec<_> = names.iter().map(|name| body.find(&format!("\"{name}\":"))).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{body}");
    assert!(body.find("\"pageInfo\"") < body.find("\"viewer\"") && body.find("\"status\"") < body.find("\"pageInfo\""));
}
