//! Syncs, plans, and decisions on what they found to be gone.

use super::{change, log_of, open_people, plan, problem, read_run, resync, run_of};
use crate::support::app::TestApp;
use crate::support::{both, rows};
use entity::change as change_row;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use serde_json::{Value, json};
use simulator::{FailureKind, ProviderKind};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

both!(a_resync_repairs_what_no_event_told, |database| {
    let app = TestApp::imported(&database).await;
    let person = open_people(&app.simulator).remove(0);
    app.simulator.parallel().silently().close(&person).unwrap();
    let run = resync(&app, json!({ "source": "crm" })).await;
    assert_eq!((&run["state"], &run["kind"], &run["requestedBy"]), (&json!("DONE"), &json!("FULL"), &json!("ops")));
    assert_eq!((&run["counts"]["updated"], &run["counts"]["deleted"]), (&json!(1), &json!(0)), "{run:#}");
    assert_eq!((&run["progress"], &run["cause"]), (&json!(1.0), &json!("operator")));
    app.finish().await;
});

both!(the_same_request_sent_again_is_the_same_run, |database| {
    let app = TestApp::imported(&database).await;
    let client = app.client();
    let input = json!({ "source": "crm", "clientMutationId": "deploy 7" });
    let first = run_of(change(&client, "resync", json!({ "input": input })).await);
    let again = run_of(change(&client, "resync", json!({ "input": input })).await);
    assert_eq!(first["id"], again["id"], "while it goes on");
    app.drain().await;
    let later = run_of(change(&client, "resync", json!({ "input": input })).await);
    assert_eq!((&first["id"], &later["state"]), (&later["id"], &json!("DONE")), "once it is done");
    let other = json!({ "source": "people", "clientMutationId": "deploy 7" });
    let refused = change(&client, "resync", json!({ "input": other })).await;
    assert_eq!(problem(&refused), ("BAD_USER_INPUT".to_owned(), Some("input.clientMutationId".to_owned())));
    app.clock.advance_ms(86_400_001);
    let next_day = run_of(change(&client, "resync", json!({ "input": input })).await);
    assert_ne!(first["id"], next_day["id"], "after a day the id means nothing any more");
    app.finish().await;
});

both!(the_same_request_sent_again_is_the_same_run_though_it_could_not_begin_now, |database| {
    let (app, _, waits) = waiting(&database).await;
    let client = app.client();
    run_of(change(&client, "rejectDeletions", json!({ "run": waits["id"] })).await);
    let input = json!({ "source": "crm", "clientMutationId": "deploy 8" });
    let first = resync(&app, input.clone()).await;
    assert_eq!(first["state"], "WAITING_FOR_APPROVAL", "{first:#}");
    let again = run_of(change(&client, "resync", json!({ "input": input })).await);
    assert_eq!(first["id"], again["id"], "while its deletions wait");
    client
        .query("mutation { pauseSource(source: \"crm\", reason: \"a test\") { problems { code } } }", json!({}))
        .await;
    let again = run_of(change(&client, "resync", json!({ "input": input })).await);
    assert_eq!(first["id"], again["id"], "while the source is paused");
    app.finish_apart_from_world().await;
});

both!(one_profile_type_is_synced_alone, |database| {
    let app = TestApp::imported(&database).await;
    let copernica = app.simulator.copernica().silently();
    let (people, companies) = match app.simulator.copernica().databases().as_slice() {
        [first, second, ..] => (first.clone(), second.clone()),
        other => panic!("two databases: {other:?}"),
    };
    let of = |name: &str| app.simulator.copernica().profile_ids(name).remove(0);
    let (person, company) = (of(&people.1), of(&companies.1));
    let field = |database: &(String, String)| {
        let truth = app.simulator.truth(ProviderKind::Copernica);
        let id = of(&database.1);
        truth.profiles[&id].fields.keys().next().cloned().expect("a field")
    };
    copernica.update_profile(&person, &[(&field(&people), "9")]).unwrap();
    copernica.update_profile(&company, &[(&field(&companies), "9")]).unwrap();
    let run = resync(&app, json!({ "source": "marketing", "profileType": people.0 })).await;
    assert_eq!((&run["state"], &run["counts"]["updated"]), (&json!("DONE"), &json!(1)), "{run:#}");
    app.import("marketing").await;
    app.finish().await;
});

