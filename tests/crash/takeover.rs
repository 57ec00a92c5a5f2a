//! Runs that another instance takes over from one that stalls: it lives, and its late word counts for nothing.

use crate::support::app::TestApp;
use crate::support::both;
use crate::support::clock::MovableClock;
use crate::support::world::SOURCES;
use crate::upstream::until;
use entity::{DeliveryKind, RunState, delivery, sync_run};
use profile_mirror::app::Running;
use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter};
use simulator::PausedRequest;
use std::sync::Arc;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(30);
/// Longer than any lease.
const LATER_MS: i64 = 60_000;

/// Another instance, to which nothing is left as long as its clock is that of the first.
async fn start_other(app: &TestApp) -> (Running, Arc<MovableClock>) {
    let clock = app.clock.ahead_ms(0);
    (app.another_instance("two", &clock).await, clock)
}

/// The leases of the first have run out for the other. As if the first had stood still for so long, it does not know yet.
async fn take_over(app: &TestApp, clock: &MovableClock) {
    clock.advance_ms(LATER_MS);
    for (_, source) in SOURCES {
        until("the other holds the lease", async || is_held_by(app, source, "two").await).await;
    }
}

/// Waits until a request is held.
async fn reached(request: &PausedRequest) {
    tokio::time::timeout(SOON, request.reached()).await.expect("it is asked for");
}

async fn is_held_by(app: &TestApp, source: &str, instance: &str) -> bool {
    app.source_state(source).await.lease_holder.as_deref() == Some(instance)
}

async fn pages_of(app: &TestApp, run: &sync_run::Model) -> u64 {
    let pages = delivery::Entity::find()
        .filter(delivery::Column::Kind.eq(DeliveryKind::Page))
        .filter(delivery::Column::DedupeKey.starts_with(format!("page:{}:", run.id)));
    pages.count(app.database().primary()).await.unwrap()
}

both!(another_instance_goes_on_with_a_run_and_the_late_page_of_the_first_is_refused, |database| {
    let app = TestApp::builder(&database).profiles(300).start().await;
    app.simulator.getprofile().configure(|switches| switches.most_rows = 5);
    app.import("people").await;
    let least = app.simulator.requests_to("/v1/search");
    app.simulator.forget_requests();

    let (other, clock) = start_other(&app).await;
    let late = app.simulator.pause_next("page=9&");
    let under_way = app.simulator.pause_next("page=11&");
    app.begin_sync("people").await;
    reached(&late).await;
    take_over(&app, &clock).await;
    reached(&under_way).await;
    let run = app.newest_run("people").await;
    assert_eq!((run.state, run.holder.as_deref()), (RunState::Running, Some("two")), "{run:?}");
    // Its answer comes while the other is two pages further.
    late.release();
    until("the late page is answered", async || app.simulator.requests_to("page=9&") == 2).await;
    under_way.release();
    until("the run ends", async || app.newest_run("people").await.state == RunState::Done).await;

    let ended = app.newest_run("people").await;
    assert_eq!((ended.id, ended.attempt, ended.candidates, ended.pages_parked), (run.id, 1, 0, 0), "{ended:?}");
    assert_eq!(app.runs("people").await.len(), 2, "no run is begun beside it");
    let (kept, told) = (pages_of(&app, &run).await, u64::try_from(ended.pages).unwrap());
    assert_eq!((kept, ended.pages_settled), (told, ended.pages), "each page is kept and settled once");
    let asked = app.simulator.requests_to("/v1/search");
    assert_eq!(asked, least + 2, "the page that was under way and the one before it are asked for twice, and no other");

    // The first takes over again where the other gives its leases back.
    other.stop().await;
    until("the first holds the lease again", async || is_held_by(&app, "people", "one").await).await;
    app.import_all().await;
    assert_eq!(pages_of(&app, &run).await, told, "the late page is not kept later either");
    app.finish().await;
});

both!(another_instance_goes_on_with_a_sweep_and_asks_again_for_what_the_first_was_asking_for, |database| {
    let app = TestApp::imported(&database).await;
    let gone = app.simulator.parallel().profile_ids("Individual").remove(0);
    app.simulator.parallel().silently().vanish(&gone).unwrap();
    let (other, clock) = start_other(&app).await;
    let late = app.simulator.pause_next(&format!("/profiles/{gone}"));
    app.begin_sync("crm").await;
    reached(&late).await;
    let run = app.newest_run("crm").await;
    assert_eq!((run.state, run.candidates, run.deleted), (RunState::Sweeping, 1, 0), "{run:?}");
    take_over(&app, &clock).await;
    let is_done = async || {
        clock.advance_ms(10);
        app.newest_run("crm").await.state == RunState::Done
    };
    until("the run ends", is_done).await;
    late.release();

    let ended = app.newest_run("crm").await;
    assert_eq!((ended.id, ended.attempt, ended.deleted), (run.id, 1, 1), "{ended:?}");
    other.stop().await;
    until("the first holds the lease again", async || is_held_by(&app, "crm", "one").await).await;
    app.finish().await;
});
