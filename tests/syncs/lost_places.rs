//! What is not found while the place that it belongs to cannot be seen either: nobody believes it.

use crate::support::app::TestApp;
use crate::support::both;
use crate::support::rows;
use entity::{RunState, fetch_request};
use profile_mirror::clock::Clock;
use profile_mirror::ingest::run::approve_deletions;
use sea_orm::{EntityTrait, PaginatorTrait};
use simulator::ProviderKind::Copernica;
use simulator::TruthProfile;

/// Takes a database of Copernica from the token; its id.
fn lose(app: &TestApp, name: &str) -> String {
    let copernica = app.simulator.copernica();
    let (lost, _) = copernica.databases().into_iter().find(|(_, known)| known == name).unwrap();
    let number: u64 = lost.parse().unwrap();
    copernica.configure(|switches| switches.lost_databases.extend([number]));
    lost
}

fn find_again(app: &TestApp) {
    app.simulator.copernica().configure(|switches| switches.lost_databases.clear());
}

/// Profiles and subprofiles of Copernica that the mirror shows.
async fn shown(app: &TestApp) -> (usize, usize) {
    let picture = rows::picture(app.database(), "marketing").await;
    let contents: Vec<_> = picture.profiles.values().filter_map(|shown| shown.content.as_ref()).collect();
    (contents.len(), contents.iter().map(|content| content.subprofiles.len()).sum())
}

/// An event of a type that nobody knows: the profile is fetched.
async fn touch(app: &TestApp, profile: &str) {
    app.deliver(Copernica, format!("type=moved&profile={profile}")).await;
}

async fn fetches_left(app: &TestApp) -> u64 {
    fetch_request::Entity::find().count(app.database().reader()).await.unwrap()
}

both!(fetches_that_find_nothing_in_a_lost_database_delete_nothing, |database| {
    let app = TestApp::imported(&database).await;
    let before = shown(&app).await;
    let people: Vec<String> = app.simulator.copernica().profile_ids("People").into_iter().take(8).collect();
    lose(&app, "People");
    for person in &people {
        touch(&app, person).await;
    }
    assert_eq!(shown(&app).await, before);
    assert_eq!(fetches_left(&app).await, 0, "they are left to the next full run");
    let told = app.profile(Copernica, &people[0]).await;
    assert_eq!(told["status"], "OPEN");

    find_again(&app);
    app.import("marketing").await;
    app.finish().await;
});

both!(a_run_whose_list_is_gone_when_it_comes_to_it_begins_anew_without_it, |database| {
    let app = TestApp::imported(&database).await;
    let before = shown(&app).await;
    let lists = app.simulator.pause_next("/databases?");
    let lost = async {
        lists.reached().await;
        lose(&app, "People");
        lists.release();
    };
    let (outcome, ()) = tokio::join!(app.sync("marketing"), lost);
    assert!(outcome.is_err(), "the list was named and is not there");
    let failed = app.newest_run("marketing").await;
    assert!(failed.error.as_ref().is_some_and(|error| error.contains("is not there any more")), "{failed:?}");
    let run = app.tried_again(&failed).await;
    assert_eq!((run.id, run.attempt, run.state), (failed.id, 2, RunState::WaitingForApproval), "{run:?}");
    assert_eq!(shown(&app).await, before, "nothing is deleted");

    find_again(&app);
    app.import("marketing").await;
    app.finish().await;
});

both!(a_subprofile_that_is_not_found_in_a_lost_database_stays, |database| {
    let app = TestApp::imported(&database).await;
    let before = shown(&app).await;
    let copernica = app.simulator.copernica();
    let (collection, _) = copernica.collections().remove(0);
    let subprofile = copernica.subprofile_ids(&collection).remove(0);
    for (database, name) in copernica.databases() {
        lose(&app, &name);
        assert!(!database.is_empty());
    }
    app.deliver(Copernica, format!("type=delete&subprofile={subprofile}")).await;
    assert_eq!(shown(&app).await, before);
    find_again(&app);
    app.finish().await;
});

both!(a_subprofile_that_is_not_found_in_a_collection_that_is_seen_is_gone, |database| {
    let app = TestApp::imported(&database).await;
    let copernica = app.simulator.copernica();
    let (collection, _) = copernica.collections().remove(0);
    let subprofile = copernica.subprofile_ids(&collection).remove(0);
    let truth = app.simulator.truth(Copernica);
    let is_parent = |profile: &TruthProfile| profile.subprofiles.contains_key(&subprofile);
    let (profile, _) = truth.profiles.iter().find(|(_, profile)| is_parent(profile)).unwrap();
    copernica.silently().delete_profile_completely(profile).unwrap();
    let (profiles, subprofiles) = shown(&app).await;
    app.deliver(Copernica, format!("type=delete&subprofile={subprofile}")).await;
    assert_eq!(shown(&app).await, (profiles, subprofiles - 1));
    app.import("marketing").await;
    app.finish().await;
});

