//! What commits together with a delivery: only for whoever still has the right to it.

use super::inbox::{add_source, open, webhook};
use crate::support::both;
use entity::{FetchState, Moment, RunKind, RunState, delivery, fetch_request, sync_run};
use profile_mirror::db::Database;
use profile_mirror::inbox::{Along, Appended, NewDelivery};
use sea_orm::{ActiveValue::Set, EntityTrait, PaginatorTrait};
use serde_json::json;

pub(super) async fn add_run(db: &Database, source_id: i32) -> i64 {
    let run = sync_run::ActiveModel {
        source_id: Set(source_id),
        state: Set(RunState::Running),
        cause: Set("test".to_owned()),
        started_at: Set(Moment(0)),
        checkpoint: Set(json!({})),
        pages: Set(0),
        rows_seen: Set(0),
        kind: Set(RunKind::Full),
        holder: Set(Some("one".to_owned())),
        ..Default::default()
    };
    sync_run::Entity::insert(run).exec(db.writer()).await.unwrap().last_insert_id
}

fn page(source_id: i32, run_id: i64, holder: &str, number: i64) -> NewDelivery {
    let along = Along::Checkpoint {
        run_id,
        holder: holder.to_owned(),
        number,
        checkpoint: json!({ "left after": number }),
        rows: 10,
        rows_expected: None,
        is_held: false,
    };
    NewDelivery { along, ..webhook(source_id, &format!("page:{number}:{holder}")) }
}

both!(a_page_is_kept_once_and_only_of_the_instance_that_carries_the_run_out, |database| {
    let db = database.connect().await;
    let source_id = add_source(&db, "crm").await;
    let run_id = add_run(&db, source_id).await;
    let (inbox, task, stop) = open(&db);
    let failed = sync_run::ActiveModel { id: Set(run_id), failures: Set(3), restarts: Set(1), ..Default::default() };
    sync_run::Entity::update(failed).exec(db.writer()).await.unwrap();
    assert!(matches!(inbox.append(page(source_id, run_id, "one", 1)).await.unwrap(), Appended::Kept(_)));
    // The same page again, one of an instance that was late, and one that skips: beside a webhook that is welcome.
    let (again, late, skipping, beside) = tokio::join!(
        inbox.append(page(source_id, run_id, "one", 1)),
        inbox.append(page(source_id, run_id, "two", 2)),
        inbox.append(page(source_id, run_id, "one", 3)),
        inbox.append(webhook(source_id, "beside")),
    );
    for refused in [again, late, skipping] {
        assert_eq!(refused.unwrap(), Appended::Refused);
    }
    assert!(matches!(beside.unwrap(), Appended::Kept(_)));
    assert!(matches!(inbox.append(page(source_id, run_id, "one", 2)).await.unwrap(), Appended::Kept(_)));

    let run = sync_run::Entity::find_by_id(run_id).one(db.primary()).await.unwrap().unwrap();
    assert_eq!((run.pages, run.rows_seen, run.checkpoint), (2, 20, json!({ "left after": 2 })));
    assert_eq!((run.failures, run.restarts), (1, 1), "it comes further: only what made it start over counts still");
    assert_eq!(delivery::Entity::find().count(db.primary()).await.unwrap(), 3);

    let cancelled = sync_run::ActiveModel { id: Set(run_id), state: Set(RunState::Cancelled), ..Default::default() };
    sync_run::Entity::update(cancelled).exec(db.writer()).await.unwrap();
    assert_eq!(inbox.append(page(source_id, run_id, "one", 3)).await.unwrap(), Appended::Refused);
    stop.cancel();
    task.await.unwrap();
});

both!(a_page_that_is_kept_already_takes_its_run_no_further, |database| {
    let db = database.connect().await;
    let source_id = add_source(&db, "crm").await;
    let run_id = add_run(&db, source_id).await;
    let (inbox, task, stop) = open(&db);
    let Appended::Kept(first) = inbox.append(page(source_id, run_id, "one", 1)).await.unwrap() else { panic!("kept") };
    // Somebody has set the run back and left its page where it was.
    let set_back = sync_run::ActiveModel {
        id: Set(run_id),
        checkpoint: Set(json!({})),
        pages: Set(0),
        rows_seen: Set(0),
        ..Default::default()
    };
    sync_run::Entity::update(set_back).exec(db.writer()).await.unwrap();
    let (again, beside) =
        tokio::join!(inbox.append(page(source_id, run_id, "one", 1)), inbox.append(webhook(source_id, "beside")));
    assert_eq!(again.unwrap(), Appended::Duplicate(first));
    assert!(matches!(beside.unwrap(), Appended::Kept(_)));
    let run = sync_run::Entity::find_by_id(run_id).one(db.primary()).await.unwrap().unwrap();
    assert_eq!((run.pages, run.rows_seen, run.checkpoint), (0, 0, json!({})));
    assert_eq!(delivery::Entity::find().count(db.primary()).await.unwrap(), 2);
    stop.cancel();
    task.await.unwrap();
});

both!(an_answer_ends_only_the_request_that_was_carried_out, |database| {
    let db = database.connect().await;
    let source_id = add_source(&db, "crm").await;
    let (inbox, task, stop) = open(&db);
    let answered = async |name: &str, state: FetchState, claimed_at: i64| {
        let request = fetch_request::ActiveModel {
            source_id: Set(source_id),
            target_key: Set(name.to_owned()),
            target: Set(json!({})),
            state: Set(state),
            wanted_position: Set(1),
            started_position: Set(claimed_at),
            reason: Set("test".to_owned()),
            requested_at: Set(Moment(0)),
            not_before: Set(Moment(0)),
            claimed_until: Set(Moment(0)),
            attempts: Set(0),
            misses: Set(0),
            is_creation: Set(false),
            purpose: Set(entity::Purpose::Live),
            ..Default::default()
        };
        let request_id = fetch_request::Entity::insert(request).exec(db.writer()).await.unwrap().last_insert_id;
        let along = Along::FetchAnswered { request_id, started_position: 5 };
        let appended = inbox.append(NewDelivery { along, ..webhook(source_id, name) }).await.unwrap();
        assert!(matches!(appended, Appended::Kept(_)), "{name}: what it tells is kept");
        fetch_request::Entity::find_by_id(request_id).one(db.primary()).await.unwrap().unwrap().state
    };
    assert_eq!(answered("carried out", FetchState::Running, 5).await, FetchState::Answered);
    assert_eq!(answered("claimed anew", FetchState::Running, 9).await, FetchState::Running);
    assert_eq!(answered("to be asked again", FetchState::Pending, 5).await, FetchState::Pending);
    stop.cancel();
    task.await.unwrap();
});
