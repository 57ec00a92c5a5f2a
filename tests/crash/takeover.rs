//! An instance that stands still in the middle of a run, while another one shares its database.

use super::{assert_equals_world, assert_log_is_whole, drain};
use crate::support::binary::Setup;
use crate::support::{both, world};
use entity::{RunState, sync_run};
use profile_mirror::clock::{Clock, SystemClock};
use profile_mirror::ingest::run::{RunRequest, find_source, request_run};
use sea_orm::{EntityTrait, PaginatorTrait};
use std::time::{Duration, Instant};

both!(another_instance_takes_a_run_over_and_the_one_that_stood_still_adds_nothing, |database| {
    let simulator = world::start(7, 900).await;
    let setup = Setup::new(&simulator, &database);
    let first = setup.start(None);
    let db = database.connect().await;
    let source_id = find_source(&db, "crm").await.unwrap().expect("the source");
    let page = simulator.pause_next("offset=96");
    let run = request_run(&db, SystemClock.now(), source_id, RunRequest::full("test")).await.unwrap();
    page.reached().await;
    let load = async || sync_run::Entity::find_by_id(run.id).one(db.primary()).await.unwrap().expect("the run");
    let started = Instant::now();
    // Between two transactions: on SQLite nobody could write past one that is under way.
    while load().await.pages_settled < load().await.pages {
        assert!(started.elapsed() < Duration::from_secs(30), "the pages before it are not applied");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    first.freeze();
    let second = setup.start(None);
    let holder = load().await.holder;
    while load().await.holder == holder {
        assert!(started.elapsed() < Duration::from_secs(30), "nobody takes it over");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    page.release();
    first.thaw();
    while load().await.state != RunState::Done {
        assert!(started.elapsed() < Duration::from_secs(60), "{:?}", load().await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let ended = load().await;
    assert_eq!((ended.candidates, ended.deleted, ended.pages), (0, 0, ended.pages_settled), "{ended:?}");
    assert_eq!(sync_run::Entity::find().count(db.primary()).await.unwrap(), 1);

    for source in ["marketing", "people"] {
        let source_id = find_source(&db, source).await.unwrap().expect("the source");
        request_run(&db, SystemClock.now(), source_id, RunRequest::full("test")).await.unwrap();
    }
    drain(&db).await;
    drop((first, second));
    assert_equals_world(&db, &simulator).await;
    assert_log_is_whole(&db).await;
    db.close().await.unwrap();
});
