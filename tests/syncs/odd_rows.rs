//! Rows that are on a list and do not come into the mirror: the list is whole all the same.

use crate::support::app::TestApp;
use crate::support::both;
use crate::support::world::SOURCES;
use entity::RunState;
use simulator::ProviderKind::{self, Copernica};

/// Removes a profile without a word, and makes nothing but the id of another readable in lists.
fn remove_one_and_garble_another(app: &TestApp, provider: ProviderKind) {
    let simulator = &app.simulator;
    let mut profiles = match provider {
        Copernica => simulator.copernica().profile_ids("People"),
        ProviderKind::Parallel => simulator.parallel().profile_ids("Individual"),
        ProviderKind::GetProfile => simulator.getprofile().profile_ids(),
    };
    let (gone, odd) = (profiles.remove(0), profiles.remove(0));
    match provider {
        Copernica => simulator.copernica().silently().delete_profile(&gone).unwrap(),
        ProviderKind::Parallel => simulator.parallel().silently().vanish(&gone).unwrap(),
        ProviderKind::GetProfile => simulator.getprofile().silently().delete(&gone).unwrap(),
    }
    simulator.faults(provider).garble_in_lists([odd]);
}

/// Runs a full sync that must be complete; how many records it has found gone.
async fn sync(app: &TestApp, source: &str) -> i64 {
    let before = app.source_state(source).await.last_complete_sync_at;
    let run = app.sync(source).await.unwrap_or_else(|error| panic!("{source}: {error}"));
    assert_eq!((run.state, run.absent), (RunState::Done, run.deleted), "{source}: {run:?}");
    assert!(app.source_state(source).await.last_complete_sync_at > before, "{source}: {run:?}");
    run.deleted
}

both!(a_row_of_which_only_the_id_can_be_read_is_on_its_list, |database| {
    let app = TestApp::imported(&database).await;
    for (provider, source) in SOURCES {
        remove_one_and_garble_another(&app, provider);
        assert!(sync(&app, source).await >= 1, "{source}: the one that is gone is found");
        app.simulator.faults(provider).clear();
    }
    app.finish().await;
});

both!(a_new_subprofile_of_which_only_the_id_can_be_read_is_on_its_list, |database| {
    let app = TestApp::imported(&database).await;
    let copernica = app.simulator.copernica();
    let person = copernica.profile_ids("People").remove(0);
    let visit = copernica.silently().create_subprofile(&person, "Visits", &[("page", "/odd")]).unwrap();
    let (collection, _) = copernica.collections().into_iter().find(|(_, name)| name == "Visits").unwrap();
    let gone = copernica.subprofile_ids(&collection).remove(0);
    copernica.silently().delete_subprofile(&gone).unwrap();
    app.simulator.faults(Copernica).garble_in_lists([visit]);
    assert_eq!(sync(&app, "marketing").await, 1);
    app.finish().await;
});

both!(a_subprofile_of_a_removed_profile_is_on_its_list, |database| {
    let app = TestApp::imported(&database).await;
    let copernica = app.simulator.copernica();
    let mut people = copernica.profile_ids("People");
    let (removed, gone) = (people.remove(0), people.remove(0));
    copernica.delete_profile(&removed).unwrap();
    app.settle().await;
    copernica.silently().create_subprofile(&removed, "Visits", &[("page", "/after-the-end")]).unwrap();
    copernica.silently().delete_profile(&gone).unwrap();
    assert!(sync(&app, "marketing").await >= 1, "the one that is gone is found");
    app.finish().await;
});
