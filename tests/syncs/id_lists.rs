//! Lists of ids save calls by id, and nothing goes because of them.

use crate::support::app::TestApp;
use crate::support::{both, rows};
use entity::{CandidateState, RunState, deletion_candidate, sync_run};
use profile_mirror::config::Brake;
use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter};
use simulator::FailureKind;
use simulator::ProviderKind::Copernica;

/// Records of a place that are gone, and records that its pages leave out.
const GONE: usize = 40;
const HIDDEN: usize = 22;

/// A mirror of many people at Copernica, with a brake that lets all deletions pass.
async fn start(database: &crate::support::place::TestDatabase) -> TestApp {
    let app = TestApp::builder(database)
        .profiles(260)
        .configure(|config| {
            for source in &mut config.sources {
                source.sync.brake = Brake { share: 1.0, count: 1_000 };
            }
        })
        .start()
        .await;
    app.import_all().await;
    app
}

/// Deletes some people without a word, and leaves others out of every page.
fn delete_and_hide(app: &TestApp) -> (Vec<String>, Vec<String>) {
    let copernica = app.simulator.copernica();
    let mut gone = copernica.profile_ids("People");
    let mut hidden = gone.split_off(GONE);
    hidden.truncate(HIDDEN);
    for id in &gone {
        copernica.silently().delete_profile(id).unwrap();
    }
    app.simulator.faults(Copernica).unlist(hidden.clone());
    (gone, hidden)
}

/// How many of these were asked for by id.
fn asked(app: &TestApp, ids: &[String]) -> usize {
    ids.iter().map(|id| app.simulator.requests_to(&format!("/profile/{id}?"))).sum()
}

/// Of these, how many the mirror shows.
async fn shown(app: &TestApp, ids: &[String]) -> usize {
    let picture = rows::picture(app.database(), "marketing").await;
    ids.iter().filter(|id| picture.profiles[*id].content.is_some()).count()
}

async fn candidates(app: &TestApp, run: &sync_run::Model, state: CandidateState) -> u64 {
    let of_run = deletion_candidate::Entity::find()
        .filter(deletion_candidate::Column::RunId.eq(run.id))
        .filter(deletion_candidate::Column::State.eq(state));
    of_run.count(app.database().reader()).await.unwrap()
}

both!(one_list_of_ids_stands_for_a_call_for_each_record_that_is_there, |database| {
    let app = start(&database).await;
    let (gone, hidden) = delete_and_hide(&app);
    app.simulator.copernica().configure(|switches| switches.honest_id_lists = true);
    app.simulator.forget_requests();
    let run = app.sync("marketing").await.unwrap();
    assert_eq!(run.state, RunState::Done, "{run:?}");
    assert_eq!(app.simulator.requests_to("/profileids"), 1);
    assert_eq!((asked(&app, &hidden), asked(&app, &gone)), (0, GONE), "only what is on no list is asked for by id");
    assert!(candidates(&app, &run, CandidateState::Present).await >= HIDDEN as u64);
    assert_eq!((shown(&app, &hidden).await, shown(&app, &gone).await), (HIDDEN, 0));
    app.simulator.faults(Copernica).clear();
    app.finish().await;
});

both!(what_a_list_of_ids_leaves_out_as_well_is_asked_for_by_id_and_stays, |database| {
    let app = start(&database).await;
    let (gone, hidden) = delete_and_hide(&app);
    app.simulator.forget_requests();
    let run = app.sync("marketing").await.unwrap();
    assert_eq!(run.state, RunState::Done, "{run:?}");
    assert_eq!(app.simulator.requests_to("/profileids"), 1);
    assert_eq!((asked(&app, &hidden), asked(&app, &gone)), (HIDDEN, GONE));
    assert_eq!((shown(&app, &hidden).await, shown(&app, &gone).await), (HIDDEN, 0));
    app.simulator.faults(Copernica).clear();
    app.finish().await;
});

both!(a_list_of_ids_that_cannot_be_had_or_read_leaves_everything_to_calls_by_id, |database| {
    let app = start(&database).await;
    let (gone, hidden) = delete_and_hide(&app);
    let faults = app.simulator.faults(Copernica);
    faults.fail_next_at("/profileids", 4, FailureKind::CutJson);
    faults.fail_next_at("/profileids", 100, FailureKind::Status500);
    app.simulator.forget_requests();
    let run = app.sync("marketing").await.unwrap();
    assert_eq!(run.state, RunState::Done, "{run:?}");
    assert_eq!((asked(&app, &hidden), asked(&app, &gone)), (HIDDEN, GONE));
    assert_eq!((shown(&app, &hidden).await, shown(&app, &gone).await), (HIDDEN, 0));
    app.simulator.faults(Copernica).clear();
    app.finish().await;
});

both!(a_handful_is_asked_for_by_id_alone, |database| {
    let app = start(&database).await;
    let person = app.simulator.copernica().profile_ids("People").remove(0);
    app.simulator.copernica().silently().delete_profile(&person).unwrap();
    app.simulator.forget_requests();
    let run = app.sync("marketing").await.unwrap();
    assert_eq!(run.state, RunState::Done, "{run:?}");
    assert_eq!(app.simulator.requests_to("/profileids"), 0);
    assert_eq!(asked(&app, &[person]), 1);
    app.finish().await;
});
