//! Two pieces of news of one profile, in every order.

use crate::support::app::TestApp;
use crate::support::both;
use crate::upstream::until;
use serde_json::json;
use simulator::ProviderKind::{Copernica, GetProfile, Parallel};

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

both!(a_removal_and_an_update_of_one_second_end_alike_in_both_orders, |database| {
    let app = TestApp::imported(&database).await;
    let copernica = app.simulator.copernica();
    for is_reversed in [false, true] {
        app.simulator.advance(chrono::Duration::seconds(3));
        let person = a_person(&app);
        copernica.update_profile(&person, &[("lastname", "Going")]).unwrap();
        copernica.delete_profile(&person).unwrap();
        let passer_by = copernica.create_profile("People", &[("lastname", "Passer-by")]).unwrap();
        copernica.delete_profile(&passer_by).unwrap();
        let mut webhooks = app.simulator.take_webhooks();
        assert!(webhooks.len() >= 4);
        if is_reversed {
            webhooks.reverse();
        }
        for webhook in webhooks {
            assert_eq!(app.post(&webhook).await, 200);
            app.drain().await;
        }
        app.assert_rows_equal_world().await;
        let kinds = app.kinds(Copernica, &person).await;
        let removals = kinds.iter().filter(|kind| *kind == "DELETED").count();
        assert_eq!((kinds.last().map(String::as_str), removals), (Some("DELETED"), 1), "{kinds:?}");
    }
    app.finish().await;
});

