//! What is really gone goes in one run; more than the brake lets pass waits for a person.

use crate::support::app::TestApp;
use crate::support::both;
use crate::support::refusal::Refusal;
use crate::support::rows;
use entity::{CandidateState, RunState, deletion_candidate, fetch_request, lifecycle_transition};
use profile_mirror::clock::Clock;
use profile_mirror::inbox::{Operation, Selection, operate};
use profile_mirror::ingest::run::{RunRequest, approve_deletions, reject_deletions, request_run};
use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter};
use simulator::ProviderKind;

both!(a_true_deletion_is_applied_in_one_run, |database| {
    let app = TestApp::imported(&database).await;
    let simulator = &app.simulator;
    let customer = simulator.copernica().profile_ids("People").remove(0);
    simulator.copernica().silently().delete_profile(&customer).unwrap();
    let other = simulator.copernica().profile_ids("People").remove(0);
    simulator.copernica().silently().delete_profile_completely(&other).unwrap();
    let person = simulator.parallel().profile_ids("Individual").remove(0);
    simulator.parallel().silently().vanish(&person).unwrap();
    let persona = simulator.getprofile().profile_ids().remove(0);
    simulator.getprofile().silently().delete(&persona).unwrap();

    for (source, gone) in [("marketing", 2), ("crm", 1), ("people", 1)] {
        let run = app.sync(source).await.unwrap();
        assert_eq!(run.state, RunState::Done, "{source}");
        assert!(run.deleted >= gone && run.absent == run.deleted, "{source}: {run:?}");
    }
    let told =
        lifecycle_transition::Entity::find().filter(lifecycle_transition::Column::Cause.contains("no page of run"));
    assert_eq!(told.count(app.database().reader()).await.unwrap(), 4);
    app.finish().await;
});

both!(a_subprofile_that_is_gone_goes_and_its_profile_stays, |database| {
    let app = TestApp::imported(&database).await;
    let copernica = app.simulator.copernica();
    let (collection, _) = copernica.collections().remove(0);
    let subprofile = copernica.subprofile_ids(&collection).remove(0);
    copernica.silently().delete_subprofile(&subprofile).unwrap();
    let run = app.sync("marketing").await.unwrap();
    assert_eq!((run.candidates, run.deleted), (1, 1));
    app.finish().await;
});

/// Lets so many people vanish from Parallel without a word.
fn vanish(app: &TestApp, count: usize) -> Vec<String> {
    let gone: Vec<String> = app.simulator.parallel().profile_ids("Individual").into_iter().take(count).collect();
    for id in &gone {
        app.simulator.parallel().silently().vanish(id).unwrap();
    }
    gone
}

async fn still_shown(app: &TestApp, ids: &[String]) -> usize {
    let picture = rows::picture(app.database(), "crm").await;
    ids.iter().filter(|id| picture.profiles[*id].content.is_some()).count()
}

both!(deletions_past_the_brake_wait_for_a_person_and_are_applied_once_approved, |database| {
    let app = TestApp::imported(&database).await;
    let gone = vanish(&app, 8);
    let run = app.sync("crm").await.unwrap();
    assert_eq!((run.state, run.absent, run.deleted), (RunState::WaitingForApproval, 8, 0), "{run:?}");
    assert!(run.error.as_ref().is_some_and(|text| text.contains("8 of ") && text.contains("approve")));
    assert_eq!(still_shown(&app, &gone).await, 8);
    assert_eq!(app.source_state("crm").await.last_complete_sync_at.map(|at| at < run.started_at), Some(true));

    let (_, ready) = app.client().get("/readyz").await;
    let ready: serde_json::Value = serde_json::from_str(&ready).unwrap();
    let crm = &ready["sources"]["crm"];
    assert_eq!((crm["state"].as_str(), crm["deletions_waiting"].as_i64()), (Some("degraded"), Some(8)), "{crm}");
    assert!(crm["reason"].as_str().unwrap().contains("8 deletions that wait for approval"), "{crm}");
    let (_, metrics) = app.client().get("/metrics").await;
    let told =
        metrics.lines().find(|line| line.starts_with("profile_mirror_deletions_waiting") && line.contains("crm"));
    assert!(told.is_some_and(|line| line.ends_with(" 8")), "{told:?}");

    approve_deletions(app.database(), app.clock.now(), run.id, "ops").await.unwrap();
    app.drain().await;
    let run = app.newest_run("crm").await;
    assert_eq!((run.state, run.deleted, run.decided_by.as_deref()), (RunState::Done, 8, Some("ops")));
    assert!(approve_deletions(app.database(), app.clock.now(), run.id, "ops").await.is_err());
    app.finish().await;
});

