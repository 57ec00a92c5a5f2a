//! Each way in which a list can lie: nothing is deleted.

use crate::support::app::TestApp;
use crate::support::both;
use crate::support::world::SOURCES;
use entity::RunState;
use simulator::{FailureKind, ProviderKind};
use std::collections::BTreeSet;

/// Ids of all live profiles of a provider.
fn everybody(app: &TestApp, provider: ProviderKind) -> Vec<String> {
    let truth = app.simulator.truth(provider);
    truth.profiles.into_iter().filter(|(_, profile)| !profile.status.is_gone()).map(|(id, _)| id).collect()
}

/// What the lists of profiles of a provider are found by.
fn list_of(provider: ProviderKind) -> &'static str {
    match provider {
        ProviderKind::Copernica | ProviderKind::Parallel => "/profiles?",
        ProviderKind::GetProfile => "/v1/search",
    }
}

async fn deleted(app: &TestApp, source: &str) -> BTreeSet<String> {
    let picture = crate::support::rows::picture(app.database(), source).await;
    picture.profiles.into_iter().filter(|(_, shown)| shown.content.is_none()).map(|(id, _)| id).collect()
}

both!(an_empty_list_deletes_nothing_and_fails_the_run, |database| {
    let app = TestApp::imported(&database).await;
    for (provider, source) in SOURCES {
        let before = deleted(&app, source).await;
        app.simulator.faults(provider).unlist(everybody(&app, provider));
        let run = app.sync(source).await;
        assert!(run.is_err(), "{source}: {run:?}");
        let run = app.newest_run(source).await;
        assert_eq!((run.state, run.deleted), (RunState::Failed, 0), "{source}: {:?}", run.error);
        assert!(run.error.unwrap().contains("lists are not complete"));
        assert_eq!(deleted(&app, source).await, before, "{source}");
        app.simulator.faults(provider).clear();
    }
    app.finish().await;
});

both!(a_list_that_leaves_some_out_deletes_nothing, |database| {
    let app = TestApp::imported(&database).await;
    for (provider, source) in SOURCES {
        let before = deleted(&app, source).await;
        let some: Vec<String> = everybody(&app, provider).into_iter().take(2).collect();
        app.simulator.faults(provider).unlist(some.clone());
        app.simulator.forget_requests();
        let run = app.sync(source).await.unwrap();
        // Numbers of profiles and subprofiles overlap at Copernica.
        assert!(run.candidates >= 2, "{source}: {run:?}");
        assert_eq!((run.state, run.absent, run.deleted), (RunState::Done, 0, 0), "{source}");
        assert_eq!(deleted(&app, source).await, before, "{source}");
        for id in some {
            let by_id = match provider {
                ProviderKind::Copernica => format!("/profile/{id}?"),
                ProviderKind::Parallel => format!("/profiles/{id}?"),
                ProviderKind::GetProfile => format!("/v1/profile/{id}"),
            };
            assert!(app.simulator.requests_to(&by_id) > 0, "{source}: {id} was asked for by id");
        }
        app.simulator.faults(provider).clear();
    }
    app.finish().await;
});

both!(a_list_that_is_cut_before_its_total_deletes_nothing_and_fails_the_run, |database| {
    let app = TestApp::imported(&database).await;
    for (provider, source) in SOURCES {
        let before = deleted(&app, source).await;
        let gone: Vec<String> = everybody(&app, provider).into_iter().take(3).collect();
        app.simulator.faults(provider).unlist(gone);
        app.simulator.faults(provider).overstate_totals(3);
        let run = app.sync(source).await;
        assert!(run.is_err(), "{source}: {run:?}");
        let run = app.newest_run(source).await;
        assert_eq!((run.state, run.candidates, run.deleted), (RunState::Failed, 0, 0), "{source}: {:?}", run.error);
        assert_eq!(deleted(&app, source).await, before, "{source}");
        app.simulator.faults(provider).clear();
    }
    app.finish().await;
});

both!(a_list_under_a_lost_permission_deletes_nothing, |database| {
    let app = TestApp::imported(&database).await;
    // Copernica refuses no single record: what it loses, it loses with its database, further below.
    for (provider, source) in SOURCES.into_iter().filter(|(provider, _)| *provider != ProviderKind::Copernica) {
        let before = deleted(&app, source).await;
        let some: Vec<String> = everybody(&app, provider).into_iter().take(3).collect();
        app.simulator.faults(provider).unlist(some.clone());
        app.simulator.faults(provider).forbid(some);
        let run = app.sync(source).await.unwrap();
        // Of Parallel it is not known whether a refusal means that somebody is not there.
        let (state, absent) = match provider {
            ProviderKind::Parallel => (RunState::WaitingForApproval, 3),
            _ => (RunState::Done, 0),
        };
        assert_eq!((run.state, run.candidates), (state, 3), "{source}: {run:?}");
        assert_eq!((run.absent, run.deleted), (absent, 0), "{source}: {run:?}");
        assert_eq!(deleted(&app, source).await, before, "{source}");
        app.simulator.faults(provider).clear();
    }
    app.finish().await;
});

