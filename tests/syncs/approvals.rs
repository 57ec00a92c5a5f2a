//! What waits for a person is held against what later runs see.

use crate::support::app::TestApp;
use crate::support::{both, rows};
use entity::{CandidateState, RunState, deletion_candidate};
use profile_mirror::clock::Clock;
use profile_mirror::ingest::run::{RunRequest, approve_deletions, request_run};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use simulator::ProviderKind;

both!(a_clean_run_ends_the_waiting_of_an_older_one_and_its_approval_is_refused, |database| {
    let app = TestApp::imported(&database).await;
    let (people, _) = app.simulator.copernica().databases().remove(0);
    let lost: u64 = people.parse().unwrap();
    // The token loses its rights on a database: no list names it any more, and reads by id do not find what it holds.
    app.simulator.copernica().configure(|switches| switches.lost_databases.extend([lost]));
    let waiting = app.sync("marketing").await.unwrap();
    assert_eq!((waiting.state, waiting.deleted), (RunState::WaitingForApproval, 0), "{waiting:?}");
    assert!(waiting.absent > 5, "{waiting:?}");

    app.simulator.copernica().configure(|switches| switches.lost_databases.clear());
    let clean = app.sync("marketing").await.unwrap();
    assert_eq!((clean.state, clean.candidates), (RunState::Done, 0), "{clean:?}");
    assert_eq!(app.run_of(waiting.id).await.state, RunState::Cancelled);
    let approved = approve_deletions(app.database(), app.clock.now(), waiting.id, "ops").await;
    assert!(approved.is_err(), "{approved:?}");
    app.drain().await;
    assert_eq!(app.run_of(waiting.id).await.deleted, 0);
    let open = deletion_candidate::Entity::find()
        .filter(deletion_candidate::Column::State.is_in([CandidateState::Quarantined, CandidateState::Absent]));
    assert_eq!(open.one(app.database().primary()).await.unwrap(), None);
    app.finish().await;
});

both!(a_run_of_one_type_takes_over_what_it_looked_at_and_leaves_the_rest_waiting, |database| {
    let app = TestApp::imported(&database).await;
    let copernica = app.simulator.copernica();
    let databases = copernica.databases();
    let (people, companies) = (&databases[0], &databases[1]);
    let mut gone = copernica.profile_ids(&people.0);
    let there = gone.remove(8);
    gone.truncate(8);
    let company = copernica.profile_ids(&companies.0).remove(0);
    for id in gone.iter().chain([&company]) {
        copernica.silently().delete_profile_completely(id).unwrap();
    }
    // One more is left out by the list, and not found by id.
    app.simulator.faults(ProviderKind::Copernica).unlist([there.clone()]);
    app.simulator.faults(ProviderKind::Copernica).hide(&there, 1_000);
    let whole = app.sync("marketing").await.unwrap();
    assert_eq!(whole.state, RunState::WaitingForApproval, "{whole:?}");
    app.simulator.faults(ProviderKind::Copernica).clear();

    let id = app.source_id("marketing").await;
    let request = RunRequest { profile_type: Some(people.0.clone()), ..RunRequest::full("test") };
    let of_people = request_run(app.database(), app.clock.now(), id, request).await.unwrap();
    app.drain().await;
    let of_people = app.run_of(of_people.id).await;
    assert_eq!(of_people.state, RunState::WaitingForApproval, "{of_people:?}");
    assert_eq!(app.run_of(whole.id).await.state, RunState::WaitingForApproval, "it looked at companies too");

    approve_deletions(app.database(), app.clock.now(), whole.id, "ops").await.unwrap();
    app.drain().await;
    let shown = rows::picture(app.database(), "marketing").await;
    assert!(shown.profiles[&company].content.is_none(), "nothing newer speaks against it");
    for id in gone.iter().chain([&there]) {
        assert!(shown.profiles[id].content.is_some(), "{id} is for the newer run to decide about");
    }
    approve_deletions(app.database(), app.clock.now(), of_people.id, "ops").await.unwrap();
    app.drain().await;
    let shown = rows::picture(app.database(), "marketing").await;
    assert!(gone.iter().all(|id| shown.profiles[id].content.is_none()));
    app.finish().await;
});
