//! Parallel's REST behaviour and webhooks.

use chrono::Duration;
use serde_json::{Value, json};
use simulator::parallel::AnonymizedReads;
use simulator::{ProviderKind, Simulator, TruthStatus};

use crate::client::{Client, world};

const HERE: ProviderKind = ProviderKind::Parallel;

fn bodies(simulator: &Simulator) -> Vec<Value> {
    simulator.take_webhooks().iter().map(|webhook| serde_json::from_slice(&webhook.body).unwrap()).collect()
}

fn kinds(bodies: &[Value]) -> Vec<&str> {
    bodies.iter().map(|body| body["type"].as_str().unwrap()).collect()
}

async fn assert_rest_equals_truth(simulator: &Simulator) {
    let client = Client::new(simulator, HERE).await;
    let truth = simulator.truth(HERE);
    let mut live = 0;
    let mut seen = std::collections::BTreeMap::new();
    for (kind, _) in simulator.parallel().profile_types() {
        let mut offset = 0;
        loop {
            let path = format!("/profiles?profileTypeId={kind}&offset={offset}&limit=100&include=fields,relationships");
            let page = client.get_ok(&path).await;
            for row in page["items"].as_array().unwrap() {
                let id = row["id"].as_str().unwrap();
                let known = &truth.profiles[id];
                assert_eq!(known.upstream_status.as_deref(), row["status"].as_str());
                for field in row["fields"].as_array().unwrap() {
                    let key = field["field"]["alias"].as_str().or(field["field"]["id"].as_str()).unwrap();
                    let held = field["value"]["content"]["value"].clone();
                    assert_eq!(known.fields.get(key).cloned().unwrap_or(Value::Null), held, "{key}");
                }
                for relationship in row["relationships"].as_array().unwrap() {
                    let relation = &truth.relationships[relationship["id"].as_str().unwrap()];
                    let inverse = relationship["inverse"].as_bool().unwrap();
                    let (mine, other) =
                        if inverse { (&relation.to, &relation.from) } else { (&relation.from, &relation.to) };
                    assert_eq!((mine.as_str(), other.as_str()), (id, relationship["profile"]["id"].as_str().unwrap()));
                    *seen.entry(relationship["id"].clone().to_string()).or_insert(0) += 1;
                }
                live += 1;
            }
            offset += 100;
            if offset >= page["totalCount"].as_u64().unwrap() {
                break;
            }
        }
    }
    assert_eq!(live, truth.profiles.values().filter(|profile| !profile.status.is_gone()).count());
    assert_eq!(seen.len(), truth.relationships.len());
    assert!(seen.values().all(|times| *times == 2), "each relationship shows on both of its profiles");
}

#[tokio::test]
async fn rest_shows_the_truth_after_a_random_history() {
    let simulator = world(2000).await;
    assert_rest_equals_truth(&simulator).await;
    simulator.random_history(HERE, 400);
    assert_rest_equals_truth(&simulator).await;
}

#[tokio::test]
async fn ids_differ_by_case_alone() {
    let simulator = world(100).await;
    let ids = simulator.parallel().profile_ids("Individual");
    assert_ne!(ids[0], ids[1]);
    assert!(ids[0].eq_ignore_ascii_case(&ids[1]));
}

#[tokio::test]
async fn a_change_of_fields_ends_in_one_update() {
    let simulator = world(100).await;
    let parallel = simulator.parallel();
    let id = parallel.profile_ids("Legal entity")[0].clone();
    let without_alias = parallel.fields_without_alias("Legal entity")[0].clone();
    let values = [
        ("p_entity_name", Some(json!("Acme B.V."))),
        ("p_share_capital", Some(json!(18_000))),
        (without_alias.as_str(), Some(json!("call them back"))),
    ];
    assert!(parallel.set_fields(&id, &values).unwrap());
    assert!(!parallel.set_fields(&id, &values).unwrap());
    let bodies = bodies(&simulator);
    let value = "PROFILE_FIELD_VALUE_UPDATED";
    assert_eq!(kinds(&bodies), [value, value, value, "PROFILE_UPDATED"]);
    assert_eq!(bodies[2]["data"]["alias"], Value::Null);
    let truth = simulator.truth(HERE);
    assert_eq!(truth.profiles[&id].name.as_deref(), Some("Acme B.V."));
    assert_eq!(truth.profiles[&id].fields[&without_alias], json!("call them back"));
}

#[tokio::test]
async fn a_relationship_is_told_on_both_sides() {
    let simulator = world(100).await;
    let parallel = simulator.parallel();
    let companies = parallel.profile_ids("Legal entity");
    let id = parallel.create_relationship("p_parent__child", &companies[0], &companies[1]).unwrap();
    let created = bodies(&simulator);
    assert_eq!(kinds(&created), ["PROFILE_RELATIONSHIP_CREATED"; 2]);
    assert_ne!(created[0]["id"], created[1]["id"]);
    assert_eq!(created[0]["data"]["profileRelationshipId"], json!(id));
    assert_eq!((&created[0]["profileId"], &created[1]["profileId"]), (&json!(companies[0]), &json!(companies[1])));
    parallel.remove_relationship(&id).unwrap();
    assert_eq!(kinds(&bodies(&simulator)), ["PROFILE_RELATIONSHIP_REMOVED"; 2]);
}

