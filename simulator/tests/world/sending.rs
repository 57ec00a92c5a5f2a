//! Webhooks on their way: signing, faults, retries.

use std::sync::Arc;

use chrono::{Duration, TimeZone, Utc};
use serde_json::json;
use simulator::sign::ParallelScheme;
use simulator::{ProviderKind, Simulator, SimulatorOptions, live};
use tokio_util::sync::CancellationToken;

use crate::client::{Client, Endpoint, world};

/// Forty events about one Parallel profile.
fn make_events(simulator: &Simulator) {
    let id = simulator.parallel().profile_ids("Individual")[0].clone();
    for number in 0..20 {
        simulator.parallel().set_field(&id, "p_risk_score", Some(json!(1000 + number))).unwrap();
    }
}

fn types(endpoint: &Endpoint) -> Vec<bool> {
    endpoint.take_bodies().iter().map(|body| body.contains("\"PROFILE_UPDATED\"")).collect()
}

#[tokio::test]
async fn events_arrive_in_order_without_faults() {
    let simulator = world(50).await;
    let endpoint = Endpoint::start().await;
    simulator.point_webhooks(ProviderKind::Parallel, &endpoint.url);
    make_events(&simulator);
    assert_eq!(simulator.send_all().await, [200; 40]);
    let in_order = [false, true].repeat(20);
    assert_eq!(types(&endpoint), in_order);
    simulator.faults(ProviderKind::Parallel).outgoing(|outgoing| outgoing.reorder_window = 10);
    make_events(&simulator);
    assert_eq!(simulator.send_all().await.len(), 40);
    assert_ne!(types(&endpoint), in_order);
}

#[tokio::test]
async fn events_are_dropped_doubled_and_held() {
    let simulator = world(50).await;
    let endpoint = Endpoint::start().await;
    simulator.point_webhooks(ProviderKind::Parallel, &endpoint.url);
    let faults = simulator.faults(ProviderKind::Parallel);
    let id = simulator.parallel().profile_ids("Matter")[0].clone();
    faults.outgoing(|outgoing| (outgoing.duplicate_share, outgoing.burst) = (1.0, 8));
    make_events(&simulator);
    assert_eq!(simulator.send_all().await.len(), 80);
    faults.outgoing(|outgoing| (outgoing.duplicate_share, outgoing.hold_share) = (0.0, 1.0));
    simulator.parallel().anonymize(&id).unwrap();
    assert_eq!(simulator.send_all().await.len(), 0);
    assert_eq!(simulator.send_all().await.len(), 1);
    faults.outgoing(|outgoing| (outgoing.drop_share, outgoing.hold_share) = (1.0, 0.0));
    make_events(&simulator);
    assert_eq!(simulator.send_all().await.len(), 0);
    assert_eq!(simulator.queued_webhooks(), 0);
}

#[tokio::test]
async fn a_failing_endpoint_is_tried_again_and_given_up() {
    let simulator = world(50).await;
    let endpoint = Endpoint::start().await;
    endpoint.answer_with(503);
    for provider in [ProviderKind::Parallel, ProviderKind::Copernica] {
        simulator.point_webhooks(provider, &endpoint.url);
    }
    let id = simulator.parallel().profile_ids("Matter")[0].clone();
    simulator.parallel().close(&id).unwrap();
    simulator.copernica().create_profile("People", &[]).unwrap();
    assert_eq!(simulator.send_all().await, [503, 503]);
    assert_eq!(simulator.given_up_webhooks(), 1, "Copernica does not try again");
    assert_eq!(simulator.send_all().await, [0_u16; 0], "not due yet");
    for _ in 0..4 {
        simulator.advance(Duration::minutes(10));
        assert_eq!(simulator.send_all().await, [503]);
    }
    assert_eq!((simulator.given_up_webhooks(), simulator.queued_webhooks()), (2, 0));
}

#[tokio::test]
async fn a_registered_endpoint_is_probed_and_gets_what_it_asked_for() {
    let simulator = world(50).await;
    let endpoint = Endpoint::start().await;
    let client = Client::new(&simulator, ProviderKind::Parallel).await;
    let wanted = json!({"type": "PROFILE", "eventsUrl": endpoint.url, "eventTypes": ["PROFILE_CLOSED"]});
    let created = client.call("POST", "/subscriptions", Some(wanted.clone())).await;
    assert_eq!(created.status, 201);
    assert_eq!(endpoint.take_bodies(), ["{}"]);
    let id = simulator.parallel().profile_ids("Matter")[0].clone();
    simulator.parallel().close(&id).unwrap();
    simulator.parallel().reopen(&id).unwrap();
    assert_eq!(simulator.send_all().await, [200]);
    let path = format!("/subscriptions/{}", created.json["id"].as_str().unwrap());
    assert_eq!(client.call("DELETE", &path, None).await.status, 204);
    endpoint.answer_with(500);
    assert_eq!(client.call("POST", "/subscriptions", Some(wanted)).await.status, 400);
    assert_eq!(client.get_ok("/subscriptions").await, json!([]));
}