both!(a_profile_that_is_not_found_in_a_database_that_is_seen_is_gone, |database| {
    let app = TestApp::imported(&database).await;
    let copernica = app.simulator.copernica();
    let person = copernica.profile_ids("People").remove(0);
    copernica.silently().delete_profile_completely(&person).unwrap();
    touch(&app, &person).await;
    assert_eq!(app.profile(Copernica, &person).await["status"], "DELETED");
    app.finish().await;
});

both!(a_small_database_that_is_lost_waits_for_a_person_however_wide_the_brake_is, |database| {
    let app = TestApp::builder(&database)
        .configure(|config| {
            for source in &mut config.sources {
                source.sync.brake = profile_mirror::config::Brake { share: 1.0, count: 1_000 };
            }
        })
        .start()
        .await;
    app.import_all().await;
    let before = shown(&app).await;
    lose(&app, "People");
    let run = app.sync("marketing").await.unwrap();
    assert_eq!((run.state, run.deleted), (RunState::WaitingForApproval, 0), "{run:?}");
    assert!(run.error.as_ref().is_some_and(|text| text.contains("cannot be seen")), "{run:?}");
    assert_eq!(shown(&app).await, before);
    find_again(&app);
    app.import("marketing").await;
    app.finish().await;
});

/// People lose their database, somebody approves that they go, and it is found again. Someone of them with subprofiles, by id,
/// and one of those.
async fn delete_and_find_again(app: &TestApp) -> (String, String) {
    let people = app.simulator.copernica().profile_ids("People");
    let truth = app.simulator.truth(Copernica).profiles;
    let is_parent = |id: &&String| !truth[*id].subprofiles.is_empty();
    let person = people.iter().find(is_parent).unwrap().clone();
    let subprofile = truth[&person].subprofiles.keys().next().unwrap().clone();
    lose(app, "People");
    let run = app.sync("marketing").await.unwrap();
    approve_deletions(app.database(), app.clock.now(), run.id, "ops").await.unwrap();
    app.drain().await;
    assert_eq!(app.profile(Copernica, &person).await["status"], "DELETED");
    find_again(app);
    (person, subprofile)
}

both!(who_was_deleted_with_a_lost_database_comes_back_with_all_subprofiles, |database| {
    let app = TestApp::imported(&database).await;
    let (person, _) = delete_and_find_again(&app).await;
    let copernica = app.simulator.copernica();
    copernica.silently().create_subprofile(&person, "Visits", &[("page", "/new")]).unwrap();
    // The lists of subprofiles are read before it is known that the person is there.
    let answer = app.simulator.pause_next(&format!("/profile/{person}"));
    app.sync("marketing").await.unwrap();
    answer.release();
    app.finish().await;
});

both!(news_of_a_subprofile_brings_its_deleted_profile_back_with_all_others, |database| {
    let app = TestApp::imported(&database).await;
    let (person, subprofile) = delete_and_find_again(&app).await;
    let copernica = app.simulator.copernica();
    copernica.update_subprofile(&subprofile, &[("page", "/again"), ("status", "returned")]).unwrap();
    copernica.create_subprofile(&person, "Visits", &[("page", "/new")]).unwrap();
    app.settle().await;
    let shown = app.profile(Copernica, &person).await;
    let subprofiles = shown["subprofiles"]["nodes"].as_array().unwrap().len();
    let truth = app.simulator.truth(Copernica);
    assert_eq!((shown["status"].as_str(), subprofiles), (Some("OPEN"), truth.profiles[&person].subprofiles.len()));
    app.import("marketing").await;
    app.finish().await;
});

both!(news_of_a_subprofile_of_a_removed_profile_costs_one_call, |database| {
    let app = TestApp::imported(&database).await;
    let copernica = app.simulator.copernica();
    let person = copernica.profile_ids("People").remove(0);
    copernica.delete_profile(&person).unwrap();
    app.settle().await;
    app.simulator.advance(chrono::Duration::seconds(5));
    let visit = copernica.create_subprofile(&person, "Visits", &[("page", "/after-the-end")]).unwrap();
    app.simulator.forget_requests();
    app.settle().await;
    app.import("marketing").await;
    assert_eq!(app.simulator.requests_to(&format!("/profile/{person}?")), 1, "it is still removed");
    assert_eq!(app.simulator.requests_to(&format!("/subprofile/{visit}?")), 0, "it is nobody's");
    app.finish().await;
});
