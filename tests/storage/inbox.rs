//! The inbox by itself: what is answered is kept, once, in an order that a reader may rely on.

use crate::support::both;
use bytes::Bytes;
use entity::{DeliveryKind, DeliveryState, Moment, delivery, source, source_state};
use futures::future::join_all;
use profile_mirror::clock::{SharedClock, SystemClock};
use profile_mirror::db::{Database, Dialect};
use profile_mirror::inbox::{self, Along, Appended, Inbox, NewDelivery, Settlement};
use sea_orm::{
    ActiveValue, ColumnTrait, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio_util::sync::CancellationToken;

fn clock() -> SharedClock {
    Arc::new(SystemClock)
}

pub(super) async fn add_source(db: &Database, name: &str) -> i32 {
    let source = source::ActiveModel {
        name: ActiveValue::Set(name.to_owned()),
        provider: ActiveValue::Set("parallel".to_owned()),
        created_at: ActiveValue::Set(Moment(0)),
        ..Default::default()
    };
    let id = source::Entity::insert(source).exec(db.writer()).await.unwrap().last_insert_id;
    let state = source_state::ActiveModel {
        source_id: ActiveValue::Set(id),
        revision: ActiveValue::Set(0),
        lease_epoch: ActiveValue::Set(0),
        lease_until: ActiveValue::Set(Moment(0)),
        ..Default::default()
    };
    source_state::Entity::insert(state).exec_without_returning(db.writer()).await.unwrap();
    id
}

pub(super) fn webhook(source_id: i32, key: &str) -> NewDelivery {
    NewDelivery {
        source_id,
        kind: DeliveryKind::Webhook,
        dedupe_key: key.to_owned(),
        media_type: "application/json".to_owned(),
        headers: "{}".to_owned(),
        body: Bytes::from_static(b"{}"),
        context: None,
        along: Along::Nothing,
    }
}

pub(super) fn open(db: &Database) -> (Inbox, tokio::task::JoinHandle<()>, CancellationToken) {
    let stop = CancellationToken::new();
    let (inbox, task) = Inbox::open(db.clone(), clock(), stop.clone(), |_| {});
    (inbox, task, stop)
}

both!(copies_at_the_same_moment_are_one_delivery, |database| {
    let db = database.connect().await;
    let source_id = add_source(&db, "crm").await;
    // Two instances of the service on one database.
    let (one, two) = (open(&db), open(&db));
    let copies =
        (0..20).map(|n| if n % 2 == 0 { &one.0 } else { &two.0 }).map(|i| i.append(webhook(source_id, "same")));
    let answers: Vec<Appended> = join_all(copies).await.into_iter().map(|answer| answer.expect("kept")).collect();
    let kept = answers.iter().filter(|answer| matches!(answer, Appended::Kept(_))).count();
    assert_eq!(kept, 1, "{answers:?}");
    assert_eq!(delivery::Entity::find().count(db.reader()).await.unwrap(), 1);
});

both!(copies_that_meet_another_transaction_half_way_are_kept, |database| {
    let db = database.connect().await;
    let source_id = add_source(&db, "crm").await;
    let (inbox, _task, _stop) = open(&db);
    let append = async |key: &str| inbox.append(webhook(source_id, key)).await.expect("kept");
    let (Appended::Kept(one), Appended::Kept(two)) = (append("one").await, append("two").await) else { panic!("kept") };
    if db.dialect() == Dialect::Sqlite {
        // One writer: nobody can be met half way.
        assert_eq!(tokio::join!(append("one"), append("two")), (Appended::Duplicate(one), Appended::Duplicate(two)));
        return;
    }
    let touch = |id: i64| format!("UPDATE delivery SET attempts = attempts WHERE id = {id}");
    // Both copies ride in one group, which is held back until the other transaction has the second of their rows.
    let gate = db.begin().await.unwrap();
    profile_mirror::db::dialect::order_inbox(&gate, db.dialect(), source_id).await.unwrap();
    let other = db.begin().await.unwrap();
    other.execute_unprepared(&touch(two)).await.unwrap();
    let first = tokio::spawn({
        let inbox = inbox.clone();
        async move { inbox.append(webhook(source_id, "three")).await }
    });
    until_waiting(&db, "advisory").await;
    let copies = async { tokio::join!(append("one"), append("two")) };
    let meet = async {
        gate.rollback().await.unwrap();
        until_waiting(&db, "transactionid").await;
        // One of the two is given up by the database. Where it is this one, the other was not disturbed.
        if other.execute_unprepared(&touch(one)).await.is_ok() {
            other.commit().await.unwrap();
        }
    };
    let (copies, ()) = tokio::join!(copies, meet);
    assert_eq!(copies, (Appended::Duplicate(one), Appended::Duplicate(two)));
    assert!(matches!(first.await.unwrap(), Ok(Appended::Kept(_))));
});

/// Waits until some transaction of this PostgreSQL database waits for a lock of this kind.
pub(super) async fn until_waiting(db: &Database, kind: &str) {
    let query = format!(
        "SELECT 1 FROM pg_locks JOIN pg_stat_activity USING (pid) \
         WHERE datname = current_database() AND locktype = '{kind}' AND NOT granted"
    );
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
    while db.reader().execute_unprepared(&query).await.unwrap().rows_affected() == 0 {
        assert!(tokio::time::Instant::now() < deadline, "somebody waits for {kind}");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

both!(a_parked_delivery_that_is_sent_again_becomes_pending, |database| {
    let db = database.connect().await;
    let source_id = add_source(&db, "crm").await;
    let (inbox, _task, _stop) = open(&db);
    let Appended::Kept(id) = inbox.append(webhook(source_id, "a")).await.unwrap() else { panic!("kept") };
    let transaction = db.begin().await.unwrap();
    let parked = [(id, None, Settlement::Parked("a reason".to_owned()))];
    inbox::settle(&transaction, Moment(1), &parked).await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(inbox::count_pending(&db, source_id).await.unwrap(), 0);

    assert_eq!(inbox.append(webhook(source_id, "a")).await.unwrap(), Appended::Duplicate(id));

    let row = delivery::Entity::find_by_id(id).one(db.reader()).await.unwrap().unwrap();
    assert_eq!((row.state, row.attempts, row.copies), (DeliveryState::Pending, 0, 2));
});

both!(what_an_instance_with_a_fast_clock_has_kept_is_taken_at_once, |database| {
    let db = database.connect().await;
    let source_id = add_source(&db, "crm").await;
    let (inbox, _task, _stop) = open(&db);
    let Appended::Kept(id) = inbox.append(webhook(source_id, "a")).await.unwrap() else { panic!("kept") };
    let five_minutes_ago = clock().now().plus_ms(-5 * 60_000);
    let taken = inbox::take(&db, source_id, five_minutes_ago, 10, 1_000).await.unwrap().deliveries;
    assert_eq!(taken.iter().map(|taken| taken.id).collect::<Vec<_>>(), [id], "by the clock of another instance");
    let later = Settlement::Retried(clock().now(), 1);
    let transaction = db.begin().await.unwrap();
    inbox::settle(&transaction, five_minutes_ago, &[(id, None, later)]).await.unwrap();
    transaction.commit().await.unwrap();
    let taken = inbox::take(&db, source_id, five_minutes_ago, 10, 1_000).await.unwrap().deliveries;
    assert!(taken.is_empty(), "what failed waits for its time");
});

both!(a_batch_is_bounded_by_count_and_bytes_and_says_whether_it_is_all, |database| {
    let db = database.connect().await;
    let source_id = add_source(&db, "crm").await;
    let (inbox, _task, _stop) = open(&db);
    let mut ids = Vec::new();
    for key in ["a", "b", "c"] {
        let delivery = NewDelivery { body: vec![b'x'; 400].into(), ..webhook(source_id, key) };
        let Appended::Kept(id) = inbox.append(delivery).await.unwrap() else { panic!("kept") };
        ids.push(id);
    }
    let now = clock().now();
    let take = async |count, max_bytes| {
        let batch = inbox::take(&db, source_id, now, count, max_bytes).await.unwrap();
        (batch.deliveries.iter().map(|taken| taken.id).collect::<Vec<_>>(), batch.is_all)
    };
    assert_eq!(take(10, 10_000).await, (ids.clone(), true));
    assert_eq!(take(2, 10_000).await, (ids[..2].to_vec(), false), "no more than so many");
    assert_eq!(take(10, 800).await, (ids[..2].to_vec(), false), "no more than so many bytes");
    assert_eq!(take(10, 100).await, (ids[..1].to_vec(), false), "the first however large it is");
    assert_eq!(take(3, 10_000).await.0, ids);
    let transaction = db.begin().await.unwrap();
    let applied: Vec<_> = ids.iter().map(|id| (*id, None, Settlement::Applied)).collect();
    inbox::settle(&transaction, now, &applied).await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(take(10, 10_000).await, (Vec::new(), true));
});

both!(an_applied_delivery_that_is_sent_again_stays_applied, |database| {
    let db = database.connect().await;
    let source_id = add_source(&db, "crm").await;
    let (inbox, _task, _stop) = open(&db);
    let Appended::Kept(id) = inbox.append(webhook(source_id, "a")).await.unwrap() else { panic!("kept") };
    let transaction = db.begin().await.unwrap();
    inbox::settle(&transaction, Moment(1), &[(id, None, Settlement::Applied)]).await.unwrap();
    transaction.commit().await.unwrap();

    assert_eq!(inbox.append(webhook(source_id, "a")).await.unwrap(), Appended::Duplicate(id));

    assert_eq!(inbox::count_pending(&db, source_id).await.unwrap(), 0);
});

both!(the_same_key_of_two_sources_is_two_deliveries, |database| {
    let db = database.connect().await;
    let (one, two) = (add_source(&db, "one").await, add_source(&db, "two").await);
    let (inbox, _task, _stop) = open(&db);
    let answers = tokio::join!(inbox.append(webhook(one, "a")), inbox.append(webhook(two, "a")));
    assert!(matches!(answers, (Ok(Appended::Kept(_)), Ok(Appended::Kept(_)))), "{answers:?}");
});

both!(a_reader_that_has_seen_the_head_has_missed_nothing_below_it, |database| {
    let db = database.connect().await;
    let sources = [add_source(&db, "one").await, add_source(&db, "two").await];
    let is_over = Arc::new(AtomicBool::new(false));
    let reader = tokio::spawn(watch_heads(db.clone(), sources, is_over.clone()));

    let inboxes: Vec<_> = (0..4).map(|_| open(&db)).collect();
    let writers = inboxes.iter().enumerate().map(|(writer, (inbox, ..))| async move {
        for number in 0..60 {
            let source_id = sources[number % 2];
            inbox.append(webhook(source_id, &format!("{writer}/{number}"))).await.expect("kept");
        }
    });
    join_all(writers).await;
    is_over.store(true, Ordering::SeqCst);

    let seen = reader.await.unwrap();
    assert_eq!(seen.len(), 240, "everything was seen, without a look back");
});

/// Follows both sources by position, as tails do: never looks below what it has seen.
async fn watch_heads(db: Database, sources: [i32; 2], is_over: Arc<AtomicBool>) -> BTreeSet<i64> {
    let mut seen = BTreeSet::new();
    let mut after = [0; 2];
    loop {
        let was_over = is_over.load(Ordering::SeqCst);
        for (source_id, after) in sources.into_iter().zip(&mut after) {
            let ids: Vec<i64> = delivery::Entity::find()
                .filter(delivery::Column::SourceId.eq(source_id))
                .filter(delivery::Column::Id.gt(*after))
                .order_by_asc(delivery::Column::Id)
                .select_only()
                .column(delivery::Column::Id)
                .into_tuple()
                .all(db.reader())
                .await
                .unwrap();
            *after = ids.last().copied().unwrap_or(*after);
            seen.extend(ids);
        }
        if was_over {
            return seen;
        }
        tokio::task::yield_now().await;
    }
}

both!(what_waits_when_the_service_stops_is_still_kept, |database| {
    let db = database.connect().await;
    let source_id = add_source(&db, "crm").await;
    let (inbox, task, stop) = open(&db);
    let keys: Vec<String> = (0..50).map(|number| number.to_string()).collect();
    let waiting = join_all(keys.iter().map(|key| inbox.append(webhook(source_id, key))));
    let (answers, ()) = tokio::join!(waiting, async { stop.cancel() });
    task.await.unwrap();
    let acknowledged = answers.iter().filter(|answer| answer.is_ok()).count() as u64;
    let stored = delivery::Entity::find().count(db.reader()).await.unwrap();
    assert_eq!(stored, acknowledged, "what was answered is stored, what was refused is not");
});

both!(a_lease_is_held_once_and_fences_the_one_before, |database| {
    let db = database.connect().await;
    let source_id = add_source(&db, "crm").await;
    let first = inbox::renew(&db, source_id, "one", Moment(1_000), 0, None).await.unwrap().expect("free");
    assert_eq!(inbox::renew(&db, source_id, "two", Moment(2_000), 0, None).await.unwrap(), None, "held");
    assert!(inbox::renew(&db, source_id, "one", Moment(2_000), 0, None).await.unwrap().is_some(), "renewed");

    let late = first.until.plus_ms(60_000);
    let second = inbox::renew(&db, source_id, "two", late, 0, None).await.unwrap().expect("it ran out");
    assert!(second.epoch > first.epoch);
    let transaction = db.begin().await.unwrap();
    assert_eq!(first.fence(&transaction, late, None).await.unwrap(), None, "the old holder commits nothing");
    assert_eq!(second.fence(&transaction, late, None).await.unwrap(), Some(0));
    transaction.rollback().await.unwrap();
});

both!(a_lease_that_nobody_renews_is_free_whatever_time_it_ends_at, |database| {
    let db = database.connect().await;
    let source_id = add_source(&db, "crm").await;
    // The clock was an hour ahead, and its instance is gone.
    inbox::renew(&db, source_id, "one", Moment(3_600_000), 0, None).await.unwrap().expect("free");
    let is_taken = async |at| inbox::renew(&db, source_id, "two", Moment(at), 0, None).await.unwrap().is_some();
    let mut watched = None;
    for at in [1_000, 5_000, 12_999] {
        watched = inbox::free_unrenewed(&db, source_id, Moment(at), watched).await.unwrap();
        assert!(!is_taken(at).await, "it may live");
    }
    inbox::free_unrenewed(&db, source_id, Moment(13_000), watched).await.unwrap();
    assert!(is_taken(13_000).await);
});

both!(a_lease_of_an_instance_that_lives_is_not_taken_where_clocks_differ, |database| {
    let db = database.connect().await;
    let source_id = add_source(&db, "crm").await;
    let mut watched = None;
    for at in (0..60_000).step_by(2_000) {
        let ahead = Moment(at + 300_000);
        assert!(inbox::renew(&db, source_id, "one", ahead, 0, None).await.unwrap().is_some(), "it goes on");
        watched = inbox::free_unrenewed(&db, source_id, Moment(at), watched).await.unwrap();
        assert_eq!(inbox::renew(&db, source_id, "two", Moment(at), 0, None).await.unwrap(), None);
    }
});

both!(whoever_lives_when_its_clock_is_set_back_renews_its_lease_at_once, |database| {
    let db = database.connect().await;
    let source_id = add_source(&db, "crm").await;
    let lease = inbox::renew(&db, source_id, "one", Moment(3_600_000), 0, None).await.unwrap().expect("free");
    assert!(!lease.is_due(Moment(3_600_000)) && !lease.is_ahead(Moment(3_600_000)));
    assert!(lease.is_due(Moment(1_000)) && lease.is_ahead(Moment(1_000)));
    let renewed = inbox::renew(&db, source_id, "one", Moment(1_000), 0, None).await.unwrap().expect("its own");
    assert_eq!((renewed.epoch, renewed.until < lease.until), (lease.epoch, true));
    let state = source_state::Entity::find_by_id(source_id).one(db.primary()).await.unwrap().unwrap();
    assert_eq!(state.lease_until, renewed.until);
});

both!(when_a_webhook_was_kept_or_refused_is_taken_back_where_a_clock_was_ahead, |database| {
    let db = database.connect().await;
    let source_id = add_source(&db, "crm").await;
    let renew =
        async |at: i64| inbox::renew(&db, source_id, "one", Moment(at), 0, None).await.unwrap().expect("its own");
    let state =
        async || source_state::Entity::find_by_id(source_id).one(db.primary()).await.unwrap().expect("its state");
    let lease = renew(3_600_000).await;
    let applied = async |now: i64, at: i64| {
        let transaction = db.begin().await.unwrap();
        lease.fence(&transaction, Moment(now), Some(Moment(at))).await.unwrap().expect("its own");
        transaction.commit().await.unwrap();
        state().await.last_webhook_at
    };
    assert_eq!(applied(3_600_000, 3_599_000).await, Some(Moment(3_599_000)));
    assert_eq!(applied(1_000, 900).await, Some(Moment(900)), "the clock was set back");
    assert_eq!(applied(2_000, 3_599_500).await, Some(Moment(2_000)), "it was kept before that");
    assert_eq!(applied(3_000, 32_000).await, Some(Moment(32_000)), "another instance's clock is half a minute ahead");
    assert_eq!(applied(4_000, 3_500).await, Some(Moment(32_000)), "an older one");

    assert_eq!(applied(3_600_000, 3_599_000).await, Some(Moment(3_599_000)));
    let refused = source_state::ActiveModel {
        source_id: ActiveValue::Unchanged(source_id),
        first_refusal_at: ActiveValue::Set(Some(Moment(500))),
        last_refusal_at: ActiveValue::Set(Some(Moment(3_599_500))),
        ..Default::default()
    };
    source_state::Entity::update(refused).exec(db.writer()).await.unwrap();
    renew(5_000).await;
    let state = state().await;
    assert_eq!(state.last_webhook_at, Some(Moment(5_000)));
    assert_eq!((state.first_refusal_at, state.last_refusal_at), (Some(Moment(500)), Some(Moment(5_000))));
});

both!(a_gap_is_noted_when_nobody_was_alive_for_longer_than_the_provider_sends_again, |database| {
    let db = database.connect().await;
    let source_id = add_source(&db, "crm").await;
    let gap = async || {
        let state = source_state::Entity::find_by_id(source_id).one(db.primary()).await.unwrap().unwrap();
        state.gap_since.zip(state.gap_until)
    };
    let renew = async |holder: &str, at: i64| {
        let memory_ms = 300_000;
        assert!(inbox::renew(&db, source_id, holder, Moment(at), memory_ms, None).await.unwrap().is_some());
    };
    renew("one", 1_000).await;
    assert_eq!(gap().await, None, "the first sign of life");
    // Another one takes over, then nobody is there for as long as the provider sends again.
    renew("two", 9_000).await;
    renew("two", 309_000).await;
    assert_eq!(gap().await, None);
    renew("three", 700_000).await;
    assert_eq!(gap().await, Some((Moment(309_000), Moment(700_000))), "whoever comes next sees it");
    renew("three", 702_000).await;
    assert_eq!(gap().await, Some((Moment(309_000), Moment(700_000))), "until the next one");
});
