//! Decisions on runs: none takes the place of what was written after the run had been looked at.

use super::along::add_run;
use super::inbox::{add_source, until_waiting};
use crate::support::both;
use entity::{CandidateState, Moment, RecordKind, RunState, deletion_candidate, run_page, sync_run};
use profile_mirror::db::{Database, Dialect};
use profile_mirror::ingest::run::{RunRequestError, apply_plan, approve_deletions, cancel_run, reject_deletions};
use sea_orm::{ActiveValue::Set, ConnectionTrait, EntityTrait, PaginatorTrait};

#[derive(Clone, Copy, Debug)]
enum Decision {
    Cancel,
    Approve,
    Reject,
    Apply,
}

async fn decide(db: Database, decision: Decision, run_id: i64) -> Result<sync_run::Model, RunRequestError> {
    let (now, by) = (Moment(9), "somebody");
    match decision {
        Decision::Cancel => cancel_run(&db, now, run_id, by).await,
        Decision::Approve => approve_deletions(&db, now, run_id, by).await,
        Decision::Reject => reject_deletions(&db, now, run_id, by).await,
        Decision::Apply => apply_plan(&db, run_id, by).await,
    }
}

async fn move_to(connection: &impl ConnectionTrait, run_id: i64, state: RunState, is_plan: bool) {
    let moved =
        sync_run::ActiveModel { id: Set(run_id), state: Set(state), is_plan: Set(is_plan), ..Default::default() };
    sync_run::Entity::update(moved).exec(connection).await.unwrap();
}

/// Somebody whom a run has not found, and what one of its pages named.
async fn add_findings(db: &Database, source_id: i32, run_id: i64) {
    let candidate = deletion_candidate::ActiveModel {
        run_id: Set(run_id),
        source_id: Set(source_id),
        record_kind: Set(RecordKind::Profile),
        record_id: Set(1),
        external_id: Set("p1".to_owned()),
        state: Set(CandidateState::Absent),
        ..Default::default()
    };
    deletion_candidate::Entity::insert(candidate).exec(db.writer()).await.unwrap();
    let page = run_page::ActiveModel {
        run_id: Set(run_id),
        delivery_id: Set(1),
        stream: Set("profiles".to_owned()),
        profiles: Set(Vec::new()),
        subprofiles: Set(Vec::new()),
        ..Default::default()
    };
    run_page::Entity::insert(page).exec_without_returning(db.writer()).await.unwrap();
}

both!(a_decision_takes_the_place_of_no_state_that_was_written_meanwhile, |database| {
    use RunState::{Cancelled, Done, Failed, Sweeping, WaitingForApproval};
    let db = database.connect().await;
    let cases = [
        ("a run that ends", Decision::Cancel, Sweeping, false, Done, "done"),
        ("a run that fails", Decision::Cancel, RunState::Running, false, Failed, "failed"),
        ("one that somebody approves", Decision::Reject, WaitingForApproval, false, Sweeping, "sweeping"),
        ("one that a newer run replaces", Decision::Approve, WaitingForApproval, false, Cancelled, "cancelled"),
        ("a plan that a newer run makes stale", Decision::Apply, Done, true, Cancelled, "cancelled"),
    ];
    for (name, decision, before, is_plan, after, told) in cases {
        let source_id = add_source(&db, name).await;
        let run_id = add_run(&db, source_id).await;
        move_to(db.writer(), run_id, before, is_plan).await;
        add_findings(&db, source_id, run_id).await;

        let other = db.begin().await.unwrap();
        move_to(&other, run_id, after, is_plan).await;
        let decided = tokio::spawn(decide(db.clone(), decision, run_id));
        if db.dialect() == Dialect::Postgres {
            until_waiting(&db, "transactionid").await;
        }
        other.commit().await.unwrap();
        let refused = decided.await.unwrap();
        assert!(
            matches!(&refused, Err(RunRequestError::WrongState { state, .. }) if state == told),
            "{name}: {refused:?}"
        );

        let run = sync_run::Entity::find_by_id(run_id).one(db.primary()).await.unwrap().unwrap();
        assert_eq!((run.state, run.is_plan, run.decided_by, run.requested_by), (after, is_plan, None, None), "{name}");
        let candidates = deletion_candidate::Entity::find().all(db.primary()).await.unwrap();
        assert!(candidates.iter().all(|candidate| candidate.state == CandidateState::Absent), "{name}: {candidates:?}");
        let pages = run_page::Entity::find().count(db.primary()).await.unwrap();
        assert_eq!(pages, candidates.len() as u64, "{name}: nothing of the decision stays");
    }
});

both!(a_run_that_has_only_gone_on_meanwhile_is_cancelled_all_the_same, |database| {
    let db = database.connect().await;
    let source_id = add_source(&db, "crm").await;
    let run_id = add_run(&db, source_id).await;
    let other = db.begin().await.unwrap();
    move_to(&other, run_id, RunState::Sweeping, false).await;
    let decided = tokio::spawn(decide(db.clone(), Decision::Cancel, run_id));
    if db.dialect() == Dialect::Postgres {
        until_waiting(&db, "transactionid").await;
    }
    other.commit().await.unwrap();
    assert_eq!(decided.await.unwrap().unwrap().state, RunState::Cancelled);
});
