//! What a provider says in words that nobody knows yet: 200, kept, counted, listed, and no update is lost for it.
//! Statuses and types of fields come in answers to calls: `provider/tests` has those.

use crate::support::app::TestApp;
use crate::support::both;
use crate::support::webhook::signed;
use crate::support::world::source_of;
use serde_json::{Value, json};
use simulator::ProviderKind::{self, Copernica, GetProfile, Parallel};

/// An event of an unknown type, with a key that nobody knows, about a profile; and an event about an odd id, which only
/// asks for a fetch.
fn events(app: &TestApp, provider: ProviderKind, profile: &str) -> [String; 2] {
    let at = app.simulator.now();
    let (iso, unix) = (at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true), at.timestamp());
    match provider {
        Copernica => [
            format!("type=sneezed&profile={profile}&time={unix}&added=1"),
            // Not an update: that would be a whole profile, which the world has never had.
            format!("type=coughed&profile=..%2Fprofile%3Fx%3D1&time={unix}"),
        ],
        Parallel => [
            json!({ "id": "a/1", "profileId": profile, "type": "PROFILE_SNEEZED", "data": { "deep": [[[1]]] },
                "createdAt": iso, "added": { "later": true } }),
            json!({ "id": 7, "profileId": "../../etc/passwd?x=1#y", "type": "PROFILE_UPDATED", "data": null,
                "createdAt": "yesterday" }),
        ]
        .map(|event| event.to_string()),
        GetProfile => {
            let tenant = app.simulator.getprofile().tenant();
            [
                json!({ "id": "a/1", "event": "profile.sneezed", "tenant_id": tenant, "webhook_id": "w",
                    "data": { "profile_id": profile, "status": "ready" }, "created_at": iso, "added": [] }),
                json!({ "id": 7, "event": "profile.updated", "tenant_id": tenant, "webhook_id": "w",
                    "data": { "profile_id": "an id\twith blanks" }, "created_at": "yesterday" }),
            ]
            .map(|event| event.to_string())
        }
    }
}

/// Changes a profile upstream without a word, and returns what must be shown then.
fn change_silently(app: &TestApp, provider: ProviderKind) -> (String, fn(&Value) -> bool) {
    app.simulator.advance(chrono::Duration::seconds(5));
    match provider {
        Copernica => {
            let copernica = app.simulator.copernica();
            let id = copernica.profile_ids("People").remove(0);
            copernica.silently().update_profile(&id, &[("email", "odd@example.com")]).unwrap();
            (id, |shown| shown["email"] == "odd@example.com")
        }
        Parallel => {
            let parallel = app.simulator.parallel();
            let id = parallel.create_random_profile("Individual").unwrap();
            parallel.silently().set_field(&id, "p_risk_score", Some(json!(4_711))).unwrap();
            (id, |shown| shown["fields"].as_array().unwrap().iter().any(|field| field["value"] == 4_711))
        }
        GetProfile => {
            let getprofile = app.simulator.getprofile();
            let id = getprofile.profile_ids().remove(0);
            let hobby = json!({ "interests": { "hobbies": [{ "value": "sneezing", "confidence": 0.8 }] } });
            getprofile.silently().update(&id, &hobby).unwrap();
            getprofile.settle();
            drop(app.simulator.take_webhooks());
            (id, |shown| shown["interests"].as_array().unwrap().iter().any(|seen| seen["name"] == "sneezing"))
        }
    }
}

/// How often something unknown was met at a source, over all tests of this process.
async fn met(app: &TestApp, source: &str, what: &str) -> u64 {
    let (_, metrics) = app.client().get("/metrics").await;
    let is_it = |line: &&str| {
        line.starts_with("profile_mirror_unknown_total{")
            && line.contains(&format!("source=\"{source}\""))
            && line.contains(&format!("what=\"{what}\""))
    };
    let line = metrics.lines().find(is_it);
    line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
}

const LISTED: &str = "query ($filter: DeliveryFilter) {
  deliveries(filter: $filter, first: 100) { nodes { event reason } }
}";

both!(unknown_event_types_keys_and_ids_are_taken_counted_and_listed, |database| {
    let app = TestApp::imported(&database).await;
    for provider in ProviderKind::ALL {
        let source = source_of(provider);
        let (profile, is_there) = change_silently(&app, provider);
        let words = ["event_type", "key", "id_format"];
        let mut before = Vec::new();
        for word in words {
            before.push(met(&app, source, word).await);
        }
        for event in events(&app, provider, &profile) {
            assert_eq!(app.post(&signed(&app, provider, event.clone())).await, 200, "{event}");
        }
        app.drain().await;

        let shown = app.profile(provider, &profile).await;
        assert!(is_there(&shown), "{provider}: the update is not lost: {shown:#}");
        for (word, before) in words.into_iter().zip(before) {
            assert!(met(&app, source, word).await > before, "{provider}: {word} is counted");
        }
        let filter = json!({ "source": source, "states": ["APPLIED"], "kinds": ["WEBHOOK"], "hasReason": true });
        let listed = app.client().query(LISTED, json!({ "filter": filter })).await;
        let reasons: Vec<&str> =
            listed["deliveries"]["nodes"].as_array().unwrap().iter().filter_map(|row| row["reason"].as_str()).collect();
        assert_eq!(reasons.len(), 2, "{provider}: {listed:#}");
        assert!(reasons.iter().any(|reason| reason.contains("event type") && reason.contains("a key")), "{reasons:?}");
        assert!(reasons.iter().any(|reason| reason.contains("form of an id")), "{reasons:?}");
    }
    assert_eq!(app.unsettled_in_all().await, 0, "nothing is tried for ever");
    app.finish().await;
});
