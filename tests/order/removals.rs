//! Removals whose times contradict what is stored: a fetch that was made later knows better, and lists bring it about.

use crate::support::app::TestApp;
use crate::support::both;
use crate::support::webhook::signed;
use entity::fetch_request;
use sea_orm::EntityTrait;
use serde_json::json;
use simulator::ProviderKind::{Copernica, Parallel};
use std::time::{Duration, Instant};

fn a_person(app: &TestApp) -> String {
    app.simulator.copernica().profile_ids("People").remove(0)
}

/// What a webhook of Copernica says: its parts as they are written in the form.
fn parts(form: &str) -> Vec<(&str, &str)> {
    form.split('&').filter_map(|part| part.split_once('=')).collect()
}

/// The same webhook, some of its parts replaced.
fn with(form: &str, others: &[(&str, &str)]) -> String {
    let replaced = parts(form).into_iter().map(|(name, value)| {
        let other = others.iter().find(|(other, _)| *other == name).map(|(_, value)| *value);
        format!("{name}={}", other.unwrap_or(value))
    });
    replaced.collect::<Vec<_>>().join("&")
}

async fn post(app: &TestApp, form: String) {
    assert_eq!(app.post(&signed(app, Copernica, form)).await, 200);
    app.drain().await;
}

// A removed record may be modified still, and a webhook tell of it: the answer by id says when it was removed, before that.
both!(what_was_modified_after_its_removal_is_gone, |database| {
    let app = TestApp::imported(&database).await;
    let copernica = app.simulator.copernica();
    let person = a_person(&app);
    let visit = copernica.create_subprofile(&person, "Visits", &[("page", "/a")]).unwrap();
    app.settle().await;
    app.simulator.advance(chrono::Duration::seconds(3));
    copernica.update_profile(&person, &[("lastname", "Alpha")]).unwrap();
    copernica.update_subprofile(&visit, &[("page", "/alpha")]).unwrap();
    let forms: Vec<String> =
        app.simulator.take_webhooks().into_iter().map(|webhook| String::from_utf8(webhook.body).unwrap()).collect();
    copernica.silently().delete_subprofile(&visit).unwrap();
    copernica.silently().delete_profile(&person).unwrap();

    let later =
        [("timestamp", "2030-01-01+10%3A00%3A00"), ("time", "1893488400"), ("modified", "2030-01-01+10%3A00%3A00")];
    for form in forms.iter().rev() {
        // Two pieces of news of one second: a fetch settles it, which says that the record was removed long before.
        post(&app, with(form, &later)).await;
        post(&app, with(form, &later).replace("lpha", "nother")).await;
    }
    let shown = app.profile(Copernica, &person).await;
    assert_eq!(shown["status"], "DELETED", "{shown}");
    let open = fetch_request::Entity::find().all(app.database().primary()).await.unwrap();
    assert!(open.is_empty(), "{open:?}");
    app.finish().await;
});

both!(what_a_list_names_that_an_event_has_deleted_is_asked_for_by_id, |database| {
    let app = TestApp::imported(&database).await;
    let copernica = app.simulator.copernica();
    let person = a_person(&app);
    let visit = copernica.create_subprofile(&person, "Visits", &[("page", "/a")]).unwrap();
    let form = String::from_utf8(app.simulator.take_webhooks().remove(0).body).unwrap();
    let told = parts(&form);
    let told = |name: &str| told.iter().find(|(part, _)| *part == name).map(|(_, value)| *value).unwrap();
    app.import("marketing").await;
    let now = "timestamp=2030-01-01+10%3A00%3A00&time=1893488400";
    let (database_id, collection) = (told("database"), told("collection"));
    post(&app, format!("type=delete&{now}&profile={person}&subprofile={visit}&collection={collection}")).await;
    post(&app, format!("type=delete&{now}&profile={person}&database={database_id}")).await;
    assert_eq!(app.profile(Copernica, &person).await["status"], "DELETED", "whoever sends that is believed");

    app.import("marketing").await;
    let shown = app.profile(Copernica, &person).await;
    assert_eq!(shown["status"], "OPEN", "{shown}");
    let visits = shown["subprofiles"]["nodes"].as_array().unwrap();
    assert!(visits.iter().any(|shown| shown["externalId"] == json!(visit)), "{shown}");
    app.finish().await;
});

both!(news_of_a_record_that_cannot_be_seen_yet_does_not_use_up_its_tries, |database| {
    let app = TestApp::imported(&database).await;
    let parallel = app.simulator.parallel();
    let created = parallel.create_random_profile("Individual").unwrap();
    app.simulator.faults(Parallel).hide(&created, 6);
    app.simulator.forget_requests();
    let started = Instant::now();
    for number in 1..=4 {
        // Each is asked for at once.
        parallel.set_field(&created, "p_risk_score", Some(json!(number))).unwrap();
        app.send().await;
        while app.simulator.requests_to(&created) < number || app.unsettled_in_all().await > 0 {
            assert!(started.elapsed() < Duration::from_secs(30), "it is not asked for");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    app.drain().await;
    assert_eq!(app.kinds(Parallel, &created).await, ["CREATED"]);
    app.finish().await;
});
