//! Full runs that are cut several pages in, each with a page under way.

use super::{assert_equals_world, assert_log_is_whole, drain};
use crate::support::binary::Setup;
use crate::support::world::SOURCES;
use crate::support::{both, world};
use entity::{RunState, sync_run};
use profile_mirror::clock::{Clock, SystemClock};
use profile_mirror::db::Database;
use profile_mirror::ingest::run::{RunRequest, find_source, request_run};
use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter};
use simulator::ProviderKind::{GetProfile, Parallel};
use simulator::{ProviderKind, Simulator, UpstreamRequest};
use std::time::Duration;

/// Sources whose runs are cut, and the page that is under way then: behind several others of its list.
const CUT: [(ProviderKind, &str, &str); 2] = [(Parallel, "crm", "offset=64&"), (GetProfile, "people", "page=9&")];
/// So many pages are kept by then.
const SEVERAL: i64 = 5;
const SOON: Duration = Duration::from_secs(30);

/// Asks for a full run of a source.
async fn request(db: &Database, source: &str) -> sync_run::Model {
    let source_id = find_source(db, source).await.unwrap().expect("the source");
    request_run(db, SystemClock.now(), source_id, RunRequest::full("test")).await.unwrap()
}

async fn run_of(db: &Database, id: i64) -> sync_run::Model {
    sync_run::Entity::find_by_id(id).one(db.primary()).await.unwrap().expect("the run")
}

/// Pages that a provider was asked for, also where the answer never arrived. Single profiles are read at random.
fn pages_asked(simulator: &Simulator, provider: ProviderKind) -> u64 {
    let is_single = |line: &UpstreamRequest| line.path.contains("/profiles/") || line.path.contains("/v1/profile/");
    let log = simulator.request_log();
    let single = log.iter().filter(|line| line.provider == provider && is_single(line)).count();
    simulator.requests_of(provider) - u64::try_from(single).unwrap()
}

both!(killed_several_pages_into_a_run_it_goes_on_with_the_page_that_was_under_way, |database| {
    let simulator = world::start(7, 600).await;
    simulator.parallel().configure(|switches| switches.most_rows = 20);
    simulator.getprofile().configure(|switches| switches.most_rows = 5);
    let setup = Setup::new(&simulator, &database);
    let db = database.connect().await;
    let under_way = CUT.map(|(_, _, page)| simulator.pause_next(page));
    let program = setup.start(None);
    let mut runs = Vec::new();
    for (_, source, _) in CUT {
        runs.push(request(&db, source).await);
    }
    for page in &under_way {
        tokio::time::timeout(SOON, page.reached()).await.expect("the page is asked for");
    }
    drop(program);
    drop(under_way);
    for run in &runs {
        let cut = run_of(&db, run.id).await;
        assert_eq!(cut.state, RunState::Running, "{cut:?}");
        assert!(cut.pages >= SEVERAL, "{cut:?}");
    }

    let program = setup.start(None);
    drain(&db).await;
    let asked = CUT.map(|(provider, _, _)| pages_asked(&simulator, provider));
    for run in &runs {
        let ended = run_of(&db, run.id).await;
        assert_eq!((ended.state, ended.attempt, ended.deleted), (RunState::Done, 1, 0), "{ended:?}");
        assert_eq!((ended.pages_settled, ended.pages_parked), (ended.pages, 0), "{ended:?}");
        let of_source = sync_run::Entity::find().filter(sync_run::Column::SourceId.eq(run.source_id));
        assert_eq!(of_source.count(db.primary()).await.unwrap(), 1, "no run is begun beside it");
    }

    // The least that a run takes: what one takes that nobody cuts.
    simulator.forget_requests();
    for ((provider, source, _), asked) in CUT.into_iter().zip(asked) {
        request(&db, source).await;
        drain(&db).await;
        let least = pages_asked(&simulator, provider);
        // GetProfile's pages do not overlap: the one before tells whether rows have moved.
        let again = if provider == ProviderKind::GetProfile { 2 } else { 1 };
        assert_eq!(asked, least + again, "{source}: the page that was under way is asked for twice, and no other");
    }
    for (_, source) in SOURCES {
        if CUT.iter().all(|(_, cut, _)| *cut != source) {
            request(&db, source).await;
        }
    }
    drain(&db).await;
    drop(program);
    assert_equals_world(&db, &simulator).await;
    assert_log_is_whole(&db).await;
    db.close().await.unwrap();
});
