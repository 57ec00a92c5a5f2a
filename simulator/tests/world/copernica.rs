//! Copernica's REST behaviour and webhooks.

use std::collections::BTreeMap;

use chrono::Duration;
use serde_json::{Value, json};
use simulator::copernica::{FieldKind, InterestsEncoding, Unsubscribe};
use simulator::{ProviderKind, Simulator, TruthStatus};

use crate::client::{Client, world};

const HERE: ProviderKind = ProviderKind::Copernica;

fn form(body: &[u8]) -> BTreeMap<String, String> {
    serde_urlencoded::from_bytes(body).unwrap()
}

/// Sweeps a list by key as a client would.
async fn sweep(client: &Client, list: &str) -> Vec<Value> {
    let mut rows: Vec<Value> = Vec::new();
    let mut last = 0_u64;
    loop {
        let page =
            client.get_ok(&format!("{list}?limit=1000&total=false&orderby=id&order=asc&fields[]=id%3E{last}")).await;
        let data = page["data"].as_array().unwrap().clone();
        assert!(page.get("total").is_none());
        let full = data.len() == 1000;
        for row in data {
            let id: u64 = row["ID"].as_str().unwrap().parse().unwrap();
            assert!(id > last, "ids increase");
            last = id;
            rows.push(row);
        }
        if !full {
            return rows;
        }
    }
}

async fn assert_rest_equals_truth(simulator: &Simulator) {
    let client = Client::new(simulator, HERE).await;
    let truth = simulator.truth(HERE);
    let mut live = 0;
    for (database, _) in simulator.copernica().databases() {
        for row in sweep(&client, &format!("/database/{database}/profiles")).await {
            let known = &truth.profiles[row["ID"].as_str().unwrap()];
            assert_eq!(known.status, TruthStatus::Open);
            assert_eq!(known.type_id, database);
            assert_eq!(row["fields"], json!(known.fields));
            let mut names: Vec<&String> = known.interests.iter().map(|(_, name)| name).collect();
            names.sort();
            let mut shown: Vec<String> = serde_json::from_value(row["interests"].clone()).unwrap();
            shown.sort();
            assert_eq!(json!(shown), json!(names));
            live += 1;
        }
    }
    assert_eq!(live, truth.profiles.values().filter(|profile| profile.status == TruthStatus::Open).count());
    let mut children = 0;
    for (collection, _) in simulator.copernica().collections() {
        for row in sweep(&client, &format!("/collection/{collection}/subprofiles")).await {
            let parent = &truth.profiles[row["profile"].as_str().unwrap()];
            let known = &parent.subprofiles[row["ID"].as_str().unwrap()];
            assert_eq!(known.collection_id, collection);
            assert_eq!(row["fields"], json!(known.fields));
            children += 1;
        }
    }
    assert_eq!(children, truth.profiles.values().map(|profile| profile.subprofiles.len()).sum::<usize>());
}

#[tokio::test]
async fn rest_shows_the_truth_after_a_random_history() {
    let simulator = world(3000).await;
    assert_rest_equals_truth(&simulator).await;
    simulator.random_history(HERE, 400);
    assert_rest_equals_truth(&simulator).await;
    assert!(simulator.take_webhooks().len() >= 350);
}

#[tokio::test]
async fn pages_carry_their_numbers_and_are_capped() {
    let simulator = world(3000).await;
    let client = Client::new(&simulator, HERE).await;
    let page = client.get_ok("/database/people/profiles?limit=5000&nonsense=1").await;
    assert_eq!((&page["start"], &page["limit"], &page["count"]), (&json!(0), &json!(1000), &json!(1000)));
    assert_eq!(page["total"], json!(simulator.copernica().profile_ids("People").len()));
    let next = page["nextid"].as_u64().unwrap();
    let rest = client.get_ok(&format!("/database/1/profiles?limit=1000&fields[]=id%3E%3D{next}")).await;
    assert_eq!(rest["data"][0]["ID"], json!(next.to_string()));
    assert!(rest.get("nextid").is_none());
    let odd = client.get_ok("/database/1/profiles?start=-3&limit=abc").await;
    assert_eq!((&odd["start"], &odd["limit"], &odd["count"]), (&json!(-3), &json!(0), &json!(0)));
    let default = client.get_ok("/database/1/profiles/anything/").await;
    assert_eq!(default["count"], json!(100));
}