both!(lists_that_are_refused_or_are_none_for_long_delete_nothing_and_fail_the_run, |database| {
    let app = TestApp::imported(&database).await;
    for (provider, source) in SOURCES {
        let list = list_of(provider);
        let before = deleted(&app, source).await;
        // Copernica answers a refused credential alike, whatever it is refused for: the source is paused for it.
        let refused = if provider == ProviderKind::Copernica { FailureKind::Html200 } else { FailureKind::Forbidden };
        app.simulator.faults(provider).fail_next_at(list, 100, refused);
        let run = app.sync(source).await;
        assert!(run.is_err(), "{source}: {run:?}");
        let run = app.newest_run(source).await;
        assert_eq!((run.state, run.candidates, run.deleted), (RunState::Failed, 0, 0), "{source}: {run:?}");
        assert_eq!(deleted(&app, source).await, before, "{source}");
        app.simulator.faults(provider).clear();
    }
    app.finish().await;
});

both!(a_database_that_the_token_may_not_see_any_more_deletes_nothing, |database| {
    let app = TestApp::imported(&database).await;
    let before = deleted(&app, "marketing").await;
    let (lost, _) = app.simulator.copernica().databases().remove(0);
    let lost: u64 = lost.parse().unwrap();
    app.simulator.copernica().configure(|switches| switches.lost_databases.extend([lost]));
    let run = app.sync("marketing").await.unwrap();
    assert_eq!((run.state, run.deleted), (RunState::WaitingForApproval, 0), "the brake knows better: {run:?}");
    assert_eq!(deleted(&app, "marketing").await, before);
    app.simulator.copernica().configure(|switches| switches.lost_databases.clear());
    app.import("marketing").await;
    app.finish().await;
});

both!(answers_that_are_no_lists_delete_nothing, |database| {
    let app = TestApp::imported(&database).await;
    for (provider, source) in SOURCES {
        let before = deleted(&app, source).await;
        let list = list_of(provider);
        // Of what comes first, a token or the metadata, and of a list.
        for (place, kind) in [
            ("", FailureKind::Html200),
            ("", FailureKind::NotFound),
            (list, FailureKind::Html200),
            (list, FailureKind::Empty200),
            (list, FailureKind::CutJson),
            (list, FailureKind::NotFound),
        ] {
            app.simulator.faults(provider).fail_next_at(place, 1, kind.clone());
            let run = app.sync(source).await;
            app.simulator.faults(provider).clear();
            let ended = app.newest_run(source).await;
            assert_eq!(ended.deleted, 0, "{source}: {place:?} {kind:?}: {ended:?}");
            // A list that is not there is a place that is lost: a person decides, or the run is not complete.
            let is_lost = kind == FailureKind::NotFound && place == list;
            let is_done = run.is_ok_and(|run| run.state == RunState::Done);
            assert!(is_lost || is_done, "{source}: {place:?} {kind:?}: {ended:?}");
        }
        assert_eq!(deleted(&app, source).await, before, "{source}");
        app.import(source).await;
    }
    app.finish().await;
});

both!(pages_that_shift_under_the_pager_miss_nobody, |database| {
    let app = TestApp::builder(&database).profiles(700).start().await;
    app.simulator.parallel().configure(|switches| switches.shifting_pages = true);
    app.import("crm").await;
    app.simulator.parallel().configure(|switches| switches.shifting_pages = false);
    app.import_all().await;
    let run = app.newest_run("crm").await;
    assert_eq!((run.created, run.deleted), (0, 0), "the second run finds what the first one missed: {run:?}");
    app.finish().await;
});

both!(a_profile_that_is_in_no_list_any_more_is_asked_for_by_id, |database| {
    let app = TestApp::imported(&database).await;
    let person = app.simulator.parallel().create_random_profile("Individual").unwrap();
    app.settle().await;
    app.simulator.faults(ProviderKind::Parallel).unlist([person.clone()]);
    app.simulator.parallel().silently().close(&person).unwrap();
    app.simulator.forget_requests();
    let run = app.sync("crm").await.unwrap();
    assert_eq!((run.candidates, run.deleted), (1, 0));
    assert_eq!(app.simulator.requests_to(&format!("/profiles/{person}?")), 1);
    app.simulator.faults(ProviderKind::Parallel).clear();
    app.finish().await;
});
