//! Two pieces of news of one profile, in every order.

use crate::support::app::TestApp;
use crate::support::both;
use serde_json::json;
use simulator::ProviderKind::{Copernica, Parallel};

fn a_person(app: &TestApp) -> String {
    app.simulator.copernica().profile_ids("People").remove(0)
}

both!(two_events_of_one_second_end_alike_in_both_orders, |database| {
    let app = TestApp::imported(&database).await;
    let copernica = app.simulator.copernica();
    for is_reversed in [false, true] {
        app.simulator.advance(chrono::Duration::seconds(3));
        let person = a_person(&app);
        copernica.update_profile(&person, &[("lastname", &format!("First {is_reversed}"))]).unwrap();
        copernica.update_profile(&person, &[("lastname", &format!("Second {is_reversed}"))]).unwrap();
        let mut webhooks = app.simulator.take_webhooks();
        if is_reversed {
            webhooks.reverse();
        }
        for webhook in webhooks {
            assert_eq!(app.post(&webhook).await, 200);
        }
        app.drain().await;
        app.assert_rows_equal_world().await;
    }
    app.finish().await;
});

both!(a_value_that_goes_back_and_forth_within_one_second_ends_as_it_is, |database| {
    let app = TestApp::imported(&database).await;
    let copernica = app.simulator.copernica();
    let person = a_person(&app);
    app.simulator.advance(chrono::Duration::seconds(3));
    for name in ["There", "Back", "There"] {
        copernica.update_profile(&person, &[("lastname", name)]).unwrap();
        app.settle().await;
    }
    app.finish().await;
});

both!(a_late_update_does_not_bring_a_deleted_profile_back, |database| {
    let app = TestApp::imported(&database).await;
    let copernica = app.simulator.copernica();
    let person = a_person(&app);
    app.simulator.advance(chrono::Duration::seconds(3));
    copernica.update_profile(&person, &[("lastname", "Late")]).unwrap();
    let late = app.simulator.take_webhooks();
    app.simulator.advance(chrono::Duration::seconds(3));
    copernica.delete_profile(&person).unwrap();
    app.settle().await;
    for webhook in late {
        assert_eq!(app.post(&webhook).await, 200);
    }
    app.drain().await;
    assert_eq!(app.profile(Copernica, &person).await["status"], "DELETED");
    app.finish().await;
});

both!(news_of_who_came_and_went_before_a_sync_brings_nobody_back, |database| {
    let app = TestApp::imported(&database).await;
    let copernica = app.simulator.copernica();
    let person = a_person(&app);
    let visit = copernica.create_subprofile(&person, "Visits", &[("page", "/late")]).unwrap();
    let passer_by = copernica.create_profile("People", &[("lastname", "Passer-by")]).unwrap();
    copernica.set_interests(&passer_by, &["newsletter"]).unwrap();
    let late = app.simulator.take_webhooks();
    copernica.delete_subprofile(&visit).unwrap();
    copernica.delete_profile_completely(&passer_by).unwrap();
    assert_eq!(app.simulator.take_webhooks().len(), 2, "that they went is lost");
    app.clock.advance_ms(10_000);
    app.sync("marketing").await.unwrap();
    let kinds = app.kinds(Copernica, &person).await;
    for webhook in late {
        assert_eq!(app.post(&webhook).await, 200);
    }
    app.drain().await;
    assert_eq!(app.profile(Copernica, &passer_by).await, json!(null), "not even for a moment");
    assert_eq!(app.kinds(Copernica, &person).await, kinds, "no subprofile came and went");
    app.finish().await;
});

both!(news_of_who_came_after_a_sync_is_taken_though_upstream_has_a_slow_clock, |database| {
    let app = TestApp::imported(&database).await;
    app.clock.advance_ms(20_000);
    app.sync("marketing").await.unwrap();
    let copernica = app.simulator.copernica();
    let person = a_person(&app);
    let visit = copernica.create_subprofile(&person, "Visits", &[("page", "/new")]).unwrap();
    let new = copernica.create_profile("People", &[("lastname", "New")]).unwrap();
    app.settle().await;
    assert!(app.kinds(Copernica, &person).await.contains(&"SUBPROFILE_CREATED".to_owned()));
    assert_eq!(app.kinds(Copernica, &new).await, ["CREATED"]);
    assert_eq!(app.simulator.requests_to(&format!("/subprofile/{visit}")), 1, "it is asked for by id");
    app.finish().await;
});

both!(an_event_beats_a_page_that_was_made_before_it, |database| {
    let app = TestApp::builder(&database).start().await;
    let copernica = app.simulator.copernica();
    let people = copernica.databases().into_iter().find(|(_, name)| name == "People").unwrap().0;
    let person = a_person(&app);
    let page = app.simulator.pause_next(&format!("/database/{people}/profiles"));
    let import = async { app.import("marketing").await };
    let event = async {
        page.reached().await;
        app.simulator.advance(chrono::Duration::seconds(3));
        copernica.update_profile(&person, &[("lastname", "Newer")]).unwrap();
        app.send().await;
        page.release();
    };
    tokio::join!(import, event);
    app.import("crm").await;
    app.import("people").await;
    app.finish().await;
});

both!(not_found_right_after_created_is_tried_again, |database| {
    let app = TestApp::imported(&database).await;
    let created = app.simulator.parallel().create_random_profile("Individual").unwrap();
    app.simulator.faults(Parallel).hide(&created, 2);
    app.settle().await;
    assert_eq!(app.kinds(Parallel, &created).await, ["CREATED"]);
    app.finish().await;
});

both!(an_event_during_a_fetch_causes_one_more_fetch, |database| {
    let app = TestApp::imported(&database).await;
    let parallel = app.simulator.parallel();
    let person = parallel.create_random_profile("Individual").unwrap();
    app.settle().await;
    let fetch = app.simulator.pause_next(&format!("/profiles/{person}"));
    parallel.set_field(&person, "p_risk_score", Some(json!(1))).unwrap();
    app.send().await;
    fetch.reached().await;
    parallel.set_field(&person, "p_risk_score", Some(json!(2))).unwrap();
    app.send().await;
    fetch.release();
    app.drain().await;
    app.finish().await;
});

both!(upstream_faults_delay_and_lose_nothing, |database| {
    use simulator::FailureKind;
    let app = TestApp::imported(&database).await;
    let parallel = app.simulator.parallel();
    let person = parallel.create_random_profile("Individual").unwrap();
    app.settle().await;
    let faults = [
        FailureKind::Status429 { retry_after: Some("1".to_owned()) },
        FailureKind::Status500,
        FailureKind::Html200,
        FailureKind::Empty200,
        FailureKind::CutJson,
        FailureKind::CutBody { share: 0.5 },
    ];
    for (number, fault) in faults.into_iter().enumerate() {
        parallel.set_field(&person, "p_risk_score", Some(json!(100 + number))).unwrap();
        app.simulator.faults(Parallel).fail_next(1, fault);
        app.settle().await;
        app.assert_rows_equal_world().await;
    }
    app.finish().await;
});