#[tokio::test]
async fn conditions_filter_and_unknown_ones_are_ignored() {
    let simulator = world(200).await;
    let copernica = simulator.copernica();
    let id = copernica.create_profile("People", &[("lastname", "Zzyzx"), ("age", "17"), ("country", "NL")]).unwrap();
    let client = Client::new(&simulator, HERE).await;
    let all = copernica.profile_ids("People").len();
    let count =
        async |query: &str| client.get_ok(&format!("/database/1/profiles?limit=1000&{query}")).await["count"].clone();
    assert_eq!(count("fields[]=lastname%3D%3Dzzyzx").await, json!(1));
    assert_eq!(count("fields%5B%5D=lastname%3D~zz%25").await, json!(1));
    assert_eq!(count("fields[0]=age%3C18&fields[1]=lastname==ZZYZX").await, json!(1));
    assert_eq!(count("fields[]=country==nl&fields[]=lastname==Zzyzx").await, json!(0));
    assert_eq!(count("fields[]=lostname==Zzyzx").await, json!(all));
    assert_eq!(count("fields[]=lastname%20==Zzyzx").await, json!(all));
    assert_eq!(count("fields[]=modified%3E%3D2026-01-15%2013:00:00").await, json!(1));
    let slim = client.get_ok(&format!("/database/1/profiles?dataonly=true&fields[]=id=={id}")).await;
    let keys: Vec<&String> = slim["data"][0].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["ID", "fields", "interests", "modified"]);
    let newest = client.get_ok("/database/1/profiles?orderby=modified&order=desc&limit=1").await;
    assert_eq!(newest["data"][0]["ID"], json!(id));
}

#[tokio::test]
async fn a_removed_profile_is_readable_by_id_only() {
    let simulator = world(100).await;
    let copernica = simulator.copernica();
    let id = copernica.create_profile("People", &[("firstname", "Ada")]).unwrap();
    let child = copernica.create_subprofile(&id, "Orders", &[("amount", "12.50")]).unwrap();
    simulator.advance(Duration::seconds(61));
    copernica.delete_profile(&id).unwrap();
    let client = Client::new(&simulator, HERE).await;
    let gone = client.get_ok(&format!("/profile/{id}")).await;
    assert_eq!(gone["removed"], json!("2026-01-15 13:01:01"));
    assert_eq!(gone["modified"], json!("2026-01-15 13:00:00"));
    assert_eq!(gone["fields"]["firstname"], json!(""));
    assert_eq!(client.get_ok(&format!("/subprofile/{child}")).await["removed"], json!("2026-01-15 13:01:01"));
    let ids = client.get_ok("/database/1/profileids").await;
    assert!(!ids.as_array().unwrap().contains(&json!(id)));
    assert_eq!(copernica.delete_profile(&id).unwrap_err().0, "This profile has already been removed");
    let unknown = client.get("/profile/999999999").await;
    assert_eq!(unknown.status, 400);
    assert_eq!(unknown.json["error"]["message"], json!("Copernica REST API Error 400: No entity with supplied ID"));
}

#[tokio::test]
async fn an_update_webhook_shows_all_fields_and_the_changed_parameters() {
    let simulator = world(100).await;
    let copernica = simulator.copernica();
    let id = copernica.create_profile("People", &[("firstname", "Ada"), ("email", "ada@example.com")]).unwrap();
    copernica.set_interests(&id, &["soccer"]).unwrap();
    simulator.take_webhooks();
    assert!(copernica.update_profile(&id, &[("lastname", "Bos & Co")]).unwrap());
    assert!(!copernica.update_profile(&id, &[("lastname", "Bos & Co")]).unwrap());
    let webhooks = simulator.take_webhooks();
    assert_eq!(webhooks.len(), 1);
    let body = form(&webhooks[0].body);
    assert_eq!(body["type"], "update");
    assert_eq!(body["profile"], id);
    assert_eq!(body["parameters[lastname]"], "Bos & Co");
    assert_eq!(body["fields[firstname]"], "Ada");
    assert_eq!((body["interests[soccer]"].as_str(), body["interests[jazz]"].as_str()), ("1", "0"));
    assert_eq!(body["time"], simulator.now().timestamp().to_string());
    assert_eq!(body["timestamp"], "2026-01-15 13:00:00");
    copernica.configure(|switches| switches.interests = InterestsEncoding::Grouped);
    copernica.set_interests(&id, &["jazz"]).unwrap();
    let body = form(&simulator.take_webhooks()[0].body);
    assert_eq!(body["interests[music][jazz]"], "1");
}

