//! A filter finds the same profiles on both databases, and the same as in memory.

use super::mirror::{Mirror, NEW_YEAR, scored};
use crate::support::{both, seeds};
use entity::{Moment, Status};
use profile_mirror::mirror::read::{ChildPage, Direction, FieldTest, Limit, NumberTest, Predicate, Quantity, TextTest};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

fn field(name: &str, test: FieldTest) -> Predicate {
    Predicate::Field(name.to_owned(), test)
}

fn number(name: &str, test: NumberTest) -> Predicate {
    field(name, FieldTest::Number(test))
}

fn text(name: &str, wanted: &str) -> Predicate {
    field(name, FieldTest::Text(TextTest::Equals(wanted.to_owned())))
}

both!(numbers_are_found_however_upstream_writes_them, |database| {
    let mirror = Mirror::new(&database).await;
    let values = [
        ("whole", json!(12)),
        ("decimal", json!("12.50")),
        ("scored", scored("13")),
        ("negative", json!("-0.5")),
        ("empty", json!("")),
        ("words", json!("about 12")),
        ("true", json!(true)),
        ("huge", json!(1e21)),
        ("long", json!("9".repeat(400))),
        ("absent", Value::Null),
    ];
    for (name, value) in values {
        mirror.put(mirror.row(name, json!({ "it's \"x\"": value }))).await;
    }
    let found = async |test| mirror.ids(&number("it's \"x\"", test), &[]).await;
    assert_eq!(found(NumberTest::In(vec![12.5, 12.0])).await, ["whole", "decimal"]);
    assert_eq!(found(NumberTest::Above(12.0)).await, ["decimal", "scored", "huge"]);
    assert_eq!(found(NumberTest::AtLeast(12.5)).await, ["decimal", "scored", "huge"]);
    assert_eq!(found(NumberTest::Below(0.0)).await, ["negative"]);
    assert_eq!(found(NumberTest::AtMost(12.0)).await, ["whole", "negative"]);
    let not = Predicate::Not(Box::new(number("it's \"x\"", NumberTest::Above(12.0))));
    assert_eq!(mirror.ids(&not, &[]).await.len(), 7, "what is no number is not above either");
});

both!(dates_are_days_and_moments_in_utc, |database| {
    let mirror = Mirror::new(&database).await;
    let values =
        ["2025-12-31", "2026-01-01", "2026-01-01 00:00:01", "2026-01-01T10:00:00.250Z", "0000-00-00", "1.1.2026"];
    for value in values {
        mirror.put(mirror.row(value, json!({ "on": value }))).await;
    }
    let found =
        async |from: Option<Moment>, until| mirror.ids(&field("on", FieldTest::Date { from, until }), &[]).await;
    assert_eq!(found(Some(NEW_YEAR), None).await, &values[1..4]);
    assert_eq!(found(None, Some(NEW_YEAR.plus_ms(1))).await, &values[..2]);
    assert_eq!(found(Some(NEW_YEAR.plus_ms(1)), Some(NEW_YEAR.plus_ms(1_001))).await, &values[2..3]);
    assert_eq!(found(None, None).await, &values[..4]);
});

both!(interests_are_tested_as_a_list, |database| {
    let mirror = Mirror::new(&database).await;
    for (name, interests) in [("one", &["chess", "jazz"][..]), ("two", &["jazz"]), ("three", &[])] {
        let id = mirror.put(mirror.row(name, json!({}))).await.id;
        for interest in interests {
            mirror.interest(id, interest).await;
        }
    }
    let has = |names: &[&str]| Predicate::Interest(names.iter().map(|name| (*name).to_owned()).collect());
    assert_eq!(mirror.ids(&has(&["chess", "golf"]), &[]).await, ["one"]);
    assert_eq!(mirror.ids(&has(&["jazz"]), &[]).await, ["one", "two"]);
    assert_eq!(mirror.ids(&Predicate::All(vec![has(&["jazz"]), has(&["chess"])]), &[]).await, ["one"]);
    assert_eq!(mirror.ids(&Predicate::Not(Box::new(has(&["jazz"]))), &[]).await, ["three"]);
    assert_eq!(mirror.ids(&has(&[]), &[]).await, Vec::<String>::new());
});

