//! Copernica: form-encoded events that carry whole records. Bodies as in the vendor's documentation (folder
//! `Publisher`, May 2024).

use crate::support::app::TestApp;
use crate::support::both;
use serde_json::{Value, json};
use simulator::ProviderKind::Copernica;
use simulator::copernica::{FieldKind, InterestsEncoding, Unsubscribe};

fn a_person(app: &TestApp) -> String {
    app.simulator.copernica().profile_ids("People").remove(0)
}

fn field<'a>(shown: &'a Value, name: &str) -> &'a Value {
    let fields = shown["fields"].as_array().expect("fields");
    &fields.iter().find(|field| field["name"] == name).expect("the field")["text"]
}

both!(create_update_and_delete_of_a_profile, |database| {
    let app = TestApp::imported(&database).await;
    let copernica = app.simulator.copernica();
    let fields = [("firstname", "Ada"), ("lastname", "Byron"), ("email", "ada@example.com")];
    let id = copernica.create_profile("People", &fields).unwrap();
    app.settle().await;
    let shown = app.profile(Copernica, &id).await;
    assert_eq!((&shown["displayName"], &shown["email"]), (&json!("Ada Byron"), &json!("ada@example.com")));

    app.simulator.advance(chrono::Duration::seconds(2));
    copernica.update_profile(&id, &[("lastname", "Lovelace")]).unwrap();
    app.settle().await;
    assert_eq!(field(&app.profile(Copernica, &id).await, "lastname"), "Lovelace");

    app.simulator.advance(chrono::Duration::seconds(2));
    copernica.delete_profile(&id).unwrap();
    app.settle().await;
    let shown = app.profile(Copernica, &id).await;
    assert_eq!((&shown["status"], &shown["fields"]), (&json!("DELETED"), &json!([])));
    assert_eq!(app.kinds(Copernica, &id).await, ["CREATED", "UPDATED", "DELETED"]);
    app.finish().await;
});