#[tokio::test]
async fn changes_through_rest_answer_as_documented_and_send_webhooks() {
    let simulator = world(100).await;
    let client = Client::new(&simulator, HERE).await;
    let body = json!({"fields": {"firstname": "Eve"}, "interests": {"jazz": 1, "wine": 0}});
    let created = client.call("POST", "/database/People/profiles", Some(body)).await;
    assert_eq!(created.status, 201);
    let id = created.headers["x-created"].to_str().unwrap().to_owned();
    assert_eq!(client.call("PUT", &format!("/profile/{id}/fields"), Some(json!({"age": "abc"}))).await.status, 204);
    let child = client.call("POST", &format!("/profile/{id}/subprofiles/orders"), Some(json!({"amount": 3}))).await;
    assert_eq!(child.status, 201);
    let deleted = client.call("DELETE", &format!("/profile/{id}"), None).await;
    assert_eq!(
        (deleted.status, deleted.headers["x-deleted"].to_str().unwrap()),
        (204, format!("profile {id}").as_str())
    );
    let kinds: Vec<String> = simulator.take_webhooks().into_iter().map(|webhook| webhook.event).collect();
    assert_eq!(kinds, ["create", "create", "delete"]);
}

#[tokio::test]
async fn unsubscribing_does_what_the_database_is_configured_for() {
    let simulator = world(100).await;
    let copernica = simulator.copernica();
    let ids = copernica.profile_ids("People");
    let change = vec![("notes".to_owned(), "no mail".to_owned())];
    copernica.set_unsubscribe("People", Unsubscribe::Update(change)).unwrap();
    copernica.unsubscribe(&ids[0]).unwrap();
    copernica.set_unsubscribe("People", Unsubscribe::Remove).unwrap();
    copernica.unsubscribe(&ids[1]).unwrap();
    let kinds: Vec<String> = simulator.take_webhooks().into_iter().map(|webhook| webhook.event).collect();
    assert_eq!(kinds, ["unsubscribe", "update", "unsubscribe", "delete"]);
    assert_eq!(simulator.truth(HERE).profiles[&ids[0]].fields["notes"], json!("no mail"));
    assert_eq!(simulator.truth(HERE).profiles[&ids[1]].status, TruthStatus::Deleted);
}

#[tokio::test]
async fn a_new_field_shows_everywhere_without_a_webhook() {
    let simulator = world(100).await;
    let copernica = simulator.copernica();
    copernica.add_field("People", "nickname", FieldKind::Text).unwrap();
    assert_eq!(simulator.queued_webhooks(), 0);
    assert_rest_equals_truth(&simulator).await;
    let id = copernica.profile_ids("People")[0].clone();
    assert_eq!(simulator.truth(HERE).profiles[&id].fields["nickname"], json!(""));
}

#[tokio::test]
async fn a_foreign_key_is_a_relationship_until_its_holder_goes() {
    let simulator = world(100).await;
    let copernica = simulator.copernica();
    let company = copernica.profile_ids("Companies")[0].clone();
    let id = copernica.create_profile("People", &[("firstname", "Ada"), ("lastname", "Bos")]).unwrap();
    copernica.set_foreign_key(&id, "company", Some(&company)).unwrap();
    let key = format!("fk:company:{id}");
    let truth = simulator.truth(HERE);
    assert_eq!((&truth.relationships[&key].from, &truth.relationships[&key].to), (&id, &company));
    assert_eq!(truth.profiles[&id].name.as_deref(), Some("Ada Bos"));
    assert_eq!(truth.profiles[&id].email, None);
    copernica.delete_profile(&id).unwrap();
    assert!(!simulator.truth(HERE).relationships.contains_key(&key));
}