#[tokio::test]
async fn any_body_can_be_signed_for_any_time() {
    let simulator = world(10).await;
    let at = Utc.timestamp_millis_opt(1_767_225_600_000).unwrap();
    let body = r#"{"id":"evt1","profileId":"prof1","type":"PROFILE_CLOSED","data":{"userId":"user1"},"createdAt":"2026-01-01T00:00:00.000Z"}"#;
    let url = "https://mirror.example.com/webhooks/parallel";
    let webhook = simulator.sign(ProviderKind::Parallel, body, at, url);
    assert_eq!((webhook.event.as_str(), webhook.profile.as_str()), ("PROFILE_CLOSED", "prof1"));
    assert!(webhook.header("x-parallel-signature-v2-1").unwrap().starts_with("ED5jVkZq"));
    let later = simulator.resign(&webhook, at + Duration::seconds(1));
    assert_ne!(later.header("x-parallel-signature-v2-1"), webhook.header("x-parallel-signature-v2-1"));
    simulator
        .parallel()
        .configure(|switches| (switches.scheme, switches.keys) = (ParallelScheme::V2, vec![1, 2, 3, 4, 0]));
    let many = simulator.sign(ProviderKind::Parallel, body, at, url);
    assert!(many.header("x-parallel-signature-1").is_none());
    assert!(many.header("x-parallel-signature-v2-5").unwrap().starts_with("ED5jVkZq"));
    assert_eq!(simulator.parallel().public_keys().len(), 5);
    let copernica = simulator.sign(ProviderKind::Copernica, "type=update&profile=123", at, "http://a.example/x");
    assert_eq!((copernica.event.as_str(), copernica.profile.as_str()), ("update", "123"));
    assert_eq!(copernica.header("date"), Some("Thu, 01 Jan 2026 00:00:00 GMT"));
}

#[tokio::test]
async fn a_spoiled_signature_does_not_prove_anything() {
    let simulator = world(50).await;
    let endpoint = Endpoint::start().await;
    let right = format!("Bearer {}", simulator.getprofile().api_key());
    simulator.point_webhooks(ProviderKind::GetProfile, &endpoint.url);
    simulator.getprofile().create("a", &json!({"summary": "x"})).unwrap();
    simulator.getprofile().settle();
    assert_eq!(simulator.send_all().await, [200]);
    assert_eq!(endpoint.take()[0].headers["authorization"], right);
    simulator.faults(ProviderKind::GetProfile).outgoing(|outgoing| outgoing.bad_signature_share = 1.0);
    simulator.getprofile().emit_again("a").unwrap();
    assert_eq!(simulator.send_all().await, [200]);
    assert_ne!(endpoint.take()[0].headers["authorization"], right);
}

#[tokio::test]
async fn the_signed_host_is_the_one_that_is_sent() {
    let simulator = world(50).await;
    let endpoint = Endpoint::start().await;
    let mut webhook = simulator.sign(
        ProviderKind::Copernica,
        "type=test",
        simulator::real_now(),
        "https://mirror.example.com/webhooks/x",
    );
    webhook.url = endpoint.url.clone();
    assert_eq!(simulator.send(&webhook).await.unwrap(), 200);
    let received = endpoint.take();
    assert_eq!(received[0].headers["host"], "mirror.example.com");
    assert_eq!(received[0].headers["content-type"], "application/x-www-form-urlencoded");
    assert!(received[0].headers["signature"].to_str().unwrap().contains("one._domainkey.copernica.com"));
}

#[tokio::test]
async fn a_live_world_tells_what_it_does_and_sends_it() {
    let endpoint = Endpoint::start().await;
    let options = SimulatorOptions { profiles: 100, real_time: true, ..SimulatorOptions::default() };
    let simulator = Arc::new(Simulator::start(options).await.unwrap());
    for provider in ProviderKind::ALL {
        simulator.point_webhooks(provider, &endpoint.url);
    }
    let cancel = CancellationToken::new();
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let living = tokio::spawn(live::run_live_told(Arc::clone(&simulator), 500.0, cancel.clone(), move |happening| {
        let _ = tell.send(happening);
    }));
    for _ in 0..50 {
        let happening = told.recv().await.unwrap();
        assert!(happening.text.starts_with(&happening.provider.to_string()));
    }
    cancel.cancel();
    living.await.unwrap();
    simulator.send_all().await;
    assert!(endpoint.take().len() >= 20);
}
