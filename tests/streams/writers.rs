//! Many writers at once, over several instances on one database.

use super::{CHANGES, first_cursor, key, take_changes};
use crate::support::app::{self, TestApp};
use crate::support::both;
use crate::support::place::TestDatabase;
use crate::support::socket::Subscription;
use entity::change;
use futures::future::join_all;
use profile_mirror::app::{AppOptions, Running};
use sea_orm::{EntityTrait, PaginatorTrait};
use serde_json::json;
use simulator::SignedWebhook;
use std::collections::BTreeSet;

both!(no_subscriber_misses_a_change_while_several_instances_write, |database| { several_instances(&database).await });

/// Other instances on the database of an application, with sources registered under the same URL.
pub async fn more_instances(app: &TestApp, count: usize) -> Vec<Running> {
    let mut running = Vec::with_capacity(count);
    for number in 0..count {
        let mut config = app.config.clone();
        config.server.public_url = Some(format!("http://{}", app.address()));
        let options = AppOptions {
            clock: app.clock.clone(),
            key_lookup: crate::support::world::PublishedKeys::of(&app.simulator),
            instance: format!("other-{number}"),
        };
        running.push(profile_mirror::app::start(config, options).await.expect("start another instance"));
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

both!(more_changes_in_one_commit_than_one_reading_takes_are_all_told, |database| {
    let app = TestApp::builder(&database).profiles(1_600).start().await;
    let mut subscription = app.subscribe(CHANGES, json!({})).await;
    first_cursor(&mut subscription).await;
    app.import("marketing").await;
    let count = change::Entity::find().count(app.database().reader()).await.unwrap();
    assert!(count > 700, "{count}");
    let changes = take_changes(&mut subscription, usize::try_from(count).unwrap()).await;
    let keys: BTreeSet<_> = changes.iter().map(key).collect();
    assert_eq!(keys.len(), changes.len(), "each once");
    app.finish_apart_from_world().await;
});