both!(named_profiles_are_fetched_by_id, |database| {
    let app = TestApp::imported(&database).await;
    let ids = open_people(&app.simulator);
    for id in &ids[..2] {
        app.simulator.parallel().silently().close(id).unwrap();
    }
    let before = app.simulator.requests_of(ProviderKind::Parallel);
    let profiles: Vec<Value> =
        ids[..2].iter().map(|id| json!({ "key": { "source": "crm", "externalId": id } })).collect();
    let run = resync(&app, json!({ "source": "crm", "profiles": profiles })).await;
    assert_eq!((&run["state"], &run["kind"], &run["pages"]), (&json!("DONE"), &json!("NAMED"), &json!(2)), "{run:#}");
    assert_eq!(run["counts"]["updated"], 2, "{run:#}");
    assert_eq!(app.simulator.requests_of(ProviderKind::Parallel) - before, 2, "one call for each");
    app.finish().await;
});

both!(a_plan_of_a_named_profile_that_is_gone_tells_its_deletion_and_carries_it_out, |database| {
    let app = TestApp::imported(&database).await;
    let gone = open_people(&app.simulator).remove(0);
    app.simulator.parallel().silently().vanish(&gone).unwrap();
    let log = log_of(&app).await;
    let profiles = json!([{ "key": { "source": "crm", "externalId": gone } }]);
    let planned = plan(&app, json!({ "source": "crm", "profiles": profiles })).await;
    assert_eq!(log_of(&app).await, log, "no change, no revision");
    assert_eq!(planned["plan"]["kinds"], json!([]), "{planned:#}");
    assert_eq!(planned["plan"]["candidateCount"], 1, "{planned:#}");
    assert_eq!(planned["plan"]["candidates"], json!([{ "recordKind": "PROFILE", "externalId": gone }]));
    let run = run_of(change(&app.client(), "applyResync", json!({ "plan": planned["id"] })).await);
    app.drain().await;
    let run = read_run(&app.client(), &run).await;
    assert_eq!(
        (&run["state"], &run["counts"]["candidates"], &run["counts"]["deleted"]),
        (&json!("DONE"), &json!(1), &json!(1)),
        "{run:#}"
    );
    app.finish().await;
});

both!(named_profiles_that_are_gone_wait_before_the_brake_like_others, |database| {
    let (app, _, waits) = waiting(&database).await;
    let client = app.client();
    run_of(change(&client, "rejectDeletions", json!({ "run": waits["id"] })).await);
    let ids = open_people(&app.simulator);
    app.simulator.parallel().silently().vanish(&ids[0]).unwrap();
    let named = |id: &String| json!({ "key": { "source": "crm", "externalId": id } });
    let input = json!({ "source": "crm", "profiles": [named(&ids[0]), named(&ids[1])] });
    let run = resync(&app, input).await;
    assert_eq!(run["state"], "WAITING_FOR_APPROVAL", "{run:#}");
    assert_eq!((&run["counts"]["absent"], &run["counts"]["deleted"]), (&json!(1), &json!(0)), "{run:#}");
    run_of(change(&client, "approveDeletions", json!({ "run": run["id"] })).await);
    app.drain().await;
    let done = read_run(&client, &run).await;
    assert_eq!((&done["state"], &done["counts"]["deleted"]), (&json!("DONE"), &json!(1)), "{done:#}");
    app.finish_apart_from_world().await;
});

