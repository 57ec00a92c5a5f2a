//! Sweeps step by step, where a test says what happens between two steps.

use super::*;
use crate::mirror::read::fixture::{Fixture, NEW_YEAR};
use entity::RunKind;
use provider::SourceSettings;
use provider::getprofile::GetProfile;
use sea_orm::sea_query::Expr;
use sea_orm::{ActiveEnum, ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder};

const BRAKE: Brake = Brake { share: 0.02, count: 500 };

/// A source with three profiles.
struct Bench {
    fixture: Fixture,
    source_id: i32,
    profiles: Vec<i64>,
    lease: Lease,
    provider: Arc<dyn Provider>,
}

impl Bench {
    async fn new() -> Self {
        let fixture = Fixture::new().await;
        let source_id = fixture.source("people").await;
        let mut profiles = Vec::new();
        for id in ["a", "b", "c"] {
            profiles.push(fixture.profile(source_id, id, |_| {}).await);
        }
        let now = NEW_YEAR.plus_ms(1);
        let lease = inbox::renew(&fixture.db, source_id, "here", now, 1_000, None).await.unwrap().unwrap();
        let (tenant, secrets) = (Some("t".to_owned()), vec!["s".to_owned()]);
        let provider = GetProfile::new(SourceSettings { tenant, secrets, ..SourceSettings::default() }).unwrap();
        Self { fixture, source_id, profiles, lease, provider: Arc::new(provider) }
    }

    /// A run in a state whose pages named nobody.
    async fn run(&self, state: RunState) -> sync_run::Model {
        let row = sync_run::ActiveModel {
            source_id: Set(self.source_id),
            state: Set(state),
            cause: Set("test".to_owned()),
            started_at: Set(NEW_YEAR),
            checkpoint: Set(serde_json::json!({})),
            pages: Set(0),
            rows_seen: Set(0),
            kind: Set(RunKind::Full),
            last_profile_id: Set(*self.profiles.last().unwrap()),
            sweep_stage: Set(Some(SweepStage::ListingProfiles)),
            attempt: Set(1),
            ..Default::default()
        };
        sync_run::Entity::insert(row).exec_with_returning(self.fixture.db.writer()).await.unwrap()
    }

    async fn load(&self, run: &sync_run::Model) -> sync_run::Model {
        sync_run::Entity::find_by_id(run.id).one(self.fixture.db.primary()).await.unwrap().unwrap()
    }

    /// Cancels a run, as a person does while it is being swept.
    async fn cancel(&self, run: &sync_run::Model) {
        sync_run::Entity::update_many()
            .col_expr(sync_run::Column::State, Expr::value(RunState::Cancelled.to_value()))
            .filter(sync_run::Column::Id.eq(run.id))
            .exec(self.fixture.db.writer())
            .await
            .unwrap();
        write::dismiss_candidates(self.fixture.db.writer(), run.id).await.unwrap();
    }

    async fn advance(&self, run: &sync_run::Model, named: &mut Option<Named>) -> Stepped {
        let (db, lease, provider, now) = (&self.fixture.db, &self.lease, &self.provider, NEW_YEAR.plus_ms(2));
        let catalog = Catalog::load(db.primary(), self.source_id).await.unwrap();
        Terms { db, lease, provider, now, brake: BRAKE }.advance(run, &catalog, named).await.unwrap()
    }

    async fn candidates(&self) -> Vec<(i64, CandidateState)> {
        let all = deletion_candidate::Entity::find().order_by_asc(deletion_candidate::Column::RecordId);
        let rows = all.all(self.fixture.db.primary()).await.unwrap();
        rows.into_iter().map(|row| (row.record_id, row.state)).collect()
    }

    /// Whether the run takes news of these profiles in place of the profiles themselves.
    async fn held(&self) -> usize {
        let db = self.fixture.db.primary();
        write::load_candidates_of(db, self.source_id, RecordKind::Profile, &self.profiles).await.unwrap().len()
    }
}

