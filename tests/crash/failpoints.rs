//! One failpoint after the other.

use super::{CHANGES, assert_equals_world, assert_log_is_whole, drain, is_acknowledged, make_things_happen};
use crate::support::app::READER;
use crate::support::binary::{Program, Setup};
use crate::support::place::TestDatabase;
use crate::support::socket::{Subscription, Told};
use crate::support::{both, world};
use serde_json::{Value, json};
use simulator::SignedWebhook;
use std::collections::VecDeque;
use std::time::Duration;

both!(killed_before_the_inbox_commits, |database| { die_and_go_on(&database, "append:3").await });
both!(killed_between_the_inbox_and_the_answer, |database| { die_and_go_on(&database, "appended:3").await });
both!(killed_after_deliveries_are_taken, |database| { die_and_go_on(&database, "taken:2").await });
both!(killed_before_apply_commits, |database| { die_and_go_on(&database, "apply-commit:2").await });
both!(killed_between_apply_and_publish, |database| { die_and_go_on(&database, "applied:2").await });
both!(killed_after_publishing, |database| { die_and_go_on(&database, "published:2").await });

async fn die_and_go_on(database: &TestDatabase, failpoint: &str) {
    let simulator = world::start(7, 0).await;
    let setup = Setup::new(&simulator, database);
    let db = database.connect().await;
    let mut program = setup.start(Some(failpoint));
    let mut reader = Reader::default();
    let first = reader.subscribe(&program).await;

    let mut unsent: VecDeque<SignedWebhook> = make_things_happen(&simulator, 0).into();
    while let Some(webhook) = unsent.front() {
        if !is_acknowledged(&simulator, &program, webhook).await {
            break;
        }
        unsent.pop_front();
    }
    let death = program.death(Duration::from_secs(20)).await;
    assert!(death.is_some_and(|status| !status.success()), "it dies at {failpoint}: {death:?}");
    reader.read_to_the_end(first).await;

    let program = setup.start(None);
    unsent.extend(make_things_happen(&simulator, 1));
    for webhook in unsent {
        assert!(is_acknowledged(&simulator, &program, &webhook).await, "it takes {} again", webhook.event);
    }
    drain(&db).await;
    assert_equals_world(&db, &simulator).await;
    let log = assert_log_is_whole(&db).await;
    let second = reader.subscribe(&program).await;
    reader.read(second, log.len()).await;
    db.close().await.unwrap();
}

/// A client that keeps its cursor.
#[derive(Default)]
struct Reader {
    cursor: Option<Value>,
    changes: Vec<String>,
}

impl Reader {
    async fn subscribe(&mut self, program: &Program) -> Subscription {
        let mut subscription =
            Subscription::open(program.address, READER, CHANGES, json!({ "after": self.cursor })).await;
        if self.cursor.is_none() {
            // The first event says from where on it follows.
            let event = subscription.next().await;
            self.note(&event);
        }
        subscription
    }

    fn note(&mut self, event: &Value) {
        let event = &event["profileChanges"];
        self.cursor = Some(event["cursor"].clone());
        if event["__typename"] == "ProfileChange" {
            self.changes.push(event["change"]["id"].as_str().expect("an id").to_owned());
        }
    }

    /// Reads until the socket ends.
    async fn read_to_the_end(&mut self, mut subscription: Subscription) {
        while let Told::Next(event) = subscription.told().await {
            self.note(&event);
        }
    }

    /// Reads until so many changes are known, each once.
    async fn read(&mut self, mut subscription: Subscription, count: usize) {
        while self.changes.len() < count {
            let event = subscription.next().await;
            self.note(&event);
        }
        let mut known = self.changes.clone();
        known.sort();
        known.dedup();
        assert_eq!((known.len(), self.changes.len()), (count, count), "each change once");
    }
}
