//! What comes late, twice or again brings nothing back.

use super::scan::CANARY;
use super::*;
use crate::support::both;
use entity::{
    RunKind, RunState, Status, erasure, lifecycle_transition, profile, profile_interest, profile_search, relationship,
};
use profile_mirror::clock::Clock;
use profile_mirror::ingest::run::{self, RunRequest};
use sea_orm::{ActiveValue::Set, ColumnTrait, Condition, EntityTrait, QueryFilter};

both!(answers_and_webhooks_that_were_under_way_bring_nothing_back, |database| {
    let app = TestApp::builder(&database).start().await;
    let (person, company) = two_profiles(&app);
    let parallel = app.simulator.parallel();
    plant(&app, &person, "one");
    parallel.silently().create_relationship("p_director__managed_by", &person, &company).unwrap();
    app.import_all().await;
    let doubled = event_with_note(&app, "PROFILE_FIELD_VALUE_UPDATED", &person);
    assert_eq!(app.post(&doubled).await, 200);
    app.drain().await;

    // Two answers are made before the erasure, and arrive after it: the person's own, and the company's that names it.
    let own = app.simulator.pause_next(&format!("/profiles/{person}"));
    let other = app.simulator.pause_next(&format!("/profiles/{company}"));
    app.post(&event_with_note(&app, "PROFILE_UPDATED", &person)).await;
    app.post(&signed(&app, Parallel, parallel_event("PROFILE_UPDATED", &company, json!({})))).await;
    own.reached().await;
    other.reached().await;
    parallel.anonymize(&person).unwrap();
    app.send().await;
    has_status(&app, &person, "ANONYMIZED").await;
    own.release();
    other.release();
    app.drain().await;

    assert_eq!(app.post(&doubled).await, 200);
    assert_eq!(app.post(&event_with_note(&app, "PROFILE_FIELD_VALUE_UPDATED", &person)).await, 200);
    // An event that cannot be read, and one that nobody acts on.
    let cut = format!("{{\"profileId\":\"{person}\",\"data\":{{\"note\":\"{CANARY}late");
    assert_eq!(app.post(&signed(&app, Parallel, cut)).await, 200);
    assert_eq!(app.post(&event_with_note(&app, "PETITION_COMPLETED", &person)).await, 200);
    app.drain().await;
    let receipt = cleaned(&app, &person).await;
    assert!(receipt["lateDeliveries"].as_i64() >= Some(4), "{receipt}");
    app.assert_no_canary(&database).await;
    assert_eq!(app.profile(Parallel, &person).await["displayName"], Value::Null);
    assert_eq!(app.profile(Parallel, &person).await["fields"], json!([]));
    app.finish().await;
});

both!(a_page_that_was_under_way_brings_nothing_back, |database| {
    let app = TestApp::builder(&database).start().await;
    let (person, company) = two_profiles(&app);
    let parallel = app.simulator.parallel();
    plant(&app, &person, "one");
    parallel.silently().create_relationship("p_director__managed_by", &person, &company).unwrap();
    app.import_all().await;
    let kind = parallel.profile_types().into_iter().find(|(_, name)| name == "Individual").unwrap().0;
    let page = app.simulator.pause_next(&format!("profileTypeId={kind}"));
    let import = async { app.import("crm").await };
    let event = async {
        page.reached().await;
        parallel.anonymize(&person).unwrap();
        app.send().await;
        has_status(&app, &person, "ANONYMIZED").await;
        page.release();
    };
    tokio::join!(import, event);
    app.drain().await;
    let receipt = cleaned(&app, &person).await;
    assert!(receipt["lateDeliveries"].as_i64() >= Some(1), "{receipt}");
    app.assert_no_canary(&database).await;
    app.finish().await;
});

/// Asks for a plan, and carries it out once it has compared everything. Upstream answers `path` before the person is
/// anonymized, and the answer arrives after.
async fn plan_across_an_erasure(app: &TestApp, person: &str, path: &str, wish: RunRequest) {
    let request = RunRequest { is_plan: true, ..wish };
    let page = app.simulator.pause_next(path);
    let source = app.source_id("crm").await;
    let plan = run::request_run(app.database(), app.clock.now(), source, request).await.unwrap();
    page.reached().await;
    app.simulator.parallel().anonymize(person).unwrap();
    app.send().await;
    has_status(app, person, "ANONYMIZED").await;
    page.release();
    app.drain().await;
    assert_eq!(app.newest_run("crm").await.state, RunState::Done);
    cleaned(app, person).await;
    run::apply_plan(app.database(), plan.id, "a test").await.unwrap();
    app.drain().await;
    assert_eq!(app.newest_run("crm").await.state, RunState::Done);
}

both!(a_page_of_a_plan_that_was_under_way_keeps_nothing_and_brings_nothing_back, |database| {
    let app = TestApp::builder(&database).start().await;
    let (person, company) = two_profiles(&app);
    plant(&app, &person, "one");
    let parallel = app.simulator.parallel();
    parallel.silently().create_relationship("p_director__managed_by", &person, &company).unwrap();
    app.import_all().await;
    let kind = parallel.profile_types().into_iter().find(|(_, name)| name == "Individual").unwrap().0;
    let path = format!("profileTypeId={kind}");
    plan_across_an_erasure(&app, &person, &path, RunRequest::full("test")).await;
    app.assert_no_canary(&database).await;
    assert_eq!(app.profile(Parallel, &person).await["fields"], json!([]));
    app.finish().await;
});