both!(a_field_that_is_new_upstream_is_defined_in_the_next_answer, |database| {
    let app = TestApp::imported(&database).await;
    let copernica = app.simulator.copernica();
    let person = a_person(&app);
    let ask = async || {
        let document = "query ($by: ProfileRef!) { profile(by: $by) {
            field(name: \"shoe_size\") { type value definition { upstreamType } } } }";
        let by = json!({ "key": { "source": "marketing", "externalId": person } });
        app.client().query(document, json!({ "by": by })).await["profile"]["field"].take()
    };
    assert_eq!(ask().await, Value::Null);

    app.simulator.advance(chrono::Duration::seconds(2));
    copernica.add_field("People", "shoe_size", FieldKind::Integer).unwrap();
    copernica.update_profile(&person, &[("shoe_size", "43")]).unwrap();
    app.settle().await;
    app.import("marketing").await;
    let defined = json!({ "type": "NUMBER", "value": 43, "definition": { "upstreamType": "integer" } });
    assert_eq!(ask().await, defined);
    app.finish().await;
});

both!(create_update_and_delete_of_a_subprofile, |database| {
    let app = TestApp::imported(&database).await;
    let copernica = app.simulator.copernica();
    let person = copernica.create_profile("People", &[("firstname", "Grace")]).unwrap();
    let order =
        copernica.create_subprofile(&person, "Orders", &[("order_number", "SO-1"), ("status", "open")]).unwrap();
    app.settle().await;
    let shown = app.profile(Copernica, &person).await;
    assert_eq!(shown["subprofiles"]["nodes"][0]["externalId"], json!(order));
    assert_eq!(shown["subprofiles"]["nodes"][0]["collection"]["name"], "Orders");

    app.simulator.advance(chrono::Duration::seconds(2));
    copernica.update_subprofile(&order, &[("status", "paid")]).unwrap();
    app.settle().await;
    let shown = app.profile(Copernica, &person).await;
    assert_eq!(field(&shown["subprofiles"]["nodes"][0], "status"), "paid");

    app.simulator.advance(chrono::Duration::seconds(2));
    copernica.delete_subprofile(&order).unwrap();
    app.settle().await;
    assert_eq!(app.profile(Copernica, &person).await["subprofiles"]["nodes"], json!([]));
    let kinds = app.kinds(Copernica, &person).await;
    assert_eq!(kinds, ["CREATED", "SUBPROFILE_CREATED", "SUBPROFILE_UPDATED", "SUBPROFILE_DELETED"]);
    app.finish().await;
});

both!(a_deleted_profile_takes_its_subprofiles_along, |database| {
    let app = TestApp::imported(&database).await;
    let copernica = app.simulator.copernica();
    let person = a_person(&app);
    copernica.create_subprofile(&person, "Visits", &[("page", "/shop")]).unwrap();
    app.settle().await;
    app.simulator.advance(chrono::Duration::seconds(2));
    copernica.delete_profile(&person).unwrap();
    app.settle().await;
    assert_eq!(app.profile(Copernica, &person).await["subprofiles"]["nodes"], json!([]));
    app.finish().await;
});

both!(a_subprofile_of_a_profile_that_nobody_told_of_joins_it_when_it_comes, |database| {
    let app = TestApp::imported(&database).await;
    let copernica = app.simulator.copernica();
    let person = copernica.create_profile("People", &[("firstname", "Late")]).unwrap();
    let held = app.simulator.take_webhooks();
    copernica.create_subprofile(&person, "Orders", &[("order_number", "SO-2")]).unwrap();
    app.settle().await;
    for webhook in held {
        assert_eq!(app.post(&webhook).await, 200);
    }
    app.drain().await;
    assert_eq!(app.profile(Copernica, &person).await["subprofiles"]["nodes"].as_array().unwrap().len(), 1);
    app.finish().await;
});

both!(interests_are_understood_in_every_shape, |database| {
    let app = TestApp::imported(&database).await;
    let copernica = app.simulator.copernica();
    let person = a_person(&app);
    let shapes = [InterestsEncoding::Map, InterestsEncoding::List, InterestsEncoding::Grouped];
    for (shape, interests) in shapes.into_iter().zip([["soccer", "jazz"], ["opera", "wine"], ["tennis", "newsletter"]])
    {
        copernica.configure(|switches| switches.interests = shape);
        app.simulator.advance(chrono::Duration::seconds(2));
        copernica.set_interests(&person, &interests).unwrap();
        app.settle().await;
        let shown = app.profile(Copernica, &person).await;
        let names = shown["interests"].as_array().unwrap().iter().map(|interest| interest["name"].as_str().unwrap());
        let mut names: Vec<&str> = names.collect();
        names.sort_unstable();
        let mut wanted = interests;
        wanted.sort_unstable();
        assert_eq!(names, wanted, "{shape:?}");
    }
    app.simulator.advance(chrono::Duration::seconds(2));
    copernica.set_interests(&person, &[]).unwrap();
    app.settle().await;
    assert_eq!(app.profile(Copernica, &person).await["interests"], json!([]));
    app.finish().await;
});

both!(an_unsubscribe_does_what_the_database_is_set_to_do, |database| {
    let app = TestApp::imported(&database).await;
    let copernica = app.simulator.copernica();
    copernica.set_unsubscribe("People", Unsubscribe::Remove).unwrap();
    let person = a_person(&app);
    copernica.unsubscribe(&person).unwrap();
    app.settle().await;
    assert_eq!(app.profile(Copernica, &person).await["status"], "DELETED");

    copernica.set_unsubscribe("People", Unsubscribe::Nothing).unwrap();
    let other = a_person(&app);
    copernica.unsubscribe(&other).unwrap();
    app.settle().await;
    assert_eq!(app.profile(Copernica, &other).await["status"], "OPEN");
    app.finish().await;
});

both!(a_foreign_key_is_a_relationship, |database| {
    let app = TestApp::imported(&database).await;
    let copernica = app.simulator.copernica();
    let person = a_person(&app);
    let company = copernica.profile_ids("Companies").remove(0);
    copernica.set_foreign_key(&person, "company", None).unwrap();
    app.simulator.advance(chrono::Duration::seconds(2));
    copernica.set_foreign_key(&person, "company", Some(&company)).unwrap();
    app.settle().await;
    let shown = app.profile(Copernica, &person).await;
    let wanted = json!({
        "type": { "externalId": "company" }, "from": { "externalId": person }, "to": { "externalId": company },
    });
    assert!(shown["relationships"]["nodes"].as_array().unwrap().contains(&wanted), "{shown:#}");
    app.finish().await;
});

both!(a_delete_with_nothing_but_an_id_is_enough, |database| {
    let app = TestApp::imported(&database).await;
    let copernica = app.simulator.copernica();
    copernica.configure(|switches| switches.minimal_delete_body = true);
    let person = a_person(&app);
    copernica.delete_profile(&person).unwrap();
    app.settle().await;
    assert_eq!(app.profile(Copernica, &person).await["status"], "DELETED");
    app.finish().await;
});

both!(a_mailing_event_is_kept_and_ignored, |database| {
    let app = TestApp::imported(&database).await;
    app.deliver(Copernica, "type=click&profile=1&timestamp=2026-01-15+13%3A00%3A00&time=1768478400").await;
    assert_eq!(app.deliveries(Copernica, "IGNORED").await.len(), 1);
    app.finish().await;
});
