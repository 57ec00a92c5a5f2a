//! Feeds over a real log: seams, catching up, falling behind, cursors.

use super::*;
use crate::mirror::read::fixture::Fixture;
use ::entity::{ChangeKind, RecordKind, change};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

struct Running {
    fixture: Fixture,
    publisher: Arc<Publisher>,
    stop: CancellationToken,
    crm: i32,
    profile: i64,
}

impl Running {
    async fn start() -> Self {
        let fixture = Fixture::new().await;
        let crm = fixture.source("crm").await;
        let profile = fixture.profile(crm, "p", |_| {}).await;
        let (publisher, stop) = Self::publisher(&fixture);
        Self { fixture, publisher, stop, crm, profile }
    }

    fn publisher(fixture: &Fixture) -> (Arc<Publisher>, CancellationToken) {
        let publisher = Publisher::new(fixture.db.clone(), fixture.clock.clone());
        let stop = CancellationToken::new();
        tokio::spawn({
            let (publisher, stop) = (publisher.clone(), stop.clone());
            async move { publisher.run(stop).await }
        });
        (publisher, stop)
    }

    async fn commit(&self, count: i64) {
        self.fixture.changes(self.crm, self.profile, ChangeKind::Updated, count).await;
        self.publisher.ring();
    }

    /// Takes what the changes so far have told out of the log.
    async fn empty_log(&self) {
        let emptied = change::Entity::update_many().col_expr(change::Column::Fields, Expr::value(json!([])));
        emptied.exec(self.fixture.db.writer()).await.unwrap();
    }

    /// A feed from now on.
    async fn live_feed(&self) -> Feed {
        let mut feed = self.publisher.subscribe(None).await.unwrap();
        expect_caught_up(&mut feed).await;
        feed
    }

    /// As a restart of the service.
    async fn restart(&mut self) {
        self.stop.cancel();
        (self.publisher, self.stop) = Self::publisher(&self.fixture);
    }
}

async fn next(feed: &mut Feed) -> FeedItem {
    tokio::time::timeout(Duration::from_secs(20), feed.next()).await.expect("an item in time").expect("not the end")
}

async fn expect_caught_up(feed: &mut Feed) -> Cursor {
    match next(feed).await {
        FeedItem::CaughtUp { cursor } => cursor,
        other => panic!("expected to be caught up, got {other:?}"),
    }
}

/// Takes that many changes and checks that they follow each other; answers the last cursor.
async fn expect_changes(feed: &mut Feed, revisions: std::ops::RangeInclusive<i64>) -> Cursor {
    let mut last = feed.cursor().clone();
    for revision in revisions {
        match next(feed).await {
            FeedItem::Change { event, cursor } => {
                assert_eq!(event.change.revision, revision);
                assert_eq!(cursor.revision("crm"), revision);
                last = cursor;
            }
            other => panic!("expected revision {revision}, got {other:?}"),
        }
    }
    last
}

fn cursor(revision: i64) -> Option<Cursor> {
    Some([("crm".to_owned(), revision)].into_iter().collect())
}

#[tokio::test]
async fn a_feed_from_now_brings_what_is_committed_from_now_on() {
    let running = Running::start().await;
    let mut earlier = running.live_feed().await;
    running.commit(3).await;
    let mut feed = running.publisher.subscribe(None).await.unwrap();
    assert_eq!(feed.cursor().revision("crm"), 3, "behind what was committed, though the process has not read it yet");
    expect_caught_up(&mut feed).await;
    expect_changes(&mut earlier, 1..=3).await;
    running.commit(2).await;
    expect_changes(&mut feed, 4..=5).await;
    running.stop.cancel();
    let FeedItem::Stopped { cursor } = next(&mut feed).await else { panic!("expected to be told where to go on") };
    assert_eq!(cursor.revision("crm"), 5);
    assert!(feed.next().await.is_none(), "every feed ends with the service");
}

