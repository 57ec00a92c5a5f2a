//! Webhooks written by hand: the bodies of the documentation, signed as their provider signs.

use super::app::TestApp;
use super::world;
use profile_mirror::clock::{Clock, SystemClock};
use serde_json::{Value, json};
use simulator::{ProviderKind, SignedWebhook};
use std::sync::atomic::{AtomicU64, Ordering};

/// A body signed for the source that mirrors the provider, now.
pub fn signed(app: &TestApp, provider: ProviderKind, body: impl Into<Vec<u8>>) -> SignedWebhook {
    let url = app.webhook_url(world::source_of(provider));
    app.simulator.sign(provider, body, SystemClock.today(), &url)
}

/// A Parallel event with an id of its own, as the help centre shows it.
pub fn parallel_event(kind: &str, profile: &str, data: Value) -> String {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let id = format!("evt-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    let at = "2026-01-15T12:00:30.000Z";
    json!({ "id": id, "profileId": profile, "type": kind, "data": data, "createdAt": at }).to_string()
}

/// A GetProfile event with an id of its own, as the vendor's page on webhooks shows it.
pub fn getprofile_event(event: &str, tenant: &str, profile: &str) -> String {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let id = format!("evt-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    json!({
        "id": id, "event": event, "tenant_id": tenant, "data": { "profile_id": profile, "status": "ready" },
        "created_at": "2026-01-15T12:00:30Z", "webhook_id": "wh-1",
    })
    .to_string()
}

impl TestApp {
    /// Posts a body signed by the provider; it must be accepted, and is applied when this returns.
    pub async fn deliver(&self, provider: ProviderKind, body: impl Into<Vec<u8>>) {
        let status = self.post(&signed(self, provider, body)).await;
        assert_eq!(status, 200);
        self.drain().await;
    }

    /// What the API shows of a profile.
    pub async fn profile(&self, provider: ProviderKind, external_id: &str) -> Value {
        let key = json!({ "key": { "source": world::source_of(provider), "externalId": external_id } });
        let mut data = self.client().query(PROFILE, json!({ "by": key })).await;
        data["profile"].take()
    }

    /// Kinds of the changes of a profile, oldest first.
    pub async fn kinds(&self, provider: ProviderKind, external_id: &str) -> Vec<String> {
        let profile = self.profile(provider, external_id).await;
        let kinds = profile["history"]["nodes"].as_array().expect("history");
        kinds.iter().map(|change| change["kind"].as_str().expect("a kind").to_owned()).collect()
    }

    /// The deliveries of a source in a state, newest first.
    pub async fn deliveries(&self, provider: ProviderKind, state: &str) -> Vec<Value> {
        let filter = json!({ "source": world::source_of(provider), "states": [state] });
        let mut data = self.client().query(DELIVERIES, json!({ "filter": filter })).await;
        data["deliveries"]["nodes"].as_array_mut().map(std::mem::take).expect("nodes")
    }
}

const PROFILE: &str = "query ($by: ProfileRef!) {
  profile(by: $by) {
    id externalId status upstreamStatus displayName email
    lifecycle { since scheduledFor history { to cause isEffective } }
    fields { name value text }
    interests { group name }
    subprofiles(first: 100) { nodes { externalId collection { name } fields { name text } } }
    relationships(first: 100) { nodes { type { externalId } from { externalId } to { externalId } } }
    history(first: 100) { nodes { kind fields { name before after } cause { event } } }
  }
}";

const DELIVERIES: &str = "query ($filter: DeliveryFilter) {
  deliveries(filter: $filter, first: 100) { nodes { id kind state reason event copies attempts headers } }
}";
