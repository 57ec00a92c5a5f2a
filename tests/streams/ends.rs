//! How streams end: with the service, with their key, with a reader that does not read. Acceptance 21 to 23.

use super::writers::more_instances;
use super::{CHANGES, first_cursor, key, take_changes};
use crate::support::app::{self, TestApp};
use crate::support::both;
use crate::support::socket::{Subscription, Told};
use crate::upstream::until;
use entity::change;
use profile_mirror::config::{AccessKey, Role, Secret};
use sea_orm::{EntityTrait, PaginatorTrait};
use serde_json::{Value, json};
use simulator::ProviderKind;
use std::collections::BTreeSet;
use std::time::Duration;

const WITH_END: &str = "subscription ($after: Cursor) {
  profileChanges(after: $after) {
    __typename
    ... on ProfileChange { cursor change { id kind recordId source { name } } }
    ... on CaughtUp { cursor }
    ... on Interrupted { cursor message }
  }
}";

/// How many changes the log holds.
pub async fn count_changes(app: &TestApp) -> usize {
    let count = change::Entity::find().count(app.database().reader()).await.unwrap();
    usize::try_from(count).unwrap()
}

/// Reads a stream to its end; answers the changes that it brought and where it is to be gone on with.
async fn read_to_the_end(subscription: &mut Subscription) -> (Vec<Value>, Value) {
    let mut changes = Vec::new();
    let cursor = loop {
        match subscription.told().await {
            Told::Next(mut data) => {
                let event = data["profileChanges"].take();
                match event["__typename"].as_str() {
                    Some("ProfileChange") => changes.push(event),
                    Some("Interrupted") => break event["cursor"].clone(),
                    _ => {}
                }
            }
            other => panic!("expected to be told where to go on, got {other:?}"),
        }
    };
    assert_eq!(subscription.told().await, Told::Complete);
    assert_eq!(subscription.told().await, Told::Closed(Some(1001)));
    (changes, cursor)
}

both!(a_rolling_restart_loses_and_doubles_nothing, |database| {
    let app = TestApp::imported(&database).await;
    let mut others = more_instances(&app, 2).await;
    let before = count_changes(&app).await;
    let mut streams = Vec::new();
    for _ in 0..8 {
        let mut stream = Subscription::open(others[0].address(), app::READER, WITH_END, json!({})).await;
        first_cursor(&mut stream).await;
        streams.push((stream, Vec::new()));
    }
    for _ in 0..2 {
        app.simulator.random_history(ProviderKind::Copernica, 15);
        app.settle().await;
        let stopping = others.remove(0);
        let next = others.first().map_or_else(|| app.address(), profile_mirror::app::Running::address);
        let stop = tokio::spawn(stopping.stop());
        for (stream, changes) in &mut streams {
            let (brought, cursor) = read_to_the_end(stream).await;
            changes.extend(brought);
            *stream = Subscription::open(next, app::READER, WITH_END, json!({ "after": cursor })).await;
        }
        stop.await.unwrap();
    }
    app.simulator.random_history(ProviderKind::Copernica, 15);
    app.settle().await;
    let count = count_changes(&app).await - before;
    for (mut stream, mut changes) in streams {
        let missing = count - changes.len();
        changes.extend(take_changes(&mut stream, missing).await);
        assert_eq!(changes.iter().map(key).collect::<BTreeSet<_>>().len(), count, "each once");
    }
    app.finish().await;
});

/// A stream of server-sent events, read no further than to its head.
async fn open_events(app: &TestApp, key: &str) -> reqwest::Response {
    let request = reqwest::Client::new().post(format!("http://{}/graphql/stream", app.address())).bearer_auth(key);
    let asked = request.header("accept", "text/event-stream").json(&json!({ "query": CHANGES })).send().await.unwrap();
    assert_eq!(asked.status(), 200);
    asked
}

