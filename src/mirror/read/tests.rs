//! Pages, filters and children over a small mirror.

use super::fixture::{Fixture, NEW_YEAR};
use super::*;
use ::entity::{ProfileKind, RunKind, RunState, Status, profile, sync_run};
use sea_orm::{ActiveModelTrait, ActiveValue::Set, EntityTrait, IntoActiveModel};
use serde_json::json;

async fn names_of(reader: &Reader, order: &[Order], page: &Page) -> (Vec<String>, Slice<profile::Model>) {
    let slice = reader.profiles(None, order, page).await.unwrap();
    (slice.rows.iter().map(|row| row.external_id.clone()).collect(), slice)
}

fn page(limit: Limit) -> Page {
    Page { limit, after: None, before: None }
}

/// Profiles whose sort keys repeat and are absent here and there.
async fn uneven(fixture: &Fixture) -> i32 {
    let source = fixture.source("crm").await;
    for number in 0..23_i64 {
        fixture
            .profile(source, &format!("p{number:02}"), |row| {
                row.display_name = Set((number % 4 != 0).then(|| format!("name {}", number % 3)));
                row.email = Set((number % 5 != 0).then(|| format!("{}@example.com", number % 7)));
                row.created_at = Set((number % 2 == 0).then(|| NEW_YEAR.plus_ms(number % 6)));
            })
            .await;
    }
    source
}

#[tokio::test]
async fn every_order_pages_the_same_rows_both_ways() {
    let fixture = Fixture::new().await;
    uneven(&fixture).await;
    let reader = Reader::new(fixture.db.clone());
    let keys = [
        SortKey::DisplayName,
        SortKey::Email,
        SortKey::CreatedAt,
        SortKey::ModifiedAt,
        SortKey::ExternalId,
        SortKey::Id,
    ];
    let one = |key: &SortKey, is_descending| Order { key: key.clone(), is_descending };
    let mut orders: Vec<Vec<Order>> = vec![Vec::new()];
    for key in keys {
        orders.push(vec![one(&key, false)]);
        orders.push(vec![one(&key, true)]);
        orders.push(vec![one(&SortKey::DisplayName, true), one(&key, false)]);
    }
    for order in orders {
        let (all, whole) = names_of(&reader, &order, &page(Limit::First(100))).await;
        assert_eq!(all.len(), 23, "{order:?}");
        assert!(!whole.has_next && !whole.has_previous);
        if let Some(first) = order.first()
            && first.key == SortKey::DisplayName
        {
            let absent = whole.rows.iter().position(|row| row.display_name.is_none()).unwrap();
            assert!(whole.rows[absent..].iter().all(|row| row.display_name.is_none()), "absent names come last");
        }
        let (mut forward, mut after) = (Vec::new(), None);
        loop {
            let asked = Page { limit: Limit::First(5), after: after.clone(), before: None };
            let (names, slice) = names_of(&reader, &order, &asked).await;
            assert_eq!(slice.has_previous, after.is_some());
            forward.extend(names);
            after = slice.rows.last().map(|row| Place::of(row, &order));
            if !slice.has_next {
                break;
            }
        }
        assert_eq!(forward, all, "forward by {order:?}");
        let (mut backward, mut before) = (Vec::new(), None);
        loop {
            let asked = Page { limit: Limit::Last(4), after: None, before: before.clone() };
            let (names, slice) = names_of(&reader, &order, &asked).await;
            backward.splice(0..0, names);
            before = slice.rows.first().map(|row| Place::of(row, &order));
            if !slice.has_previous {
                break;
            }
        }
        assert_eq!(backward, all, "backward by {order:?}");
    }
}

