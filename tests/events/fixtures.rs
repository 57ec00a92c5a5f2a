//! Every webhook of `provider/fixtures`, which hold the documented bodies, from the signed request to the GraphQL
//! answer. Ids and times become those of the world, everything else stays as it is written there.

use crate::support::app::TestApp;
use crate::support::both;
use chrono::SecondsFormat;
use serde_json::{Value, json};
use simulator::ProviderKind::{self, Copernica, GetProfile, Parallel};
use simulator::copernica::Unsubscribe;

/// Names and bodies of a provider's webhooks.
fn webhooks(provider: ProviderKind) -> Vec<(String, Vec<u8>)> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("provider/fixtures").join(provider.slug());
    let mut found: Vec<(String, Vec<u8>)> = std::fs::read_dir(folder)
        .expect("the folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json" || extension == "form"))
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), std::fs::read(&path).unwrap()))
        .filter(|(name, _)| !name.starts_with("rest-"))
        .collect();
    found.sort();
    found
}

fn shows(shown: &Value, name: &str, value: &Value) -> bool {
    shown["fields"].as_array().unwrap().iter().any(|field| field["name"] == name && field["value"] == *value)
}

fn count_ties(shown: &Value) -> usize {
    shown["relationships"]["nodes"].as_array().unwrap().len()
}

async fn is_listed(app: &TestApp, provider: ProviderKind, state: &str, event: &str) -> bool {
    let listed = app.deliveries(provider, state).await;
    listed.iter().any(|delivery| delivery["event"] == event && delivery["reason"].is_string())
}

both!(each_documented_event_of_parallel_reaches_the_answer, |database| {
    let app = TestApp::imported(&database).await;
    let parallel = app.simulator.parallel();
    let companies = parallel.profile_ids("Legal entity");
    for (number, (name, body)) in webhooks(Parallel).into_iter().enumerate() {
        let person = parallel.create_random_profile("Individual").unwrap();
        if name == "profile-reopened" {
            parallel.close(&person).unwrap();
        }
        let tie = parallel.create_relationship("p_director__managed_by", &person, &companies[0]).unwrap();
        app.settle().await;
        let ties_before = count_ties(&app.profile(Parallel, &person).await);
        app.simulator.advance(chrono::Duration::seconds(5));

        let silent = parallel.silently();
        let due = app.simulator.now() + chrono::Duration::days(30);
        let score = json!(5_000 + number);
        match name.as_str() {
            "profile-closed" => silent.close(&person).unwrap(),
            "profile-reopened" => silent.reopen(&person).unwrap(),
            "profile-scheduled-for-deletion" => silent.schedule_for_deletion(&person, due).unwrap(),
            "profile-anonymized" => silent.anonymize(&person).unwrap(),
            "profile-relationship-removed" => silent.remove_relationship(&tie).unwrap(),
            "profile-relationship-created" => {
                silent.create_relationship("p_director__managed_by", &person, &companies[1]).unwrap();
            }
            _ => {
                silent.set_field(&person, "p_risk_score", Some(score.clone())).unwrap();
            }
        }
        let mut event: Value = serde_json::from_slice(&body).unwrap();
        event["createdAt"] = json!(app.simulator.now().to_rfc3339_opts(SecondsFormat::Millis, true));
        if event.get("profileId").is_some() {
            event["profileId"] = json!(person);
        }
        app.deliver(Parallel, event.to_string()).await;

        let shown = app.profile(Parallel, &person).await;
        let status = shown["status"].as_str().unwrap();
        let ties = count_ties(&shown);
        let is_shown = match name.as_str() {
            "profile-closed" => status == "CLOSED",
            "profile-reopened" => status == "OPEN",
            "profile-scheduled-for-deletion" => {
                let date = due.to_rfc3339_opts(SecondsFormat::Millis, true);
                status == "SCHEDULED_FOR_DELETION" && shown["lifecycle"]["scheduledFor"] == date
            }
            "profile-anonymized" => status == "ANONYMIZED" && shown["fields"] == json!([]),
            "profile-relationship-removed" => ties + 1 == ties_before,
            "profile-relationship-created" => ties == ties_before + 1,
            "petition-completed" => is_listed(&app, Parallel, "IGNORED", "PETITION_COMPLETED").await,
            _ => shows(&shown, "p_risk_score", &score),
        };
        assert!(is_shown, "{name}: {shown:#}");
        // What the event did not tell of is told now.
        if name == "petition-completed" {
            app.simulator.advance(chrono::Duration::seconds(5));
            parallel.set_field(&person, "p_risk_score", Some(json!(1))).unwrap();
        }
    }
    app.finish().await;
});

/// The fixture with the ids and times of an event that the world has just caused.
fn of_the_world(fixture: &[u8], caused: &[u8]) -> Vec<u8> {
    const OF_THE_WORLD: [&str; 8] =
        ["profile", "subprofile", "database", "collection", "timestamp", "time", "created", "modified"];
    let caused: Vec<(String, String)> = serde_urlencoded::from_bytes(caused).expect("a form");
    let mut pairs: Vec<(String, String)> = serde_urlencoded::from_bytes(fixture).expect("a form");
    for (key, value) in &mut pairs {
        if OF_THE_WORLD.contains(&key.as_str())
            && let Some((_, of_the_world)) = caused.iter().find(|(caused, _)| caused == key)
        {
            value.clone_from(of_the_world);
        }
    }
    serde_urlencoded::to_string(pairs).unwrap().into_bytes()
}

