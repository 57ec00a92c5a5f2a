//! What full runs find.

use super::{DEADLINE, SETTLED_MS, drift, drift_once, named, persons, settled};
use crate::support::app::TestApp;
use crate::support::both;
use entity::profile;
use profile_mirror::clock::Clock;
use profile_mirror::ingest::run::{RunRequest, request_run};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use serde_json::{Value, json};
use simulator::ProviderKind::{Copernica, GetProfile, Parallel};
use std::time::Duration;

/// Changes what the mirror's own table holds of a profile, behind the service's back.
async fn tamper(app: &TestApp, external_id: &str, fields: Value, hash: Option<i64>) {
    use profile::Column;
    let mut update = profile::Entity::update_many()
        .col_expr(Column::Fields, Expr::value(fields))
        .filter(Column::ExternalId.eq(external_id));
    if let Some(hash) = hash {
        update = update.col_expr(Column::RowHash, Expr::value(hash));
    }
    assert_eq!(update.exec(app.database().writer()).await.unwrap().rows_affected, 1);
}

/// Waits until apply has taken every page that a run has brought.
async fn until_taken(app: &TestApp) {
    let wait = async {
        loop {
            let run = app.newest_run("crm").await;
            if run.pages > 0 && run.pages_settled == run.pages {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(DEADLINE, wait).await.expect("its pages are taken in time");
}

both!(a_first_import_is_no_drift, |database| {
    let app = TestApp::imported(&database).await;
    let drift = drift(&app, Parallel).await;
    assert_eq!((&drift["ratio"], &drift["lastRun"]), (&Value::Null, &Value::Null));
    assert_eq!(drift["differences"]["nodes"], json!([]));
    assert_eq!(drift["estimate"]["sampled"], 0);
    app.finish().await;
});

both!(a_run_that_finds_nothing_says_so, |database| {
    let app = TestApp::imported(&database).await;
    for (provider, source) in [(Copernica, "marketing"), (Parallel, "crm"), (GetProfile, "people")] {
        app.import(source).await;
        let drift = settled(&app, provider).await;
        let run = &drift["lastRun"];
        assert!(run["compared"].as_i64().unwrap() > 5, "{source}: {drift:#}");
        assert_eq!((&drift["ratio"], &run["differed"], &run["remained"]), (&json!(0.0), &json!(0), &json!(0)));
        assert_eq!((&run["bucketsDifferingBefore"], &run["bucketsDifferingAfter"]), (&json!(0), &json!(0)));
        assert_eq!((&run["buckets"], &run["run"]["state"]), (&json!(256), &json!("DONE")));
    }
    app.finish().await;
});

both!(silent_changes_are_found_by_the_names_of_their_fields_and_repaired, |database| {
    let app = TestApp::imported(&database).await;
    app.simulator.advance(chrono::Duration::seconds(5));
    let (changed, closed) = (persons(&app).remove(0), persons(&app).remove(1));
    let parallel = app.simulator.parallel().silently();
    parallel.set_field(&changed, "p_risk_score", Some(json!(4711))).unwrap();
    parallel.close(&closed).unwrap();
    let created = parallel.create_random_profile("Individual").unwrap();

    app.import("crm").await;
    let drift = settled(&app, Parallel).await;
    let run = &drift["lastRun"];
    assert_eq!((&run["differed"], &run["explained"], &run["repaired"]), (&json!(3), &json!(0), &json!(3)), "{drift:#}");
    assert!((1..=3).contains(&run["bucketsDifferingBefore"].as_i64().unwrap()), "{drift:#}");
    assert_eq!((&run["bucketsDifferingAfter"], &run["remained"]), (&json!(0), &json!(0)), "{drift:#}");
    assert!(drift["ratio"].as_f64().unwrap() > 0.0);
    let found = named(&drift);
    let names = |id: &str| found.iter().find(|(known, _)| known == id).expect("it is found").1.clone();
    assert_eq!(names(&changed), ["p_risk_score"]);
    assert!(names(&closed).contains(&"status".to_owned()), "{found:?}");
    assert_eq!(names(&created), Vec::<String>::new());
    for node in drift["differences"]["nodes"].as_array().unwrap() {
        assert_eq!(node["foundBy"], "RUN");
        assert!(node["repairedAt"].is_string() && node["profile"]["externalId"] == node["recordId"], "{node}");
    }
    let metrics = app.client().get("/metrics").await.1;
    let is_shown = |line: &str| line.starts_with("profile_mirror_drift_ratio{") && line.contains("crm");
    assert!(metrics.lines().any(is_shown), "{metrics}");

    // The next run finds nothing any more.
    app.import("crm").await;
    let drift = settled(&app, Parallel).await;
    assert_eq!((&drift["ratio"], &drift["lastRun"]["differed"]), (&json!(0.0), &json!(0)));
    app.finish().await;
});

both!(a_subprofile_that_changed_or_went_silently_is_found, |database| {
    let app = TestApp::imported(&database).await;
    app.simulator.advance(chrono::Duration::seconds(5));
    let truth = app.simulator.truth(Copernica);
    let mut subprofiles = truth.profiles.values().flat_map(|profile| profile.subprofiles.iter());
    let (changed, shown) = subprofiles.next().expect("a subprofile");
    let (gone, _) = subprofiles.next().expect("another one");
    let field = shown.fields.keys().next().unwrap();
    let copernica = app.simulator.copernica().silently();
    copernica.update_subprofile(changed, &[(field.as_str(), "4711")]).unwrap();
    copernica.delete_subprofile(gone).unwrap();

    app.import("marketing").await;
    let drift = settled(&app, Copernica).await;
    assert_eq!(drift["lastRun"]["differed"], 2, "{drift:#}");
    assert_eq!(drift["lastRun"]["bucketsDifferingAfter"], 0, "{drift:#}");
    let mut expected = vec![(changed.clone(), vec![field.clone()]), (gone.clone(), Vec::new())];
    expected.sort();
    assert_eq!(named(&drift), expected);
    app.finish().await;
});

both!(a_row_that_was_tampered_with_is_found_whatever_its_hash_says, |database| {
    let app = TestApp::imported(&database).await;
    let (one, other) = (persons(&app).remove(0), persons(&app).remove(1));
    tamper(&app, &one, json!({ "p_first_name": "Mallory" }), None).await;
    tamper(&app, &other, json!({ "p_first_name": "Mallory" }), Some(7)).await;

    app.import("crm").await;
    app.assert_rows_equal_world().await;
    let drift = settled(&app, Parallel).await;
    assert_eq!(drift["lastRun"]["differed"], 2, "{drift:#}");
    assert!(drift["lastRun"]["bucketsDifferingBefore"].as_i64().unwrap() >= 1, "{drift:#}");
    let found = named(&drift);
    assert!(found.iter().all(|(_, names)| names.contains(&"p_first_name".to_owned())), "{found:?}");
    assert!(!drift.to_string().contains("Mallory"), "no value is kept");
    app.finish().await;
});

both!(news_during_a_run_is_no_drift, |database| {
    let app = TestApp::imported(&database).await;
    app.simulator.advance(chrono::Duration::seconds(5));
    let parallel = app.simulator.parallel();
    let (person, other) = (persons(&app).remove(0), persons(&app).remove(1));
    // Its webhook is on its way while the page that shows it is taken already.
    parallel.set_field(&person, "p_risk_score", Some(json!(4711))).unwrap();
    let page = app.simulator.pause_next("/profiles?profileTypeId");
    let run = async { app.import("crm").await };
    let news = async {
        page.reached().await;
        app.simulator.advance(chrono::Duration::seconds(5));
        parallel.silently().set_field(&other, "p_risk_score", Some(json!(1))).unwrap();
        page.release();
    };
    tokio::join!(run, news);
    app.settle().await;

    let drift = settled(&app, Parallel).await;
    assert_eq!(drift["lastRun"]["explained"], 1, "{drift:#}");
    assert!(named(&drift).iter().all(|(id, _)| *id != person), "{drift:#}");
    app.import("crm").await;
    app.finish().await;
});

both!(what_changes_after_its_page_was_taken_is_found_by_the_digest_and_repaired, |database| {
    let app = TestApp::imported(&database).await;
    let mut types = app.simulator.parallel().profile_types();
    let last_type = types.pop().expect("a profile type").0;
    let person = persons(&app).remove(0);
    let page = app.simulator.pause_next(&format!("profileTypeId={last_type}"));
    let run = async { app.import("crm").await };
    let mischief = async {
        page.reached().await;
        until_taken(&app).await;
        tamper(&app, &person, json!({ "p_first_name": "Mallory" }), Some(7)).await;
        page.release();
    };
    tokio::join!(run, mischief);

    let is_repaired = |drift: &Value| drift["lastRun"]["repaired"] == 1;
    let drift = drift_once(&app, Parallel, is_repaired).await;
    let run = &drift["lastRun"];
    assert_eq!((&run["remained"], &run["bucketsDifferingAfter"]), (&json!(1), &json!(1)), "{drift:#}");
    let node = &drift["differences"]["nodes"][0];
    assert_eq!((&node["recordId"], &node["foundBy"]), (&json!(person), &json!("DIGEST")));
    assert!(node["repairedAt"].is_string(), "{node}");
    assert!(named(&drift)[0].1.contains(&"p_first_name".to_owned()), "{node}");
    app.finish().await;
});

both!(a_run_of_one_type_does_not_speak_for_the_drift_of_its_source, |database| {
    let app = TestApp::imported(&database).await;
    let persons = persons(&app);
    tamper(&app, &persons[0], json!({ "p_first_name": "Mallory" }), None).await;
    app.import("crm").await;
    let whole = settled(&app, Parallel).await;
    assert_eq!(whole["lastRun"]["differed"], 1, "{whole:#}");

    tamper(&app, &persons[1], json!({ "p_first_name": "Mallory" }), None).await;
    for (profile_type, _) in app.simulator.parallel().profile_types() {
        let id = app.source_id("crm").await;
        let request = RunRequest { profile_type: Some(profile_type), ..RunRequest::full("test") };
        request_run(app.database(), app.clock.now(), id, request).await.unwrap();
        app.drain().await;
    }
    app.clock.advance_ms(SETTLED_MS);
    let drift = drift_once(&app, Parallel, |drift| named(drift).len() == 2).await;
    assert_eq!((&drift["lastRun"]["at"], &drift["ratio"]), (&whole["lastRun"]["at"], &whole["ratio"]), "{drift:#}");
    app.finish().await;
});
