//! What no event told, a run brings.

use crate::support::app::TestApp;
use crate::support::both;
use entity::{Moment, RunKind};
use profile_mirror::clock::Clock;
use profile_mirror::ingest::run::{RunRequest, request_run};
use simulator::ProviderKind;

both!(a_run_repairs_a_missed_close_where_lists_hide_closed_profiles, |database| {
    let app = TestApp::imported(&database).await;
    app.simulator.parallel().configure(|switches| switches.lists_open_only = true);
    let person = app.simulator.parallel().create_random_profile("Individual").unwrap();
    app.settle().await;
    app.simulator.parallel().silently().close(&person).unwrap();
    let run = app.sync("crm").await.unwrap();
    assert_eq!((run.updated, run.candidates), (1, 0));
    app.finish().await;
});

both!(a_second_run_that_finds_nothing_changes_nothing, |database| {
    let app = TestApp::imported(&database).await;
    for source in ["marketing", "crm", "people"] {
        let before = app.source_state(source).await.revision;
        let run = app.sync(source).await.unwrap();
        assert_eq!((run.created, run.updated, run.conflicts, run.candidates), (0, 0, 0, 0), "{source}: {run:?}");
        assert!(run.unchanged > 0);
        assert_eq!(app.source_state(source).await.revision, before, "{source}");
    }
    app.finish().await;
});

both!(a_run_of_one_type_asks_for_no_other, |database| {
    let app = TestApp::imported(&database).await;
    let types = app.simulator.parallel().profile_types();
    let (people, companies) = (&types[0].0, &types[1].0);
    let person = app.simulator.parallel().profile_ids(people).remove(0);
    let company = app.simulator.parallel().profile_ids(companies).remove(0);
    app.simulator.parallel().silently().vanish(&person).unwrap();
    app.simulator.parallel().silently().vanish(&company).unwrap();
    app.simulator.forget_requests();
    let request = RunRequest { profile_type: Some(people.clone()), ..RunRequest::full("test") };
    let id = app.source_id("crm").await;
    request_run(app.database(), app.clock.now(), id, request).await.unwrap();
    app.drain().await;
    let run = app.newest_run("crm").await;
    assert_eq!((run.candidates, run.deleted), (1, 1), "{run:?}");
    assert_eq!(app.simulator.requests_to(&format!("profileTypeId={companies}")), 0);
    app.import("crm").await;
    app.finish().await;
});

both!(named_profiles_are_asked_for_by_id_and_nothing_else_is, |database| {
    let app = TestApp::imported(&database).await;
    let person = app.simulator.parallel().profile_ids("Individual").remove(0);
    app.simulator.parallel().silently().set_field(&person, "p_first_name", Some("Silent".into())).unwrap();
    app.simulator.forget_requests();
    let request = RunRequest { kind: RunKind::Named, named: vec![person.clone()], ..RunRequest::full("test") };
    let id = app.source_id("crm").await;
    request_run(app.database(), app.clock.now(), id, request).await.unwrap();
    app.drain().await;
    let run = app.newest_run("crm").await;
    assert_eq!((run.pages, run.updated), (1, 1), "{run:?}");
    assert_eq!(app.simulator.requests_of(ProviderKind::Parallel), 1);
    app.finish().await;
});

both!(an_incremental_run_brings_what_has_changed_and_little_else, |database| {
    let app = TestApp::builder(&database).profiles(1_500).start().await;
    app.import_all().await;
    let imported_at = Moment::from(app.simulator.now());
    app.simulator.advance(chrono::TimeDelta::hours(8));
    app.clock.advance_ms(8 * 3_600_000);
    let customer = app.simulator.copernica().profile_ids("People").remove(0);
    app.simulator.copernica().silently().update_profile(&customer, &[("lastname", "Silent")]).unwrap();
    let persona = app.simulator.getprofile().profile_ids().remove(0);
    app.simulator.getprofile().silently().update_randomly(&persona).unwrap();
    app.simulator.getprofile().silently().settle();
    for source in ["marketing", "people"] {
        let since = Some(imported_at.plus_ms(4 * 3_600_000));
        let request = RunRequest { kind: RunKind::Incremental, since, ..RunRequest::full("test") };
        let id = app.source_id(source).await;
        request_run(app.database(), app.clock.now(), id, request).await.unwrap();
        app.drain().await;
        let run = app.newest_run(source).await;
        assert_eq!((run.updated, run.candidates), (1, 0), "{source}: {run:?}");
        assert!(run.unchanged <= 50, "{source}: {run:?}");
    }
    app.finish().await;
});

both!(a_name_that_was_emptied_is_no_name_any_more, |database| {
    let app = TestApp::imported(&database).await;
    let parallel = app.simulator.parallel();
    let nameless = [("p_first_name", None), ("p_last_name", None)];
    let people = parallel.profile_ids("Individual");
    parallel.set_fields(&people[0], &nameless).unwrap();
    app.settle().await;
    parallel.silently().set_fields(&people[1], &nameless).unwrap();
    let run = app.sync("crm").await.unwrap();
    assert_eq!(run.updated, 1, "{run:?}");
    for person in &people[..2] {
        let name = app.profile(ProviderKind::Parallel, person).await["displayName"].take();
        assert!(name.is_null(), "{person}: {name}");
    }
    let run = app.sync("crm").await.unwrap();
    assert_eq!(run.updated, 0, "{run:?}");
    app.finish().await;
});
