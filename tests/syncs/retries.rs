//! A run that failed is tried again, from where that makes sense, whatever else ran meanwhile.

use crate::support::app::TestApp;
use crate::support::both;
use entity::{DeliveryState, RunKind, RunState, delivery, run_page, sync_run};
use profile_mirror::clock::Clock;
use profile_mirror::ingest::run::{RunRequest, request_run};
use sea_orm::{ActiveEnum, ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter};
use simulator::{FailureKind, ProviderKind, TruthStatus};
use std::time::{Duration, Instant};

async fn request(app: &TestApp, source: &str, request: RunRequest) -> sync_run::Model {
    let id = app.source_id(source).await;
    let run = request_run(app.database(), app.clock.now(), id, request).await.unwrap();
    app.drain().await;
    app.run_of(run.id).await
}

/// Bitmaps of what pages named that are still kept.
async fn pages_kept(app: &TestApp) -> u64 {
    run_page::Entity::find().count(app.database().primary()).await.unwrap()
}

both!(a_run_that_failed_in_its_sweep_is_tried_again_and_succeeds, |database| {
    let app = TestApp::imported(&database).await;
    let gone = app.simulator.parallel().profile_ids("Individual").remove(0);
    app.simulator.parallel().silently().vanish(&gone).unwrap();
    let living = app.simulator.truth(ProviderKind::Parallel).profiles.into_iter();
    let living = living.filter(|(_, profile)| !profile.status.is_gone()).map(|(id, _)| id);
    app.simulator.faults(ProviderKind::Parallel).unlist(living);
    assert!(app.sync("crm").await.is_err(), "the lists lie");
    let failed = app.newest_run("crm").await;
    assert_eq!((failed.state, failed.deleted), (RunState::Failed, 0), "{failed:?}");

    app.simulator.faults(ProviderKind::Parallel).clear();
    let run = app.tried_again(&failed).await;
    assert_eq!((run.state, run.attempt), (RunState::Done, 2), "{run:?}");
    assert_eq!((run.candidates, run.absent, run.deleted), (1, 1, 1), "{run:?}");
    assert_eq!(pages_kept(&app).await, 0);
    app.finish().await;
});

