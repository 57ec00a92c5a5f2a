//! Webhooks on their way: signing, faults, retries.

use chrono::{Duration, TimeZone, Utc};
use serde_json::json;
use simulator::sign::ParallelScheme;
use simulator::{ProviderKind, Simulator};

use crate::client::{Client, Endpoint, world};

/// Forty events about one Parallel profile.
fn make_events(simulator: &Simulator) {
    let id = simulator.parallel().profile_ids("Individual")[0].clone();
    for number in 0..20 {
        simulator.parallel().set_field(&id, "p_risk_score", Some(json!(1000 + number))).unwrap();
    }
}

#[tokio::test]
async fn events_arrive_in_order_without_faults() {
    let simulator = world(50).await;
    let endpoint = Endpoint::start().await;
    simulator.point_webhooks(ProviderKind::Parallel, &endpoint.url);
    make_events(&simulator);
    let expected: Vec<String> =
        simulator.take_webhooks().iter().map(|webhook| String::from_utf8_lossy(&webhook.body).into_owned()).collect();
    assert_eq!(expected.len(), 40);
    make_events(&simulator);
    assert_eq!(simulator.send_all().await, [200; 2]);
    assert_eq!(endpoint.bodies().len(), 2, "nineteen changes changed nothing");
}

#[tokio::test]
async fn events_are_dropped_doubled_held_and_reordered() {
    let simulator = world(50).await;
    let endpoint = Endpoint::start().await;
    simulator.point_webhooks(ProviderKind::Parallel, &endpoint.url);
    let faults = simulator.faults(ProviderKind::Parallel);
    faults.outgoing(|outgoing| outgoing.duplicate_share = 1.0);
    make_events(&simulator);
    assert_eq!(simulator.send_all().await.len(), 80);
    faults.outgoing(|outgoing| (outgoing.duplicate_share, outgoing.hold_share) = (0.0, 1.0));
    simulator.parallel().close(&simulator.parallel().profile_ids("Matter")[0]).unwrap();
    assert_eq!(simulator.send_all().await.len(), 0);
    assert_eq!(simulator.send_all().await.len(), 1);
    faults.outgoing(|outgoing| (outgoing.drop_share, outgoing.hold_share) = (1.0, 0.0));
    simulator.parallel().reopen(&simulator.parallel().profile_ids("Matter")[0]).unwrap();
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
    assert_eq!(endpoint.bodies(), ["{}"]);
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
async fn a_spoiled_signature_differs_from_the_right_one() {
    let simulator = world(50).await;
    let endpoint = Endpoint::start().await;
    simulator.point_webhooks(ProviderKind::GetProfile, &endpoint.url);
    simulator.faults(ProviderKind::GetProfile).outgoing(|outgoing| outgoing.bad_signature_share = 1.0);
    simulator.getprofile().create("a", &json!({"summary": "x"})).unwrap();
    simulator.getprofile().settle();
    assert_eq!(simulator.send_all().await, [200]);
}