#[tokio::test]
async fn rows_that_move_while_paging_cost_no_other_row() {
    let fixture = Fixture::new().await;
    let source = uneven(&fixture).await;
    let reader = Reader::new(fixture.db.clone());
    let order = [Order { key: SortKey::DisplayName, is_descending: false }];
    let (_, first) = names_of(&reader, &order, &page(Limit::First(10))).await;
    let moved = first.rows[9].clone();
    let place = Place::of(&moved, &order);
    let mut row = moved.into_active_model();
    row.display_name = Set(Some("a".to_owned()));
    row.update(fixture.db.writer()).await.unwrap();
    profile::Entity::delete_by_id(first.rows[2].id).exec(fixture.db.writer()).await.unwrap();
    fixture.profile(source, "new", |row| row.display_name = Set(Some("b".to_owned()))).await;

    let rest = Page { limit: Limit::First(100), after: Some(place), before: None };
    let (rest, _) = names_of(&reader, &order, &rest).await;
    assert_eq!(rest.len(), 13, "the rows behind the place are all there: {rest:?}");
}

fn every_predicate() -> Vec<Predicate> {
    let text = |text: &str| text.to_owned();
    let tests = [
        TextTest::Equals(text("Anna")),
        TextTest::In(vec![text("Anna"), text("50%_\\off")]),
        TextTest::StartsWith(text("aN")),
        TextTest::StartsWith(text("50%_")),
        TextTest::Contains(text("NN")),
        TextTest::Contains(text("%_\\")),
        TextTest::Contains(text("É")),
        TextTest::Contains(text("é")),
        TextTest::IsAbsent,
        TextTest::IsEmpty,
    ];
    let mut all = vec![
        Predicate::All(Vec::new()),
        Predicate::Any(Vec::new()),
        Predicate::Kind(vec![ProfileKind::Company]),
        Predicate::Status(vec![Status::Closed, Status::Deleted]),
        Predicate::Source(TextTest::Equals(text("crm"))),
        Predicate::Source(TextTest::StartsWith(text("MARK"))),
        Predicate::Type(TextTest::Equals(text("People"))),
        Predicate::Type(TextTest::Equals(text("db1"))),
        Predicate::Type(TextTest::IsAbsent),
        Predicate::Type(TextTest::IsEmpty),
        Predicate::Time { column: TimeColumn::CreatedAt, from: Some(NEW_YEAR), until: Some(NEW_YEAR.plus_ms(5)) },
        Predicate::Time { column: TimeColumn::ModifiedAt, from: None, until: Some(NEW_YEAR) },
        Predicate::Time { column: TimeColumn::ScheduledFor, from: None, until: Some(NEW_YEAR.plus_ms(1)) },
    ];
    for test in tests {
        for column in [TextColumn::DisplayName, TextColumn::Email, TextColumn::ExternalId] {
            all.push(Predicate::Text(column, test.clone()));
        }
        for field in ["plain", "scored", "odd \"name\" $.x", "nothing"] {
            all.push(Predicate::Field(text(field), FieldTest::Text(test.clone())));
        }
    }
    for (value, field) in [("true", "flag"), ("12.5", "number"), ("7", "whole")] {
        all.push(Predicate::Field(text(field), FieldTest::Text(TextTest::Equals(text(value)))));
    }
    let negated: Vec<_> = all.iter().cloned().map(|one| Predicate::Not(Box::new(one))).collect();
    all.push(Predicate::Any(vec![negated[2].clone(), all[3].clone()]));
    all.push(Predicate::Not(Box::new(Predicate::All(vec![negated[4].clone(), all[20].clone()]))));
    all.extend(negated);
    all
}