both!(who_came_and_went_between_two_tries_of_a_run_is_not_brought_back_by_late_news, |database| {
    let app = TestApp::imported(&database).await;
    let copernica = app.simulator.copernica();
    app.simulator.faults(ProviderKind::Copernica).unlist(copernica.profile_ids("People"));
    assert!(app.sync("marketing").await.is_err(), "the lists lie");
    let failed = app.newest_run("marketing").await;
    app.simulator.faults(ProviderKind::Copernica).clear();

    app.let_pass(20_000);
    let passer_by = copernica.create_profile("People", &[("lastname", "Passer-by")]).unwrap();
    let late = app.simulator.take_webhooks();
    copernica.silently().delete_profile_completely(&passer_by).unwrap();
    let people = copernica.databases().into_iter().find(|(_, name)| name == "People").unwrap().0;
    let page = app.simulator.pause_next(&format!("/database/{people}/profiles"));
    let late_news = async {
        page.reached().await;
        for webhook in late {
            assert_eq!(app.post(&webhook).await, 200);
        }
        let started = Instant::now();
        while app.unsettled_in_all().await > 0 {
            assert!(started.elapsed() < Duration::from_secs(30), "it is not applied");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        page.release();
    };
    let (run, ()) = tokio::join!(app.tried_again(&failed), late_news);
    assert_eq!((run.state, run.attempt), (RunState::Done, 2), "{run:?}");
    assert_eq!(app.profile(ProviderKind::Copernica, &passer_by).await, serde_json::Value::Null);
    app.finish().await;
});

both!(a_failed_full_run_is_tried_again_though_others_came_between, |database| {
    let app = TestApp::imported(&database).await;
    app.simulator.faults(ProviderKind::Parallel).fail_next_at("/profile-types", 7, FailureKind::Status500);
    assert!(app.sync("crm").await.is_err());
    let failed = app.newest_run("crm").await;
    let (people, _) = app.simulator.parallel().profile_types().remove(0);
    let person = app.simulator.parallel().profile_ids(&people).remove(0);
    let of_type = RunRequest { profile_type: Some(people), ..RunRequest::full("test") };
    assert_eq!(request(&app, "crm", of_type).await.state, RunState::Done);
    let named = RunRequest { kind: RunKind::Named, named: vec![person], ..RunRequest::full("test") };
    assert_eq!(request(&app, "crm", named).await.state, RunState::Done);

    let failed = app.run_of(failed.id).await;
    assert_eq!(failed.state, RunState::Failed);
    let run = app.tried_again(&failed).await;
    assert_eq!((run.state, run.attempt, run.retry_at), (RunState::Done, 2, None), "{run:?}");
    assert_eq!(pages_kept(&app).await, 0, "named runs and runs of a type leave none either");
    app.finish().await;
});

both!(a_run_that_can_ask_for_no_less_than_too_much_says_so_at_once, |database| {
    let app = TestApp::imported(&database).await;
    let person = app.simulator.parallel().profile_ids("Individual").remove(0);
    app.simulator.faults(ProviderKind::Parallel).fail_next_at(&person, 1, FailureKind::HugeBody((32 << 20) + 1));
    app.simulator.forget_requests();
    let named = RunRequest { kind: RunKind::Named, named: vec![person.clone()], ..RunRequest::full("test") };
    let failed = request(&app, "crm", named).await;
    assert_eq!((failed.state, app.simulator.requests_to(&person)), (RunState::Failed, 1), "{failed:?}");
    let error = failed.error.clone().unwrap();
    assert!(error.contains("larger than 33554432 bytes") && error.contains("shorten it"), "{error}");

    let run = app.tried_again(&failed).await;
    assert_eq!((run.state, run.attempt), (RunState::Done, 2), "{run:?}");
    app.finish().await;
});

/// How the source stands, and why.
async fn health(app: &TestApp) -> (String, String) {
    let (_, ready) = app.client().get("/readyz").await;
    let ready: serde_json::Value = serde_json::from_str(&ready).unwrap();
    let told = |key: &str| ready["sources"]["crm"][key].as_str().unwrap_or_default().to_owned();
    (told("state"), told("reason"))
}

both!(a_full_sync_that_fails_again_and_again_makes_its_source_unwell, |database| {
    let app = TestApp::imported(&database).await;
    // A refusal is not asked about again within a try, which would take as long as its pauses.
    app.simulator.faults(ProviderKind::Parallel).fail_next_at("/profile-types", 1_000, FailureKind::Forbidden);
    assert!(app.sync("crm").await.is_err());
    assert_eq!(health(&app).await.0, "running", "it may have met a bad moment");
    let failed = app.tried_again(&app.newest_run("crm").await).await;
    let failed = app.tried_again(&failed).await;
    assert_eq!((failed.state, failed.attempt), (RunState::Failed, 3), "{failed:?}");
    let (state, reason) = health(&app).await;
    assert_eq!(state, "degraded");
    for part in ["source crm", "no complete sync since", &format!("run {}", failed.id), "no access"] {
        assert!(reason.contains(part), "{part} in {reason}");
    }

    let person = app.simulator.parallel().profile_ids("Individual").remove(0);
    let named = RunRequest { kind: RunKind::Named, named: vec![person], ..RunRequest::full("test") };
    assert_eq!(request(&app, "crm", named).await.state, RunState::Done);
    assert_eq!(health(&app).await.0, "degraded", "a sync of one profile says nothing of the others");

    app.simulator.faults(ProviderKind::Parallel).clear();
    app.import("crm").await;
    assert_eq!(health(&app).await.0, "running");
    app.finish().await;
});

both!(an_import_that_comes_further_with_each_try_is_carried_to_its_end_however_often_it_fails, |database| {
    let app = TestApp::builder(&database).profiles(600).start().await;
    app.simulator.getprofile().configure(|switches| switches.most_rows = 5);
    for page in 2..=8 {
        let faults = app.simulator.faults(ProviderKind::GetProfile);
        faults.fail_next_at(&format!("page={page}&"), 1, FailureKind::Forbidden);
    }
    assert!(app.sync("people").await.is_err());
    let mut run = app.newest_run("people").await;
    for attempt in 1..=7_i32 {
        // Each try reads one page more, and the one before it again, to see whether rows have moved.
        let pages = 2 * i64::from(attempt) - 1;
        assert_eq!((run.state, run.attempt, run.pages), (RunState::Failed, attempt, pages), "{run:?}");
        assert_eq!(run.failures, 1, "{run:?}");
        run = app.tried_again(&run).await;
    }
    assert_eq!((run.state, run.attempt), (RunState::Done, 8), "{run:?}");
    app.import_all().await;
    app.finish().await;
});

both!(a_run_that_is_stuck_at_a_page_is_tried_again_later_each_time, |database| {
    let app = TestApp::builder(&database).profiles(600).start().await;
    app.simulator.getprofile().configure(|switches| switches.most_rows = 5);
    app.simulator.faults(ProviderKind::GetProfile).fail_next_at("page=2&", 3, FailureKind::Forbidden);
    assert!(app.sync("people").await.is_err());
    let mut run = app.newest_run("people").await;
    for failures in 1..=3 {
        assert_eq!(
            (run.state, run.failures),
            (RunState::Failed, failures),
            "a page that is read again is no way further"
        );
        run = app.tried_again(&run).await;
    }
    assert_eq!((run.state, run.attempt), (RunState::Done, 4), "{run:?}");
    app.import_all().await;
    app.finish().await;
});

both!(an_outage_that_outlasts_many_tries_ends_with_the_run_done_once_upstream_is_back, |database| {
    let app = TestApp::imported(&database).await;
    app.simulator.faults(ProviderKind::Parallel).fail_next_at("/profile-types", 1_000, FailureKind::Forbidden);
    assert!(app.sync("crm").await.is_err());
    let mut run = app.newest_run("crm").await;
    for failures in 1..=6 {
        assert_eq!((run.state, run.failures), (RunState::Failed, failures), "{run:?}");
        run = app.tried_again(&run).await;
    }
    assert_eq!((run.state, run.attempt), (RunState::Failed, 7), "{run:?}");

    app.simulator.faults(ProviderKind::Parallel).clear();
    let run = app.tried_again(&run).await;
    assert_eq!((run.state, run.attempt), (RunState::Done, 8), "{run:?}");
    assert_eq!(health(&app).await.0, "running");
    app.finish().await;
});

both!(a_newer_complete_run_makes_a_retry_needless, |database| {
    let app = TestApp::builder(&database).profiles(900).start().await;
    app.simulator.faults(ProviderKind::Parallel).fail_next_at("offset=96", 7, FailureKind::Status500);
    assert!(app.sync("crm").await.is_err());
    let failed = app.newest_run("crm").await;
    assert!(failed.retry_at.is_some() && pages_kept(&app).await > 0, "it would go on at its checkpoint");
    app.import_all().await;
    let failed = app.run_of(failed.id).await;
    assert_eq!((failed.state, failed.retry_at), (RunState::Failed, None));
    assert_eq!(pages_kept(&app).await, 0);
    app.finish().await;
});

both!(a_plan_that_failed_is_left_to_whoever_asked_for_it, |database| {
    let app = TestApp::imported(&database).await;
    app.simulator.faults(ProviderKind::Parallel).fail_next_at("/profile-types", 7, FailureKind::Status500);
    let plan = request(&app, "crm", RunRequest { is_plan: true, ..RunRequest::full("test") }).await;
    assert_eq!((plan.state, plan.retry_at), (RunState::Failed, None), "{plan:?}");
    assert_eq!(pages_kept(&app).await, 0);
    app.finish().await;
});

/// Pages of plans that are still held.
async fn pages_held(app: &TestApp) -> u64 {
    let held = delivery::Entity::find().filter(delivery::Column::State.eq(DeliveryState::Held));
    held.count(app.database().primary()).await.unwrap()
}

both!(a_plan_that_fails_on_a_later_page_holds_no_page_any_more, |database| {
    let app = TestApp::imported(&database).await;
    let faults = app.simulator.faults(ProviderKind::Parallel);
    faults.fail_next_at("/profiles?", 7, FailureKind::Status500);
    let plan = request(&app, "crm", RunRequest { is_plan: true, ..RunRequest::full("test") }).await;
    assert_eq!((plan.state, plan.pages), (RunState::Failed, 1), "{plan:?}");
    assert_eq!(pages_held(&app).await, 0);

    // Nor does one that failed under a version that kept them, once a newer run begins.
    use delivery::Column;
    delivery::Entity::update_many()
        .col_expr(Column::State, DeliveryState::Held.to_value().into())
        .filter(Column::DedupeKey.starts_with(format!("page:{}:", plan.id)))
        .exec(app.database().writer())
        .await
        .unwrap();
    assert_eq!(pages_held(&app).await, 1);
    app.import("crm").await;
    assert_eq!(pages_held(&app).await, 0);
    assert_eq!(app.run_of(plan.id).await.state, RunState::Failed, "how it ended stays told");
    app.finish().await;
});

both!(a_candidate_whose_fetch_was_given_up_before_is_asked_for_again, |database| {
    let app = TestApp::imported(&database).await;
    let parallel = app.simulator.parallel();
    let truth = app.simulator.truth(ProviderKind::Parallel);
    let open = |id: &String| truth.profiles[id].status == TruthStatus::Open;
    let person = parallel.profile_ids("Individual").into_iter().find(open).expect("an open person");
    app.simulator.faults(ProviderKind::Parallel).fail_next_at(&person, 1_000, FailureKind::Status500);
    parallel.emit_unknown_event(&person, "PROFILE_UPDATED").unwrap();
    app.settle().await;
    let parked = entity::fetch_request::Entity::find().one(app.database().primary()).await.unwrap().expect("a request");
    assert_eq!(parked.state, entity::FetchState::Parked, "{parked:?}");

    app.simulator.faults(ProviderKind::Parallel).clear();
    parallel.silently().vanish(&person).unwrap();
    let run = app.sync("crm").await.unwrap();
    assert_eq!((run.state, run.candidates, run.deleted), (RunState::Done, 1, 1), "{run:?}");
    app.finish().await;
});
