//! Requests and answers.

use super::*;

#[tokio::test]
async fn a_query_is_answered_in_both_media_types() {
    let edge = Edge::start().await;
    for accept in [SPEC, LEGACY, "*/*"] {
        let (status, body) = edge.query("{ viewer { name role } }", accept).await;
        assert_eq!(
            (status, &body["data"]),
            (StatusCode::OK, &json!({ "viewer": { "name": "reader", "role": "READER" } }))
        );
    }
    let (status, headers, _) = edge.get(&[("query", "{viewer{name}}"), ("variables", "{}")], &[]).await;
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
        (json!({ "query": "{ profiles(first: 101) { nodes { id } } }" }), "PAGE_TOO_LARGE"),
        (variables, "BAD_USER_INPUT"),
        (json!({ "query": "query($id: ID!) { node(id: $id) { id } }" }), "BAD_USER_INPUT"),
        (json!({ "query": "query($id: ID!) { node(id: $id) { id } }", "variables": { "id": null } }), "BAD_USER_INPUT"),
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
    let (status, body) = edge.query("{ profiles(first: 1, last: 1) { nodes { id } } }", SPEC).await;
    assert_eq!((status, code(&body)), (StatusCode::OK, "BAD_USER_INPUT"));
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
    let (status, headers, _) = edge.send(delete).await;
    assert_eq!((status, headers["allow"].to_str().unwrap()), (StatusCode::METHOD_NOT_ALLOWED, "GET,HEAD,POST,OPTIONS"));
    let (status, headers, _) = edge.get(&[("query", "mutation { __typename }")], &[]).await;
    assert_eq!((status, headers["allow"].to_str().unwrap()), (StatusCode::METHOD_NOT_ALLOWED, "POST"));
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
    assert_eq!((status, code(&body)), (StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE"));
    assert!(!body.to_string().to_lowercase().contains("sql"), "{body}");
}

#[tokio::test]
async fn every_error_names_its_place_in_the_runbook() {
    let edge = Edge::start().await;
    let (_, body) = edge.query("{ nothing }", SPEC).await;
    assert_eq!(body["errors"][0]["extensions"]["docs"], "docs/runbook.md#graphql_validation_failed");
    let (_, body) = edge.query("{ profiles(first: 101) { nodes { id } } }", SPEC).await;
    assert_eq!(body["errors"][0]["extensions"]["docs"], "docs/runbook.md#page_too_large");
}

#[tokio::test]
async fn what_was_asked_by_get_is_not_sent_again_while_it_is_the_same() {
    let edge = Edge::start().await;
    let source = edge.fixture.source("crm").await;
    let profiles = [("query", "{ profiles(first: 10) { nodes { externalId } } }")];
    let (status, headers, _) = edge.get(&profiles, &[]).await;
    assert_eq!((status, headers["cache-control"].to_str().unwrap()), (StatusCode::OK, "private, no-cache"));
    let tag = headers["etag"].to_str().unwrap().to_owned();
    for known in [tag.clone(), format!("\"other\", {}", tag.trim_start_matches("W/"))] {
        let (status, headers, body) = edge.get(&profiles, &[("if-none-match", known.as_str())]).await;
        assert_eq!((status, body.as_str()), (StatusCode::NOT_MODIFIED, ""));
        assert_eq!(headers["etag"].to_str().unwrap(), tag);
    }
    edge.fixture.profile(source, "p", |_| {}).await;
    let (status, headers, _) = edge.get(&profiles, &[("if-none-match", tag.as_str())]).await;
    assert_eq!(status, StatusCode::OK);
    assert_ne!(headers["etag"].to_str().unwrap(), tag);

    let (_, headers, _) = edge.get(&[("query", "{ profiles(first: 101) { nodes { id } } }")], &[]).await;
    assert_eq!((headers["cache-control"].to_str().unwrap(), headers.get("etag")), ("no-store", None), "an error");
    let post = Request::post("/graphql").header("authorization", KEY).header("content-type", "application/json");
    let (_, headers, _) = edge.send(post.body(Body::from(r#"{"query":"{ viewer { name } }"}"#)).unwrap()).await;
    assert_eq!((headers["cache-control"].to_str().unwrap(), headers.get("etag")), ("no-store", None), "by POST");
}

#[tokio::test]
async fn answers_are_compressed_for_who_asks_for_it() {
    let edge = Edge::start().await;
    let schema = [("query", "{ __schema { types { name description } } }")];
    let request = |encoding: &str| {
        let query = serde_urlencoded::to_string(schema).unwrap();
        let request = Request::get(format!("/graphql?{query}")).header("authorization", KEY);
        request.header("accept-encoding", encoding).body(Body::empty()).unwrap()
    };
    let response = edge.router.clone().oneshot(request("gzip")).await.unwrap();
    assert_eq!(response.headers()["content-encoding"], "gzip");
    let packed = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let (_, headers, plain) = edge.send(request("identity")).await;
    assert!(!headers.contains_key("content-encoding") && packed.len() * 2 < plain.len());
}

#[tokio::test]
async fn production_has_no_explorer() {
    let page = || Request::get("/graphiql").body(Body::empty()).unwrap();
    assert_eq!(Edge::start().await.send(page()).await.0, StatusCode::OK);
    let server = config::Server { production: true, persisted_only: Some(false), ..config::Server::default() };
    assert_eq!(Edge::with(server).await.send(page()).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_console_is_served_in_production_too_and_may_load_and_call_nothing_but_us() {
    let server = config::Server { production: true, persisted_only: Some(false), ..config::Server::default() };
    let edge = Edge::with(server).await;
    let get = |path: &str, known: &str| Request::get(path).header("if-none-match", known).body(Body::empty()).unwrap();
    let (status, headers, page) = edge.send(get("/console", "")).await;
    assert!(status == StatusCode::OK && headers["content-type"] == "text/html; charset=utf-8");
    let policy = headers["content-security-policy"].to_str().unwrap();
    for rule in
        ["default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "frame-ancestors 'none'"]
    {
        assert!(policy.split("; ").any(|known| known == rule), "{rule} is not in {policy}");
    }
    assert!(!policy.contains("unsafe") && !policy.contains('*') && !policy.contains("http"), "{policy}");
    assert!(headers["x-content-type-options"] == "nosniff" && headers["referrer-policy"] == "no-referrer");
    assert!(page.contains("/console/main.js"));
    for (name, media) in
        [("main.js", "text/javascript"), ("console.css", "text/css"), ("runbook.json", "application/json")]
    {
        let path = format!("/console/{name}");
        let (status, headers, body) = edge.send(get(&path, "")).await;
        assert!(status == StatusCode::OK && !body.is_empty(), "{path}");
        assert!(headers["content-type"].to_str().unwrap().starts_with(media), "{path}");
        let tag = headers["etag"].to_str().unwrap();
        assert_eq!(edge.send(get(&path, tag)).await.0, StatusCode::NOT_MODIFIED, "{path}");
    }
    assert_eq!(edge.send(get("/console/none.js", "")).await.0, StatusCode::NOT_FOUND);
}