#[tokio::test]
async fn a_filter_means_the_same_in_the_database_and_in_memory() {
    let fixture = Fixture::new().await;
    let crm = fixture.source("crm").await;
    let marketing = fixture.source("marketing").await;
    let people = fixture.profile_type(crm, "db1", "People").await;
    let rows = [
        (crm, "Anna", json!({ "plain": "Anna", "scored": { "value": "Anna", "confidence": 0.9 }, "flag": true })),
        (crm, "anNe", json!({ "plain": "", "scored": { "value": "hannah" }, "odd \"name\" $.x": "Anna" })),
        (marketing, "50%_\\off", json!({ "plain": "50%_\\off", "number": 12.5, "scored": { "value": null } })),
        (marketing, "50x_", json!({ "plain": null, "whole": 7, "flag": false })),
        (marketing, "Édith", json!({ "plain": "édith", "scored": { "value": { "deep": 1 } } })),
        (marketing, "", json!({})),
    ];
    for (number, (source, name, fields)) in (0..).zip(rows) {
        fixture
            .profile(source, &format!("{name}{number}"), |row| {
                row.profile_type_id = Set((source == crm).then_some(people));
                row.display_name = Set((number != 3).then(|| name.to_owned()));
                row.email = Set((number % 2 == 0).then(|| name.to_owned()));
                row.kind = Set(if number == 2 { ProfileKind::Company } else { ProfileKind::Individual });
                row.status = Set(if number == 3 { Status::Deleted } else { Status::Open });
                row.created_at = Set((number != 1).then(|| NEW_YEAR.plus_ms(i64::from(number))));
                row.scheduled_for = Set((number == 4).then_some(NEW_YEAR));
                row.fields = Set(fields);
            })
            .await;
    }
    fixture.profile(crm, "placeholder", |row| row.is_known = Set(false)).await;
    let reader = Reader::new(fixture.db.clone());
    let sources = reader.sources().await.unwrap();
    let types = reader.profile_types_by_ids(&[people]).await.unwrap();
    let all = profile::Entity::find().all(fixture.db.reader()).await.unwrap();
    for predicate in every_predicate() {
        // Naming a status keeps the deleted ones in.
        let asked = Predicate::All(vec![predicate.clone(), Predicate::Not(Box::new(Predicate::Status(Vec::new())))]);
        let found = reader.profiles(Some(&asked), &[], &page(Limit::First(100))).await.unwrap();
        let found: Vec<_> = found.rows.iter().map(|row| row.external_id.as_str()).collect();
        let kind_of = |row: &profile::Model| types.iter().find(|kind| Some(kind.id) == row.profile_type_id);
        let expected = all.iter().filter(|row| row.is_known && predicate.accepts(row, kind_of(row), &sources));
        let expected: Vec<_> = expected.map(|row| row.external_id.as_str()).collect();
        assert_eq!(found, expected, "{predicate:?}");
        assert_eq!(reader.count_profiles(Some(&asked)).await.unwrap(), expected.len() as u64);
    }
}

#[tokio::test]
async fn deleted_profiles_and_placeholders_stay_hidden() {
    let fixture = Fixture::new().await;
    let source = fixture.source("crm").await;
    fixture.profile(source, "open", |_| {}).await;
    fixture.profile(source, "gone", |row| row.status = Set(Status::Deleted)).await;
    fixture.profile(source, "heard-of", |row| row.is_known = Set(false)).await;
    let reader = Reader::new(fixture.db.clone());
    let (names, _) = names_of(&reader, &[], &page(Limit::First(10))).await;
    assert_eq!(names, ["open"]);
    let named = Predicate::Status(vec![Status::Deleted]);
    assert_eq!(reader.count_profiles(Some(&named)).await.unwrap(), 1);
    let key = |external_id: &str| ProfileKey { source_id: source, external_id: external_id.to_owned() };
    let found = reader.profiles_by_keys(&[key("gone"), key("heard-of"), key("unknown")]).await.unwrap();
    assert_eq!(found.iter().map(|row| row.external_id.as_str()).collect::<Vec<_>>(), ["gone"]);
}

