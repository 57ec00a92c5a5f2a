//! Parallel: thin events. Event types and bodies as in the vendor's help centre, November 2026.

use crate::support::app::TestApp;
use crate::support::both;
use crate::support::webhook::parallel_event;
use serde_json::{Value, json};
use simulator::ProviderKind::Parallel;

const ABOUT_VALUES: [&str; 8] = [
    "PROFILE_CREATED",
    "PROFILE_UPDATED",
    "PROFILE_FIELD_VALUE_UPDATED",
    "PROFILE_FIELD_EXPIRY_UPDATED",
    "PROFILE_FIELD_FILE_ADDED",
    "PROFILE_FIELD_FILE_REMOVED",
    "PROFILE_FIELD_VALUE_MONITORED",
    "PROFILE_OF_A_TYPE_NOBODY_KNOWS",
];

fn a_person(app: &TestApp) -> String {
    let open = |id: &String| {
        let truth = app.simulator.truth(Parallel);
        truth.profiles[id].status == simulator::TruthStatus::Open
    };
    app.simulator.parallel().profile_ids("Individual").into_iter().find(open).expect("an open person")
}

both!(each_event_about_values_brings_the_values_by_a_fetch, |database| {
    let app = TestApp::imported(&database).await;
    let person = a_person(&app);
    for (number, kind) in ABOUT_VALUES.into_iter().enumerate() {
        let score = json!(1_000 + number);
        app.simulator.parallel().silently().set_field(&person, "p_risk_score", Some(score.clone())).unwrap();
        app.deliver(Parallel, parallel_event(kind, &person, json!({}))).await;
        let shown = app.profile(Parallel, &person).await;
        let field = shown["fields"].as_array().unwrap().iter().find(|field| field["name"] == "p_risk_score").unwrap();
        assert_eq!(field["value"], score, "after {kind}");
    }
    app.finish().await;
});

both!(a_created_profile_appears_once, |database| {
    let app = TestApp::imported(&database).await;
    let created = app.simulator.parallel().create_random_profile("Legal entity").unwrap();
    app.settle().await;
    assert_eq!(app.kinds(Parallel, &created).await, ["CREATED"]);
    app.finish().await;
});

both!(closing_and_reopening_are_transitions_in_the_history, |database| {
    let app = TestApp::imported(&database).await;
    let person = a_person(&app);
    app.simulator.parallel().close(&person).unwrap();
    app.settle().await;
    assert_eq!(app.profile(Parallel, &person).await["status"], "CLOSED");

    app.simulator.advance(chrono::Duration::seconds(5));
    app.simulator.parallel().reopen(&person).unwrap();
    app.settle().await;
    let shown = app.profile(Parallel, &person).await;
    assert_eq!(shown["status"], "OPEN");
    let history = shown["lifecycle"]["history"].as_array().unwrap();
    let causes: Vec<&Value> = history.iter().map(|transition| &transition["cause"]).collect();
    assert!(causes.contains(&&json!("PROFILE_CLOSED")) && causes.contains(&&json!("PROFILE_REOPENED")), "{causes:?}");
    let kinds = app.kinds(Parallel, &person).await;
    let place = |wanted: &str| kinds.iter().position(|kind| kind == wanted);
    assert!(place("CLOSED") < place("REOPENED") && place("CLOSED").is_some(), "{kinds:?}");
    app.finish().await;
});

both!(a_scheduled_deletion_shows_its_date_and_reopening_cancels_it, |database| {
    let app = TestApp::imported(&database).await;
    let person = a_person(&app);
    let due = app.simulator.now() + chrono::Duration::days(30);
    app.simulator.parallel().schedule_for_deletion(&person, due).unwrap();
    app.settle().await;
    let shown = app.profile(Parallel, &person).await;
    assert_eq!(shown["status"], "SCHEDULED_FOR_DELETION");
    assert_eq!(shown["lifecycle"]["scheduledFor"], due.to_rfc3339_opts(chrono::SecondsFormat::Millis, true));

    app.simulator.advance(chrono::Duration::seconds(5));
    app.simulator.parallel().reopen(&person).unwrap();
    app.settle().await;
    let shown = app.profile(Parallel, &person).await;
    assert_eq!((&shown["status"], &shown["lifecycle"]["scheduledFor"]), (&json!("OPEN"), &Value::Null));
    app.finish().await;
});

both!(an_anonymized_person_is_empty_from_the_event_alone, |database| {
    let app = TestApp::imported(&database).await;
    let person = a_person(&app);
    app.simulator.parallel().anonymize(&person).unwrap();
    app.settle().await;
    let shown = app.profile(Parallel, &person).await;
    assert_eq!(shown["status"], "ANONYMIZED");
    assert_eq!((&shown["displayName"], &shown["email"], &shown["fields"]), (&Value::Null, &Value::Null, &json!([])));
    assert_eq!(shown["relationships"]["nodes"], json!([]), "who knows whom is personal too");

    app.deliver(Parallel, parallel_event("PROFILE_REOPENED", &person, json!({}))).await;
    assert_eq!(app.profile(Parallel, &person).await["status"], "ANONYMIZED", "that is final");
    app.finish().await;
});

both!(a_relationship_is_told_from_both_ends_and_stored_once, |database| {
    let app = TestApp::imported(&database).await;
    let person = a_person(&app);
    let company = app.simulator.parallel().profile_ids("Legal entity").remove(0);
    let parallel = app.simulator.parallel();
    let before = app.profile(Parallel, &person).await["relationships"]["nodes"].as_array().unwrap().len();
    let id = parallel.create_relationship("p_director__managed_by", &person, &company).unwrap();
    app.settle().await;
    let shown = app.profile(Parallel, &person).await;
    assert_eq!(shown["relationships"]["nodes"].as_array().unwrap().len(), before + 1);
    let seen_from_company = app.profile(Parallel, &company).await;
    let wanted = json!({
        "type": { "externalId": "p_director__managed_by" },
        "from": { "externalId": person }, "to": { "externalId": company },
    });
    assert!(seen_from_company["relationships"]["nodes"].as_array().unwrap().contains(&wanted));

    parallel.remove_relationship(&id).unwrap();
    app.settle().await;
    let shown = app.profile(Parallel, &person).await;
    assert_eq!(shown["relationships"]["nodes"].as_array().unwrap().len(), before);
    app.finish().await;
});

both!(an_event_about_something_else_is_kept_and_ignored, |database| {
    let app = TestApp::imported(&database).await;
    app.deliver(Parallel, parallel_event("PETITION_COMPLETED", "", json!({}))).await;
    let ignored = app.deliveries(Parallel, "IGNORED").await;
    let kept = ignored.iter().find(|delivery| delivery["event"] == "PETITION_COMPLETED").expect("it is listed");
    assert!(kept["reason"].is_string());
    app.finish().await;
});
