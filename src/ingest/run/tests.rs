//! Runs step by step, where a test says what other instances and people do between two steps.

use super::checkpoint::Checkpoint;
use super::*;
use crate::clock::ManualClock;
use crate::ingest::{Gate, HttpWire, UpstreamSettings};
use entity::{DeliveryKind, DeliveryState, Moment, RunKind, delivery, run_page, source, source_state};
use provider::SourceSettings;
use provider::getprofile::GetProfile;
use sea_orm::{ActiveValue::Set, EntityTrait, PaginatorTrait};
use serde_json::json;

const NOW: Moment = Moment(1_767_225_600_000);

/// A source whose lease the instance `one` holds, and that instance.
struct Bench {
    db: Database,
    clock: Arc<ManualClock>,
    source_id: i32,
    one: Runner,
    _folder: tempfile::TempDir,
}

impl Bench {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("mirror.db").display());
        let db = crate::db::connect(&url, None).await.unwrap();
        db.migrate().await.unwrap();
        let source = source::ActiveModel {
            name: Set("people".to_owned()),
            provider: Set("getprofile".to_owned()),
            created_at: Set(NOW),
            ..Default::default()
        };
        let source_id = source::Entity::insert(source).exec(db.writer()).await.unwrap().last_insert_id;
        let state = source_state::ActiveModel {
            source_id: Set(source_id),
            revision: Set(0),
            lease_holder: Set(Some("one".to_owned())),
            lease_epoch: Set(1),
            lease_until: Set(NOW.plus_ms(60_000)),
            ..Default::default()
        };
        source_state::Entity::insert(state).exec_without_returning(db.writer()).await.unwrap();
        let clock = ManualClock::at(NOW);
        let one = runner(&db, &clock, source_id).await;
        Self { db, clock, source_id, one, _folder: folder }
    }

    /// A run that nobody has begun, changed as `with` says.
    async fn run(&self, with: impl FnOnce(&mut sync_run::ActiveModel)) -> sync_run::Model {
        let mut row = sync_run::ActiveModel {
            source_id: Set(self.source_id),
            state: Set(RunState::Planned),
            cause: Set("test".to_owned()),
            started_at: Set(NOW),
            checkpoint: Set(json!({})),
            pages: Set(0),
            rows_seen: Set(0),
            kind: Set(RunKind::Full),
            attempt: Set(1),
            ..Default::default()
        };
        with(&mut row);
        sync_run::Entity::insert(row).exec_with_returning(self.db.writer()).await.unwrap()
    }

    /// Changes a run, as another instance or a person does.
    async fn change(&self, run: &sync_run::Model, with: impl FnOnce(&mut sync_run::ActiveModel)) -> sync_run::Model {
        let mut row = sync_run::ActiveModel { id: Set(run.id), ..Default::default() };
        with(&mut row);
        sync_run::Entity::update(row).exec(self.db.writer()).await.unwrap();
        self.load(run).await
    }

    async fn load(&self, run: &sync_run::Model) -> sync_run::Model {
        sync_run::Entity::find_by_id(run.id).one(self.db.primary()).await.unwrap().unwrap()
    }

    /// Keeps what a page of a run named.
    async fn name_page(&self, run: &sync_run::Model) {
        let page = run_page::ActiveModel {
            run_id: Set(run.id),
            delivery_id: Set(1),
            stream: Set("profiles".to_owned()),
            profiles: Set(Vec::new()),
            subprofiles: Set(Vec::new()),
            ..Default::default()
        };
        run_page::Entity::insert(page).exec_without_returning(self.db.writer()).await.unwrap();
    }

    /// How many pages are kept of which it is known what they named.
    async fn pages_named(&self) -> u64 {
        run_page::Entity::find().count(self.db.primary()).await.unwrap()
    }

    /// Deliveries that nobody applies, more than a run asks for its next page beside.
    async fn fill_inbox(&self) {
        for number in 0..8 {
            let pending = delivery::ActiveModel {
                source_id: Set(self.source_id),
                kind: Set(DeliveryKind::Webhook),
                dedupe_key: Set(format!("webhook {number}")),
                received_at: Set(NOW),
                media_type: Set("application/json".to_owned()),
                headers: Set(json!({})),
                body: Set(b"{}".to_vec()),
                body_bytes: Set(2),
                state: Set(DeliveryState::Pending),
                attempts: Set(0),
                next_attempt_at: Set(NOW),
                copies: Set(1),
                ..Default::default()
            };
            delivery::Entity::insert(pending).exec(self.db.writer()).await.unwrap();
        }
    }

    /// A run that this instance carries out.
    async fn begun(&self) -> sync_run::Model {
        let first = self.first_checkpoint();
        self.run(|run| {
            run.state = Set(RunState::Running);
            run.holder = Set(Some("one".to_owned()));
            run.checkpoint = Set(first);
        })
        .await
    }

    /// Lets a failed run begin its next try.
    async fn tried_again(&self, failed: &sync_run::Model) -> sync_run::Model {
        self.one.try_again(failed.id).await.unwrap();
        let planned = self.load(failed).await;
        self.one.take_over(planned).await.unwrap()
    }

    /// Lets a run fail at a page.
    async fn fail_at_a_page(&self, run: &sync_run::Model) -> sync_run::Model {
        let problem = "upstream answers 503".to_owned();
        self.one.fail(run, &Halt::Page { stream: "profiles".to_owned(), number: 1, problem }).await.unwrap();
        self.load(run).await
    }

    /// Lets a run find that its pages do not show everything.
    async fn fail_at_its_end(&self, run: &sync_run::Model) -> sync_run::Model {
        self.one.fail(run, &Halt::Incomplete("the lists lie".to_owned())).await.unwrap();
        self.load(run).await
    }

    /// Gives the lease to another instance.
    async fn lose_lease(&self) {
        let state = source_state::ActiveModel {
            source_id: Set(self.source_id),
            lease_holder: Set(Some("two".to_owned())),
            ..Default::default()
        };
        source_state::Entity::update(state).exec(self.db.writer()).await.unwrap();
    }

    fn first_checkpoint(&self) -> serde_json::Value {
        Checkpoint::new(self.one.provider.first_pages()).to_json()
    }
}