both!(a_plan_changes_nothing_and_is_then_carried_out_exactly, |database| {
    let app = TestApp::imported(&database).await;
    let parallel = app.simulator.parallel().silently();
    let ids = open_people(&app.simulator);
    parallel.close(&ids[0]).unwrap();
    parallel.vanish(&ids[1]).unwrap();
    let created = parallel.create_random_profile("Individual").unwrap();

    let (log, picture) = (log_of(&app).await, rows::picture(app.database(), "crm").await);
    let planned = plan(&app, json!({ "source": "crm" })).await;
    assert_eq!(log_of(&app).await, log, "no change, no revision");
    rows::picture(app.database(), "crm").await.assert_equals(&picture, "crm, after a plan");

    let found = &planned["plan"];
    let count = |kind: &str| {
        let kinds = found["kinds"].as_array().unwrap();
        kinds.iter().find(|row| row["kind"] == kind).map_or(0, |row| row["count"].as_i64().unwrap())
    };
    assert_eq!((count("CREATED"), count("CLOSED"), count("DELETED")), (1, 1, 0), "{planned:#}");
    assert_eq!(found["candidateCount"], 1, "{planned:#}");
    assert_eq!(found["candidates"], json!([{ "recordKind": "PROFILE", "externalId": ids[1] }]));
    let samples = found["samples"].as_array().unwrap();
    let sample = |id: &str| samples.iter().find(|sample| sample["externalId"] == id).expect("a sample");
    assert_eq!(
        (&sample(&ids[0])["kind"], &sample(&ids[0])["profile"]["externalId"]),
        (&json!("CLOSED"), &json!(ids[0]))
    );
    assert_eq!((&sample(&created)["kind"], &sample(&created)["profile"]), (&json!("CREATED"), &Value::Null));

    let planned_changes: i64 =
        found["kinds"].as_array().unwrap().iter().map(|row| row["count"].as_i64().unwrap()).sum();
    let run = run_of(change(&app.client(), "applyResync", json!({ "plan": planned["id"] })).await);
    assert_eq!((&run["id"], &run["isPlan"]), (&planned["id"], &json!(false)));
    app.drain().await;
    let run = read_run(&app.client(), &run).await;
    assert_eq!((&run["state"], &run["counts"]["deleted"]), (&json!("DONE"), &json!(1)), "{run:#}");
    let changes = i64::try_from(log_of(&app).await.0 - log.0).unwrap();
    assert_eq!(changes, planned_changes + 1, "what was planned, and the deletion of what is gone");
    let again = change(&app.client(), "applyResync", json!({ "plan": planned["id"] })).await;
    assert_eq!(problem(&again).0, "RUN_STATE_CONFLICT", "a plan is carried out once");
    app.finish().await;
});

both!(late_news_of_who_came_and_went_before_a_plan_brings_nobody_back_when_it_is_carried_out, |database| {
    let app = TestApp::imported(&database).await;
    let copernica = app.simulator.copernica();
    let passer_by = copernica.create_profile("People", &[("lastname", "Passer-by")]).unwrap();
    let late = app.simulator.take_webhooks();
    copernica.silently().delete_profile_completely(&passer_by).unwrap();
    let planned = plan(&app, json!({ "source": "marketing" })).await;
    for webhook in late {
        assert_eq!(app.post(&webhook).await, 200);
    }
    app.drain().await;
    assert_eq!(app.profile(ProviderKind::Copernica, &passer_by).await, Value::Null);
    let run = run_of(change(&app.client(), "applyResync", json!({ "plan": planned["id"] })).await);
    app.drain().await;
    assert_eq!(read_run(&app.client(), &run).await["state"], "DONE");
    app.finish().await;
});

/// How many changes of each kind the log of a source holds after a revision.
async fn kinds_since(app: &TestApp, source: &str, revision: i64) -> BTreeMap<String, i64> {
    let rows = change_row::Entity::find()
        .filter(change_row::Column::SourceId.eq(app.source_id(source).await))
        .filter(change_row::Column::Revision.gt(revision))
        .all(app.database().primary())
        .await
        .unwrap();
    let mut kinds = BTreeMap::new();
    for row in rows {
        *kinds.entry(json!(row.kind).as_str().unwrap().to_uppercase()).or_default() += 1;
    }
    kinds
}