both!(a_key_that_is_taken_back_ends_its_streams_within_seconds, |database| {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, "a-key-in-a-file-0123456789").unwrap();
    let secret = Secret::File(file.clone());
    let with_key = move |config: &mut profile_mirror::config::Config| {
        config.access.keys.push(AccessKey { name: "frontend".to_owned(), role: Role::Reader, key: secret });
    };
    let app = TestApp::builder(&database).configure(with_key).start().await;
    let mut taken = Subscription::open(app.address(), "a-key-in-a-file-0123456789", CHANGES, json!({})).await;
    let mut kept = app.subscribe(CHANGES, json!({})).await;
    first_cursor(&mut taken).await;
    first_cursor(&mut kept).await;
    let events = open_events(&app, "a-key-in-a-file-0123456789").await;

    std::fs::write(&file, "another-key-0123456789").unwrap();
    assert_eq!(taken.told().await, Told::Closed(Some(4403)), "the harness waits no longer than it promises");
    let told = tokio::time::timeout(Duration::from_secs(20), events.text()).await.expect("the events end").unwrap();
    assert!(told.contains("FORBIDDEN") && told.ends_with("event: complete\ndata:\n\n"), "{told}");
    let mut anew = Subscription::open(app.address(), "another-key-0123456789", CHANGES, json!({})).await;
    first_cursor(&mut anew).await;
    app.import("marketing").await;
    take_changes(&mut kept, 3).await;
    app.finish_apart_from_world().await;
});

both!(a_reader_that_pauses_gets_everything_once_it_reads_again, |database| {
    let app = TestApp::builder(&database).profiles(2_400).start().await;
    let mut slow = app.subscribe(CHANGES, json!({})).await;
    let mut quick = app.subscribe(CHANGES, json!({})).await;
    first_cursor(&mut slow).await;
    first_cursor(&mut quick).await;
    app.import("marketing").await;
    let count = count_changes(&app).await;
    assert!(count > 1_000, "{count}");
    let of_quick = take_changes(&mut quick, count).await;
    let of_slow = take_changes(&mut slow, count).await;
    assert_eq!(of_slow.iter().map(key).collect::<Vec<_>>(), of_quick.iter().map(key).collect::<Vec<_>>());
    app.finish_apart_from_world().await;
});

/// Messages so long that the buffers of a connection hold a part of them only.
fn long_messages() -> String {
    let often: String = (0..30).map(|number| format!("f{number}: fields {{ name before after }} ")).collect();
    CHANGES.replace("kind", &format!("kind {often}"))
}

both!(a_reader_that_does_not_read_leaves_the_rest_in_the_log_and_is_told_where_to_go_on, |database| {
    let often_asked = |config: &mut profile_mirror::config::Config| config.server.keep_alive_seconds = 3;
    let app = TestApp::builder(&database).profiles(2_400).configure(often_asked).start().await;
    let begin = first_cursor(&mut app.subscribe(CHANGES, json!({})).await).await;
    app.import("marketing").await;
    let count = count_changes(&app).await;
    let all = take_changes(&mut app.subscribe(CHANGES, json!({ "after": begin })).await, count).await;
    until("nobody follows", async || app.followers() == 0).await;

    let (long, after) = (long_messages(), json!({ "after": begin }));
    let mut slow = Subscription::open_narrow(app.address(), app::READER, &long, after).await;
    until("it follows", async || app.followers() == 1).await;
    until("it is given up", async || app.followers() == 0).await;
    let (events, closed) = slow.read_to_close().await;
    let (code, reason) = closed.expect("a close frame");
    assert_eq!(code, 1011);
    let cursor = reason.strip_prefix("silent; go on after ").expect("a place to go on from");
    let brought: Vec<Value> = events.into_iter().map(|mut event| event["profileChanges"].take()).collect();
    assert_eq!(brought.last().unwrap()["cursor"], cursor, "the place behind what it has got");
    assert!(brought.len() < count, "the rest was left in the log: {} of {count}", brought.len());

    let mut anew = app.subscribe(CHANGES, json!({ "after": cursor })).await;
    let rest = take_changes(&mut anew, count - brought.len()).await;
    let got: Vec<_> = brought.iter().chain(&rest).map(key).collect();
    assert_eq!(got, all.iter().map(key).collect::<Vec<_>>(), "each once, in order");
    app.finish_apart_from_world().await;
});
