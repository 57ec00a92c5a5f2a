//! GetProfile: one thin event. Body as on the vendor's page on webhooks, November 2026.

use crate::support::app::TestApp;
use crate::support::both;
use crate::support::webhook::getprofile_event;
use serde_json::json;
use simulator::ProviderKind::GetProfile;

both!(an_update_brings_the_profile_once_it_is_ready, |database| {
    let app = TestApp::imported(&database).await;
    let getprofile = app.simulator.getprofile();
    getprofile.create("user/42", &json!({ "core_info": { "name": { "value": "Alex", "confidence": 0.9 } } })).unwrap();
    getprofile.settle();
    app.settle().await;
    let shown = app.profile(GetProfile, "user/42").await;
    assert_eq!((&shown["displayName"], &shown["upstreamStatus"]), (&json!("Alex"), &json!("ready")));

    app.simulator.advance(chrono::Duration::seconds(2));
    getprofile
        .update("user/42", &json!({ "interests": { "hobbies": [{ "value": "hiking", "confidence": 0.8 }] } }))
        .unwrap();
    getprofile.settle();
    app.settle().await;
    let shown = app.profile(GetProfile, "user/42").await;
    assert_eq!(shown["interests"], json!([{ "group": "hobbies", "name": "hiking" }]));
    app.finish().await;
});

both!(content_stays_as_it_is_while_the_provider_is_computing, |database| {
    let app = TestApp::imported(&database).await;
    let getprofile = app.simulator.getprofile();
    let id = getprofile.profile_ids().remove(0);
    let before = app.profile(GetProfile, &id).await["fields"].clone();
    getprofile.update(&id, &json!({ "core_info": { "location": { "value": "Utrecht", "confidence": 0.9 } } })).unwrap();
    app.send().await;
    let event = getprofile_event("profile.updated", &getprofile.tenant(), &id);
    let webhook = crate::support::webhook::signed(&app, GetProfile, event);
    assert_eq!(app.post(&webhook).await, 200);
    app.drain_what_is_due().await;
    let shown = app.profile(GetProfile, &id).await;
    assert_eq!(shown["fields"], before);
    assert_ne!(shown["upstreamStatus"], "ready");

    getprofile.settle();
    app.finish().await;
});

both!(an_event_of_another_kind_is_kept_and_ignored, |database| {
    let app = TestApp::imported(&database).await;
    let tenant = app.simulator.getprofile().tenant();
    let event = json!({
        "id": "evt-billing", "event": "billing.invoice_paid", "tenant_id": tenant, "data": { "amount": 12 },
        "created_at": "2026-01-15T12:00:30Z", "webhook_id": "wh-1",
    });
    app.deliver(GetProfile, event.to_string()).await;
    let ignored = app.deliveries(GetProfile, "IGNORED").await;
    assert!(ignored.iter().any(|delivery| delivery["event"] == "billing.invoice_paid"), "{ignored:?}");
    app.finish().await;
});
