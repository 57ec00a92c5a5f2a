//! Where the value of a field comes from.

use crate::support::app::{READER, TestApp};
use crate::support::both;
use serde_json::{Value, json};
use simulator::ProviderKind::Parallel;

const FIELDS: &str = "query ($by: ProfileRef!) { profile(by: $by) { fields { name value provenance { at rung
  change { kind fields { name after } cause { event } } delivery { kind } } } } }";

async fn provenance(app: &TestApp, person: &str, name: &str) -> Value {
    let by = json!({ "key": { "source": "crm", "externalId": person } });
    let data = app.client().query(FIELDS, json!({ "by": by })).await;
    let fields = data["profile"]["fields"].as_array().unwrap();
    fields.iter().find(|field| field["name"] == name).map(|field| field["provenance"].clone()).unwrap_or_default()
}

both!(a_value_leads_to_the_newest_change_that_touched_it, |database| {
    let app = TestApp::imported(&database).await;
    let parallel = app.simulator.parallel();
    let truth = app.simulator.truth(Parallel);
    let is_open = |id: &String| truth.profiles[id].status == simulator::TruthStatus::Open;
    let person = parallel.profile_ids("Individual").into_iter().find(is_open).unwrap();
    let created = provenance(&app, &person, "p_last_name").await;
    assert_eq!((&created["change"]["kind"], &created["delivery"]["kind"]), (&json!("CREATED"), &json!("PAGE")));
    assert!(created["rung"].is_string() && created["at"].is_string(), "{created}");

    parallel.set_field(&person, "p_last_name", Some(json!("Zanzibar"))).unwrap();
    app.settle().await;
    let updated = provenance(&app, &person, "p_last_name").await;
    assert_eq!(updated["change"]["kind"], "UPDATED");
    let told = updated["change"]["fields"].as_array().unwrap();
    assert!(told.contains(&json!({ "name": "p_last_name", "after": "Zanzibar" })), "{told:?}");
    let other = provenance(&app, &person, "p_first_name").await;
    assert_eq!(other["change"]["kind"], "CREATED", "what did not change keeps where it came from");

    let by = json!({ "by": { "key": { "source": "crm", "externalId": person } } });
    let codes = app.client().with_key(Some(READER)).codes(FIELDS, by).await;
    assert!(
        !codes.is_empty() && codes.iter().all(|code| code == "FORBIDDEN"),
        "deliveries are for operators: {codes:?}"
    );
    app.finish().await;
});