both!(a_value_that_goes_back_and_forth_within_one_second_ends_as_it_is, |database| {
    let app = TestApp::imported(&database).await;
    let copernica = app.simulator.copernica();
    let person = a_person(&app);
    app.simulator.advance(chrono::Duration::seconds(3));
    let before = app.kinds(Copernica, &person).await.len();
    for (number, name) in ["There", "Back", "There"].into_iter().enumerate() {
        copernica.update_profile(&person, &[("lastname", name)]).unwrap();
        app.settle().await;
        assert_eq!(app.kinds(Copernica, &person).await.len(), before + number + 1, "each is told");
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

/// A sync after people came and went without a word of the end, and the late news of their coming. Upstream's clock is
/// `ahead_ms` ahead of the service's.
async fn come_and_go_before_a_sync(app: &TestApp, ahead_ms: i64) {
    app.simulator.advance(chrono::Duration::milliseconds(ahead_ms));
    let copernica = app.simulator.copernica();
    let person = a_person(app);
    let visit = copernica.create_subprofile(&person, "Visits", &[("page", "/late")]).unwrap();
    let passer_by = copernica.create_profile("People", &[("lastname", "Passer-by")]).unwrap();
    copernica.set_interests(&passer_by, &["newsletter"]).unwrap();
    let late = app.simulator.take_webhooks();
    copernica.delete_subprofile(&visit).unwrap();
    copernica.delete_profile_completely(&passer_by).unwrap();
    assert_eq!(app.simulator.take_webhooks().len(), 2, "that they went is lost");
    app.sync("marketing").await.unwrap();
    let kinds = app.kinds(Copernica, &person).await;
    for webhook in late {
        assert_eq!(app.post(&webhook).await, 200);
    }
    app.drain().await;
    assert_eq!(app.profile(Copernica, &passer_by).await, json!(null), "not even for a moment");
    assert_eq!(app.kinds(Copernica, &person).await, kinds, "no subprofile came and went");
}

both!(news_of_who_came_and_went_before_a_sync_brings_nobody_back, |database| {
    let app = TestApp::imported(&database).await;
    app.let_pass(30_000);
    come_and_go_before_a_sync(&app, -10_000).await;
    app.finish().await;
});

both!(news_of_who_came_and_went_within_the_seconds_of_a_sync_brings_nobody_back, |database| {
    let app = TestApp::imported(&database).await;
    come_and_go_before_a_sync(&app, 0).await;
    app.finish().await;
});

both!(news_of_who_came_and_went_before_a_sync_brings_nobody_back_though_upstream_has_a_fast_clock, |database| {
    let app = TestApp::imported(&database).await;
    come_and_go_before_a_sync(&app, 4_000).await;
    app.finish().await;
});

both!(who_comes_after_a_sync_is_asked_for_and_shown_though_upstream_has_a_slow_clock, |database| {
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
        until("the event is applied", async || app.profile(Copernica, &person).await.to_string().contains("Newer"))
            .await;
        page.release();
    };
    tokio::join!(import, event);
    let kinds = app.kinds(Copernica, &person).await;
    assert!(kinds[0] == "CREATED" && !kinds.contains(&"UPDATED".to_owned()), "the page takes nothing back: {kinds:?}");
    app.import("crm").await;
    app.import("people").await;
    app.finish().await;
});

/// A full run of a source during which something happens, between the moment that its first such page was made and the
/// moment that it is answered.
async fn import_around(app: &TestApp, source: &str, page: &str, event: impl Future<Output = ()>) {
    let page = app.simulator.pause_next(page);
    let happen = async {
        page.reached().await;
        event.await;
        page.release();
    };
    tokio::join!(app.import(source), happen);
}

both!(a_close_beats_a_list_of_open_ones_that_was_made_before_it, |database| {
    let app = TestApp::imported(&database).await;
    let parallel = app.simulator.parallel();
    let person = parallel.create_random_profile("Individual").unwrap();
    app.settle().await;
    let kind = parallel.profile_types().into_iter().find(|(_, name)| name == "Individual").unwrap().0;
    import_around(&app, "crm", &format!("profileTypeId={kind}"), async {
        app.simulator.advance(chrono::Duration::seconds(3));
        parallel.close(&person).unwrap();
        app.send().await;
        until("the close is applied", async || app.profile(Parallel, &person).await["status"] == "CLOSED").await;
    })
    .await;
    assert_eq!(app.kinds(Parallel, &person).await, ["CREATED", "CLOSED"]);
    app.finish().await;
});

both!(a_fetch_beats_a_page_that_was_made_before_it, |database| {
    let app = TestApp::imported(&database).await;
    let getprofile = app.simulator.getprofile();
    let persona = getprofile.create_random();
    getprofile.settle();
    app.settle().await;
    let before = app.kinds(GetProfile, &persona).await;
    import_around(&app, "people", "/v1/search", async {
        app.simulator.advance(chrono::Duration::seconds(3));
        getprofile.update_randomly(&persona).unwrap();
        getprofile.settle();
        app.send().await;
        until("the update is applied", async || app.kinds(GetProfile, &persona).await.len() > before.len()).await;
    })
    .await;
    assert_eq!(app.kinds(GetProfile, &persona).await.len(), before.len() + 1, "it is not taken back and made again");
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

both!(an_answer_that_was_on_its_way_for_longer_than_a_sync_brings_nobody_back, |database| {
    let app = TestApp::imported(&database).await;
    let parallel = app.simulator.parallel();
    let passer_by = parallel.create_random_profile("Individual").unwrap();
    let answer = app.simulator.pause_next(&format!("/profiles/{passer_by}"));
    app.send().await;
    answer.reached().await;
    parallel.silently().vanish(&passer_by).unwrap();
    app.sync("crm").await.unwrap();
    answer.release();
    app.drain().await;
    assert_eq!(app.profile(Parallel, &passer_by).await, json!(null), "not even for a moment");
    app.finish().await;
});

both!(a_new_subprofile_that_cannot_be_seen_yet_is_asked_for_again, |database| {
    let app = TestApp::imported(&database).await;
    app.sync("marketing").await.unwrap();
    let person = a_person(&app);
    let visit = app.simulator.copernica().create_subprofile(&person, "Visits", &[("page", "/new")]).unwrap();
    app.simulator.faults(Copernica).hide_subprofile(&visit, 2);
    app.simulator.forget_requests();
    app.settle().await;
    assert_eq!(app.simulator.requests_to(&format!("/subprofile/{visit}")), 3);
    assert!(app.kinds(Copernica, &person).await.contains(&"SUBPROFILE_CREATED".to_owned()));
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

/// The body of an event without the time at which its change was made.
fn undated(body: &[u8]) -> String {
    let pairs: Vec<(String, String)> = serde_urlencoded::from_bytes(body).unwrap();
    let (dated, rest): (Vec<_>, Vec<_>) = pairs.into_iter().partition(|(name, _)| name == "modified");
    assert_eq!(dated.len(), 1, "the time of the change");
    serde_urlencoded::to_string(rest).unwrap()
}

both!(an_event_that_does_not_say_when_its_change_was_made_is_corrected_by_answers, |database| {
    let app = TestApp::imported(&database).await;
    let copernica = app.simulator.copernica();
    let person = a_person(&app);
    copernica.set_interests(&person, &["soccer", "jazz"]).unwrap();
    app.settle().await;
    let app_shows = async || app.profile(Copernica, &person).await["interests"].as_array().unwrap().len();
    assert_eq!(app_shows().await, 2);

    // A change of interests does not move the time of modification, so that REST shows a time of long ago.
    app.simulator.advance(chrono::Duration::minutes(10));
    copernica.set_interests(&person, &["soccer"]).unwrap();
    let event = app.simulator.take_webhooks().remove(0);
    app.deliver(Copernica, undated(&event.body)).await;
    assert_eq!(app_shows().await, 1);
    app.simulator.advance(chrono::Duration::minutes(10));
    copernica.silently().set_interests(&person, &["soccer", "jazz", "opera"]).unwrap();
    app.import("marketing").await;
    assert_eq!(app_shows().await, 3, "a full sync corrects it");
    app.finish().await;
});