#[tokio::test]
async fn a_life_goes_through_its_statuses() {
    let simulator = world(100).await;
    let parallel = simulator.parallel();
    let client = Client::new(&simulator, HERE).await;
    let id = parallel
        .create_profile("Individual", &[("p_first_name", json!("Ada")), ("p_email", json!("ada@example.com"))])
        .unwrap();
    parallel.close(&id).unwrap();
    parallel.reopen(&id).unwrap();
    let due = simulator.now() + Duration::days(30);
    parallel.schedule_for_deletion(&id, due).unwrap();
    let shown = client.get_ok(&format!("/profiles/{id}")).await;
    assert_eq!(shown["status"], json!("DELETION_SCHEDULED"));
    assert_eq!(shown["deletionScheduledAt"], json!("2026-02-14T12:00:00.000Z"));
    assert!(shown.get("fields").is_none() && shown.get("relationships").is_none());
    parallel.anonymize(&id).unwrap();
    assert_eq!(client.get(&format!("/profiles/{id}")).await.status, 404);
    let expected =
        ["CREATED", "CLOSED", "REOPENED", "SCHEDULED_FOR_DELETION", "ANONYMIZED"].map(|kind| format!("PROFILE_{kind}"));
    assert_eq!(kinds(&bodies(&simulator)), expected);
    let truth = &simulator.truth(HERE).profiles[&id];
    assert_eq!((truth.status, truth.fields.len()), (TruthStatus::Anonymized, 0));
    assert!(parallel.reopen(&id).is_err());
}

#[tokio::test]
async fn a_profile_vanishes_without_a_word() {
    let simulator = world(100).await;
    let parallel = simulator.parallel();
    let client = Client::new(&simulator, HERE).await;
    let ids = parallel.profile_ids("Individual");
    parallel.vanish(&ids[0]).unwrap();
    parallel.silently().close(&ids[1]).unwrap();
    assert_eq!(simulator.queued_webhooks(), 0);
    parallel.configure(|switches| switches.absent_is_403 = true);
    assert_eq!(client.get(&format!("/profiles/{}", ids[0])).await.status, 403);
    assert_eq!(simulator.truth(HERE).profiles[&ids[0]].status, TruthStatus::Deleted);
    parallel.configure(|switches| switches.anonymized_reads = AnonymizedReads::Emptied);
    parallel.anonymize(&ids[1]).unwrap();
    let emptied = client.get_ok(&format!("/profiles/{}?include=fields", ids[1])).await;
    assert_eq!((&emptied["name"], &emptied["status"]), (&json!(""), &json!("CLOSED")));
    parallel.configure(|switches| switches.anonymized_reads = AnonymizedReads::Told);
    let told = client.get_ok(&format!("/profiles/{}?include=fields", ids[1])).await;
    assert_eq!((&told["name"], &told["status"]), (&json!(""), &json!("ANONYMIZED")));
}

#[tokio::test]
async fn lists_refuse_what_the_api_refuses() {
    let simulator = world(100).await;
    simulator.parallel().configure(|switches| switches.rate_limited = true);
    let client = Client::new(&simulator, HERE).await;
    let (kind, _) = simulator.parallel().profile_types()[0].clone();
    let page = client.get(&format!("/profiles?profileTypeId={kind}")).await;
    assert_eq!(page.json["items"].as_array().unwrap().len(), 10);
    assert_eq!(page.headers["x-ratelimit-limit"], "100");
    assert!(page.headers["ratelimit"].to_str().unwrap().starts_with("limit=100, remaining="));
    assert_eq!(client.get(&format!("/profiles?profileTypeId={kind}&limit=101")).await.status, 422);
    assert_eq!(client.get(&format!("/profiles?profileTypeId={kind}&status=GONE")).await.status, 422);
    assert_eq!(client.get("/profiles").await.status, 400);
    assert_eq!(client.get("/profiles/not-an-id").await.status, 422);
    let closed =
        client.get_ok(&format!("/profiles?profileTypeId={kind}&status=CLOSED&status=DELETION_SCHEDULED")).await;
    assert!(closed["items"].as_array().unwrap().iter().all(|row| row["status"] != json!("OPEN")));
}

#[tokio::test]
async fn the_limiter_counts_a_minute() {
    let simulator = world(100).await;
    simulator.parallel().configure(|switches| switches.rate_limited = true);
    let client = Client::new(&simulator, HERE).await;
    for _ in 0..100 {
        assert_eq!(client.get("/me").await.status, 200);
    }
    let over = client.get("/me").await;
    assert_eq!(over.status, 429);
    assert!(over.headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap() <= 60);
}

#[tokio::test]
async fn a_status_that_nobody_has_heard_of_is_read_by_id_and_in_no_list_of_another() {
    let simulator = world(100).await;
    let parallel = simulator.parallel();
    let (kind, _) = parallel.profile_types().remove(0);
    let id = parallel.create_random_profile(&kind).unwrap();
    simulator.take_webhooks();
    parallel.set_unheard_status(&id, "ON_HOLD", "PROFILE_PUT_ON_HOLD").unwrap();
    assert_eq!(kinds(&bodies(&simulator)), ["PROFILE_PUT_ON_HOLD"]);
    assert_rest_equals_truth(&simulator).await;
    let client = Client::new(&simulator, HERE).await;
    assert_eq!(client.get_ok(&format!("/profiles/{id}")).await["status"], json!("ON_HOLD"));
    for status in ["OPEN", "CLOSED", "DELETION_SCHEDULED"] {
        let page = client.get_ok(&format!("/profiles?profileTypeId={kind}&status={status}&limit=100")).await;
        assert!(page["items"].as_array().unwrap().iter().all(|row| row["id"] != json!(id)), "{status}");
    }
}