both!(a_plan_of_many_pages_tells_each_change_once, |database| {
    let app = TestApp::builder(&database).profiles(900).start().await;
    app.import_all().await;
    let (parallel, copernica) = (app.simulator.parallel().silently(), app.simulator.copernica().silently());
    let people = open_people(&app.simulator);
    assert!(people.len() > 100, "pages overlap");
    for person in &people {
        parallel.set_field(person, "p_first_name", Some(json!("Another"))).unwrap();
    }
    let company = parallel.create_random_profile("Legal entity").unwrap();
    parallel.create_relationship("p_director__managed_by", &people[0], &company).unwrap();
    let person = copernica.create_profile("People", &[("firstname", "New")]).unwrap();
    copernica.create_subprofile(&person, "Orders", &[("order_number", "SO-1")]).unwrap();

    for source in ["crm", "marketing"] {
        let revision = app.source_state(source).await.revision;
        let planned = plan(&app, json!({ "source": source })).await;
        let run = run_of(change(&app.client(), "applyResync", json!({ "plan": planned["id"] })).await);
        app.drain().await;
        let run = read_run(&app.client(), &run).await;
        assert_eq!(run["state"], "DONE", "{run:#}");
        let told = planned["plan"]["kinds"].as_array().unwrap().iter();
        let told = told.map(|row| (row["kind"].as_str().unwrap().to_owned(), row["count"].as_i64().unwrap()));
        let told: BTreeMap<String, i64> = told.collect();
        assert_eq!(told, kinds_since(&app, source, revision).await, "{source}");
        let of_children = if source == "crm" { "RELATIONSHIP_CREATED" } else { "SUBPROFILE_CREATED" };
        assert_eq!((told["CREATED"], told[of_children]), (1, 1), "{source}: {told:?}");
        assert_eq!(planned["counts"], run["counts"], "{source}");
    }
    app.finish().await;
});

both!(a_plan_is_stale_once_a_newer_run_has_begun, |database| {
    let app = TestApp::imported(&database).await;
    let planned = plan(&app, json!({ "source": "people" })).await;
    resync(&app, json!({ "source": "people" })).await;
    let refused = change(&app.client(), "applyResync", json!({ "plan": planned["id"] })).await;
    assert_eq!(problem(&refused), ("RUN_STATE_CONFLICT".to_owned(), Some("run".to_owned())));
    assert_eq!(refused["run"]["state"], "CANCELLED");
    assert!(refused["run"]["error"].as_str().unwrap().contains("stale"), "{refused:#}");
    app.finish().await;
});

both!(a_run_is_cancelled_in_the_middle, |database| {
    let app = TestApp::imported(&database).await;
    let client = app.client();
    let person = open_people(&app.simulator).remove(0);
    app.simulator.parallel().silently().close(&person).unwrap();
    let page = app.simulator.pause_next("/profiles?");
    let run = run_of(change(&client, "resync", json!({ "input": { "source": "crm" } })).await);
    page.reached().await;
    let second = change(&client, "resync", json!({ "input": { "source": "crm" } })).await;
    assert_eq!(problem(&second).0, "RUN_IN_PROGRESS");
    assert_eq!(second["problems"][0]["runId"], run["id"], "{second:#}");
    let cancelled = run_of(change(&client, "cancelSync", json!({ "run": run["id"] })).await);
    assert_eq!((&cancelled["state"], &cancelled["decidedBy"]), (&json!("CANCELLED"), &json!("ops")));
    page.release();
    app.drain().await;
    let ended = read_run(&client, &run).await;
    assert_eq!((&ended["state"], &ended["counts"]["deleted"]), (&json!("CANCELLED"), &json!(0)), "{ended:#}");
    let again = change(&client, "cancelSync", json!({ "run": run["id"] })).await;
    assert_eq!(problem(&again).0, "RUN_STATE_CONFLICT");
    assert_eq!(resync(&app, json!({ "source": "crm" })).await["state"], "DONE", "the next run is not held up");
    app.finish().await;
});