both!(each_documented_event_of_copernica_reaches_the_answer, |database| {
    let app = TestApp::imported(&database).await;
    let copernica = app.simulator.copernica();
    copernica.set_unsubscribe("People", Unsubscribe::Remove).unwrap();
    // Who is new is newer than the lists that were read, or would be asked for by id.
    app.simulator.advance(chrono::Duration::seconds(60));
    for (name, fixture) in webhooks(Copernica) {
        let is_about_subprofile = name.ends_with("subprofile");
        let is_creation = name.starts_with("create");
        let new_person = || copernica.create_profile("People", &[("email", "before@example.com")]).unwrap();
        let new_order = |person: &str| copernica.create_subprofile(person, "Orders", &[("order_number", "1")]).unwrap();
        let mut person = String::new();
        let mut order = String::new();
        if is_about_subprofile || !is_creation {
            person = new_person();
        }
        if is_about_subprofile && !is_creation {
            order = new_order(&person);
        }
        app.settle().await;
        app.simulator.advance(chrono::Duration::seconds(5));
        match (name.as_str(), is_about_subprofile) {
            ("create-profile", _) => person = new_person(),
            ("create-subprofile", _) => order = new_order(&person),
            ("delete-profile", _) => copernica.delete_profile(&person).unwrap(),
            ("delete-subprofile", _) => copernica.delete_subprofile(&order).unwrap(),
            ("unsubscribe", _) => copernica.unsubscribe(&person).unwrap(),
            (_, true) => assert!(copernica.update_subprofile(&order, &[("status", "paid")]).unwrap()),
            (_, false) => assert!(copernica.update_profile(&person, &[("email", "ann@example.com")]).unwrap()),
        }
        let caused = app.simulator.take_webhooks();
        let alike = caused.iter().find(|webhook| name.contains(&webhook.event)).unwrap_or(&caused[0]);
        app.deliver(Copernica, of_the_world(&fixture, &alike.body)).await;

        let shown = app.profile(Copernica, &person).await;
        let kinds = app.kinds(Copernica, &person).await;
        let subprofiles = shown["subprofiles"]["nodes"].as_array().unwrap();
        let is_shown = match name.as_str() {
            "create-profile" | "update-profile" => shown["email"] == "ann@example.com",
            "seed-update-profile" => {
                let interests = shown["interests"].as_array().unwrap();
                interests.len() == 1 && interests[0]["name"] == "blue"
            }
            "delete-profile" | "unsubscribe" => shown["status"] == "DELETED",
            "create-subprofile" => subprofiles.len() == 1 && subprofiles[0]["externalId"] == order,
            "update-subprofile" | "seed-update-subprofile" => kinds.iter().any(|kind| kind == "SUBPROFILE_UPDATED"),
            "delete-subprofile" => subprofiles.is_empty() && kinds.iter().any(|kind| kind == "SUBPROFILE_DELETED"),
            "click" | "open" | "delivery" | "bounce" | "failure" => is_listed(&app, Copernica, "IGNORED", &name).await,
            other => panic!("say what {other} does"),
        };
        assert!(is_shown, "{name}: {shown:#}");
    }
    // The documents' own values stand beside what the world holds.
    app.finish_apart_from_world().await;
});

both!(an_unsubscribe_that_updates_shows_the_values_that_it_sets, |database| {
    let app = TestApp::imported(&database).await;
    let copernica = app.simulator.copernica();
    let sets = vec![("email".to_owned(), "none@example.com".to_owned())];
    copernica.set_unsubscribe("People", Unsubscribe::Update(sets)).unwrap();
    let person = copernica.profile_ids("People").remove(0);
    app.simulator.advance(chrono::Duration::seconds(5));
    copernica.unsubscribe(&person).unwrap();
    // The update that follows may be lost: the event of the unsubscription is enough.
    for webhook in app.simulator.take_webhooks() {
        if webhook.event == "unsubscribe" {
            assert_eq!(app.post(&webhook).await, 200);
        }
    }
    app.drain().await;
    let shown = app.profile(Copernica, &person).await;
    assert_eq!((&shown["email"], &shown["status"]), (&json!("none@example.com"), &json!("OPEN")));
    app.finish().await;
});

both!(each_documented_event_of_getprofile_reaches_the_answer, |database| {
    let app = TestApp::imported(&database).await;
    let getprofile = app.simulator.getprofile();
    let person = getprofile.profile_ids().remove(0);
    for (name, body) in webhooks(GetProfile) {
        let mut event: Value = serde_json::from_slice(&body).unwrap();
        if name != "other-tenant" {
            event["tenant_id"] = json!(getprofile.tenant());
        }
        if event["data"].get("profile_id").is_some() {
            event["data"]["profile_id"] = json!(person);
        }
        app.simulator.advance(chrono::Duration::seconds(5));
        let hobby = json!({ "interests": { "hobbies": [{ "value": name, "confidence": 0.8 }] } });
        getprofile.silently().update(&person, &hobby).unwrap();
        getprofile.settle();
        drop(app.simulator.take_webhooks());
        app.deliver(GetProfile, event.to_string()).await;
        let is_shown = match name.as_str() {
            "seed-profile-updated" => {
                let shown = app.profile(GetProfile, &person).await;
                shown["interests"].as_array().unwrap().contains(&json!({ "group": "hobbies", "name": name }))
            }
            "billing-event" => is_listed(&app, GetProfile, "IGNORED", "billing.limit_reached").await,
            "other-tenant" => app.deliveries(GetProfile, "PARKED").await.len() == 1,
            other => panic!("say what {other} does"),
        };
        assert!(is_shown, "{name}");
    }
    app.finish().await;
});