#[tokio::test]
async fn each_parent_gets_its_own_first_children() {
    let fixture = Fixture::new().await;
    let source = fixture.source("crm").await;
    let kind = fixture.profile_type(source, "1", "People").await;
    let orders = fixture.collection(source, kind, "Orders").await;
    let pets = fixture.collection(source, kind, "Pets").await;
    let knows = fixture.relationship_type(source, "knows", "is known by").await;
    let mut people = Vec::new();
    for name in ["a", "b", "c"] {
        people.push(fixture.profile(source, name, |_| {}).await);
    }
    for (place, person) in people.iter().enumerate() {
        for number in 0..=place {
            fixture.subprofile(source, &format!("o{place}{number}"), *person, orders).await;
            fixture.subprofile(source, &format!("p{place}{number}"), *person, pets).await;
        }
    }
    fixture.relationship(source, "ab", knows, people[0], people[1]).await;
    fixture.relationship(source, "bc", knows, people[1], people[2]).await;
    fixture.relationship(source, "bb", knows, people[1], people[1]).await;
    let reader = Reader::new(fixture.db.clone());
    let two = ChildPage { limit: Limit::First(2), after: None, before: None };

    let rows = reader.subprofiles(&people, Some("Pets"), None, &two).await.unwrap();
    let of = |rows: &[SubprofileRow], person: i64| {
        let rows = rows.iter().filter(|row| row.profile_id == person);
        rows.map(|row| row.external_id.clone()).collect::<Vec<_>>()
    };
    assert_eq!(of(&rows, people[0]), ["p00"]);
    assert_eq!(of(&rows, people[1]), ["p10", "p11"]);
    assert_eq!(of(&rows, people[2]), ["p20", "p21", "p22"], "one more than asked for tells that there are more");
    let one = ChildPage { limit: Limit::First(1), after: None, before: None };
    let rows = reader.subprofiles(&people, Some("Pets"), None, &one).await.unwrap();
    assert_eq!(of(&rows, people[2]), ["p20", "p21"], "however many others there are");
    let last = ChildPage { limit: Limit::Last(1), after: None, before: None };
    let rows = reader.subprofiles(&people[2..], Some("id of Orders"), None, &last).await.unwrap();
    assert_eq!(of(&rows, people[2]), ["o22", "o21"]);

    let ids = |rows: Vec<RelationshipRow>, person: i64| {
        let rows = rows.into_iter().filter(|row| row.owner_id == person);
        rows.map(|row| row.relationship.external_id).collect::<Vec<_>>()
    };
    let all = reader.relationships(&people, None, None, false, &two).await.unwrap();
    assert_eq!(ids(all.clone(), people[0]), ["ab"]);
    assert_eq!(ids(all, people[1]), ["ab", "bc", "bb"]);
    let incoming = reader.relationships(&people, Some("is known by"), Some(Direction::Incoming), false, &two).await;
    assert_eq!(ids(incoming.unwrap(), people[1]), ["ab", "bb"]);
}

#[tokio::test]
async fn an_interest_without_a_group_takes_that_of_its_type() {
    let fixture = Fixture::new().await;
    let source = fixture.source("crm").await;
    let kind = fixture.profile_type(source, "1", "People").await;
    fixture.offered_interest(source, kind, "sports", "soccer").await;
    let person = fixture.profile(source, "a", |row| row.profile_type_id = Set(Some(kind))).await;
    for (group, name) in [("", "soccer"), ("", "chess"), ("music", "jazz")] {
        fixture.interest(person, group, name).await;
    }
    let rows = Reader::new(fixture.db.clone()).interests(&[person]).await.unwrap();
    let rows: Vec<_> = rows.iter().map(|row| (row.group_name.as_str(), row.name.as_str())).collect();
    assert_eq!(rows, [("", "chess"), ("music", "jazz"), ("sports", "soccer")]);
}

