//! Documents that requests name instead of bringing them.

use super::super::automatic::hash_of;
use super::*;

const VIEWER: &str = "{ viewer { name } }";

fn persisted(hash: &str) -> Value {
    json!({ "persistedQuery": { "version": 1, "sha256Hash": hash } })
}

fn name(body: &Value) -> &Value {
    &body["data"]["viewer"]["name"]
}

#[tokio::test]
async fn a_document_is_sent_once_and_named_by_its_hash_from_then_on() {
    let edge = Edge::start().await;
    let hash = hash_of(VIEWER);
    let by_hash = json!({ "extensions": persisted(&hash) });
    let (status, body) = edge.post(by_hash.clone(), &[("accept", SPEC)]).await;
    assert_eq!((status, code(&body)), (StatusCode::OK, "PERSISTED_QUERY_NOT_FOUND"));
    assert_eq!(body["errors"][0]["message"], "PersistedQueryNotFound", "the text that client libraries look for");
    let (_, body) = edge.post(json!({ "query": VIEWER, "extensions": persisted(&hash) }), &[]).await;
    assert_eq!(name(&body), "reader");
    let (_, body) =
        edge.post(json!({ "extensions": persisted(&hash.to_uppercase()) }), &[("authorization", OPERATOR)]).await;
    assert_eq!(name(&body), "operator", "by another key as well");
    let (_, _, body) = edge.get(&[("extensions", persisted(&hash).to_string().as_str())], &[]).await;
    assert_eq!(name(&serde_json::from_str(&body).unwrap()), "reader");
    let (status, _) = edge.post(by_hash, &[("authorization", "Bearer wrong")]).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "a hash opens nothing");
}

#[tokio::test]
async fn a_hash_is_of_its_document_and_of_one_that_is_graphql() {
    let edge = Edge::start().await;
    let other = hash_of("{ viewer { role } }");
    let wrong = [
        json!({ "query": VIEWER, "extensions": persisted(&other) }),
        json!({ "query": VIEWER, "extensions": persisted("abc") }),
        json!({ "extensions": { "persistedQuery": { "version": 2, "sha256Hash": other } } }),
        json!({ "extensions": { "persistedQuery": 1 } }),
    ];
    for request in wrong {
        let (status, body) = edge.post(request, &[("accept", SPEC)]).await;
        assert_eq!((status, code(&body)), (StatusCode::BAD_REQUEST, "BAD_USER_INPUT"), "{body}");
    }
    let bomb = "[".repeat(2_000);
    for refused in ["{", bomb.as_str()] {
        let hash = hash_of(refused);
        edge.post(json!({ "query": refused, "extensions": persisted(&hash) }), &[]).await;
        let (_, body) = edge.post(json!({ "extensions": persisted(&hash) }), &[]).await;
        assert_eq!(code(&body), "PERSISTED_QUERY_NOT_FOUND", "what is refused is not kept");
    }
}

/// An edge with registered operations, and whether readers run nothing else.
async fn registered(persisted_only: bool) -> Edge {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("operations.json");
    let operations = json!({ "viewer-1": VIEWER, "changes-1": "subscription { profileChanges { __typename } }" });
    std::fs::write(&file, operations.to_string()).unwrap();
    let persisted_only = Some(persisted_only);
    Edge::with(config::Server { persisted_operations: Some(file), persisted_only, ..config::Server::default() }).await
}

#[tokio::test]
async fn registered_operations_are_run_by_id_by_hash_and_by_text() {
    let requests = [
        json!({ "documentId": "viewer-1" }),
        json!({ "documentId": hash_of(VIEWER) }),
        json!({ "documentId": format!("sha256:{}", hash_of(VIEWER)) }),
        json!({ "extensions": persisted(&hash_of(VIEWER)) }),
        json!({ "query": VIEWER }),
    ];
    for persisted_only in [false, true] {
        let edge = registered(persisted_only).await;
        for request in &requests {
            let (_, body) = edge.post(request.clone(), &[]).await;
            assert_eq!(name(&body), "reader", "{request}");
        }
        let (_, _, body) = edge.get(&[("documentId", "viewer-1")], &[]).await;
        assert_eq!(name(&serde_json::from_str(&body).unwrap()), "reader");
    }
}

#[tokio::test]
async fn readers_run_registered_operations_only_where_the_service_says_so() {
    let edge = registered(true).await;
    let free = "{ viewer { role } }";
    let requests = [
        json!({ "query": free }),
        json!({ "query": free, "extensions": persisted(&hash_of(free)) }),
        json!({ "extensions": persisted(&hash_of(free)) }),
        json!({ "documentId": "viewer-2" }),
    ];
    for request in &requests {
        let (status, body) = edge.post(request.clone(), &[("accept", SPEC)]).await;
        assert_eq!((status, code(&body)), (StatusCode::BAD_REQUEST, "PERSISTED_QUERY_REQUIRED"), "{request}");
    }
    for request in &requests[..2] {
        let (_, body) = edge.post(request.clone(), &[("authorization", OPERATOR)]).await;
        assert_eq!(body["data"]["viewer"]["role"], "OPERATOR", "operators ask what they like");
    }
    let (_, body) = edge.post(requests[2].clone(), &[]).await;
    assert_eq!(code(&body), "PERSISTED_QUERY_REQUIRED", "what an operator sent opens nothing to readers");
}
