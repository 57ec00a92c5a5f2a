//! Live fetches, repair and sync share one budget, and upstream's word is obeyed.

use super::{change, people, score, source, until};
use crate::support::app::TestApp;
use crate::support::both;
use entity::{FetchState, Moment, Purpose, fetch_request, source_state};
use profile_mirror::clock::Clock;
use profile_mirror::config::Config;
use sea_orm::sea_query::Expr;
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter};
use serde_json::json;
use simulator::FailureKind;
use simulator::ProviderKind::Parallel;
use std::time::Duration;

both!(a_pause_that_upstream_asks_for_is_kept, |database| {
    let app = TestApp::imported(&database).await;
    let person = people(&app).remove(0);
    for (score_now, retry_after) in [(501, "30".to_owned()), (502, http_date_in(30))] {
        let busy = FailureKind::Status429 { retry_after: Some(retry_after.clone()) };
        app.simulator.faults(Parallel).fail_next(1, busy);
        app.simulator.forget_requests();
        change(&app, &person, score_now).await;
        until("it is told to wait", async || source(&app, "crm").await["budget"]["pausedUntil"].is_string()).await;
        assert_eq!(app.simulator.requests_of(Parallel), 1);
        assert_eq!(source(&app, "crm").await["budget"]["concurrency"], json!(2), "halved: Retry-After {retry_after}");

        // News of others has to wait as well.
        change(&app, &people(&app)[1], score_now).await;
        app.clock.advance_ms(20_000);
        until("it is applied", async || app.unsettled_in_all().await == 0).await;
        assert_eq!(app.simulator.requests_of(Parallel), 1, "Retry-After {retry_after}");
        app.clock.advance_ms(11_000);
        app.drain().await;
        assert_eq!(score(&app, &person).await, score_now);
        // Ten good answers in a row for each call more at once.
        for round in 0..5 {
            for person in people(&app).iter().take(6) {
                change(&app, person, 600 + round).await;
            }
            app.drain().await;
        }
        assert_eq!(source(&app, "crm").await["budget"]["concurrency"], json!(4));
    }
    app.finish().await;
});

