//! Runs that are cut: by a restart, by a failure, by a person, by news.

use crate::support::app::TestApp;
use crate::support::{both, rows};
use entity::RunState;
use profile_mirror::clock::Clock;
use profile_mirror::config::{Brake, Config};
use profile_mirror::ingest::run::{RunRequest, RunRequestError, cancel_run, request_run};
use simulator::{FailureKind, ProviderKind};
use std::cell::Cell;
use std::time::Duration;

both!(a_run_resumed_at_page_two_misses_nothing_of_page_one, |database| {
    let mut app = TestApp::builder(&database).profiles(300).start().await;
    app.simulator.copernica().configure(|switches| switches.most_rows = 20);
    app.simulator.parallel().configure(|switches| switches.most_rows = 20);
    app.simulator.getprofile().configure(|switches| switches.most_rows = 20);
    app.import_all().await;
    // A page that others came before: held until the service is gone. And what is asked for first.
    let cuts = [
        ("marketing", "id%3E", "/databases?"),
        ("crm", "offset=32&", "/profile-types"),
        ("people", "page=3&", "page=1&"),
    ];
    for (source, page, first) in cuts {
        app.simulator.forget_requests();
        let page = app.simulator.pause_next(page);
        let id = app.source_id(source).await;
        let run = request_run(app.database(), app.clock.now(), id, RunRequest::full("test")).await.unwrap();
        page.reached().await;
        app.restart().await;
        page.release();
        app.drain().await;
        let ended = app.newest_run(source).await;
        assert_eq!((ended.id, ended.state), (run.id, RunState::Done), "{source}: {ended:?}");
        assert_eq!((ended.candidates, ended.deleted), (0, 0), "{source}: {ended:?}");
        assert_eq!(app.simulator.requests_to(first), 1, "{source}: it does not start over");
    }
    app.finish().await;
});

both!(rows_that_moved_while_a_first_run_stood_still_are_read_all_the_same, |database| {
    let no_brake = |config: &mut Config| {
        for source in &mut config.sources {
            source.sync.brake = Brake { share: 1.0, count: 1_000 };
        }
    };
    let mut app = TestApp::builder(&database).profiles(300).configure(no_brake).start().await;
    app.simulator.getprofile().configure(|switches| switches.most_rows = 20);
    let page = app.simulator.pause_next("page=3&");
    app.begin_sync("people").await;
    page.reached().await;
    let getprofile = app.simulator.getprofile().silently();
    for gone in getprofile.profile_ids().into_iter().take(30) {
        getprofile.delete(&gone).unwrap();
        getprofile.create_random();
    }
    getprofile.settle();
    app.restart().await;
    page.release();
    app.import("people").await;
    let shown = rows::picture(app.database(), "people").await;
    let is_missing = |id: &&String| !shown.profiles.contains_key(*id);
    assert_eq!(getprofile.profile_ids().iter().find(is_missing), None);
    // Whoever went after their page was read is left to the next run.
    app.import_all().await;
    app.finish().await;
});

both!(a_record_first_seen_or_touched_while_a_run_goes_on_is_not_its_candidate, |database| {
    let app = TestApp::imported(&database).await;
    let parallel = app.simulator.parallel();
    let touched = parallel.profile_ids("Individual").remove(0);
    app.simulator.faults(ProviderKind::Parallel).unlist([touched.clone()]);
    let page = app.simulator.pause_next("status=CLOSED");
    let id = app.source_id("crm").await;
    request_run(app.database(), app.clock.now(), id, RunRequest::full("test")).await.unwrap();
    page.reached().await;
    // Too late for the list of open ones: known by an event alone.
    parallel.create_random_profile("Individual").unwrap();
    parallel.set_field(&touched, "p_first_name", Some("Fresh".into())).unwrap();
    app.send().await;
    page.release();
    app.drain().await;
    let run = app.newest_run("crm").await;
    assert_eq!((run.state, run.candidates, run.deleted), (RunState::Done, 0, 0), "{run:?}");
    app.simulator.faults(ProviderKind::Parallel).clear();
    app.finish().await;
});

