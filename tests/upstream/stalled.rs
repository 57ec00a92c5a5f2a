//! Answers that do not come, or stop half way: the call is given up at its time and made again, and nobody else
//! waits for it.

use super::{DEADLINE, change, people, until, until_within};
use crate::support::app::TestApp;
use crate::support::both;
use entity::{FetchState, RunState, fetch_request};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use simulator::FailureKind;
use simulator::ProviderKind::{GetProfile, Parallel};
use std::time::{Duration, Instant};

/// Longer than any call is waited for.
const NEVER: Duration = Duration::from_secs(600);
/// How long the service waits for a call of which nothing arrives.
const SILENT: Duration = Duration::from_secs(15);

/// Pages of *people* that were asked for. Single profiles are read at random.
fn pages_asked(app: &TestApp) -> i64 {
    i64::try_from(app.simulator.requests_to("/v1/search?")).unwrap()
}

/// Whether a call for a person is under way.
async fn is_asked_for(app: &TestApp, person: &str) -> bool {
    let request = fetch_request::Entity::find()
        .filter(fetch_request::Column::TargetKey.eq(format!("profile:{person}")))
        .one(app.database().primary())
        .await
        .unwrap();
    request.is_some_and(|request| request.state == FetchState::Running)
}

/// Whether the mirror has this score of a person.
async fn has_score(app: &TestApp, person: &str, score: i32) -> bool {
    let shown = app.profile(Parallel, person).await;
    let fields = shown["fields"].as_array().expect("fields");
    fields.iter().any(|field| field["name"] == "p_risk_score" && field["value"] == score)
}

/// Changes a person, of whom one call meets the first failure, and begins a run of *people*, of which the first page meets
/// the second. Both calls are under way when this returns.
async fn stall(app: &TestApp, person: &str, score: i32, fetch: FailureKind, page: FailureKind) {
    app.simulator.faults(Parallel).fail_next_at(&format!("/profiles/{person}?"), 1, fetch);
    app.simulator.faults(GetProfile).fail_next_at("/v1/search?", 1, page);
    app.simulator.forget_requests();
    change(app, person, score).await;
    app.begin_sync("people").await;
    until("both calls are under way", async || is_asked_for(app, person).await && pages_asked(app) == 1).await;
}

/// Nothing has come of what [`stall`] began.
async fn assert_still_stalled(app: &TestApp, person: &str) {
    assert!(is_asked_for(app, person).await, "the call for the person is under way still");
    let run = app.newest_run("people").await;
    assert_eq!((run.state, run.pages), (RunState::Running, 0), "{run:?}");
}

/// Waits until what [`stall`] began has come to its end, on which both calls were made once more.
async fn comes_to_an_end(app: &TestApp, person: &str, score: i32, within: Duration) {
    until_within(within, "the person is asked for again", async || has_score(app, person, score).await).await;
    until_within(within, "the run ends", async || app.newest_run("people").await.state == RunState::Done).await;
    let run = app.newest_run("people").await;
    assert_eq!((run.attempt, run.pages_parked, run.deleted), (1, 0, 0), "{run:?}");
    assert_eq!(pages_asked(app), run.pages + 1, "one page was asked for twice: {run:?}");
}

/// Whether a call of a source ended in this way, over all tests of this process.
async fn was_told(app: &TestApp, source: &str, code: &str) -> bool {
    let (_, metrics) = app.client().get("/metrics").await;
    let parts = [format!("source=\"{source}\""), format!("code=\"{code}\"")];
    metrics.lines().any(|line| {
        line.starts_with("profile_mirror_upstream_requests_total{") && parts.iter().all(|part| line.contains(part))
    })
}

both!(calls_of_which_nothing_arrives_are_made_again_and_hold_up_no_webhook, |database| {
    let app = TestApp::imported(&database).await;
    let people = people(&app);
    let (person, others) = people.split_first().expect("people");
    // Of the page the head arrives, and nothing after it.
    let page = FailureKind::SlowBody { chunk_bytes: 1_000, pause: NEVER };
    let begun = Instant::now();
    stall(&app, person, 811, FailureKind::Hang(NEVER), page).await;

    for (other, score) in others.iter().zip([812, 813, 814]) {
        change(&app, other, score).await;
        until("news of others is fetched", async || has_score(&app, other, score).await).await;
    }
    if begun.elapsed() < SILENT {
        assert_still_stalled(&app, person).await;
    }

    comes_to_an_end(&app, person, 811, 2 * DEADLINE).await;
    assert!(begun.elapsed() >= SILENT, "upstream is given its time");
    assert!(was_told(&app, "crm", "timeout").await && was_told(&app, "people", "cut").await);
    app.finish().await;
});