/// Waits until a run is in a state.
async fn until_it_is(app: &TestApp, run: &Value, state: &str) {
    let started = Instant::now();
    while read_run(&app.client(), run).await["state"] != state {
        assert!(
            started.elapsed() < Duration::from_secs(30),
            "it is not {state}: {:#}",
            read_run(&app.client(), run).await
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

both!(a_run_that_waits_to_ask_again_is_cancelled_at_once, |database| {
    let app = TestApp::imported(&database).await;
    let client = app.client();
    let input = json!({ "input": { "source": "crm" } });
    let for_an_hour = FailureKind::Status429 { retry_after: Some("3600".to_owned()) };
    for failure in [FailureKind::Status500, for_an_hour] {
        app.simulator.faults(ProviderKind::Parallel).fail_next_at("/profile-types", 100, failure);
        app.simulator.forget_requests();
        let run = run_of(change(&client, "resync", input.clone()).await);
        until_it_is(&app, &run, "RUNNING").await;
        let started = Instant::now();
        while app.simulator.requests_to("/profile-types") == 0 {
            assert!(started.elapsed() < Duration::from_secs(30), "no page is asked for");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        run_of(change(&client, "cancelSync", json!({ "run": run["id"] })).await);
        let next = run_of(change(&client, "resync", input.clone()).await);
        until_it_is(&app, &next, "RUNNING").await;
        run_of(change(&client, "cancelSync", json!({ "run": next["id"] })).await);
        assert_eq!(read_run(&client, &run).await["state"], "CANCELLED");
        app.simulator.faults(ProviderKind::Parallel).clear();
    }
    app.clock.advance_ms(3_600_000);
    assert_eq!(resync(&app, json!({ "source": "crm" })).await["state"], "DONE");
    app.finish().await;
});

/// A service that lets no deletion pass by itself, with one profile gone upstream that no event told of, and the run
/// that found it.
async fn waiting(database: &crate::support::place::TestDatabase) -> (TestApp, String, Value) {
    let closed = |config: &mut profile_mirror::config::Config| {
        for source in &mut config.sources {
            source.sync.brake = profile_mirror::config::Brake { share: 0.0, count: 0 };
        }
    };
    let app = TestApp::builder(database).configure(closed).start().await;
    app.import_all().await;
    let gone = open_people(&app.simulator).remove(0);
    app.simulator.parallel().silently().vanish(&gone).unwrap();
    let run = resync(&app, json!({ "source": "crm" })).await;
    assert_eq!(run["state"], "WAITING_FOR_APPROVAL", "{run:#}");
    assert_eq!((&run["counts"]["absent"], &run["counts"]["deleted"]), (&json!(1), &json!(0)));
    (app, gone, run)
}

both!(deletions_past_the_brake_are_looked_at_and_approved, |database| {
    let (app, gone, run) = waiting(&database).await;
    let client = app.client();
    let document = "query($id: ID!) { node(id: $id) { ... on SyncRun {
        deletionCandidates(first: 10) { nodes { recordKind externalId state profile { status } delivery { kind } }
            pageInfo { hasNextPage } }
        present: deletionCandidates(first: 10, state: PRESENT) { nodes { externalId } } } } }";
    let seen = client.query(document, json!({ "id": run["id"] })).await;
    let candidate = json!({ "recordKind": "PROFILE", "externalId": gone, "state": "ABSENT",
        "profile": { "status": "OPEN" }, "delivery": { "kind": "FETCH" } });
    assert_eq!(seen["node"]["deletionCandidates"]["nodes"], json!([candidate]), "{seen:#}");
    assert_eq!(seen["node"]["present"]["nodes"], json!([]));

    let refused = change(&client, "resync", json!({ "input": { "source": "crm" } })).await;
    assert_eq!(problem(&refused).0, "DELETIONS_NEED_APPROVAL", "nobody takes the decision away unseen");
    assert_eq!(refused["problems"][0]["runId"], run["id"]);

    run_of(change(&client, "approveDeletions", json!({ "run": run["id"] })).await);
    app.drain().await;
    let done = read_run(&client, &run).await;
    assert_eq!(
        (&done["state"], &done["counts"]["deleted"], &done["decidedBy"]),
        (&json!("DONE"), &json!(1), &json!("ops"))
    );
    let again = change(&client, "approveDeletions", json!({ "run": run["id"] })).await;
    assert_eq!(problem(&again).0, "RUN_STATE_CONFLICT");
    app.finish().await;
});

/// How many deletions of `crm` wait, as `/readyz`, the metric and the API tell it.
async fn told_to_wait(app: &TestApp) -> (Value, Option<String>, Value) {
    let ready = app.readiness("crm").await["deletions_waiting"].take();
    let (_, metrics) = app.client().get("/metrics").await;
    let of_crm = |line: &&str| line.starts_with("profile_mirror_deletions_waiting{") && line.contains("source=\"crm\"");
    let metric = metrics.lines().find(of_crm).and_then(|line| line.rsplit(' ').next().map(str::to_owned));
    let source = app.client().query("{ source(name: \"crm\") { deletionsWaiting } }", json!({})).await;
    (ready, metric, source["source"]["deletionsWaiting"].clone())
}

both!(deletions_past_the_brake_wait_for_a_person_and_say_so_in_readyz_a_metric_and_the_api, |database| {
    let app = TestApp::imported(&database).await;
    let client = app.client();
    let mut people = app.simulator.parallel().profile_ids("Individual");
    people.truncate(8);
    let hidden = people.split_off(5);
    for id in &people {
        app.simulator.parallel().silently().vanish(id).unwrap();
    }
    // Three more are neither listed nor found, and yet there.
    let faults = app.simulator.faults(ProviderKind::Parallel);
    faults.unlist(hidden.clone());
    for id in &hidden {
        faults.hide(id, 1_000);
    }
    let run = resync(&app, json!({ "source": "crm" })).await;
    assert_eq!(run["state"], "WAITING_FOR_APPROVAL", "{run:#}");
    assert_eq!(told_to_wait(&app).await, (json!(8), Some("8".to_owned()), json!(8)));
    let ready = app.readiness("crm").await;
    assert_eq!(ready["state"], "degraded", "{ready:#}");
    assert!(ready["reason"].as_str().unwrap().contains("8 deletions that wait for approval"), "{ready:#}");
    let document = "{ source(name: \"crm\") { state reason }
        syncRuns(first: 10, filter: { states: [WAITING_FOR_APPROVAL] }) { nodes { id deletionsWaiting counts { absent } } } }";
    let told = client.query(document, json!({})).await;
    assert_eq!((&told["source"]["state"], &told["source"]["reason"]), (&json!("DEGRADED"), &ready["reason"]));
    let of_run = json!([{ "id": run["id"], "deletionsWaiting": 8, "counts": { "absent": 8 } }]);
    assert_eq!(told["syncRuns"]["nodes"], of_run);

    app.simulator.faults(ProviderKind::Parallel).clear();
    for id in &hidden {
        app.simulator.parallel().emit_unknown_event(id, "PROFILE_UPDATED").unwrap();
    }
    app.settle().await;
    assert_eq!(told_to_wait(&app).await, (json!(5), Some("5".to_owned()), json!(5)), "who came back is struck off");
    let told = client.query(document, json!({})).await;
    assert_eq!(told["syncRuns"]["nodes"][0]["deletionsWaiting"], 5, "{told:#}");

    run_of(change(&client, "approveDeletions", json!({ "run": run["id"] })).await);
    app.drain().await;
    let done = read_run(&client, &run).await;
    assert_eq!((&done["state"], &done["counts"]["deleted"]), (&json!("DONE"), &json!(5)), "{done:#}");
    assert_eq!(told_to_wait(&app).await, (json!(0), Some("0".to_owned()), json!(0)));
    assert_eq!(app.readiness("crm").await["state"], "running");
    app.finish().await;
});