#[tokio::test]
async fn tokens_end_and_are_refused_then() {
    let simulator = world(100).await;
    let client = Client::new(&simulator, HERE).await;
    assert_eq!(client.get("/identity").await.json["id"], json!("1234"));
    simulator.copernica().expire_tokens();
    assert_eq!(client.get("/identity").await.status, 401);
    simulator.copernica().configure(|switches| switches.auth_failure_is_400 = true);
    let refused = client.get("/identity").await;
    assert_eq!(refused.status, 400);
    assert!(refused.json["error"]["message"].as_str().unwrap().contains("Invalid access token"));
    simulator.copernica().set_token_lifetime(Duration::zero());
    assert_eq!(Client::new(&simulator, HERE).await.get("/identity").await.status, 400);
}

#[tokio::test]
async fn the_switches_change_what_webhooks_say() {
    let simulator = world(100).await;
    let copernica = simulator.copernica();
    let id = copernica.create_profile("People", &[("firstname", "Ada")]).unwrap();
    copernica.create_subprofile(&id, "Orders", &[("amount", "1")]).unwrap();
    copernica.create_subprofile(&id, "Visits", &[("page", "/")]).unwrap();
    simulator.take_webhooks();
    copernica.configure(|switches| {
        switches.interests = InterestsEncoding::List;
        switches.id_key = false;
        switches.noop_update_webhook = true;
        switches.cascaded_delete_webhooks = true;
        switches.minimal_delete_body = true;
        switches.account_underscore = true;
    });
    copernica.update_profile(&id, &[("firstname", "Ada")]).unwrap();
    copernica.configure(|switches| switches.empty_arrays_present = true);
    copernica.update_profile(&id, &[("firstname", "Ada")]).unwrap();
    copernica.delete_profile(&id).unwrap();
    let webhooks = simulator.take_webhooks();
    let bodies: Vec<BTreeMap<String, String>> = webhooks.iter().map(|webhook| form(&webhook.body)).collect();
    assert!(!bodies[0].contains_key("interests") && !bodies[0].contains_key("id"));
    assert_eq!(bodies[1]["interests"], "");
    assert_eq!(bodies[2].keys().collect::<Vec<_>>(), ["database", "profile", "time", "timestamp", "type"]);
    assert!(bodies[3].contains_key("subprofile") && bodies[4].contains_key("subprofile"));
    assert!(!bodies[4].contains_key("database"));
    assert_eq!(webhooks[0].header("x-copernica-id"), Some("account_1234"));
}

#[tokio::test]
async fn webhooks_registered_through_rest_get_their_trigger_and_scope() {
    let simulator = world(100).await;
    let client = Client::new(&simulator, HERE).await;
    let wanted = json!({"handler": "http://127.0.0.1:1/x", "trigger": "create", "database": 2});
    let created = client.call("POST", "/webhooks", Some(wanted)).await;
    let id = created.headers["x-created"].to_str().unwrap().to_owned();
    assert_eq!(client.get_ok(&format!("/webhook/{id}")).await["trigger"], json!("create"));
    simulator.copernica().create_profile("People", &[]).unwrap();
    simulator.copernica().create_profile("Companies", &[]).unwrap();
    assert_eq!(simulator.send_all().await, [0], "nobody listens there");
    assert_eq!(client.call("DELETE", &format!("/webhook/{id}"), None).await.status, 204);
}

#[tokio::test]
async fn modified_moves_only_with_a_field() {
    let simulator = world(100).await;
    let copernica = simulator.copernica();
    let client = Client::new(&simulator, HERE).await;
    let id = copernica.create_profile("People", &[("firstname", "Ada")]).unwrap();
    let path = format!("/profile/{id}");
    let before = client.get_ok(&path).await["modified"].clone();
    simulator.advance(Duration::seconds(5));
    copernica.update_profile(&id, &[("firstname", "Ada")]).unwrap();
    copernica.set_interests(&id, &["jazz"]).unwrap();
    copernica.create_subprofile(&id, "Orders", &[]).unwrap();
    assert_eq!(client.get_ok(&path).await["modified"], before);
    copernica.configure(|switches| switches.interest_change_bumps_modified = true);
    copernica.set_interests(&id, &[]).unwrap();
    assert_ne!(client.get_ok(&path).await["modified"], before);
}
