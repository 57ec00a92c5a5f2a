//! Everything that told of a person before is empty afterwards, wherever it was.

use super::scan::{CANARY, places};
use super::*;
use crate::support::both;
use profile_mirror::db::Dialect;
use simulator::parallel::AnonymizedReads;

/// Plants text in every place that a person can reach, and checks that it got there.
async fn person_everywhere(app: &TestApp, database: &crate::support::place::TestDatabase) -> (String, String) {
    let (person, company) = two_profiles(app);
    let parallel = app.simulator.parallel();
    plant(app, &person, "one");
    parallel.silently().create_relationship("p_director__managed_by", &person, &company).unwrap();
    // Pages: of the person itself, and of the company that names it; the second time nothing is new on them.
    app.import_all().await;
    app.import("crm").await;
    // The log: values before and after, and fetches of both.
    parallel.set_field(&person, "p_last_name", Some(json!(format!("{CANARY}married")))).unwrap();
    parallel.set_field(&company, "p_share_capital", Some(json!(7))).unwrap();
    app.settle().await;
    // Webhooks that hold more than they should, applied and ignored.
    assert_eq!(app.post(&event_with_note(app, "PROFILE_FIELD_FILE_ADDED", &person)).await, 200);
    assert_eq!(app.post(&event_with_note(app, "PETITION_COMPLETED", &person)).await, 200);
    // Parked ones: one without its time, one that is cut.
    let mut timeless: Value = serde_json::from_str(&parallel_event("PROFILE_ANONYMIZED", &person, json!({}))).unwrap();
    timeless["createdAt"] = Value::Null;
    timeless["data"] = json!({ "note": format!("{CANARY}parked") });
    assert_eq!(app.post(&signed(app, Parallel, timeless.to_string())).await, 200);
    let cut = format!("{{\"profileId\":\"{person}\",\"data\":{{\"note\":\"{CANARY}cut");
    assert_eq!(app.post(&signed(app, Parallel, cut)).await, 200);
    app.drain().await;
    assert_eq!(app.deliveries(Parallel, "PARKED").await.len(), 2);
    if database.dialect == Dialect::Postgres {
        let found = places(database, app.database()).await.join("\n");
        for table in ["profile", "profile_search", "change", "delivery"] {
            assert!(found.contains(&format!("rows of {table}")), "nothing was planted in {table}: {found}");
        }
    }
    let found = places(database, app.database()).await.join("\n");
    assert!(found.contains(" times in "), "nothing is found in the files: {found}");
    let planted = history(app, &person).await;
    assert!(planted.iter().any(|change| change.to_string().contains(CANARY)), "{planted:?}");
    (person, company)
}

async fn assert_the_log_still_tells(app: &TestApp, person: &str) {
    let history = history(app, person).await;
    let kinds: Vec<&str> = history.iter().filter_map(|change| change["kind"].as_str()).collect();
    assert_eq!(kinds.first(), Some(&"CREATED"), "{kinds:?}");
    assert!(kinds.contains(&"UPDATED") && kinds.contains(&"ANONYMIZED"), "{kinds:?}");
    for change in &history {
        assert!(tells_no_more_than_status(change), "{change}");
        let had_values = matches!(change["kind"].as_str(), Some("CREATED" | "UPDATED" | "RELATIONSHIP_CREATED"));
        assert_eq!(change["isErased"], had_values, "{change}");
    }
}

/// The life of a profile is no personal data, and stays.
fn tells_no_more_than_status(change: &Value) -> bool {
    change["fields"].as_array().is_some_and(|fields| fields.iter().all(|field| field["name"] == "status"))
}