/// The instance `one`, with an inbox that takes nothing and an upstream that is not asked.
async fn runner(db: &Database, clock: &Arc<ManualClock>, source_id: i32) -> Runner {
    let (tenant, secrets) = (Some("t".to_owned()), vec!["s".to_owned()]);
    let provider = GetProfile::new(SourceSettings { tenant, secrets, ..SourceSettings::default() }).unwrap();
    let provider: Arc<dyn Provider> = Arc::new(provider);
    let shared: SharedClock = clock.clone();
    let stopped = CancellationToken::new();
    stopped.cancel();
    let (inbox, task) = Inbox::open(db.clone(), shared.clone(), stopped, |_| {});
    task.await.unwrap();
    let gate = Gate::open(db.clone(), shared.clone(), source_id, "people".to_owned()).await.unwrap();
    let settings = UpstreamSettings {
        source_name: "people".to_owned(),
        base_url: "http://localhost".to_owned(),
        token: "t".to_owned(),
        concurrency: 1,
        requests_per_minute: None,
    };
    let upstream = Upstream::new(provider.clone(), settings, gate, shared.clone(), HttpWire::open().unwrap());
    Runner {
        db: db.clone(),
        inbox,
        clock: shared,
        source_id,
        source_name: "people".to_owned(),
        provider,
        upstream: Arc::new(upstream),
        instance: "one".to_owned(),
        timetable: None,
        wake: Arc::new(Notify::new()),
        apply_wake: Arc::new(Notify::new()),
    }
}

#[tokio::test]
async fn an_instance_that_stood_still_sets_back_no_run_that_another_has_begun() {
    let bench = Bench::new().await;
    let read = bench.run(|_| {}).await;
    // Another instance has had the lease in between.
    let first = bench.first_checkpoint();
    let begun = bench
        .change(&read, |run| {
            run.state = Set(RunState::Running);
            run.holder = Set(Some("two".to_owned()));
            run.checkpoint = Set(first);
            run.pages = Set(2);
        })
        .await;
    bench.name_page(&begun).await;
    assert!(matches!(bench.one.take_over(read).await, Err(Halt::NotOurs)));
    assert_eq!((bench.load(&begun).await, bench.pages_named().await), (begun.clone(), 1));

    let taken = bench.one.take_over(begun.clone()).await.unwrap();
    assert_eq!(taken, sync_run::Model { holder: Some("one".to_owned()), ..begun }, "it goes on from there");
    assert_eq!(bench.pages_named().await, 1);
}

