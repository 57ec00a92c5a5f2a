//! What a provider says in words that nobody knows yet: 200, kept, counted, listed, and no update is lost for it.
//! Statuses and types of fields come in the answers to calls that webhooks and runs lead to.

use crate::support::app::TestApp;
use crate::support::both;
use crate::support::webhook::signed;
use crate::support::world::source_of;
use entity::RunState;
use serde_json::{Value, json};
use simulator::ProviderKind::{self, Copernica, GetProfile, Parallel};
use simulator::TruthStatus;
use simulator::copernica::FieldKind;

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

/// What is told about the applied deliveries of a source that came in this way, of those about which there is something.
async fn reasons(app: &TestApp, source: &str, kind: &str) -> Vec<String> {
    let filter = json!({ "source": source, "states": ["APPLIED"], "kinds": [kind], "hasReason": true });
    let listed = app.client().query(LISTED, json!({ "filter": filter })).await;
    let rows = listed["deliveries"]["nodes"].as_array().unwrap();
    rows.iter().filter_map(|row| row["reason"].as_str()).map(str::to_owned).collect()
}

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
        let reasons = reasons(&app, source, "WEBHOOK").await;
        assert_eq!(reasons.len(), 2, "{provider}: {reasons:?}");
        assert!(reasons.iter().any(|reason| reason.contains("event type") && reason.contains("a key")), "{reasons:?}");
        assert!(reasons.iter().any(|reason| reason.contains("form of an id")), "{reasons:?}");
    }
    assert_eq!(app.unsettled_in_all().await, 0, "nothing is tried for ever");
    app.finish().await;
});

both!(a_status_that_nobody_knows_is_kept_as_a_word_and_ends_nobody, |database| {
    let app = TestApp::imported(&database).await;
    let (parallel, getprofile) = (app.simulator.parallel(), app.simulator.getprofile());
    app.simulator.advance(chrono::Duration::seconds(5));
    // Something else changes with each, which must not be lost.
    let truth = app.simulator.truth(Parallel);
    let open = |id: &String| truth.profiles[id].status == TruthStatus::Open;
    let person = parallel.profile_ids("Individual").into_iter().find(open).expect("an open person");
    parallel.silently().set_field(&person, "p_risk_score", Some(json!(4_712))).unwrap();
    parallel.set_unheard_status(&person, "ON_HOLD", "PROFILE_PUT_ON_HOLD").unwrap();
    let persona = getprofile.profile_ids().remove(0);
    let hobby = json!({ "interests": { "hobbies": [{ "value": "yawning", "confidence": 0.8 }] } });
    getprofile.silently().update(&persona, &hobby).unwrap();
    getprofile.silently().settle();
    getprofile.set_unheard_status(&persona, "dreaming").unwrap();
    let mut before = Vec::new();
    for source in ["crm", "people"] {
        before.push(met(&app, source, "status").await);
    }
    app.settle().await;

    let shown = app.profile(Parallel, &person).await;
    assert_eq!((&shown["status"], &shown["upstreamStatus"]), (&json!("OPEN"), &json!("ON_HOLD")), "{shown:#}");
    assert!(shown["fields"].as_array().unwrap().iter().any(|field| field["value"] == 4_712), "{shown:#}");
    let shown = app.profile(GetProfile, &persona).await;
    assert_eq!((&shown["status"], &shown["upstreamStatus"]), (&json!("OPEN"), &json!("dreaming")), "{shown:#}");
    assert!(shown["interests"].as_array().unwrap().iter().any(|seen| seen["name"] == "yawning"), "{shown:#}");
    for (source, before) in ["crm", "people"].into_iter().zip(before) {
        assert!(met(&app, source, "status").await > before, "{source}: it is counted");
        let reasons = reasons(&app, source, "FETCH").await;
        assert!(reasons.iter().any(|reason| reason.contains("a status in it")), "{source}: {reasons:?}");
    }

    // Lists are asked for by the statuses that are known, so that none names the person.
    let run = app.sync("crm").await.unwrap();
    assert_eq!((run.state, run.candidates, run.deleted), (RunState::Done, 1, 0), "{run:?}");
    let shown = app.profile(Parallel, &person).await;
    assert_eq!((&shown["status"], &shown["upstreamStatus"]), (&json!("OPEN"), &json!("ON_HOLD")), "{shown:#}");
    app.import("people").await;
    app.finish().await;
});

both!(a_type_of_field_that_nobody_knows_costs_no_value, |database| {
    let app = TestApp::imported(&database).await;
    let copernica = app.simulator.copernica();
    let customer = copernica.profile_ids("People").remove(0);
    app.simulator.advance(chrono::Duration::seconds(5));
    copernica.add_field("People", "mood", FieldKind::Unheard("aura")).unwrap();
    copernica.update_profile(&customer, &[("mood", "violet"), ("lastname", "Changed")]).unwrap();
    let before = met(&app, "marketing", "field_type").await;
    assert_eq!(reasons(&app, "marketing", "PAGE").await, Vec::<String>::new());
    app.settle().await;
    app.import("marketing").await;

    let document = "query ($by: ProfileRef!) { profile(by: $by) {
        displayName field(name: \"mood\") { text definition { upstreamType } } } }";
    let by = json!({ "key": { "source": "marketing", "externalId": customer } });
    let shown = app.client().query(document, json!({ "by": by })).await["profile"].take();
    assert_eq!(shown["field"], json!({ "text": "violet", "definition": { "upstreamType": "aura" } }));
    assert!(shown["displayName"].as_str().is_some_and(|name| name.ends_with("Changed")), "{shown}");
    assert!(met(&app, "marketing", "field_type").await > before, "it is counted");
    let reasons = reasons(&app, "marketing", "PAGE").await;
    assert!(reasons.iter().any(|reason| reason.contains("the type of a field in it")), "{reasons:?}");
    assert_eq!(app.deliveries(Copernica, "PARKED").await, Vec::<Value>::new());
    app.finish().await;
});