both!(an_event_alone_empties_every_place, |database| {
    let filterable = vec!["p_email".to_owned(), "p_last_name".to_owned()];
    let app = TestApp::builder(&database).configure(|config| config.sources[0].filterable = filterable).start().await;
    let (person, company) = person_everywhere(&app, &database).await;
    let parallel = app.simulator.parallel();
    // From here on the person cannot be fetched any more: nothing but the event tells of it.
    parallel.configure(|switches| switches.anonymized_reads = AnonymizedReads::Forbidden);
    parallel.anonymize(&person).unwrap();
    app.settle().await;
    let receipt = cleaned(&app, &person).await;
    app.assert_no_canary(&database).await;

    assert_eq!(receipt["reason"], "PROFILE_ANONYMIZED");
    assert!(receipt["relationships"].as_i64() >= Some(1), "{receipt}");
    assert!(receipt["changes"].as_i64() >= Some(2), "{receipt}");
    assert!(receipt["deliveries"].as_i64() >= Some(5), "{receipt}");
    assert!(receipt["slices"].as_i64() >= Some(3), "{receipt}");
    assert_eq!(receipt["lateDeliveries"], 0, "{receipt}");
    assert_the_log_still_tells(&app, &person).await;
    let shown = app.profile(Parallel, &person).await;
    assert_eq!(
        (&shown["status"], &shown["displayName"], &shown["email"]),
        (&json!("ANONYMIZED"), &Value::Null, &Value::Null)
    );
    assert_eq!(app.deliveries(Parallel, "PARKED").await, Vec::<Value>::new(), "what is empty needs nobody");
    let shown = app.profile(Parallel, &company).await;
    assert_eq!(shown["status"], "OPEN", "others are as they were");
    assert!(!shown["fields"].as_array().unwrap().is_empty());
    app.finish().await;
});

both!(a_fetched_state_empties_every_place, |database| {
    let app = TestApp::builder(&database).start().await;
    let (person, _) = person_everywhere(&app, &database).await;
    let parallel = app.simulator.parallel();
    parallel.configure(|switches| switches.anonymized_reads = AnonymizedReads::Told);
    parallel.silently().anonymize(&person).unwrap();
    assert_eq!(app.post(&event_with_note(&app, "PROFILE_UPDATED", &person)).await, 200);
    app.settle().await;
    let receipt = cleaned(&app, &person).await;
    app.assert_no_canary(&database).await;
    assert_eq!(receipt["reason"], "fetch");
    let kinds = app.kinds(Parallel, &person).await;
    assert!(kinds.contains(&"ANONYMIZED".to_owned()), "{kinds:?}");
    assert!(history(&app, &person).await.iter().all(tells_no_more_than_status));
    app.finish().await;
});

both!(everybody_can_be_erased_and_nothing_stays_between_the_rows, |database| {
    let filterable = vec!["p_email".to_owned(), "p_first_name".to_owned()];
    let app = TestApp::builder(&database)
        .profiles(400)
        .configure(|config| config.sources[0].filterable = filterable)
        .start()
        .await;
    let parallel = app.simulator.parallel();
    let people = parallel.profile_ids("Individual");
    for (number, person) in people.iter().enumerate() {
        plant(&app, person, &format!("{number:04}"));
    }
    app.import_all().await;
    // Values of other lengths move rows and index entries about within the pages of the file.
    for (number, person) in people.iter().enumerate() {
        let name = format!("{CANARY}{}", "x".repeat(number * 37 % 400));
        parallel
            .set_fields(person, &[("p_first_name", Some(json!(name))), ("p_email", Some(json!(format!("{name}@x"))))])
            .unwrap();
    }
    app.settle().await;
    for person in &people {
        parallel.anonymize(person).unwrap();
    }
    app.settle().await;
    for person in &people {
        cleaned(&app, person).await;
    }
    app.assert_no_canary(&database).await;
    app.finish().await;
});

both!(a_reader_that_holds_an_old_state_delays_the_cleaning_and_no_more, |database| {
    use sea_orm::{ConnectionTrait, TransactionTrait};
    let app = TestApp::imported(&database).await;
    let (person, _) = two_profiles(&app);
    plant(&app, &person, "held");
    app.deliver(Parallel, parallel_event("PROFILE_UPDATED", &person, json!({}))).await;

    // Such as a backup has.
    let backup = sea_orm::Database::connect(&database.url).await.unwrap();
    let reading = backup.begin().await.unwrap();
    reading.execute_unprepared("SELECT count(*) FROM profile").await.unwrap();
    if database.dialect == Dialect::Postgres {
        reading.execute_unprepared("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ").await.ok();
    }
    app.simulator.parallel().anonymize(&person).unwrap();
    app.settle().await;
    assert_eq!(app.profile(Parallel, &person).await["status"], "ANONYMIZED");
    if database.dialect == Dialect::Sqlite {
        assert!(receipt(&app, &person).await["filesCleanedAt"].is_null(), "the log is still read");
        assert_eq!(app.readiness("crm").await["pending_erasures"], 1);
    }
    reading.rollback().await.unwrap();
    backup.close().await.unwrap();
    cleaned(&app, &person).await;
    app.assert_no_canary(&database).await;
    app.finish().await;
});