#[tokio::test]
async fn no_run_is_taken_over_without_the_lease() {
    let bench = Bench::new().await;
    let planned = bench.run(|_| {}).await;
    bench.lose_lease().await;
    assert!(matches!(bench.one.take_over(planned.clone()).await, Err(Halt::NotOurs)));
    assert_eq!(bench.load(&planned).await, planned);
}

#[tokio::test]
async fn a_lease_that_has_run_out_takes_over_no_run() {
    let bench = Bench::new().await;
    let planned = bench.run(|_| {}).await;
    bench.clock.advance_ms(60_001);
    assert!(matches!(bench.one.take_over(planned.clone()).await, Err(Halt::NotOurs)));
    assert_eq!(bench.load(&planned).await, planned);
}

#[tokio::test]
async fn what_an_instance_meets_does_not_fail_a_run_that_another_carries_out() {
    let bench = Bench::new().await;
    let begun = bench.begun().await;
    let carried = bench.change(&begun, |run| run.holder = Set(Some("two".to_owned()))).await;
    bench.name_page(&carried).await;
    bench.one.fail(&begun, &Halt::Incomplete("the lists lie".to_owned())).await.unwrap();
    assert_eq!((bench.load(&carried).await, bench.pages_named().await), (carried, 1));

    let mine = bench.change(&begun, |run| run.holder = Set(Some("one".to_owned()))).await;
    bench.one.fail(&mine, &Halt::Incomplete("the lists lie".to_owned())).await.unwrap();
    assert_eq!((bench.load(&mine).await.state, bench.pages_named().await), (RunState::Failed, 0));
}

#[tokio::test]
async fn a_run_that_is_not_to_be_tried_again_any_more_is_not() {
    let bench = Bench::new().await;
    let failed = bench.run(|run| run.state = Set(RunState::Failed)).await;
    bench.one.try_again(failed.id).await.unwrap();
    assert_eq!(bench.load(&failed).await, failed, "a newer one has made it needless");

    let waits = bench.change(&failed, |run| run.retry_at = Set(Some(NOW))).await;
    bench.lose_lease().await;
    assert!(matches!(bench.one.try_again(failed.id).await, Err(Halt::NotOurs)));
    assert_eq!(bench.load(&failed).await, waits);
}

/// Waits for apply, which does nothing, until that is given up.
async fn give_up_waiting(bench: &Bench, run: &sync_run::Model) -> Halt {
    let stop = CancellationToken::new();
    let waits = bench.one.wait_for_room(run.id, &stop);
    tokio::time::timeout(Duration::from_secs(30), waits).await.expect("it is given up").unwrap_err()
}

#[tokio::test]
async fn a_run_that_is_cancelled_does_not_wait_for_apply() {
    let bench = Bench::new().await;
    bench.fill_inbox().await;
    let begun = bench.begun().await;
    let cancel = request::cancel_run(&bench.db, NOW, begun.id, "ops");
    let (halt, cancelled) = tokio::join!(give_up_waiting(&bench, &begun), cancel);
    assert!(matches!(halt, Halt::NotOurs), "{halt}");
    assert_eq!(cancelled.unwrap().state, RunState::Cancelled);
}

#[tokio::test]
async fn a_run_whose_lease_is_lost_does_not_wait_for_apply() {
    let bench = Bench::new().await;
    bench.fill_inbox().await;
    let begun = bench.begun().await;
    let (halt, ()) = tokio::join!(give_up_waiting(&bench, &begun), bench.lose_lease());
    assert!(matches!(halt, Halt::NotOurs), "{halt}");
    assert_eq!(bench.load(&begun).await, begun, "whoever holds the lease now carries it on");
}