both!(rejected_deletions_leave_everything_and_the_next_run_asks_again, |database| {
    let app = TestApp::imported(&database).await;
    let gone = vanish(&app, 8);
    let run = app.sync("crm").await.unwrap();
    reject_deletions(app.database(), app.clock.now(), run.id, "ops").await.unwrap();
    app.drain().await;
    assert_eq!(still_shown(&app, &gone).await, 8);
    let run = app.sync("crm").await.unwrap();
    assert_eq!((run.state, run.absent), (RunState::WaitingForApproval, 8));
    approve_deletions(app.database(), app.clock.now(), run.id, "ops").await.unwrap();
    app.finish().await;
});

both!(a_run_that_waits_stands_in_nobodys_way_and_a_newer_one_takes_its_place, |database| {
    let app = TestApp::imported(&database).await;
    let gone = vanish(&app, 8);
    let waiting = app.sync("crm").await.unwrap();
    let newer = app.sync("crm").await.unwrap();
    assert_eq!((newer.state, newer.absent), (RunState::WaitingForApproval, 8));
    let known = entity::sync_run::Entity::find_by_id(waiting.id).one(app.database().reader()).await.unwrap().unwrap();
    assert_eq!(known.state, RunState::Cancelled);
    let open = deletion_candidate::Entity::find()
        .filter(deletion_candidate::Column::RunId.eq(waiting.id))
        .filter(deletion_candidate::Column::State.ne(CandidateState::Dismissed));
    assert_eq!(open.count(app.database().reader()).await.unwrap(), 0);
    assert_eq!(still_shown(&app, &gone).await, 8);
    approve_deletions(app.database(), app.clock.now(), newer.id, "ops").await.unwrap();
    app.finish().await;
});

both!(who_comes_while_a_run_waits_for_a_person_is_taken_as_told, |database| {
    let app = TestApp::imported(&database).await;
    let copernica = app.simulator.copernica();
    let mut people = copernica.profile_ids("People");
    let person = people.pop().unwrap();
    for gone in people {
        copernica.silently().delete_profile_completely(&gone).unwrap();
    }
    let run = app.sync("marketing").await.unwrap();
    assert_eq!(run.state, RunState::WaitingForApproval, "{run:?}");
    app.let_pass(6_000);
    let visit = copernica.create_subprofile(&person, "Visits", &[("page", "/new")]).unwrap();
    let late = app.simulator.take_webhooks();
    app.let_pass(20_000);
    for webhook in late {
        assert_eq!(app.post(&webhook).await, 200);
    }
    app.drain().await;
    assert_eq!(app.simulator.requests_to(&format!("/subprofile/{visit}")), 0, "no list was read since");
    approve_deletions(app.database(), app.clock.now(), run.id, "ops").await.unwrap();
    app.finish().await;
});

both!(what_comes_back_while_its_deletion_waits_is_not_deleted, |database| {
    let app = TestApp::imported(&database).await;
    let parallel = app.simulator.faults(ProviderKind::Parallel);
    let people: Vec<String> = app.simulator.parallel().profile_ids("Individual").into_iter().take(8).collect();
    parallel.unlist(people.clone());
    for id in &people {
        parallel.hide(id, 1_000);
    }
    let run = app.sync("crm").await.unwrap();
    assert_eq!((run.state, run.absent), (RunState::WaitingForApproval, 8));
    app.simulator.faults(ProviderKind::Parallel).clear();
    app.simulator.parallel().create_random_profile("Individual").unwrap();
    for id in &people {
        app.simulator.parallel().emit_unknown_event(id, "PROFILE_UPDATED").unwrap();
    }
    app.settle().await;
    assert_eq!(app.readiness("crm").await["deletions_waiting"], 0, "what came back does not wait any more");
    approve_deletions(app.database(), app.clock.now(), run.id, "ops").await.unwrap();
    app.drain().await;
    let run = entity::sync_run::Entity::find_by_id(run.id).one(app.database().reader()).await.unwrap().unwrap();
    assert_eq!((run.state, run.deleted), (RunState::Done, 0));
    app.finish().await;
});

