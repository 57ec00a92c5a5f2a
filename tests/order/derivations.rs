//! What profiles show of the metadata of their type follows it, however many they are.

use crate::support::app::TestApp;
use crate::support::both;
use crate::support::refusal::Refusal;
use entity::{RunState, change, derivation, profile};
use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder};
use serde_json::{Value, json};
use simulator::ProviderKind::{Copernica, Parallel};
use simulator::copernica::FieldKind;
use std::time::{Duration, Instant};

both!(the_last_of_many_profiles_follows_a_new_field_of_its_type, |database| {
    let app = TestApp::builder(&database).profiles(2_500).start().await;
    app.import_all().await;
    let copernica = app.simulator.copernica();
    let people = copernica.profile_ids("People");
    assert!(people.len() > 1_000, "more than two steps: {}", people.len());
    copernica.add_field("People", "friend", FieldKind::ForeignKey).unwrap();
    let (first, last) = (people.first().unwrap(), people.last().unwrap());
    copernica.set_foreign_key(first, "friend", Some(last)).unwrap();
    copernica.set_foreign_key(last, "friend", Some(first)).unwrap();
    // Their types are not known yet when they come.
    app.settle().await;
    app.import("marketing").await;
    for (from, to) in [(first, last), (last, first)] {
        let shown = app.profile(Copernica, from).await;
        let named = shown["relationships"]["nodes"].as_array().unwrap();
        let is_friend =
            |shown: &&Value| shown["type"]["externalId"] == "friend" && shown["from"]["externalId"] == json!(from);
        let friend = named.iter().find(is_friend).map(|shown| shown["to"]["externalId"].clone());
        assert_eq!(friend, Some(json!(to)), "{shown}");
    }
    let left = derivation::Entity::find().count(app.database().primary()).await.unwrap();
    assert_eq!(left, 0);
    app.finish().await;
});

both!(a_kind_that_metadata_tells_later_is_told_to_whoever_follows_the_log, |database| {
    let app = TestApp::builder(&database).start().await;
    let created = app.simulator.parallel().create_random_profile("Individual").unwrap();
    app.settle().await;
    let row = profile::Entity::find()
        .filter(profile::Column::ExternalId.eq(&created))
        .one(app.database().primary())
        .await
        .unwrap()
        .expect("the profile");
    assert_eq!(row.kind, entity::ProfileKind::Individual);
    let log = change::Entity::find()
        .filter(change::Column::ProfileId.eq(row.id))
        .order_by_asc(change::Column::Revision)
        .all(app.database().primary())
        .await
        .unwrap();
    let kinds: Vec<&Value> = log
        .iter()
        .flat_map(|change| change.fields.as_array().unwrap())
        .filter(|part| part["name"] == "kind" && part.get("attribute").is_some())
        .map(|part| &part["after"])
        .collect();
    assert_eq!(kinds.last(), Some(&&json!("INDIVIDUAL")), "{log:?}");
    assert_eq!(app.kinds(Parallel, &created).await.first().map(String::as_str), Some("CREATED"));
    app.import_all().await;
    app.finish().await;
});

both!(no_change_comes_after_the_end_of_a_profile_whose_metadata_comes_late, |database| {
    let app = TestApp::builder(&database).start().await;
    let parallel = app.simulator.parallel();
    let created = parallel.create_random_profile("Individual").unwrap();
    let metadata = app.simulator.pause_next("/profile-types");
    app.send().await;
    metadata.reached().await;
    parallel.anonymize(&created).unwrap();
    app.send().await;
    let started = Instant::now();
    while app.profile(Parallel, &created).await["status"] != "ANONYMIZED" {
        assert!(started.elapsed() < Duration::from_secs(20), "it is not applied");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    metadata.release();
    app.drain().await;
    let kinds = app.kinds(Parallel, &created).await;
    assert_eq!(kinds.last().map(String::as_str), Some("ANONYMIZED"), "{kinds:?}");
    app.import_all().await;
    app.finish().await;
});

both!(a_profile_that_cannot_follow_its_metadata_holds_up_no_other_and_no_run, |database| {
    let app = TestApp::imported(&database).await;
    let copernica = app.simulator.copernica();
    let people = copernica.profile_ids("People");
    let (first, last) = (people.first().unwrap(), people.last().unwrap());
    copernica.add_field("People", "friend", FieldKind::ForeignKey).unwrap();
    for (from, to) in [(first, last), (last, first)] {
        copernica.set_foreign_key(from, "friend", Some(to)).unwrap();
    }
    app.settle().await;
    let refusal = Refusal::on(app.database(), "profile", &format!("NEW.external_id = '{first}'")).await;
    let run = app.sync("marketing").await.unwrap();
    assert_eq!(run.state, RunState::Done, "{run:?}");
    assert_eq!(derivation::Entity::find().count(app.database().primary()).await.unwrap(), 0);
    refusal.end(app.database()).await;
    for (from, count) in [(first, 0), (last, 1)] {
        let shown = app.profile(Copernica, from).await;
        let named = shown["relationships"]["nodes"].as_array().unwrap();
        let is_friend =
            |shown: &&Value| shown["type"]["externalId"] == "friend" && shown["from"]["externalId"] == json!(from);
        assert_eq!(named.iter().filter(is_friend).count(), count, "{shown}");
    }
    app.finish_apart_from_world().await;
});

both!(a_name_of_any_length_is_kept_and_shown_cut, |database| {
    let app = TestApp::imported(&database).await;
    let parallel = app.simulator.parallel();
    let person = parallel.create_random_profile("Individual").unwrap();
    // Letters at random, or PostgreSQL makes them short enough for its indexes.
    let mut random = 1_u32;
    let letters = std::iter::repeat_with(|| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from_u32(0x4e00 + (random >> 8) % 20_000).unwrap()
    });
    let long: String = letters.take(4_000).collect();
    parallel.set_field(&person, "p_first_name", Some(json!(long))).unwrap();
    app.settle().await;
    let shown = app.profile(Parallel, &person).await;
    let field = shown["fields"].as_array().unwrap().iter().find(|field| field["name"] == "p_first_name").unwrap();
    assert!(field["text"] == json!(long), "all of it is kept");
    assert_eq!(shown["displayName"].as_str().unwrap().chars().count(), 600);
    app.finish_apart_from_world().await;
});