fn http_date_in(seconds: i64) -> String {
    let at = profile_mirror::clock::SystemClock.today() + chrono::Duration::seconds(seconds);
    at.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

both!(a_pause_that_upstream_asks_for_holds_after_a_restart, |database| {
    let mut app = TestApp::builder(&database).configure(without_reads).start().await;
    app.import_all().await;
    let people = people(&app);
    let busy = FailureKind::Status429 { retry_after: Some("3600".to_owned()) };
    app.simulator.faults(Parallel).fail_next(1, busy);
    app.simulator.forget_requests();
    change(&app, &people[0], 511).await;
    until("it is written", async || app.source_state("crm").await.throttled_until.is_some()).await;
    assert_eq!(app.simulator.requests_of(Parallel), 1);

    app.restart().await;
    change(&app, &people[1], 512).await;
    app.begin_sync("crm").await;
    for _ in 0..2 {
        until("it is applied", async || app.unsettled_in_all().await == 0).await;
        // Longer than anything looks for what is due.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        assert_eq!(app.simulator.requests_of(Parallel), 1, "neither fetches nor pages");
        let shown = source(&app, "crm").await;
        assert_eq!(shown["state"], "RUNNING", "it does not stand still");
        assert!(shown["budget"]["pausedUntil"].is_string(), "{shown}");
        app.clock.advance_ms(1_750_000);
    }
    let left = app.source_state("crm").await.throttled_until.unwrap().0 - app.clock.now().0;
    app.clock.advance_ms(left);
    app.import("crm").await;
    assert!(app.simulator.requests_of(Parallel) > 1);
    assert_eq!((score(&app, &people[0]).await, score(&app, &people[1]).await), (json!(511), json!(512)));
    app.finish().await;
});

both!(a_pause_that_upstream_asks_another_instance_for_holds_here_unless_a_wrong_clock_wrote_it, |database| {
    let app = TestApp::builder(&database).configure(without_reads).start().await;
    app.import_all().await;
    let person = people(&app).remove(0);
    let source_id = app.source_id("crm").await;
    let write = async |until: Moment| {
        source_state::Entity::update_many()
            .col_expr(source_state::Column::ThrottledUntil, Expr::value(until))
            .filter(source_state::Column::SourceId.eq(source_id))
            .exec(app.database().writer())
            .await
            .unwrap();
    };
    write(app.clock.now().plus_ms(3 * 3_600_000)).await;
    change(&app, &person, 521).await;
    until("it is fetched", async || score(&app, &person).await == 521).await;

    write(app.clock.now().plus_ms(600_000)).await;
    until("it is known here", async || source(&app, "crm").await["budget"]["pausedUntil"].is_string()).await;
    app.simulator.forget_requests();
    change(&app, &person, 522).await;
    app.clock.advance_ms(570_000);
    until("it is applied", async || app.unsettled_in_all().await == 0).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(app.simulator.requests_of(Parallel), 0);
    app.clock.advance_ms(30_000);
    app.drain().await;
    assert_eq!(score(&app, &person).await, 522);
    app.finish().await;
});

both!(a_429_that_names_no_pause_is_never_held_against_a_fetch, |database| {
    let app = TestApp::imported(&database).await;
    let person = people(&app).remove(0);
    app.simulator.faults(Parallel).fail_next(15, FailureKind::Status429 { retry_after: None });
    change(&app, &person, 555).await;
    app.drain().await;
    assert_eq!(score(&app, &person).await, 555, "more often than a fetch is tried before it is parked");
    app.finish().await;
});

both!(a_sync_leaves_the_last_of_the_limit_to_live_fetches, |database| {
    let app = TestApp::builder(&database).configure(without_reads).start().await;
    app.import_all().await;
    let parallel = app.simulator.parallel();
    parallel.configure(|switches| switches.rate_limited = true);
    // Another client of the same account uses most of it up.
    let client = reqwest::Client::builder().tls_certs_only([]).build().unwrap();
    for _ in 0..200 {
        let answer =
            client.get(format!("{}/me", parallel.base_url())).bearer_auth(parallel.token()).send().await.unwrap();
        let left: u32 = answer.headers()["x-ratelimit-remaining"].to_str().unwrap().parse().unwrap();
        if left <= 16 {
            break;
        }
    }
    let person = people(&app).remove(0);
    change(&app, &person, 701).await;
    app.drain().await;
    let remaining = source(&app, "crm").await["budget"]["remaining"].as_i64().unwrap();
    assert!((11..=15).contains(&remaining), "upstream's own count is known: {remaining}");

    app.simulator.forget_requests();
    app.begin_sync("crm").await;
    for score_now in [702, 703, 704] {
        change(&app, &person, score_now).await;
        until("live news is fetched", async || score(&app, &person).await == score_now).await;
    }
    assert_eq!(app.simulator.requests_of(Parallel), 3, "the sync waits");
    parallel.configure(|switches| switches.rate_limited = false);
    app.clock.advance_ms(61_000);
    app.import("crm").await;
    assert!(app.simulator.requests_of(Parallel) > 3, "it goes on in the next window");
    app.finish().await;
});

both!(live_requests_are_carried_out_before_repair, |database| {
    let app = TestApp::builder(&database)
        .configure(|config| {
            for source in &mut config.sources {
                source.sync.concurrency = 1;
            }
        })
        .start()
        .await;
    app.import_all().await;
    let people = people(&app);
    let (busy, repair, live) = (&people[0], &people[1..4], &people[4..7]);
    let held = app.simulator.pause_next(busy);
    change(&app, busy, 801).await;
    held.reached().await;
    app.simulator.forget_requests();
    let source_id = entity::source::by_name("crm").one(app.database().reader()).await.unwrap().unwrap().id;
    let now = app.clock.now();
    let wishes = repair.iter().zip([3, 2, 1]).map(|(person, news)| wish(source_id, person, news, now));
    fetch_request::Entity::insert_many(wishes).exec(app.database().writer()).await.unwrap();
    // Not in the order of their ids; whether one batch brings them or three is left to chance.
    for person in live.iter().rev() {
        change(&app, person, 802).await;
    }
    until("they are applied", async || app.unsettled_in_all().await == 0).await;
    let mut holds: Vec<_> = live.iter().rev().map(|person| app.simulator.pause_next(person)).collect();
    holds.insert(0, held);
    for (place, hold) in holds.into_iter().enumerate() {
        if place > 0 {
            hold.reached().await;
        }
        let waiting_live = u64::from(place < live.len());
        until(&format!("two repairs and {waiting_live} live stand in line"), async || {
            let budget = source(&app, "crm").await["budget"].take();
            (budget["waitingRepair"].as_u64(), budget["waitingLive"].as_u64()) == (Some(2), Some(waiting_live))
        })
        .await;
        hold.release();
    }
    app.drain().await;

    let log = app.simulator.request_log();
    let place = |person: &String| log.iter().position(|line| line.path.contains(person.as_str())).unwrap();
    assert!(live.iter().rev().map(place).is_sorted(), "the oldest news first: {log:#?}");
    // Two repairs were claimed at once.
    let [latest, older @ ..] = repair else { panic!() };
    let older: Vec<_> = older.iter().map(place).collect();
    assert!(
        older.iter().all(|older| (place(&live[0])..place(latest)).contains(older)),
        "live, then the oldest: {log:#?}"
    );
    app.finish().await;
});

/// Calls are counted: none is made by the way.
fn without_reads(config: &mut Config) {
    config.sources.iter_mut().for_each(|source| source.drift.reads_per_hour = 0);
}

fn wish(source_id: i32, person: &str, news: i64, now: Moment) -> fetch_request::ActiveModel {
    fetch_request::ActiveModel {
        source_id: Set(source_id),
        target_key: Set(format!("profile:{person}")),
        target: Set(json!({ "kind": "profile", "id": person })),
        state: Set(FetchState::Pending),
        wanted_position: Set(news),
        started_position: Set(0),
        reason: Set("to make sure".to_owned()),
        purpose: Set(Purpose::Repair),
        requested_at: Set(now),
        not_before: Set(now.plus_ms(-60_000)),
        claimed_until: Set(Moment(0)),
        attempts: Set(0),
        misses: Set(0),
        is_creation: Set(false),
        last_error: Set(None),
        ..Default::default()
    }
}

both!(calls_are_counted_by_source_code_and_purpose, |database| {
    let app = TestApp::imported(&database).await;
    change(&app, &people(&app)[0], 901).await;
    app.drain().await;
    let (_, metrics) = app.client().get("/metrics").await;
    for purpose in ["live", "sync"] {
        let line = metrics.lines().find(|line| {
            line.starts_with("profile_mirror_upstream_requests_total{")
                && ["source=\"crm\"", "code=\"200\"", &format!("purpose=\"{purpose}\"")]
                    .iter()
                    .all(|part| line.contains(part))
        });
        assert!(line.is_some(), "{purpose}: {metrics}");
    }
    assert!(metrics.contains("profile_mirror_upstream_budget_remaining_ratio{"), "{metrics}");
    app.finish().await;
});