#[tokio::test]
async fn a_feed_after_a_cursor_catches_up_and_goes_live_without_a_seam() {
    let running = Running::start().await;
    running.commit(450).await;
    let mut feed = running.publisher.subscribe(cursor(7)).await.unwrap();
    let mut others = Vec::new();
    for place in 0..40 {
        // Commits go on while feeds join.
        running.commit(1).await;
        others.push((place, running.publisher.subscribe(cursor(place * 11)).await.unwrap()));
    }
    for (revision, feed) in others.iter_mut().map(|(place, feed)| (*place * 11, feed)).chain([(7, &mut feed)]) {
        let mut seen = revision;
        while seen < 490 {
            match next(feed).await {
                FeedItem::Change { event, .. } => {
                    seen += 1;
                    assert_eq!(event.change.revision, seen, "from {revision}");
                }
                FeedItem::CaughtUp { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

/// Acceptance 19.
#[tokio::test]
async fn more_changes_in_one_commit_than_one_read_takes_are_all_brought() {
    let running = Running::start().await;
    let mut feed = running.live_feed().await;
    running.commit(1201).await;
    expect_changes(&mut feed, 1..=1201).await;
}

/// Acceptance 21.
#[tokio::test]
async fn a_feed_that_falls_behind_the_ring_reads_on_from_the_log() {
    let running = Running::start().await;
    let (mut slow, mut quick) = (running.live_feed().await, running.live_feed().await);
    running.commit(6000).await;
    expect_changes(&mut quick, 1..=6000).await;
    expect_changes(&mut slow, 1..=6000).await;
    running.commit(1).await;
    expect_changes(&mut slow, 6001..=6001).await;
}

#[tokio::test]
async fn a_feed_reads_again_what_it_had_not_handed_on_when_something_was_wiped() {
    let running = Running::start().await;
    let (mut feed, mut other) = (running.live_feed().await, running.live_feed().await);
    running.commit(50).await;
    expect_changes(&mut feed, 1..=1).await;
    expect_changes(&mut other, 1..=50).await;
    // As an erasure does: what earlier changes told is emptied, and a change tells of it.
    running.empty_log().await;
    running.fixture.changes(running.crm, running.profile, ChangeKind::Anonymized, 1).await;
    running.publisher.ring();
    expect_changes(&mut other, 51..=51).await;
    for revision in 2..=51 {
        let FeedItem::Change { event, .. } = next(&mut feed).await else { panic!("each change once") };
        assert_eq!(event.change.revision, revision);
        assert_eq!(event.change.fields == json!([]), revision < 51, "{revision}");
    }
}

#[tokio::test]
async fn a_feed_hands_on_what_it_has_while_others_are_wiped() {
    let running = Running::start().await;
    let fixture = &running.fixture;
    let [other, later] =
        [fixture.profile(running.crm, "q", |_| {}).await, fixture.profile(running.crm, "r", |_| {}).await];
    let (mut feed, mut quick) = (running.live_feed().await, running.live_feed().await);
    fixture.changes(running.crm, running.profile, ChangeKind::Updated, 20).await;
    fixture.changes(running.crm, later, ChangeKind::Updated, 1).await;
    running.commit(20).await;
    expect_changes(&mut feed, 1..=1).await;
    expect_changes(&mut quick, 1..=41).await;
    // Who reads the log again finds nothing in it.
    running.empty_log().await;
    for (wiped, revision) in [(other, 42), (later, 43)] {
        fixture.changes(running.crm, wiped, ChangeKind::Anonymized, 1).await;
        running.publisher.ring();
        expect_changes(&mut quick, revision..=revision).await;
    }
    for revision in 2..=43 {
        let FeedItem::Change { event, .. } = next(&mut feed).await else { panic!("each change once") };
        assert_eq!(event.change.revision, revision);
        assert_eq!(event.change.fields == json!([]), (21..=41).contains(&revision), "{revision}");
    }
}

#[tokio::test]
async fn a_feed_reads_again_what_relationships_told_when_the_other_end_was_wiped() {
    let running = Running::start().await;
    let fixture = &running.fixture;
    let other_end = fixture.profile(running.crm, "q", |_| {}).await;
    let (mut feed, mut quick) = (running.live_feed().await, running.live_feed().await);
    fixture.changes(running.crm, running.profile, ChangeKind::Updated, 5).await;
    let third = change::Entity::update_many().filter(change::Column::Revision.eq(3));
    let third = third.col_expr(change::Column::RecordKind, Expr::value(RecordKind::Relationship));
    third.exec(fixture.db.writer()).await.unwrap();
    running.publisher.ring();
    expect_changes(&mut feed, 1..=1).await;
    expect_changes(&mut quick, 1..=5).await;
    running.empty_log().await;
    fixture.changes(running.crm, other_end, ChangeKind::Anonymized, 1).await;
    running.publisher.ring();
    expect_changes(&mut quick, 6..=6).await;
    for revision in 2..=6 {
        let FeedItem::Change { event, .. } = next(&mut feed).await else { panic!("each change once") };
        assert_eq!(event.change.fields == json!([]), (3..=5).contains(&revision), "{revision}");
    }
}

#[tokio::test]
async fn a_cursor_holds_over_a_restart() {
    let mut running = Running::start().await;
    let mut feed = running.live_feed().await;
    running.commit(5).await;
    let kept = expect_changes(&mut feed, 1..=3).await.encode();
    running.restart().await;
    let mut feed = running.publisher.subscribe(Some(Cursor::decode(&kept).unwrap())).await.unwrap();
    expect_changes(&mut feed, 4..=5).await;
    assert_eq!(expect_caught_up(&mut feed).await.revision("crm"), 5);
}

#[tokio::test]
async fn a_cursor_ahead_of_the_log_is_refused_and_one_before_it_has_expired() {
    let running = Running::start().await;
    running.commit(10).await;
    assert!(matches!(
        running.publisher.subscribe(cursor(11)).await,
        Err(SubscribeError::CursorAhead { source_name }) if source_name == "crm"
    ));
    running.fixture.forget_changes(running.crm, 4).await;
    let mut feed = running.publisher.subscribe(cursor(3)).await.unwrap();
    let FeedItem::Expired { oldest } = next(&mut feed).await else { panic!("expected to be told") };
    assert_eq!(oldest.revision("crm"), 4);
    assert!(feed.next().await.is_none());
    let mut feed = running.publisher.subscribe(Some(oldest)).await.unwrap();
    expect_changes(&mut feed, 5..=10).await;
}

#[tokio::test]
async fn a_source_that_appears_later_is_brought_from_its_beginning() {
    let running = Running::start().await;
    running.commit(1).await;
    let mut feed = running.publisher.subscribe(cursor(1)).await.unwrap();
    expect_caught_up(&mut feed).await;
    let people = running.fixture.source("people").await;
    let profile = running.fixture.profile(people, "x", |_| {}).await;
    running.fixture.changes(people, profile, ChangeKind::Created, 2).await;
    running.publisher.ring();
    for revision in 1..=2 {
        let FeedItem::Change { cursor, .. } = next(&mut feed).await else { panic!("expected a change") };
        assert_eq!((cursor.revision("crm"), cursor.revision("people")), (1, revision));
    }
}

#[tokio::test]
async fn changes_of_a_placeholder_are_not_brought_but_counted() {
    let running = Running::start().await;
    let hidden =
        running.fixture.profile(running.crm, "heard-of", |row| row.is_known = sea_orm::ActiveValue::Set(false)).await;
    let mut feed = running.live_feed().await;
    running.fixture.changes(running.crm, hidden, ChangeKind::SubprofileCreated, 2).await;
    running.commit(1).await;
    let FeedItem::Change { event, .. } = next(&mut feed).await else { panic!("expected a change") };
    assert_eq!(event.change.revision, 3);
}

#[tokio::test]
async fn a_change_is_read_once_for_all_feeds_and_idle_feeds_cost_nothing() {
    let running = Running::start().await;
    let mut feeds = Vec::new();
    for _ in 0..50 {
        feeds.push(running.live_feed().await);
    }
    let before = running.publisher.statements();
    running.commit(3).await;
    for feed in &mut feeds {
        expect_changes(feed, 1..=3).await;
    }
    let spent = running.publisher.statements() - before;
    // One look at the revisions for the ring, one in case the poll came by; changes, profiles, types once.
    assert!(spent <= 6, "{spent} statements for 50 feeds");
}
