//! GetProfile's REST behaviour and webhooks.

use serde_json::{Value, json};
use simulator::{ProviderKind, Simulator, TruthStatus};

use crate::client::{Client, segment, world};

const HERE: ProviderKind = ProviderKind::GetProfile;

async fn assert_rest_equals_truth(simulator: &Simulator) {
    let client = Client::new(simulator, HERE).await;
    let truth = simulator.truth(HERE);
    let mut rows = Vec::new();
    for page in 1.. {
        let answer =
            client.get_ok(&format!("/v1/search?sortBy=created_at&sortOrder=asc&page={page}&pageSize=500")).await;
        assert_eq!(answer["pageSize"], json!(100));
        rows.extend(answer["profiles"].as_array().unwrap().clone());
        if rows.len() as u64 >= answer["total"].as_u64().unwrap() {
            break;
        }
    }
    for row in &rows {
        let known = &truth.profiles[row["profile_id"].as_str().unwrap()];
        assert_eq!(known.upstream_status.as_deref(), row["status"].as_str());
        for (path, value) in &known.fields {
            let pointer = format!("/{}", path.replace('.', "/"));
            assert_eq!(row.pointer(&pointer), Some(value));
        }
    }
    assert_eq!(rows.len(), truth.profiles.values().filter(|profile| profile.status == TruthStatus::Open).count());
}

#[tokio::test]
async fn rest_shows_the_truth_after_a_random_history() {
    let simulator = world(1500).await;
    assert_rest_equals_truth(&simulator).await;
    simulator.random_history(HERE, 300);
    simulator.getprofile().settle();
    assert_rest_equals_truth(&simulator).await;
}

#[tokio::test]
async fn text_shows_once_it_is_processed() {
    let simulator = world(10).await;
    let getprofile = simulator.getprofile();
    let client = Client::new(&simulator, HERE).await;
    let id = "team/7 +x";
    let path = format!("/v1/profile/{}", segment(id));
    let data = json!({"core_info": {"name": {"value": "Alex", "confidence": 0.9}}, "interests": {"hobbies": [{"value": "chess"}]}});
    let accepted = client.call("POST", &path, Some(json!({"data": data}))).await;
    assert_eq!((accepted.status, &accepted.json["message"]), (202, &json!("accepted")));
    assert_eq!(client.get_ok(&path).await["status"], json!("processing"));
    assert!(simulator.truth(HERE).profiles[id].fields.is_empty());
    assert_eq!(simulator.queued_webhooks(), 0);
    getprofile.settle();
    let truth = simulator.truth(HERE).profiles[id].clone();
    assert_eq!(truth.name.as_deref(), Some("Alex"));
    assert!(truth.interests.contains(&(Some("hobbies".into()), "chess".into())));
    assert_eq!(truth.fields["core_info.name"], json!({"value": "Alex", "confidence": 0.9}));
    let webhooks = simulator.take_webhooks();
    let body: Value = serde_json::from_slice(&webhooks[0].body).unwrap();
    assert_eq!(
        (&body["event"], &body["data"]),
        (&json!("profile.updated"), &json!({"profile_id": id, "status": "ready"}))
    );
    assert_eq!(webhooks[0].header("authorization"), Some(format!("Bearer {}", getprofile.api_key()).as_str()));
    getprofile.configure(|switches| switches.wrapped = true);
    assert_eq!(client.get_ok(&path).await["profile"]["status"], json!("ready"));
}

#[tokio::test]
async fn an_id_comes_back_after_its_deletion() {
    let simulator = world(50).await;
    let getprofile = simulator.getprofile();
    let client = Client::new(&simulator, HERE).await;
    let id = getprofile.profile_ids()[0].clone();
    getprofile.delete(&id).unwrap();
    assert_eq!(simulator.queued_webhooks(), 0);
    assert_eq!(client.get(&format!("/v1/profile/{}", segment(&id))).await.status, 404);
    assert_eq!(simulator.truth(HERE).profiles[&id].status, TruthStatus::Deleted);
    getprofile.create(&id, &json!({"summary": "Somebody else."})).unwrap();
    getprofile.settle();
    let truth = simulator.truth(HERE);
    assert_eq!(truth.profiles[&id].status, TruthStatus::Open);
    assert_eq!(truth.profiles[&id].fields.len(), 1);
}

#[tokio::test]
async fn an_old_key_fails_at_once() {
    let simulator = world(50).await;
    let client = Client::new(&simulator, HERE).await;
    assert_eq!(client.get("/v1/search").await.status, 200);
    simulator.getprofile().rotate_api_key();
    let refused = client.get("/v1/search").await;
    assert_eq!((refused.status, refused.json), (401, json!({"error": "Unauthorized"})));
}

#[tokio::test]
async fn a_search_filters_by_part_of_a_value() {
    let simulator = world(500).await;
    let client = Client::new(&simulator, HERE).await;
    let all = client.get_ok("/v1/search").await;
    assert_eq!((&all["page"], &all["pageSize"]), (&json!(1), &json!(10)));
    let some = client.get_ok("/v1/search?filterBy=status&filterValue=ACT&pageSize=100").await;
    assert!(some["total"].as_u64().unwrap() < all["total"].as_u64().unwrap());
    assert!(some["profiles"].as_array().unwrap().iter().all(|row| row["status"] == json!("active")));
}
