//! What reads at random find between runs.

use super::{drift_once, named, persons};
use crate::support::app::TestApp;
use crate::support::both;
use crate::support::place::TestDatabase;
use entity::profile;
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use serde_json::{Value, json};
use simulator::ProviderKind::Parallel;

/// So much time passes with each look, milliseconds.
const PAUSE_MS: i64 = 2_000;

async fn reading(database: &TestDatabase, profiles: usize) -> TestApp {
    let often = |config: &mut profile_mirror::config::Config| {
        let crm = config.sources.iter_mut().find(|source| source.name == "crm").expect("the source");
        crm.drift.reads_per_hour = 36_000;
    };
    let app = TestApp::builder(database).profiles(profiles).configure(often).start().await;
    app.import_all().await;
    app
}

/// Lets time pass until the drift is as wanted: reads are drawn, answered, and settled.
async fn pass_time(app: &TestApp, is_so: impl Fn(&Value) -> bool) -> Value {
    let pass = |drift: &Value| {
        app.clock.advance_ms(PAUSE_MS);
        is_so(drift)
    };
    drift_once(app, Parallel, pass).await
}

both!(the_estimate_holds_the_true_share, |database| {
    let app = reading(&database, 330).await;
    app.simulator.advance(chrono::Duration::seconds(5));
    let truth = app.simulator.truth(Parallel);
    let living = truth.profiles.values().filter(|profile| !profile.status.is_gone()).count();
    let changed: Vec<String> = persons(&app).into_iter().take(living / 10).collect();
    assert!(changed.len() >= 5, "{} of {living}", changed.len());
    for person in &changed {
        app.simulator.parallel().silently().set_field(person, "p_risk_score", Some(json!(4711))).unwrap();
    }
    let all_of_them = i64::try_from(living).unwrap();
    let all_changed = i64::try_from(changed.len()).unwrap();
    let is_over = |drift: &Value| {
        let estimate = &drift["estimate"];
        estimate["sampled"].as_i64() >= Some(all_of_them) && estimate["differed"].as_i64() >= Some(all_changed)
    };
    let drift = pass_time(&app, is_over).await;
    let estimate = &drift["estimate"];
    let share = changed.len() as f64 / living as f64;
    let (low, high) = (estimate["low"].as_f64().unwrap(), estimate["high"].as_f64().unwrap());
    assert!(low < share && share < high && high - low < 0.3, "{share} in {estimate:#}");
    assert_eq!(named(&drift).len(), changed.len(), "each was drawn");
    for node in drift["differences"]["nodes"].as_array().unwrap() {
        assert_eq!((&node["foundBy"], &node["fieldNames"]), (&json!("READ"), &json!(["p_risk_score"])));
    }
    app.finish().await;
});

both!(a_row_that_was_tampered_with_is_found_by_a_read_and_repaired, |database| {
    let app = reading(&database, 60).await;
    let person = persons(&app).remove(0);
    let tampered = profile::Entity::update_many()
        .col_expr(profile::Column::Fields, Expr::value(json!({ "p_first_name": "Mallory" })))
        .filter(profile::Column::ExternalId.eq(&person));
    tampered.exec(app.database().writer()).await.unwrap();
    let drift = pass_time(&app, |drift| !named(drift).is_empty()).await;
    let node = &drift["differences"]["nodes"][0];
    assert_eq!((&node["recordId"], &node["foundBy"]), (&json!(person), &json!("READ")));
    assert!(node["repairedAt"].is_string() && named(&drift)[0].1.contains(&"p_first_name".to_owned()), "{node}");
    app.finish().await;
});