both!(an_answer_to_a_plan_of_one_profile_that_was_under_way_keeps_nothing, |database| {
    let app = TestApp::builder(&database).start().await;
    let (person, _) = two_profiles(&app);
    plant(&app, &person, "one");
    app.import_all().await;
    let named = RunRequest { kind: RunKind::Named, named: vec![person.clone()], ..RunRequest::full("test") };
    plan_across_an_erasure(&app, &person, &format!("/profiles/{person}"), named).await;
    app.assert_no_canary(&database).await;
    assert_eq!(app.profile(Parallel, &person).await["fields"], json!([]));
    app.finish().await;
});

both!(a_parked_delivery_that_is_sent_again_stays_empty, |database| {
    let app = TestApp::imported(&database).await;
    let (person, _) = two_profiles(&app);
    let mut timeless: Value = serde_json::from_str(&parallel_event("PROFILE_ANONYMIZED", &person, json!({}))).unwrap();
    timeless["createdAt"] = Value::Null;
    timeless["data"] = json!({ "note": format!("{CANARY}parked") });
    let parked = signed(&app, Parallel, timeless.to_string());
    assert_eq!(app.post(&parked).await, 200);
    app.drain().await;
    assert_eq!(app.deliveries(Parallel, "PARKED").await.len(), 1);
    app.simulator.parallel().anonymize(&person).unwrap();
    app.settle().await;
    assert_eq!(app.post(&parked).await, 200);
    app.drain().await;
    cleaned(&app, &person).await;
    app.assert_no_canary(&database).await;
    let discarded = app.deliveries(Parallel, "DISCARDED").await;
    assert_eq!(discarded.len(), 1);
    assert_eq!((&discarded[0]["copies"], &discarded[0]["headers"]), (&json!(2), &json!({})));
    app.finish().await;
});

/// What the mirror still has of a profile that it has erased.
#[derive(Clone, Copy)]
enum Left {
    /// Nothing but the suppression list.
    Nothing,
    /// The placeholder that whoever names the profile leaves.
    Placeholder,
}

/// Erases somebody of whom upstream goes on telling, and lets the mirror forget all but this: nothing comes back.
async fn assert_stays_erased(database: &crate::support::place::TestDatabase, left: Left) {
    let app = TestApp::imported(database).await;
    let (person, _) = two_profiles(&app);
    let parallel = app.simulator.parallel();
    plant(&app, &person, "one");
    parallel.freeze_reads(&person, 50);
    parallel.anonymize(&person).unwrap();
    app.settle().await;
    cleaned(&app, &person).await;

    let db = app.database().writer();
    let row = profile::Entity::find().filter(profile::Column::ExternalId.eq(&person)).one(db).await.unwrap();
    let id = row.expect("a row").id;
    erasure::Entity::delete_many().filter(erasure::Column::ProfileId.eq(id)).exec(db).await.unwrap();
    let transitions = lifecycle_transition::Entity::delete_many();
    transitions.filter(lifecycle_transition::Column::ProfileId.eq(id)).exec(db).await.unwrap();
    let ends = [relationship::Column::FromProfileId, relationship::Column::ToProfileId];
    let either = ends.into_iter().fold(Condition::any(), |any, end| any.add(end.eq(id)));
    relationship::Entity::delete_many().filter(either).exec(db).await.unwrap();
    profile_interest::Entity::delete_many().filter(profile_interest::Column::ProfileId.eq(id)).exec(db).await.unwrap();
    profile_search::Entity::delete_many().filter(profile_search::Column::ProfileId.eq(id)).exec(db).await.unwrap();
    match left {
        Left::Nothing => drop(profile::Entity::delete_by_id(id).exec(db).await.unwrap()),
        Left::Placeholder => {
            let row = profile::ActiveModel {
                id: Set(id),
                is_known: Set(false),
                status: Set(Status::Open),
                status_since: Set(None),
                status_position: Set(0),
                position: Set(0),
                ..Default::default()
            };
            drop(profile::Entity::update(row).exec(db).await.unwrap());
        }
    }

    assert_eq!(app.post(&event_with_note(&app, "PROFILE_UPDATED", &person)).await, 200);
    app.drain().await;
    let shown = app.profile(Parallel, &person).await;
    assert_eq!((&shown["status"], &shown["fields"]), (&json!("ANONYMIZED"), &json!([])));
    let receipt = cleaned(&app, &person).await;
    assert_eq!(receipt["reason"], "erased before");
    app.assert_no_canary(database).await;
    // Whatever else its row had told is gone with it, the type too.
    app.finish_apart_from_world().await;
}

both!(the_suppression_list_holds_where_the_profile_is_gone, |database| {
    assert_stays_erased(&database, Left::Nothing).await;
});

both!(the_suppression_list_holds_where_others_have_named_the_profile_already, |database| {
    assert_stays_erased(&database, Left::Placeholder).await;
});
