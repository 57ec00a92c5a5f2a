//! What profiles show of the metadata of their type follows it, however many they are.

use crate::support::app::TestApp;
use crate::support::both;
use entity::{change, derivation, profile};
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
        let is_friend = |shown: &&Value| shown["from"]["externalId"] == json!(from);
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