#[tokio::test]
async fn a_step_of_a_run_that_was_cancelled_meanwhile_writes_nothing() {
    let bench = Bench::new().await;
    let waiting = bench.run(RunState::WaitingForApproval).await;
    let mut run = bench.run(RunState::Sweeping).await;
    for stage in [
        SweepStage::ListingProfiles,
        SweepStage::ListingSubprofiles,
        SweepStage::Sampling,
        SweepStage::Verifying,
        SweepStage::Burying,
    ] {
        sync_run::Entity::update_many()
            .col_expr(sync_run::Column::SweepStage, Expr::value(stage.to_value()))
            .col_expr(sync_run::Column::State, Expr::value(RunState::Sweeping.to_value()))
            .filter(sync_run::Column::Id.eq(run.id))
            .exec(bench.fixture.db.writer())
            .await
            .unwrap();
        run = bench.load(&run).await;
        bench.cancel(&run).await;
        let cancelled = bench.load(&run).await;
        assert_eq!(bench.advance(&run, &mut None).await, Stepped::Over, "{stage:?}");
        assert_eq!(bench.load(&run).await, cancelled, "{stage:?}");
        assert_eq!(bench.candidates().await, [], "{stage:?}");
        assert_eq!(bench.load(&waiting).await.state, RunState::WaitingForApproval, "{stage:?}");
    }
}

#[tokio::test]
async fn only_a_run_that_has_not_ended_holds_what_it_missed() {
    let bench = Bench::new().await;
    let run = bench.run(RunState::Sweeping).await;
    assert_eq!(bench.advance(&run, &mut None).await, Stepped::On);
    assert_eq!(bench.held().await, 3);
    for (state, held) in
        [(RunState::WaitingForApproval, 3), (RunState::Done, 0), (RunState::Failed, 0), (RunState::Cancelled, 0)]
    {
        sync_run::Entity::update_many()
            .col_expr(sync_run::Column::State, Expr::value(state.to_value()))
            .filter(sync_run::Column::Id.eq(run.id))
            .exec(bench.fixture.db.writer())
            .await
            .unwrap();
        assert_eq!(bench.held().await, held, "{state:?}");
        assert_eq!(write::has_candidates(bench.fixture.db.primary(), bench.source_id).await.unwrap(), held > 0);
    }
}

#[tokio::test]
async fn another_try_of_a_run_is_swept_by_what_its_own_pages_named() {
    let bench = Bench::new().await;
    let run = bench.run(RunState::Sweeping).await;
    let named = write::PageTally {
        run_id: run.id,
        delivery_id: 1,
        profiles: bench.profiles.iter().copied().collect(),
        ..write::PageTally::default()
    };
    write::write_tallies(bench.fixture.db.writer(), vec![named]).await.unwrap();
    let mut known = None;
    let run = bench.load(&run).await;
    assert_eq!(bench.advance(&run, &mut known).await, Stepped::On);
    assert_eq!(bench.candidates().await, []);

    entity::run_page::Entity::delete_many().exec(bench.fixture.db.writer()).await.unwrap();
    sync_run::Entity::update_many()
        .col_expr(sync_run::Column::Attempt, Expr::value(2))
        .col_expr(sync_run::Column::SweepAfter, Expr::value(0))
        .exec(bench.fixture.db.writer())
        .await
        .unwrap();
    let run = bench.load(&run).await;
    assert_eq!(bench.advance(&run, &mut known).await, Stepped::On);
    assert_eq!(bench.candidates().await.len(), 3);
}

#[test]
fn the_brake_holds_shares_and_counts_and_lets_a_handful_pass() {
    let brake = BRAKE;
    assert!(brake.lets_pass(5, 6), "a handful of a small source");
    assert!(!brake.lets_pass(6, 100), "6 percent");
    assert!(brake.lets_pass(20, 1_000));
    assert!(!brake.lets_pass(501, 1_000_000), "more than the count, whatever the share");
    assert!(!Brake { share: 1.0, count: 0 }.lets_pass(1, 1_000), "none at all");
    assert!(!Brake { share: 0.0, count: 500 }.lets_pass(1, 1_000), "none at all");
    assert!(Brake { share: 0.0, count: 0 }.lets_pass(0, 1_000));
    assert!(brake.lets_pass(0, 0));
}
