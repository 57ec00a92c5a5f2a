//! The real program, killed at each durable step and started again: nothing acknowledged is lost,
//! nothing is applied twice, and a client that resumes misses nothing.

mod failpoints;
mod parts;
mod runs;
mod shutdown;
mod streams;
mod takeover;

use crate::support::binary::Program;
use crate::support::graphql::Client;
use crate::support::picture::Picture;
use crate::support::rows;
use crate::support::world::{SOURCES, Terms};
use entity::{ChangeKind, change, source_state};
use profile_mirror::clock::{Clock, SystemClock};
use profile_mirror::db::Database;
use profile_mirror::inbox;
use sea_orm::{EntityTrait, QueryOrder};
use simulator::{SignedWebhook, Simulator};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// The client's document: revisions of the change log, by source.
const CHANGES: &str = "subscription ($after: Cursor) {
  profileChanges(after: $after) {
    __typename
    ... on ProfileChange { cursor change { id } }
    ... on CaughtUp { cursor }
  }
}";

/// Times that a webhook is posted again that is answered as *busy*.
const COMES_BACK: usize = 10;

/// Posts a webhook to wherever the program listens now; whether it was acknowledged.
async fn is_acknowledged(simulator: &Simulator, program: &Program, webhook: &SignedWebhook) -> bool {
    let path = webhook.url.splitn(4, '/').nth(3).expect("a path");
    let url = format!("http://{}/{path}", program.address);
    let webhook = SignedWebhook { url, ..webhook.clone() };
    // A sender that is told to come back does.
    for _ in 0..COMES_BACK {
        match simulator.send(&webhook).await {
            Ok(503) => {}
            answer => return matches!(answer, Ok(200)),
        }
    }
    false
}

/// Some of everything, at all three providers.
fn make_things_happen(simulator: &Simulator, round: usize) -> Vec<SignedWebhook> {
    let (copernica, parallel, getprofile) = (simulator.copernica(), simulator.parallel(), simulator.getprofile());
    simulator.advance(chrono::Duration::seconds(5));
    let person = copernica.create_profile("People", &[("firstname", &format!("Round {round}"))]).unwrap();
    copernica.create_subprofile(&person, "Orders", &[("order_number", "SO-1")]).unwrap();
    let one = parallel.create_random_profile("Individual").unwrap();
    let two = parallel.create_random_profile("Legal entity").unwrap();
    parallel.create_relationship("p_director__managed_by", &one, &two).unwrap();
    getprofile.create_random();
    getprofile.settle();
    simulator.advance(chrono::Duration::seconds(5));
    copernica.update_profile(&person, &[("lastname", "Later")]).unwrap();
    parallel.close(&two).unwrap();
    simulator.take_webhooks()
}

/// Waits until the program has nothing left to do.
async fn drain(db: &Database) {
    let started = Instant::now();
    loop {
        let left = inbox::backlog(db, SystemClock.now()).await.expect("the backlog");
        if left.due == 0 && left.next_due.is_none() {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "still to do: {left:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Everything that was told is in the mirror as it is upstream. The worlds of these tests begin empty.
async fn assert_equals_world(db: &Database, simulator: &Simulator) {
    for (provider, source) in SOURCES {
        let wanted = Picture::of_truth(&simulator.truth(provider), &Terms::of(simulator, provider));
        rows::picture(db, source).await.assert_equals(&wanted, source);
    }
}

/// The change log is dense, ends at the revision of its source, and tells of each creation once. Returns its ids.
async fn assert_log_is_whole(db: &Database) -> BTreeSet<(i32, i64)> {
    let changes = change::Entity::find().order_by_asc(change::Column::Revision).all(db.reader()).await.unwrap();
    let states = source_state::Entity::find().all(db.reader()).await.unwrap();
    let mut by_source: BTreeMap<i32, Vec<&change::Model>> = BTreeMap::new();
    for change in &changes {
        by_source.entry(change.source_id).or_default().push(change);
    }
    for state in states {
        let log = by_source.remove(&state.source_id).unwrap_or_default();
        let revisions: Vec<i64> = log.iter().map(|change| change.revision).collect();
        assert_eq!(revisions, (1..=state.revision).collect::<Vec<_>>(), "dense, to the end");
        let mut created = BTreeSet::new();
        for change in log.iter().filter(|change| change.kind == ChangeKind::Created) {
            assert!(created.insert(change.record_id.clone()), "{} was created twice", change.record_id);
        }
    }
    changes.into_iter().map(|change| (change.source_id, change.revision)).collect()
}

/// Waits until the program answers a query.
async fn is_ready(program: &Program) -> bool {
    let client = Client::new(program.address, Some(crate::support::app::ADMIN));
    client.get("/livez").await.0 == 200
}