both!(subprofiles_pass_some_none_or_every_time, |database| {
    let mirror = Mirror::new(&database).await;
    let (orders, pets) = (mirror.collection("Orders").await, mirror.collection("Pets").await);
    let people = [("both", vec!["5", "15"]), ("cheap", vec!["5"]), ("dear", vec!["15", "20"]), ("nothing", vec![])];
    for (name, totals) in &people {
        let id = mirror.put(mirror.row(name, json!({}))).await.id;
        for (number, total) in totals.iter().enumerate() {
            mirror.subprofile(id, orders, &format!("{name}{number}"), json!({ "total": total })).await;
        }
        mirror.subprofile(id, pets, &format!("{name} pet"), json!({ "total": "1000" })).await;
    }
    let found = async |quantity, collection: Option<&str>| {
        let (collection, test) = (collection.map(str::to_owned), Box::new(number("total", NumberTest::Above(10.0))));
        mirror.ids(&Predicate::Subprofiles { collection, quantity, test }, &[]).await
    };
    assert_eq!(found(Quantity::Some, Some("Orders")).await, ["both", "dear"]);
    assert_eq!(found(Quantity::None, Some("id of Orders")).await, ["cheap", "nothing"]);
    assert_eq!(found(Quantity::Every, Some("Orders")).await, ["dear", "nothing"]);
    assert_eq!(found(Quantity::Every, None).await, ["dear", "nothing"]);
    assert_eq!(found(Quantity::Some, Some("Debts")).await, Vec::<String>::new());
});

both!(subprofiles_of_many_profiles_are_picked_by_their_fields, |database| {
    let mirror = Mirror::new(&database).await;
    let orders = mirror.collection("Orders").await;
    let mut people = Vec::new();
    for (name, totals) in [("anna", vec!["5", "15", "25", "45"]), ("bert", vec!["1", "35"]), ("carl", vec!["2"])] {
        let id = mirror.put(mirror.row(name, json!({}))).await.id;
        for total in totals {
            mirror.subprofile(id, orders, &format!("{name} {total}"), json!({ "total": total })).await;
        }
        people.push(id);
    }
    let dear = Predicate::All(vec![number("total", NumberTest::Above(10.0))]);
    let found = async |people: &[i64], limit| {
        let page = ChildPage { limit, after: None, before: None };
        let rows = mirror.reader.subprofiles(people, Some("Orders"), Some(&dear), &page).await.unwrap();
        rows.into_iter().map(|row| row.external_id).collect::<Vec<_>>()
    };
    assert_eq!(found(&people, Limit::First(5)).await, ["anna 15", "anna 25", "anna 45", "bert 35"]);
    assert_eq!(found(&people[..1], Limit::First(1)).await, ["anna 15", "anna 25"], "one more than wanted");
});

both!(relationships_lead_to_profiles_that_pass, |database| {
    let mirror = Mirror::new(&database).await;
    let mut ids = Vec::new();
    for (name, city) in [("anna", "Delft"), ("bert", "Gouda"), ("carl", "Delft")] {
        ids.push(mirror.put(mirror.row(name, json!({ "city": city }))).await.id);
    }
    mirror.relationship("employs", ids[0], ids[1]).await;
    mirror.relationship("knows", ids[1], ids[2]).await;
    let found = async |kind: Option<&str>, direction, city| {
        let (kind, other) = (kind.map(str::to_owned), Box::new(text("city", city)));
        mirror.ids(&Predicate::Related { kind, direction, other }, &[]).await
    };
    assert_eq!(found(None, None, "Delft").await, ["bert"]);
    assert_eq!(found(None, None, "Gouda").await, ["anna", "carl"]);
    assert_eq!(found(Some("knows by"), None, "Gouda").await, ["carl"]);
    assert_eq!(found(None, Some(Direction::Outgoing), "Gouda").await, ["anna"]);
    assert_eq!(found(Some("employs"), Some(Direction::Incoming), "Delft").await, ["bert"]);
});

both!(what_needs_the_database_is_asked_for_many_profiles_at_once, |database| {
    let mirror = Mirror::new(&database).await;
    let mut ids = Vec::new();
    for number in 0..5 {
        let mut row = mirror.row(&format!("p{number}"), json!({}));
        row.status = if number == 4 { Status::Deleted } else { Status::Open };
        let id = mirror.put(row).await.id;
        if number % 2 == 0 {
            mirror.interest(id, "chess").await;
        }
        ids.push(id);
    }
    let predicate = Predicate::Interest(vec!["chess".to_owned()]);
    assert!(predicate.needs_database() && !text("a", "b").needs_database());
    let before = mirror.reader.statements();
    let mut passing = mirror.reader.passing_ids(&ids[1..], &predicate).await.unwrap();
    passing.sort_unstable();
    assert_eq!(passing, [ids[2], ids[4]], "deleted ones are not left out");
    assert_eq!(mirror.reader.statements() - before, 1 + 1, "and the sources once");
});

