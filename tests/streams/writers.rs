//! Many writers at once, over several instances on one database.

use super::{CHANGES, first_cursor, key, take_changes};
use crate::support::app::{self, TestApp};
use crate::support::both;
use crate::support::place::TestDatabase;
use crate::support::socket::Subscription;
use crate::support::world::SOURCES;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use entity::{ChangeKind, change};
use futures::future::join_all;
use profile_mirror::app::Running;
use profile_mirror::db::Dialect;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect};
use serde_json::json;
use simulator::SignedWebhook;
use std::collections::{BTreeMap, BTreeSet};

both!(no_subscriber_misses_a_change_while_several_instances_write, |database| { several_instances(&database).await });

/// Other instances on the database of an application.
pub async fn more_instances(app: &TestApp, count: usize) -> Vec<Running> {
    let mut running = Vec::with_capacity(count);
    for number in 0..count {
        running.push(app.another_instance(&format!("other-{number}"), &app.clock).await);
    }
    running
}

async fn several_instances(database: &TestDatabase) {
    let app = TestApp::imported(database).await;
    let others = more_instances(&app, 2).await;
    let addresses: Vec<_> = [app.address()].into_iter().chain(others.iter().map(Running::address)).collect();
    let mut subscriptions = Vec::new();
    for address in &addresses {
        let mut subscription = Subscription::open(*address, app::READER, CHANGES, json!({})).await;
        first_cursor(&mut subscription).await;
        subscriptions.push(subscription);
    }
    let before = change::Entity::find().count(app.database().reader()).await.unwrap();

    for round in 0..5 {
        for provider in simulator::ProviderKind::ALL {
            app.simulator.random_history(provider, 12);
        }
        app.simulator.getprofile().settle();
        let webhooks = app.simulator.take_webhooks();
        let sending = webhooks.iter().enumerate().map(|(number, webhook)| {
            let address = addresses[(number + round) % addresses.len()];
            let path = webhook.url.splitn(4, '/').nth(3).expect("a path");
            let elsewhere = SignedWebhook { url: format!("http://{address}/{path}"), ..webhook.clone() };
            let app = &app;
            async move { assert_eq!(app.post(&elsewhere).await, 200, "{}", elsewhere.event) }
        });
        join_all(sending).await;
    }
    app.drain().await;

    let after = change::Entity::find().count(app.database().reader()).await.unwrap();
    let count = usize::try_from(after - before).unwrap();
    assert!(count > 50, "{count}");
    for mut subscription in subscriptions {
        let changes = take_changes(&mut subscription, count).await;
        let keys: Vec<_> = changes.iter().map(key).collect();
        assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), count, "each once");
    }
    for other in others {
        other.stop().await;
    }
    app.assert_rows_equal_world_but_for_silent_ends(0).await;
    app.finish_apart_from_world().await;
}

/// Makes each commit of changes on PostgreSQL late by a random time, after its rows have their ids. SQLite has one
/// writer: there is no other order than that of the commits.
async fn delay_commits(app: &TestApp) {
    if app.database().dialect() == Dialect::Postgres {
        for statement in [
            "CREATE FUNCTION come_late() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN PERFORM pg_sleep(random() * 0.02); RETURN NULL; END $$",
            "CREATE CONSTRAINT TRIGGER come_late AFTER INSERT ON change DEFERRABLE INITIALLY DEFERRED \
             FOR EACH ROW EXECUTE FUNCTION come_late()",
        ] {
            app.database().writer().execute_unprepared(statement).await.unwrap();
        }
    }
}

