//! Every webhook that the simulated providers send is taken by the adapters, and nothing forged is.

use super::{adapter, block_on};
use crate::support::world::{self, SOURCES};
use bytes::Bytes;
use chrono::{DateTime, Duration, Utc};
use http::{HeaderMap, HeaderName, HeaderValue};
use profile_mirror::clock::{Clock, SystemClock};
use provider::{Delivery, DeliveryKind, Inbound, Provider, Receipt, Refusal, VerifyContext};
use simulator::{ProviderKind, SignedWebhook, Simulator};
use std::collections::BTreeSet;

fn now() -> DateTime<Utc> {
    SystemClock.today()
}

async fn verify(adapter: &dyn Provider, webhook: &SignedWebhook, at: DateTime<Utc>) -> Result<Receipt, Refusal> {
    let mut headers = HeaderMap::new();
    for (name, value) in &webhook.headers {
        let name = HeaderName::try_from(name.as_str()).unwrap();
        headers.append(name, HeaderValue::from_str(value).unwrap());
    }
    let body = Bytes::from(webhook.body.clone());
    let path = reqwest::Url::parse(&webhook.url).unwrap().path().to_owned();
    let inbound = Inbound { method: "POST", path_and_query: &path, headers: &headers, body: &body };
    adapter.verify(&inbound, &VerifyContext { now: at, registered_url: &webhook.url }).await
}

/// Makes many things happen, and returns the webhooks of each.
async fn busy_world() -> (Simulator, Vec<SignedWebhook>) {
    let simulator = world::start(5, 200).await;
    for (kind, _) in SOURCES {
        simulator.random_history(kind, 150);
    }
    simulator.getprofile().settle();
    let webhooks = simulator.take_webhooks();
    assert!(webhooks.len() > 300);
    (simulator, webhooks)
}

#[test]
fn every_genuine_webhook_is_accepted_under_a_key_of_its_own_and_read() {
    block_on(async {
        let (simulator, webhooks) = busy_world().await;
        for (kind, _) in SOURCES {
            let adapter = adapter(&simulator, kind);
            let mut keys = BTreeSet::new();
            for webhook in webhooks.iter().filter(|webhook| webhook.provider == kind) {
                let receipt = verify(adapter.as_ref(), webhook, now()).await;
                let Ok(Receipt::Accept { dedupe_key }) = receipt else { panic!("{}: {receipt:?}", webhook.event) };
                assert!(dedupe_key.len() <= 200);
                assert!(keys.insert(dedupe_key), "two events of {kind} share a key");
                let media_type = webhook.header("content-type").unwrap().split(';').next().unwrap().to_owned();
                assert!(adapter.media_types().contains(&media_type.as_str()), "{media_type}");
                let delivery = Delivery {
                    kind: DeliveryKind::Webhook,
                    media_type: &media_type,
                    body: &webhook.body,
                    target: None,
                    page: None,
                    is_missing: false,
                };
                let decoded = adapter.decode(&delivery).expect("it is read");
                assert_eq!(decoded.event.as_deref(), Some(webhook.event.as_str()));
                assert!(!decoded.observations.is_empty() || decoded.ignored.is_some());
            }
        }
    });
}

#[test]
fn a_changed_byte_another_url_and_no_signature_are_refused() {
    block_on(async {
        let (simulator, webhooks) = busy_world().await;
        for kind in [ProviderKind::Copernica, ProviderKind::Parallel] {
            let adapter = adapter(&simulator, kind);
            let genuine = webhooks.iter().find(|webhook| webhook.provider == kind).unwrap();
            let mut changed = genuine.clone();
            changed.body.push(b' ');
            let mut moved = genuine.clone();
            moved.url.push_str("/elsewhere");
            let bare = SignedWebhook { headers: vec![], ..genuine.clone() };
            for forged in [changed, moved, bare] {
                assert!(verify(adapter.as_ref(), &forged, now()).await.is_err(), "{kind}");
            }
        }
        let adapter = adapter(&simulator, ProviderKind::GetProfile);
        let mut forged = webhooks.iter().find(|webhook| webhook.provider == ProviderKind::GetProfile).unwrap().clone();
        for (_, value) in forged.headers.iter_mut().filter(|(name, _)| name.eq_ignore_ascii_case("authorization")) {
            value.push('x');
        }
        assert!(verify(adapter.as_ref(), &forged, now()).await.is_err());
    });
}

#[test]
fn a_signature_is_good_inside_its_window_and_refused_outside() {
    block_on(async {
        let (simulator, webhooks) = busy_world().await;
        for kind in [ProviderKind::Copernica, ProviderKind::Parallel] {
            let adapter = adapter(&simulator, kind);
            let webhook = webhooks.iter().find(|webhook| webhook.provider == kind).unwrap();
            let later = verify(adapter.as_ref(), webhook, now() + Duration::hours(1)).await;
            assert!(matches!(later, Err(Refusal::OutsideWindow { .. })), "{kind}: {later:?}");
            let earlier = verify(adapter.as_ref(), webhook, now() - Duration::hours(1)).await;
            assert!(matches!(earlier, Err(Refusal::OutsideWindow { .. })), "{kind}: {earlier:?}");
        }
    });
}

#[test]
fn a_rotated_copernica_key_is_taken_and_a_withdrawn_one_is_not() {
    block_on(async {
        let simulator = world::start(5, 20).await;
        let adapter = adapter(&simulator, ProviderKind::Copernica);
        let url = "https://mirror.example.com/webhooks/marketing";
        let before = simulator.sign(ProviderKind::Copernica, "type=update&profile=1&time=1", now(), url);
        simulator.copernica().rotate_key();
        let after = simulator.sign(ProviderKind::Copernica, "type=update&profile=1&time=2", now(), url);
        assert!(verify(adapter.as_ref(), &after, now()).await.is_ok(), "the new key");
        assert!(verify(adapter.as_ref(), &before, now()).await.is_ok(), "the old one, still published");
    });
}
