//! A fetch request that is claimed is answered or waits again, whatever becomes of the answer.

use crate::support::both;
use bytes::Bytes;
use convergence::place::TestDatabase;
use convergence::{seam, world};
use entity::{FetchState, Moment, Purpose, delivery, fetch_request};
use futures::future::BoxFuture;
use http::{Request, Response};
use profile_mirror::app::wire_source;
use profile_mirror::clock::{Clock, ManualClock, SharedClock, SystemClock};
use profile_mirror::db::Database;
use profile_mirror::inbox::{self, Inbox};
use profile_mirror::ingest::{Puller, Wire, WireError};
use provider::Target;
use sea_orm::sea_query::Expr;
use sea_orm::{ActiveEnum, ActiveValue, EntityTrait, PaginatorTrait};
use serde_json::json;
use simulator::ProviderKind::Parallel;
use simulator::{FailureKind, Simulator, SimulatorOptions};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// A network without any distance to the world.
struct NoDistance(Arc<Simulator>);

impl Wire for NoDistance {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, WireError>> {
        Box::pin(seam::ask(&self.0, request))
    }
}

/// What fetches one person of Parallel, and the request for it.
struct Fetching {
    db: Database,
    clock: Arc<ManualClock>,
    source_id: i32,
    simulator: Arc<Simulator>,
    puller: Puller,
    stop: CancellationToken,
    appending: tokio::task::JoinHandle<()>,
}

impl Fetching {
    async fn one_person(database: &TestDatabase) -> Self {
        let options = SimulatorOptions { seed: 7, profiles: 20, ..SimulatorOptions::default() };
        let simulator = Arc::new(Simulator::unconnected(options).expect("make the world"));
        let (db, clock) = (database.connect().await, ManualClock::at(SystemClock.now()));
        let shared: SharedClock = clock.clone();
        let (lookup, wire) = (world::PublishedKeys::of(&simulator), Arc::new(NoDistance(simulator.clone())));
        let wire: Arc<dyn Wire> = wire;
        let config = world::source(&simulator, Parallel);
        let wired = wire_source(&db, &shared, &lookup, &wire, &config).await.expect("the source is configured");
        let stop = CancellationToken::new();
        let (inbox, appending) = Inbox::open(db.clone(), shared.clone(), stop.clone(), |_| {});
        let puller = wired.puller(&db, &shared, &inbox, "one").expect("the source has a token");
        let person = simulator.parallel().profile_ids("Individual").remove(0);
        let fetching = Self { db, clock, source_id: wired.id, simulator, puller, stop, appending };
        fetching.ask_for(person).await;
        fetching.hold_lease(None).await;
        fetching
    }

    async fn ask_for(&self, id: String) {
        let request = fetch_request::ActiveModel {
            id: ActiveValue::NotSet,
            source_id: ActiveValue::Set(self.source_id),
            target_key: ActiveValue::Set(format!("profile:{id}")),
            target: ActiveValue::Set(json!(Target::Profile { id })),
            state: ActiveValue::Set(FetchState::Pending),
            wanted_position: ActiveValue::Set(0),
            started_position: ActiveValue::Set(0),
            reason: ActiveValue::Set("news".to_owned()),
            requested_at: ActiveValue::Set(self.clock.now()),
            not_before: ActiveValue::Set(self.clock.now()),
            claimed_until: ActiveValue::Set(Moment(0)),
            attempts: ActiveValue::Set(0),
            misses: ActiveValue::Set(0),
            is_creation: ActiveValue::Set(false),
            purpose: ActiveValue::Set(Purpose::Live),
            last_error: ActiveValue::Set(None),
        };
        fetch_request::Entity::insert(request).exec_without_returning(self.db.writer()).await.unwrap();
    }

    /// Takes or renews the lease; its epoch.
    async fn hold_lease(&self, held: Option<i64>) -> i64 {
        let lease = inbox::renew(&self.db, self.source_id, "one", self.clock.now(), 0, held).await.unwrap();
        lease.expect("nobody else wants it").epoch
    }

    async fn claim(&self) -> Option<fetch_request::Model> {
        let claimed = self.puller.claim(Purpose::ALL.map(|purpose| (purpose, 1))).await.unwrap();
        claimed.into_iter().next()
    }

    async fn request(&self) -> fetch_request::Model {
        fetch_request::Entity::find().one(self.db.primary()).await.unwrap().expect("the request")
    }

    async fn set_state(&self, state: FetchState) {
        let update = fetch_request::Entity::update_many();
        let update = update.col_expr(fetch_request::Column::State, Expr::value(state.to_value()));
        update.exec(self.db.writer()).await.unwrap();
    }

    async fn answers(&self) -> u64 {
        delivery::Entity::find().count(self.db.primary()).await.unwrap()
    }

    /// No answer is kept from here on.
    async fn close_inbox(&mut self) {
        self.stop.cancel();
        (&mut self.appending).await.unwrap();
    }
}

both!(a_request_that_was_claimed_twice_waits_again_where_the_first_answer_came_in_between, |database| {
    let mut fetching = Fetching::one_person(&database).await;
    let first = fetching.claim().await.expect("it is due");
    // Given up while the call is under way, and claimed anew; the answer arrives before that is committed.
    fetching.set_state(FetchState::Pending).await;
    fetching.puller.fetch(first.clone()).await;
    assert_eq!((fetching.request().await.state, fetching.answers().await), (FetchState::Pending, 1));
    fetching.set_state(FetchState::Running).await;
    fetching.puller.fetch(first.clone()).await;
    assert_eq!(fetching.answers().await, 1, "the same answer");
    assert_eq!(fetching.request().await.state, FetchState::Pending, "nobody may come to carry it on otherwise");

    let next = fetching.claim().await.expect("it is due again");
    assert!(next.started_position > first.started_position);
    fetching.puller.fetch(next).await;
    assert_eq!((fetching.request().await.state, fetching.answers().await), (FetchState::Answered, 2));
    fetching.close_inbox().await;
});