#[tokio::test]
async fn the_catalog_is_read_once_until_it_is_forgotten_or_lacks_a_row() {
    let fixture = Fixture::new().await;
    let source = fixture.source("crm").await;
    let kind = fixture.profile_type(source, "1", "People").await;
    fixture.fields(Some(kind), None, &[("city", "text")]).await;
    let reader = Reader::new(fixture.db.clone());
    let names = async || {
        let fields = reader.in_catalog(|catalog| catalog.fields_of_type(kind)).await.unwrap().unwrap();
        fields.iter().map(|field| field.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(names().await, ["city"]);
    let spent = reader.statements();
    fixture.fields(Some(kind), None, &[("age", "integer")]).await;
    assert_eq!(names().await, ["city"]);
    assert_eq!(reader.statements(), spent);

    let beside = reader.beside();
    beside.forget_catalog();
    assert_eq!(names().await, ["age", "city"]);
    assert_eq!(beside.statements(), 0, "each reader counts its own");

    let newer = fixture.profile_type(source, "2", "Firms").await;
    let found = reader.in_catalog(|catalog| catalog.profile_type(newer)).await.unwrap();
    assert_eq!(found.unwrap().name, "Firms");
    assert!(reader.in_catalog(|catalog| catalog.collection(7)).await.unwrap().is_none());
}

/// A full run that began so many hours after the year did, with what its pages changed.
async fn run(fixture: &Fixture, source_id: i32, hour: i64, change: impl FnOnce(&mut sync_run::ActiveModel)) -> i64 {
    let mut row = sync_run::ActiveModel {
        source_id: Set(source_id),
        state: Set(RunState::Done),
        cause: Set("test".to_owned()),
        started_at: Set(NEW_YEAR.plus_ms(hour * 3_600_000)),
        checkpoint: Set(json!({})),
        pages: Set(1),
        rows_seen: Set(9),
        kind: Set(RunKind::Full),
        ..Default::default()
    };
    change(&mut row);
    row.insert(fixture.db.writer()).await.unwrap().id
}

#[tokio::test]
async fn what_the_newest_full_pass_found_is_told_with_when_the_one_before_it_began() {
    let fixture = Fixture::new().await;
    let (crm, people) = (fixture.source("crm").await, fixture.source("people").await);
    let reader = Reader::new(fixture.db.clone());
    run(&fixture, people, 0, |run| run.created = Set(9)).await;
    run(&fixture, crm, 0, |run| run.created = Set(9)).await;
    assert!(reader.changes_found().await.unwrap().is_empty(), "the first one of a source finds all of it");

    run(&fixture, crm, 1, |run| (run.state, run.created) = (Set(RunState::Failed), Set(9))).await;
    run(&fixture, crm, 2, |run| (run.is_plan, run.updated) = (Set(true), Set(9))).await;
    run(&fixture, crm, 3, |run| (run.profile_type, run.updated) = (Set(Some("person".to_owned())), Set(9))).await;
    run(&fixture, crm, 4, |run| (run.kind, run.updated) = (Set(RunKind::Named), Set(9))).await;
    run(&fixture, crm, 5, |run| (run.kind, run.updated) = (Set(RunKind::Incremental), Set(9))).await;
    assert!(reader.changes_found().await.unwrap().is_empty(), "none of them is a complete pass over the whole source");

    let found = |run_id, count, hour: i64| {
        [ChangesFound { source_id: crm, run_id, count, since: NEW_YEAR.plus_ms(hour * 3_600_000) }]
    };
    let waits = run(&fixture, crm, 6, |run| {
        (run.state, run.created, run.updated) = (Set(RunState::WaitingForApproval), Set(1), Set(2));
    })
    .await;
    assert_eq!(reader.changes_found().await.unwrap(), found(waits, 3, 0));
    let next = run(&fixture, crm, 30, |run| run.updated = Set(4)).await;
    assert_eq!(reader.changes_found().await.unwrap(), found(next, 4, 6), "only the one before it counts");
    run(&fixture, crm, 29, |run| run.updated = Set(4)).await;
    assert!(reader.changes_found().await.unwrap().is_empty(), "the clock was set back: nothing can be told");
    let before = reader.statements();
    run(&fixture, crm, 54, |_| {}).await;
    assert!(reader.changes_found().await.unwrap().is_empty(), "it found nothing");
    assert_eq!(reader.statements() - before, 1, "whatever the number of sources");
}
