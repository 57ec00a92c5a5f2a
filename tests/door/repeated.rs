//! The same delivery more than once.

use crate::support::app::TestApp;
use crate::support::both;
use crate::support::webhook::{getprofile_event, parallel_event, signed};
use futures::future::join_all;
use serde_json::json;
use simulator::ProviderKind::{GetProfile, Parallel};

both!(identical_deliveries_at_the_same_moment_are_all_answered_and_applied_once, |database| {
    let app = TestApp::imported(&database).await;
    let person = app.simulator.parallel().create_random_profile("Individual").unwrap();
    app.settle().await;
    app.simulator.advance(chrono::Duration::seconds(5));
    app.simulator.parallel().silently().close(&person).unwrap();
    let webhook = signed(&app, Parallel, parallel_event("PROFILE_CLOSED", &person, json!({})));

    let answers = join_all((0..20).map(|_| app.post(&webhook))).await;

    assert!(answers.iter().all(|status| *status == 200), "{answers:?}");
    app.drain().await;
    let kinds = app.kinds(Parallel, &person).await;
    assert_eq!(kinds.iter().filter(|kind| *kind == "CLOSED").count(), 1, "{kinds:?}");
    app.finish().await;
});

both!(a_failed_delivery_that_is_sent_again_is_processed, |database| {
    let mut app = TestApp::builder(&database)
        .configure(|config| {
            let people = config.sources.iter_mut().find(|source| source.name == "people").unwrap();
            people.tenant = Some("a-mistaken-tenant".to_owned());
        })
        .start()
        .await;
    app.import("marketing").await;
    app.import("crm").await;
    let tenant = app.simulator.getprofile().tenant();
    let person = app.simulator.getprofile().profile_ids().remove(0);
    let webhook = signed(&app, GetProfile, getprofile_event("profile.updated", &tenant, &person));
    assert_eq!(app.post(&webhook).await, 200);
    app.drain().await;
    assert_eq!(app.deliveries(GetProfile, "PARKED").await.len(), 1, "its tenant is not the source's");

    let people = app.config.sources.iter_mut().find(|source| source.name == "people").unwrap();
    people.tenant = Some(tenant);
    app.restart().await;
    let mut again = webhook;
    again.url = app.webhook_url("people");
    assert_eq!(app.post(&again).await, 200);
    app.drain().await;

    assert_eq!(app.deliveries(GetProfile, "PARKED").await.len(), 0);
    assert_eq!(app.profile(GetProfile, &person).await["status"], "OPEN");
    app.import("people").await;
    app.finish().await;
});