#[tokio::test]
async fn failures_of_upstream_are_counted_until_a_page_comes_and_never_end_a_run() {
    let bench = Bench::new().await;
    let mut run = bench.begun().await;
    for failures in 1..=9 {
        let failed = bench.fail_at_a_page(&run).await;
        assert_eq!((failed.state, failed.failures), (RunState::Failed, failures));
        let pause_ms = failed.retry_at.expect("it is tried again").0 - NOW.0;
        let most_ms = (30_000_i64 << (failures - 1)).min(1_800_000);
        assert!((most_ms / 10..=most_ms).contains(&pause_ms), "{pause_ms} ms after {failures}");
        run = bench.tried_again(&failed).await;
    }
    bench.change(&run, |run| run.pages = Set(1)).await;
    let failed = bench.fail_at_a_page(&run).await;
    assert_eq!((failed.failures, failed.attempt), (1, 10), "it came further");
}

#[tokio::test]
async fn a_run_whose_pages_contradict_themselves_six_times_is_left_to_the_schedule() {
    let bench = Bench::new().await;
    let come_further = async |run: &sync_run::Model| {
        bench.change(run, |row| row.pages = Set(run.pages + 20)).await;
    };
    // An outage says nothing of that, neither before it nor in between.
    let mut run = bench.begun().await;
    for _ in 0..7 {
        let failed = bench.fail_at_a_page(&run).await;
        run = bench.tried_again(&failed).await;
    }
    for restarts in 1..=6 {
        come_further(&run).await;
        let failed = bench.fail_at_a_page(&run).await;
        assert_eq!((failed.failures, failed.restarts), (1, restarts - 1));
        run = bench.tried_again(&failed).await;
        come_further(&run).await;
        let failed = bench.fail_at_its_end(&run).await;
        assert_eq!((failed.state, failed.failures, failed.restarts), (RunState::Failed, restarts, restarts));
        assert_eq!(failed.retry_at.is_some(), restarts < 6, "after {restarts}");
        if restarts < 6 {
            run = bench.tried_again(&failed).await;
            assert_eq!(run.pages, 0, "it starts over");
        }
    }
}

#[tokio::test]
async fn a_newer_run_that_waits_too_leaves_no_older_one_that_came_no_further() {
    let bench = Bench::new().await;
    let waits = async |pages: i64| {
        bench
            .run(|run| {
                run.state = Set(RunState::Failed);
                run.retry_at = Set(Some(NOW));
                run.pages = Set(pages);
            })
            .await
    };
    let (older, further) = (waits(0).await, waits(40).await);
    bench.name_page(&older).await;
    let newer = bench.begun().await;
    let newer = bench.fail_at_a_page(&newer).await;
    assert!(newer.retry_at.is_some());
    assert_eq!((bench.load(&older).await.retry_at, bench.pages_named().await), (None, 0));
    assert_eq!(bench.load(&further).await, further, "what it has brought is not thrown away");
}

#[tokio::test]
async fn a_full_run_that_fails_for_long_keeps_no_incremental_one_waiting() {
    let bench = Bench::new().await;
    for (failures, waits) in [(5, true), (6, false)] {
        let failed = bench
            .run(|run| {
                run.state = Set(RunState::Failed);
                run.retry_at = Set(Some(NOW));
                run.failures = Set(failures);
            })
            .await;
        assert_eq!(bench.one.past(NOW).await.unwrap().full_waits, waits, "after {failures} failures");
        bench.change(&failed, |run| run.retry_at = Set(None)).await;
    }
}

#[tokio::test]
async fn a_run_that_is_to_be_tried_again_can_be_cancelled() {
    let bench = Bench::new().await;
    let begun = bench.begun().await;
    let failed = bench.fail_at_a_page(&begun).await;
    let cancelled = request::cancel_run(&bench.db, NOW, failed.id, "ops").await.unwrap();
    assert_eq!((cancelled.state, cancelled.retry_at), (RunState::Cancelled, None));
    let given_up = bench.run(|run| run.state = Set(RunState::Failed)).await;
    let refused = request::cancel_run(&bench.db, NOW, given_up.id, "ops").await;
    assert!(matches!(refused, Err(RunRequestError::WrongState { .. })), "{refused:?}");
}