both!(deletions_past_the_brake_are_rejected_and_stay, |database| {
    let (app, gone, run) = waiting(&database).await;
    let client = app.client();
    let log = log_of(&app).await;
    let rejected = run_of(change(&client, "rejectDeletions", json!({ "run": run["id"] })).await);
    assert_eq!((&rejected["state"], &rejected["decidedBy"]), (&json!("CANCELLED"), &json!("ops")));
    app.drain().await;
    assert_eq!(log_of(&app).await, log, "nothing was deleted");
    let by = json!({ "by": { "key": { "source": "crm", "externalId": gone } } });
    let profile = client.query("query($by: ProfileRef!) { profile(by: $by) { status } }", by).await;
    assert_eq!(profile["profile"]["status"], "OPEN");
    let again = change(&client, "rejectDeletions", json!({ "run": run["id"] })).await;
    assert_eq!(problem(&again).0, "RUN_STATE_CONFLICT");
    app.finish_apart_from_world().await;
});

both!(a_source_shows_its_last_run_and_its_last_complete_sync, |database| {
    let app = TestApp::imported(&database).await;
    let client = app.client();
    let planned = plan(&app, json!({ "source": "crm" })).await;
    let document = "{ sources { name nextRunAt lastRun { id isPlan } lastCompleteSync { id state kind } } }";
    let sources = client.query(document, json!({})).await;
    let crm = sources["sources"].as_array().unwrap().iter().find(|source| source["name"] == "crm").unwrap();
    assert_eq!(crm["lastRun"], json!({ "id": planned["id"], "isPlan": true }), "{crm:#}");
    assert_eq!((&crm["lastCompleteSync"]["state"], &crm["lastCompleteSync"]["kind"]), (&json!("DONE"), &json!("FULL")));
    assert_ne!(crm["lastCompleteSync"]["id"], planned["id"]);
    let list = "query($filter: SyncRunFilter) { syncRuns(filter: $filter, first: 5) { nodes { id } } }";
    let plans = client.query(list, json!({ "filter": { "source": "crm", "isPlan": true, "kinds": ["FULL"] } })).await;
    assert_eq!(plans["syncRuns"]["nodes"], json!([{ "id": planned["id"] }]));
    app.finish().await;
});

both!(subprofiles_alone_are_past_the_brake_and_wait_over_a_restart, |database| {
    let mut app = TestApp::imported(&database).await;
    let copernica = app.simulator.copernica();
    let (collection, _) = copernica.collections().into_iter().find(|(_, name)| name == "Orders").unwrap();
    let orders: Vec<String> = copernica.subprofile_ids(&collection).into_iter().take(8).collect();
    assert_eq!(orders.len(), 8);
    for order in &orders {
        copernica.silently().delete_subprofile(order).unwrap();
    }
    let run = resync(&app, json!({ "source": "marketing" })).await;
    assert_eq!((&run["state"], &run["counts"]["deleted"]), (&json!("WAITING_FOR_APPROVAL"), &json!(0)), "{run:#}");
    app.restart().await;
    assert_eq!(app.readiness("marketing").await["deletions_waiting"], 8);
    run_of(change(&app.client(), "approveDeletions", json!({ "run": run["id"] })).await);
    app.drain().await;
    let done = read_run(&app.client(), &run).await;
    assert_eq!((&done["state"], &done["counts"]["deleted"]), (&json!("DONE"), &json!(8)), "{done:#}");
    app.finish().await;
});