both!(a_candidate_whose_end_is_told_while_it_is_asked_for_does_not_hold_up_the_run, |database| {
    let app = TestApp::imported(&database).await;
    let person = app.simulator.parallel().profile_ids("Individual").remove(0);
    app.simulator.parallel().anonymize(&person).unwrap();
    let answer = app.simulator.pause_next(&format!("/profiles/{person}"));
    let id = app.source_id("crm").await;
    request_run(app.database(), app.clock.now(), id, RunRequest::full("test")).await.unwrap();
    answer.reached().await;
    app.send().await;
    answer.release();
    app.drain().await;
    let run = app.newest_run("crm").await;
    assert_eq!((run.state, run.candidates, run.deleted), (RunState::Done, 1, 0), "{run:?}");
    app.finish().await;
});

/// Leaves a persona out of every list, and says who it is.
fn leave_out(app: &TestApp) -> String {
    let persona = app.simulator.getprofile().profile_ids().remove(0);
    app.simulator.faults(ProviderKind::GetProfile).unlist([persona.clone()]);
    persona
}

async fn candidate_states(app: &TestApp, run: &entity::sync_run::Model) -> Vec<CandidateState> {
    let of_run = deletion_candidate::Entity::find().filter(deletion_candidate::Column::RunId.eq(run.id));
    of_run.all(app.database().primary()).await.unwrap().into_iter().map(|row| row.state).collect()
}

both!(a_candidate_whose_answer_is_another_profile_stays_and_is_asked_for_once_a_run, |database| {
    let app = TestApp::imported(&database).await;
    let persona = leave_out(&app);
    let getprofile = app.simulator.getprofile();
    getprofile.answer_as(&persona, &getprofile.profile_ids()[1], u32::MAX);
    for runs in 1..=2 {
        app.simulator.forget_requests();
        let run = app.sync("people").await.unwrap();
        assert_eq!((run.state, run.candidates, run.deleted), (RunState::Done, 1, 0), "{run:?}");
        assert_eq!(candidate_states(&app, &run).await, [CandidateState::Unknown]);
        assert_eq!(app.simulator.requests_to(&persona), 1);
        assert_eq!(app.deliveries(ProviderKind::GetProfile, "PARKED").await.len(), runs);
    }

    // News wakes what was given up, and the parked answers are of no harm when they are retried.
    app.simulator.faults(ProviderKind::GetProfile).clear();
    getprofile.update_randomly(&persona).unwrap();
    getprofile.settle();
    app.settle().await;
    assert_eq!(fetch_request::Entity::find().count(app.database().primary()).await.unwrap(), 0);
    operate(app.database(), app.clock.now(), &Selection::default(), &Operation::Retry).await.unwrap();
    app.drain().await;
    app.finish().await;
});

both!(a_candidate_whose_answer_cannot_be_applied_stays_and_is_asked_for_once, |database| {
    let app = TestApp::imported(&database).await;
    let persona = leave_out(&app);
    app.simulator.forget_requests();
    let refusal = Refusal::of(app.database(), "NEW.kind = 'fetch'").await;
    let run = app.sync("people").await.unwrap();
    assert_eq!((run.state, run.candidates, run.deleted), (RunState::Done, 1, 0), "{run:?}");
    assert_eq!(candidate_states(&app, &run).await, [CandidateState::Unknown]);
    assert_eq!(app.simulator.requests_to(&persona), 1);

    refusal.end(app.database()).await;
    operate(app.database(), app.clock.now(), &Selection::default(), &Operation::Retry).await.unwrap();
    app.drain().await;
    assert!(app.deliveries(ProviderKind::GetProfile, "PARKED").await.is_empty());
    app.simulator.faults(ProviderKind::GetProfile).clear();
    app.finish().await;
});
