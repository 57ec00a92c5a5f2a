//! A page of which a part is applied, or found to change nothing, when the process dies.

use super::{assert_equals_world, assert_log_is_whole, drain};
use crate::support::binary::Setup;
use crate::support::{both, world};
use entity::{DeliveryKind, DeliveryState, RunState, delivery, profile, sync_run};
use profile_mirror::clock::{Clock, SystemClock};
use profile_mirror::ingest::run::{RunRequest, find_source, request_run};
use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter};
use std::time::Duration;

both!(killed_between_two_parts_of_a_page, |database| {
    let simulator = world::start(7, 1_500).await;
    let setup = Setup::new(&simulator, &database);
    let mut program = setup.start(Some("parted"));
    let db = database.connect().await;
    let source_id = find_source(&db, "marketing").await.unwrap().expect("the source");
    let run = request_run(&db, SystemClock.now(), source_id, RunRequest::full("test")).await.unwrap();
    let death = program.death(Duration::from_secs(30)).await;
    assert!(death.is_some_and(|status| !status.success()), "it dies in the middle of a page: {death:?}");

    let pending = delivery::Entity::find()
        .filter(delivery::Column::Kind.eq(DeliveryKind::Page))
        .filter(delivery::Column::State.eq(DeliveryState::Pending));
    assert!(pending.count(db.primary()).await.unwrap() > 0, "the page is not settled");
    let known = profile::known().filter(profile::Column::SourceId.eq(source_id)).count(db.primary()).await.unwrap();
    assert!(known > 0, "a part of it is in the mirror");

    let program = setup.start(None);
    drain(&db).await;
    let ended = sync_run::Entity::find_by_id(run.id).one(db.primary()).await.unwrap().expect("the run");
    assert_eq!((ended.state, ended.pages_settled, ended.pages_parked), (RunState::Done, ended.pages, 0), "{ended:?}");
    let all = profile::known().filter(profile::Column::SourceId.eq(source_id)).count(db.primary()).await.unwrap();
    assert!(all > known);
    assert!(ended.unchanged >= i64::try_from(known).unwrap(), "what was committed is not written again: {ended:?}");

    for source in ["crm", "people"] {
        let source_id = find_source(&db, source).await.unwrap().expect("the source");
        request_run(&db, SystemClock.now(), source_id, RunRequest::full("test")).await.unwrap();
    }
    drain(&db).await;
    drop(program);
    assert_equals_world(&db, &simulator).await;
    assert_log_is_whole(&db).await;
    db.close().await.unwrap();
});

both!(killed_before_pages_that_changed_nothing_are_settled, |database| {
    let simulator = world::start(7, 1_500).await;
    let setup = Setup::new(&simulator, &database);
    let program = setup.start(None);
    let db = database.connect().await;
    for source in ["marketing", "crm", "people"] {
        let source_id = find_source(&db, source).await.unwrap().expect("the source");
        request_run(&db, SystemClock.now(), source_id, RunRequest::full("test")).await.unwrap();
    }
    drain(&db).await;
    drop(program);

    let source_id = find_source(&db, "marketing").await.unwrap().expect("the source");
    let mut program = setup.start(Some("unchanged:3"));
    let run = request_run(&db, SystemClock.now(), source_id, RunRequest::full("test")).await.unwrap();
    let death = program.death(Duration::from_secs(30)).await;
    assert!(death.is_some_and(|status| !status.success()), "it dies before it settles pages: {death:?}");

    let program = setup.start(None);
    drain(&db).await;
    let ended = sync_run::Entity::find_by_id(run.id).one(db.primary()).await.unwrap().expect("the run");
    assert_eq!((ended.state, ended.pages_settled, ended.pages_parked), (RunState::Done, ended.pages, 0), "{ended:?}");
    let all = profile::known().filter(profile::Column::SourceId.eq(source_id)).count(db.primary()).await.unwrap();
    assert_eq!((ended.created, ended.updated, ended.unchanged), (0, 0, i64::try_from(all).unwrap()), "each once");
    drop(program);
    assert_equals_world(&db, &simulator).await;
    assert_log_is_whole(&db).await;
    db.close().await.unwrap();
});