both!(overdue_deletions_are_found, |database| {
    let mirror = Mirror::new(&database).await;
    for (name, status, due) in [
        ("late", Status::ScheduledForDeletion, Some(NEW_YEAR.plus_ms(-1))),
        ("soon", Status::ScheduledForDeletion, Some(NEW_YEAR)),
        ("open", Status::Open, None),
        ("gone", Status::Deleted, None),
    ] {
        let mut row = mirror.row(name, json!({}));
        (row.status, row.scheduled_for) = (status, due);
        mirror.put(row).await;
    }
    let overdue = Predicate::OverdueSince(NEW_YEAR);
    assert_eq!(mirror.ids(&overdue, &[]).await, ["late"]);
    assert_eq!(mirror.ids(&Predicate::Not(Box::new(overdue)), &[]).await, ["soon", "open"]);
});

const TEXTS: &[&str] = &[
    "",
    "a",
    "A",
    "ab",
    "Anna",
    "anna smith",
    "é",
    "50%_\\",
    "12",
    "12.50",
    "-3",
    "007",
    "1e3",
    "2026-01-01",
    "2026-01-01T00:00:00Z",
    "2025-06-30 12:30:00",
    "0000-00-00",
    "\u{10ffff}",
    "it's",
    "true",
    "\"",
    "[1]",
];

fn any_value(rng: &mut StdRng) -> Value {
    match rng.random_range(0..9) {
        0 => Value::Null,
        1 => json!(rng.random_range(-20..20)),
        2 => json!(f64::from(rng.random_range(-200..200)) / 8.0),
        3 => json!(rng.random_bool(0.5)),
        4 => scored(*TEXTS.choose(rng).unwrap()),
        5 => scored(rng.random_range(-20..20)),
        6 => json!({ "deep": 1 }),
        _ => json!(TEXTS.choose(rng).unwrap()),
    }
}

fn any_test(rng: &mut StdRng) -> FieldTest {
    let words = |rng: &mut StdRng| (*TEXTS.choose(rng).unwrap()).to_owned();
    let bound = |rng: &mut StdRng| f64::from(rng.random_range(-160..160)) / 8.0;
    let moment = |rng: &mut StdRng| rng.random_bool(0.7).then(|| NEW_YEAR.plus_ms(rng.random_range(-3..3) * 500));
    match rng.random_range(0..12) {
        0 => FieldTest::Text(TextTest::Equals(words(rng))),
        1 => FieldTest::Text(TextTest::In(vec![words(rng), words(rng)])),
        2 => FieldTest::Text(TextTest::StartsWith(words(rng))),
        3 => FieldTest::Text(TextTest::Contains(words(rng))),
        4 => FieldTest::Text(TextTest::IsAbsent),
        5 => FieldTest::Text(TextTest::IsEmpty),
        6 => FieldTest::Number(NumberTest::In(vec![bound(rng), 12.0, 12.5, 7.0])),
        7 => FieldTest::Number(NumberTest::Above(bound(rng))),
        8 => FieldTest::Number(NumberTest::AtLeast(bound(rng))),
        9 => FieldTest::Number(NumberTest::Below(bound(rng))),
        10 => FieldTest::Number(NumberTest::AtMost(bound(rng))),
        _ => FieldTest::Date { from: moment(rng), until: moment(rng) },
    }
}

fn any_predicate(rng: &mut StdRng, depth: u32) -> Predicate {
    match rng.random_range(0..if depth == 0 { 4 } else { 8 }) {
        4 => Predicate::Not(Box::new(any_predicate(rng, depth - 1))),
        5 => Predicate::All((0..rng.random_range(0..3)).map(|_| any_predicate(rng, depth - 1)).collect()),
        6..8 => Predicate::Any((0..rng.random_range(0..3)).map(|_| any_predicate(rng, depth - 1)).collect()),
        _ => field(["x", "y $.\"z\"", "it's"].choose(rng).unwrap(), any_test(rng)),
    }
}

both!(any_filter_on_fields_means_the_same_in_the_database_and_in_memory, |database| {
    let mirror = Mirror::new(&database).await;
    for seed in seeds(1) {
        let rng = &mut StdRng::seed_from_u64(seed);
        let rows: Vec<_> = (0..60)
            .map(|number| {
                let fields = json!({ "x": any_value(rng), "y $.\"z\"": any_value(rng), "it's": any_value(rng) });
                mirror.row(&format!("p{number:02}"), fields)
            })
            .collect();
        mirror.put_all(rows.clone()).await;
        let sources = mirror.reader.sources().await.unwrap();
        for _ in 0..300 {
            let predicate = any_predicate(rng, 3);
            let expected = rows.iter().filter(|row| predicate.accepts(row, None, &sources));
            let expected: Vec<_> = expected.map(|row| row.external_id.as_str()).collect();
            assert_eq!(mirror.ids(&predicate, &[]).await, expected, "seed {seed}: {predicate:?}");
        }
    }
});