both!(every_subscriber_sees_dense_revisions_in_order_though_commits_are_late, |database| {
    let app = TestApp::imported(&database).await;
    let others = more_instances(&app, 2).await;
    let addresses: Vec<_> = [app.address()].into_iter().chain(others.iter().map(Running::address)).collect();
    delay_commits(&app).await;
    let mut subscriptions = Vec::new();
    for address in &addresses {
        let mut subscription = Subscription::open(*address, app::READER, CHANGES, json!({})).await;
        first_cursor(&mut subscription).await;
        subscriptions.push(subscription);
    }
    let before = revisions(&app).await;

    for provider in simulator::ProviderKind::ALL {
        app.simulator.random_history(provider, 20);
    }
    app.simulator.getprofile().settle();
    let webhooks = app.simulator.take_webhooks();
    join_all(webhooks.iter().enumerate().map(|(number, webhook)| {
        let path = webhook.url.splitn(4, '/').nth(3).expect("a path");
        let url = format!("http://{}/{path}", addresses[number % addresses.len()]);
        let elsewhere = SignedWebhook { url, ..webhook.clone() };
        let app = &app;
        async move { assert_eq!(app.post(&elsewhere).await, 200, "{}", elsewhere.event) }
    }))
    .await;
    app.drain().await;

    let after = revisions(&app).await;
    let wanted: BTreeMap<String, Vec<i64>> =
        after.iter().map(|(source, revision)| (source.clone(), (before[source] + 1..=*revision).collect())).collect();
    let count: usize = wanted.values().map(Vec::len).sum();
    assert!(count > 20 && wanted.values().all(|revisions| !revisions.is_empty()), "{wanted:?}");
    for mut subscription in subscriptions {
        let mut seen: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        for change in take_changes(&mut subscription, count).await {
            let (source, id) = key(&change);
            seen.entry(source).or_default().push(revision_of(&id));
        }
        assert_eq!(seen, wanted, "each revision once, in order");
    }
    for other in others {
        other.stop().await;
    }
    app.finish_apart_from_world().await;
});

/// How far each source is.
async fn revisions(app: &TestApp) -> BTreeMap<String, i64> {
    let mut revisions = BTreeMap::new();
    for (_, source) in SOURCES {
        revisions.insert(source.to_owned(), app.source_state(source).await.revision);
    }
    revisions
}

/// The revision in the id of a change: `change:SOURCE:REVISION`.
fn revision_of(id: &str) -> i64 {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(id).expect("base64")).expect("text");
    text.rsplit(':').next().and_then(|revision| revision.parse().ok()).unwrap_or_else(|| panic!("{text}"))
}

both!(more_changes_in_one_commit_than_one_reading_takes_are_all_told, |database| {
    let app = TestApp::imported(&database).await;
    let copernica = app.simulator.copernica();
    let person = copernica.profile_ids("People").remove(0);
    for number in 0..COMMITTED_AT_ONCE {
        let number = number.to_string();
        copernica.silently().create_subprofile(&person, "Visits", &[("page", &number)]).unwrap();
    }
    app.import("marketing").await;
    let mut subscription = app.subscribe(CHANGES, json!({})).await;
    first_cursor(&mut subscription).await;
    let before = change::Entity::find().count(app.database().reader()).await.unwrap();

    // One delivery is one transaction: its subprofiles go with the profile.
    copernica.delete_profile(&person).unwrap();
    app.settle().await;
    let newest = change::Entity::find().order_by_desc(change::Column::Revision).limit(1);
    let newest = newest.filter(change::Column::Kind.eq(ChangeKind::SubprofileDeleted)).one(app.database().reader());
    let delivery = newest.await.unwrap().expect("a subprofile is gone").delivery_id;
    let of_one = change::Entity::find().filter(change::Column::DeliveryId.eq(delivery));
    let of_one = of_one.count(app.database().reader()).await.unwrap();
    assert!(of_one > COMMITTED_AT_ONCE, "{of_one} in one commit");

    let count = change::Entity::find().count(app.database().reader()).await.unwrap() - before;
    let changes = take_changes(&mut subscription, usize::try_from(count).unwrap()).await;
    let keys: BTreeSet<_> = changes.iter().map(key).collect();
    assert_eq!(keys.len(), changes.len(), "each once");
    app.finish().await;
});

/// More than the log is read in one go.
const COMMITTED_AT_ONCE: u64 = 520;