both!(a_failed_run_does_not_count_as_done_and_is_tried_again_from_its_checkpoint, |database| {
    let app = TestApp::builder(&database).profiles(900).start().await;
    app.simulator.faults(ProviderKind::Parallel).fail_next_at("offset=96", 7, FailureKind::Status500);
    assert!(app.sync("crm").await.is_err());
    let failed = app.newest_run("crm").await;
    assert_eq!((failed.state, failed.deleted), (RunState::Failed, 0));
    assert_eq!(app.source_state("crm").await.last_complete_sync_at, None);
    let retry_at = failed.retry_at.expect("it is tried again");
    app.clock.advance_ms(retry_at.0 - app.clock.now().0);
    while app.newest_run("crm").await.state == RunState::Failed {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    app.drain().await;
    let run = app.newest_run("crm").await;
    assert_eq!((run.id, run.state, run.attempt), (failed.id, RunState::Done, 2));
    assert_eq!(app.simulator.requests_to("/profile-types"), 1, "it goes on where it stopped");
    assert!(app.source_state("crm").await.last_complete_sync_at.is_some());
    app.import_all().await;
    app.finish().await;
});

both!(one_run_a_source_goes_on_at_a_time, |database| {
    let app = TestApp::imported(&database).await;
    let page = app.simulator.pause_next("/profile-types");
    let id = app.source_id("crm").await;
    let first = request_run(app.database(), app.clock.now(), id, RunRequest::full("one")).await.unwrap();
    let second = request_run(app.database(), app.clock.now(), id, RunRequest::full("two")).await;
    assert!(matches!(second, Err(RunRequestError::UnderWay { run_id }) if run_id == first.id), "{second:?}");
    let other = app.source_id("people").await;
    request_run(app.database(), app.clock.now(), other, RunRequest::full("three")).await.unwrap();
    page.release();
    app.drain().await;
    app.finish().await;
});

both!(a_cancelled_run_stops_within_a_page_and_deletes_nothing, |database| {
    let app = TestApp::builder(&database).profiles(900).start().await;
    app.import_all().await;
    let gone = app.simulator.parallel().profile_ids("Individual").remove(0);
    app.simulator.parallel().silently().vanish(&gone).unwrap();
    app.simulator.forget_requests();
    let page = app.simulator.pause_next("offset=96");
    let id = app.source_id("crm").await;
    let run = request_run(app.database(), app.clock.now(), id, RunRequest::full("test")).await.unwrap();
    page.reached().await;
    cancel_run(app.database(), app.clock.now(), run.id, "ops").await.unwrap();
    let asked = app.simulator.requests_of(ProviderKind::Parallel);
    page.release();
    app.drain().await;
    let run = app.newest_run("crm").await;
    assert_eq!((run.state, run.deleted), (RunState::Cancelled, 0));
    assert_eq!(app.simulator.requests_of(ProviderKind::Parallel), asked, "no page after it");
    assert!(cancel_run(app.database(), app.clock.now(), run.id, "ops").await.is_err());
    app.import("crm").await;
    app.finish().await;
});

both!(a_token_that_runs_out_in_the_middle_of_a_run_is_renewed, |database| {
    let app = TestApp::builder(&database).profiles(2_000).start().await;
    let page = app.simulator.pause_next("/profiles?");
    let id = app.source_id("marketing").await;
    request_run(app.database(), app.clock.now(), id, RunRequest::full("test")).await.unwrap();
    page.reached().await;
    app.simulator.copernica().expire_tokens();
    page.release();
    app.drain().await;
    assert_eq!(app.newest_run("marketing").await.state, RunState::Done);
    app.import_all().await;
    app.finish().await;
});

both!(a_run_comes_to_its_end_however_steadily_news_comes, |database| {
    let app = TestApp::imported(&database).await;
    let copernica = app.simulator.copernica();
    let truth = app.simulator.truth(ProviderKind::Copernica);
    let open = truth.profiles.iter().find(|(_, profile)| profile.fields.contains_key("notes"));
    let (person, _) = open.expect("somebody with notes");
    let has_ended = Cell::new(false);
    // The last of it is sent to its end: a sender that goes away half way has lost its webhook.
    let news = async {
        let mut number = 0;
        while !has_ended.get() {
            assert!(copernica.update_profile(person, &[("notes", &format!("note {number}"))]).unwrap());
            app.send().await;
            number += 1;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let id = app.source_id("marketing").await;
    request_run(app.database(), app.clock.now(), id, RunRequest::full("test")).await.unwrap();
    let run = async {
        while app.newest_run("marketing").await.state != RunState::Done {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        has_ended.set(true);
    };
    let (_, ended) = tokio::join!(news, tokio::time::timeout(Duration::from_secs(30), run));
    ended.expect("the run ends");
    app.finish().await;
});