both!(a_request_whose_answer_cannot_be_kept_is_soon_claimed_again, |database| {
    let mut fetching = Fetching::one_person(&database).await;
    let epoch = fetching.hold_lease(None).await;
    let claimed = fetching.claim().await.expect("it is due");
    fetching.close_inbox().await;
    fetching.puller.fetch(claimed).await;
    let request = fetching.request().await;
    assert_eq!((request.state, request.attempts, request.misses), (FetchState::Running, 0, 0), "{request:?}");
    assert!(fetching.claim().await.is_none(), "it may have been kept all the same");
    // Under the same lease: whoever takes a new one takes over what was under way, however long its claim is.
    for pause_ms in [3_000, 3_000, 1_001] {
        assert!(fetching.claim().await.is_none());
        fetching.clock.advance_ms(pause_ms);
        assert_eq!(fetching.hold_lease(Some(epoch)).await, epoch);
    }
    assert_eq!(fetching.request().await.state, FetchState::Running);
    assert!(fetching.claim().await.is_some());
});

both!(a_fetch_that_is_late_does_not_put_off_the_one_that_was_claimed_after_it, |database| {
    let mut fetching = Fetching::one_person(&database).await;
    let first = fetching.claim().await.expect("it is due");
    fetching.set_state(FetchState::Pending).await;
    fetching.puller.fetch(first.clone()).await;
    let second = fetching.claim().await.expect("it is due again");
    fetching.simulator.faults(Parallel).fail_next(2, FailureKind::Status500);
    fetching.puller.fetch(first).await;
    assert_eq!(fetching.request().await.state, FetchState::Running, "of the second");
    fetching.puller.fetch(second).await;
    let request = fetching.request().await;
    assert_eq!((request.state, request.attempts), (FetchState::Pending, 1), "{request:?}");
    fetching.close_inbox().await;
});

/// Lets a request fail so many times, each as soon as it is due.
async fn fail(fetching: &Fetching, times: usize) {
    for _ in 0..times {
        fetching.clock.advance_ms(300_001);
        fetching.hold_lease(None).await;
        let claimed = fetching.claim().await.expect("it is due");
        fetching.puller.fetch(claimed).await;
    }
}

both!(a_request_that_alone_fails_is_parked_and_none_while_upstream_answers_nobody, |database| {
    let mut fetching = Fetching::one_person(&database).await;
    let faults = fetching.simulator.faults(Parallel);
    faults.fail_next(1_000, FailureKind::Status500);
    fail(&fetching, 15).await;
    let request = fetching.request().await;
    assert_eq!((request.state, request.attempts), (FetchState::Pending, 9), "{request:?}");
    faults.clear();
    faults.fail_next_at("/profiles/", 1, FailureKind::Status500);
    fail(&fetching, 1).await;
    let request = fetching.request().await;
    assert_eq!((request.state, request.attempts), (FetchState::Parked, 10), "{request:?}");
    fetching.close_inbox().await;
});

both!(a_request_is_not_parked_while_newer_news_asks_for_it, |database| {
    let mut fetching = Fetching::one_person(&database).await;
    fetching.simulator.faults(Parallel).fail_next_at("/profiles/", 10, FailureKind::Status500);
    fail(&fetching, 9).await;
    fetching.clock.advance_ms(300_001);
    fetching.hold_lease(None).await;
    let claimed = fetching.claim().await.expect("it is due");
    let news = fetch_request::Entity::update_many().col_expr(fetch_request::Column::WantedPosition, Expr::value(7));
    news.exec(fetching.db.writer()).await.unwrap();
    fetching.puller.fetch(claimed).await;
    let request = fetching.request().await;
    assert_eq!((request.state, request.attempts), (FetchState::Pending, 0), "{request:?}");
    fetching.close_inbox().await;
});

both!(a_request_for_a_time_that_a_wrong_clock_set_is_due_once_the_lease_is_taken_anew, |database| {
    let mut fetching = Fetching::one_person(&database).await;
    let day_ms = 86_400_000;
    fetching.clock.advance_ms(day_ms);
    fetching.hold_lease(None).await;
    fetching.simulator.faults(Parallel).fail_next(1, FailureKind::Status500);
    let claimed = fetching.claim().await.expect("it is due");
    fetching.puller.fetch(claimed).await;
    fetching.clock.advance_ms(-day_ms);
    assert!(fetching.claim().await.is_none(), "it waits for tomorrow");
    fetching.hold_lease(None).await;
    assert!(fetching.claim().await.is_some());
    fetching.close_inbox().await;
});

both!(whoever_takes_the_lease_takes_over_what_was_under_way, |database| {
    let mut fetching = Fetching::one_person(&database).await;
    let epoch = fetching.hold_lease(None).await;
    fetching.claim().await.expect("it is due");
    fetching.clock.advance_ms(3_000);
    assert_eq!(fetching.hold_lease(Some(epoch)).await, epoch);
    assert_eq!(fetching.request().await.state, FetchState::Running, "the same lease goes on");
    fetching.clock.advance_ms(60_000);
    assert!(fetching.hold_lease(Some(epoch)).await > epoch, "it had run out");
    assert_eq!(fetching.request().await.state, FetchState::Pending);
    assert!(fetching.claim().await.is_some());
    fetching.close_inbox().await;
});
