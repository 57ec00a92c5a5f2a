//! Upstream faults, pauses, the record of requests, and what a seed fixes.

use std::time::Duration;

use serde_json::json;
use simulator::{FailureKind, ProviderKind, Simulator, SimulatorOptions};

use crate::client::{Client, world};

#[tokio::test]
async fn planned_failures_come_in_order_and_end() {
    let simulator = world(100).await;
    let client = Client::new(&simulator, ProviderKind::Copernica).await;
    let faults = simulator.faults(ProviderKind::Copernica);
    faults.fail_next(1, FailureKind::Status429 { retry_after: Some("7".into()) });
    faults.fail_next(1, FailureKind::Html503);
    faults.fail_next_at("/database/1/", 1, FailureKind::CutJson);
    let limited = client.get("/databases").await;
    assert_eq!((limited.status, limited.headers["retry-after"].to_str().unwrap()), (429, "7"));
    let unavailable = client.get("/databases").await;
    assert_eq!((unavailable.status, unavailable.headers["content-type"].to_str().unwrap()), (503, "text/html"));
    assert_eq!(client.get("/databases").await.status, 200);
    let cut = client.get("/database/1/profiles").await;
    assert_eq!((cut.status, cut.json), (200, serde_json::Value::Null));
    assert_eq!(client.get("/database/1/profiles").await.json["count"], json!(43));
}

#[tokio::test]
async fn bodies_are_cut_slowed_and_repeated() {
    let simulator = world(1000).await;
    let client = Client::new(&simulator, ProviderKind::Copernica).await;
    let faults = simulator.faults(ProviderKind::Copernica);
    faults.fail_next(1, FailureKind::CutBody { share: 0.5 });
    assert!(client.try_get_bytes("/database/1/profiles").await.is_err());
    faults.fail_next(1, FailureKind::SlowBody { chunk_bytes: 100_000, pause: Duration::from_millis(1) });
    assert_eq!(client.get_ok("/database/1/profiles?limit=100").await["count"], json!(100));
    faults.fail_next(1, FailureKind::RepeatPage);
    let repeated = client.get_ok("/database/1/profiles?limit=100&start=100").await;
    assert_eq!(repeated["start"], json!(0));
}

#[tokio::test]
async fn a_share_of_requests_fails() {
    let simulator = world(100).await;
    let client = Client::new(&simulator, ProviderKind::Parallel).await;
    simulator.faults(ProviderKind::Parallel).fail_share(0.5, FailureKind::Forbidden);
    let mut refused = 0;
    for _ in 0..60 {
        refused += u16::from(client.get("/me").await.status == 403);
    }
    assert!((10..50).contains(&refused), "{refused}");
    simulator.faults(ProviderKind::Parallel).clear();
    assert_eq!(client.get("/me").await.status, 200);
}

#[tokio::test]
async fn a_profile_is_not_visible_yet_and_then_stale() {
    let simulator = world(100).await;
    let parallel = simulator.parallel();
    let client = Client::new(&simulator, ProviderKind::Parallel).await;
    let id = parallel.profile_ids("Individual")[0].clone();
    simulator.faults(ProviderKind::Parallel).hide(&id, 2);
    let path = format!("/profiles/{id}");
    assert_eq!(client.get(&path).await.status, 404);
    assert_eq!(client.get(&path).await.status, 404);
    let before = client.get_ok(&path).await["status"].clone();
    parallel.freeze_reads(&id, 1);
    if before == json!("CLOSED") {
        parallel.reopen(&id).unwrap()
    } else {
        parallel.close(&id).unwrap()
    }
    assert_eq!(client.get_ok(&path).await["status"], before);
    assert_ne!(client.get_ok(&path).await["status"], before);
}

#[tokio::test]
async fn a_held_answer_shows_the_world_of_its_request() {
    let simulator = world(100).await;
    let client = Client::new(&simulator, ProviderKind::Copernica).await;
    let copernica = simulator.copernica();
    let id = copernica.create_profile("People", &[("firstname", "Before")]).unwrap();
    let paused = simulator.pause_next("/profile/");
    let path = format!("/profile/{id}");
    let (answer, ()) = tokio::join!(client.get_ok(&path), async {
        paused.reached().await;
        copernica.update_profile(&id, &[("firstname", "After")]).unwrap();
        paused.release();
    });
    assert_eq!(answer["fields"]["firstname"], json!("Before"));
    assert_eq!(client.get_ok(&path).await["fields"]["firstname"], json!("After"));
}

#[tokio::test]
async fn requests_are_counted_and_logged() {
    let simulator = world(100).await;
    let client = Client::new(&simulator, ProviderKind::Parallel).await;
    client.get("/me").await;
    client.get("/profile-types?include=fields").await;
    assert_eq!((simulator.requests(), simulator.requests_of(ProviderKind::Parallel)), (2, 2));
    let log = simulator.request_log();
    assert_eq!(log[1].path, "/parallel/api/v1/profile-types");
    assert_eq!((log[1].query.as_str(), log[1].status), ("include=fields", 200));
    assert_eq!(simulator.requests_to("include=fields"), 1);
    assert_eq!(simulator.most_in_flight(ProviderKind::Parallel), 1);
}

async fn lived(seed: u64) -> (Simulator, Vec<String>) {
    let simulator =
        Simulator::start(SimulatorOptions { seed, profiles: 400, ..SimulatorOptions::default() }).await.unwrap();
    let mut told = Vec::new();
    for provider in ProviderKind::ALL {
        told.extend(simulator.random_history(provider, 100).into_iter().map(|happening| happening.text));
    }
    (simulator, told)
}

#[tokio::test]
async fn a_seed_fixes_the_world_and_its_history() {
    let ((one, told_one), (same, told_same), (other, _)) = (lived(1).await, lived(1).await, lived(2).await);
    assert_eq!(told_one, told_same);
    for provider in ProviderKind::ALL {
        assert_eq!(one.truth(provider), same.truth(provider));
        assert_ne!(one.truth(provider), other.truth(provider));
    }
    let bodies =
        |simulator: &Simulator| -> Vec<Vec<u8>> { simulator.take_webhooks().into_iter().map(|it| it.body).collect() };
    assert_eq!(bodies(&one), bodies(&same));
}

#[tokio::test]
async fn ten_thousand_profiles_start_quickly() {
    let began = std::time::Instant::now();
    let simulator = world(10_000).await;
    let took = began.elapsed();
    assert!(took < Duration::from_secs(60), "{took:?}");
    println!("10,000 profiles in {took:?}");
    simulator.stop().await;
}
