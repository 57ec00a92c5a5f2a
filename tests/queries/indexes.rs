//! The fields that the configuration names have indexes, queries use them, and other filters are told of.

use super::mirror::{Mirror, NEW_YEAR};
use crate::support::app::TestApp;
use crate::support::both;
use crate::support::place::run_on;
use entity::Status;
use profile_mirror::apply::Indexer;
use profile_mirror::db::fields::FieldAs;
use profile_mirror::db::{Dialect, field_index};
use profile_mirror::mirror::read::{
    FieldTest, Limit, NumberTest, Order, Page, Place, Predicate, SortKey, Sought, TextColumn, TextTest, TimeColumn,
};
use sea_orm::{ConnectionTrait, QuerySelect, QueryTrait, Statement};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tokio_util::sync::CancellationToken;

const FIELD: &str = "it's \"odd\"";

async fn index(mirror: &Mirror, fields: &[&str]) {
    let fields = fields.iter().map(|field| (*field).to_owned());
    Indexer::new(mirror.db.clone(), fields).run(CancellationToken::new()).await;
}

async fn names(mirror: &Mirror) -> BTreeSet<String> {
    let all = field_index::list(mirror.db.primary()).await.unwrap();
    assert!(all.iter().all(|index| index.is_usable), "{all:?}");
    all.into_iter().map(|index| index.name).collect()
}

fn expected(mirror: &Mirror, fields: &[&str]) -> BTreeSet<String> {
    let of = |field: &&str| FieldAs::ALL.map(|reading| field_index::name(mirror.db.dialect(), field, reading));
    fields.iter().flat_map(of).collect()
}

async fn many(mirror: &Mirror) {
    let rows = (0..4_000_i64).map(|number| {
        let day = NEW_YEAR.plus_ms(number * 86_400_000).to_datetime().format("%Y-%m-%d").to_string();
        let value = match number % 3 {
            0 => json!(format!("Word {number}")),
            1 => json!(format!("{number}.5")),
            _ => json!(day),
        };
        mirror.row(&format!("p{number}"), json!({ FIELD: value }))
    });
    mirror.put_all(rows).await;
}

/// How the database says that it will read the first part of a page.
async fn plan(mirror: &Mirror, predicate: Option<&Predicate>, order: &[Order], page: &Page) -> String {
    let queries = mirror.reader.profile_queries(predicate, order, page).await.unwrap();
    let backend = mirror.db.primary().get_database_backend();
    let Statement { sql, values, .. } = queries[0].clone().limit(51).build(backend);
    let explain = if mirror.db.dialect() == Dialect::Sqlite { "EXPLAIN QUERY PLAN" } else { "EXPLAIN" };
    let values = values.map(|values| values.0).unwrap_or_default();
    let statement = Statement::from_sql_and_values(backend, format!("{explain} {sql}"), values);
    // On SQLite by the connection that made the indexes: others learn of them with the next statement that they carry
    // out, and one that is only explained is not.
    let rows = mirror.db.writer().query_all_raw(statement).await.unwrap();
    let column = if mirror.db.dialect() == Dialect::Sqlite { 3 } else { 0 };
    rows.iter().map(|row| row.try_get_by_index::<String>(column).unwrap()).collect::<Vec<_>>().join("\n")
}

both!(indexes_come_and_go_with_the_configuration, |database| {
    let mirror = Mirror::new(&database).await;
    mirror.put(mirror.row("p", json!({ "a": "x", FIELD: "y" }))).await;
    index(&mirror, &["a", FIELD]).await;
    assert_eq!(names(&mirror).await, expected(&mirror, &["a", FIELD]));
    index(&mirror, &[FIELD, "b"]).await;
    assert_eq!(names(&mirror).await, expected(&mirror, &[FIELD, "b"]));
    tokio::join!(index(&mirror, &["c"]), index(&mirror, &["c"]));
    assert_eq!(names(&mirror).await, expected(&mirror, &["c"]), "two instances do not get into each other's way");
    if database.dialect == Dialect::Postgres {
        let broken = field_index::name(Dialect::Postgres, "c", FieldAs::Text);
        let spoil = format!("UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{broken}'::regclass");
        mirror.db.writer().execute_unprepared(&spoil).await.unwrap();
        index(&mirror, &["c"]).await;
        assert_eq!(names(&mirror).await, expected(&mirror, &["c"]), "one that was not made to its end is made again");
    }
    index(&mirror, &[]).await;
    assert_eq!(names(&mirror).await, BTreeSet::new());
});

both!(queries_use_the_indexes_of_fields, |database| {
    let mirror = Mirror::new(&database).await;
    many(&mirror).await;
    index(&mirror, &[FIELD]).await;
    let name = |reading| field_index::name(mirror.db.dialect(), FIELD, reading);
    let page = Page { limit: Limit::First(50), after: None, before: None };
    let filters = [
        (FieldAs::Text, FieldTest::Text(TextTest::Equals("Word 300".to_owned()))),
        (FieldAs::Text, FieldTest::Text(TextTest::In(vec!["Word 300".to_owned(), "Word 303".to_owned()]))),
        (FieldAs::Text, FieldTest::Text(TextTest::StartsWith("wOrd 30".to_owned()))),
        (FieldAs::Number, FieldTest::Number(NumberTest::In(vec![301.5]))),
        (FieldAs::Number, FieldTest::Number(NumberTest::Below(40.0))),
        (FieldAs::Date, FieldTest::Date { from: Some(NEW_YEAR), until: Some(NEW_YEAR.plus_ms(10 * 86_400_000)) }),
    ];
    for (reading, test) in filters {
        let predicate = Predicate::Field(FIELD.to_owned(), test);
        let plan = plan(&mirror, Some(&predicate), &[], &page).await;
        assert!(plan.contains(&name(reading)), "{predicate:?}\n{plan}");
    }
    for reading in FieldAs::ALL {
        for is_descending in [false, true] {
            let order = [Order { key: SortKey::Field(FIELD.to_owned(), reading), is_descending }];
            let rows = mirror.reader.profiles(None, &order, &page).await.unwrap().rows;
            let after = Page { after: rows.last().map(|row| Place::of(row, &order)), ..page.clone() };
            for page in [&page, &after] {
                let plan = plan(&mirror, None, &order, page).await;
                assert!(plan.contains(&name(reading)), "{order:?}\n{plan}");
                assert!(!plan.contains("TEMP B-TREE") && !plan.contains("Sort"), "{order:?} is sorted\n{plan}");
            }
        }
    }
});

both!(a_page_is_made_of_a_stretch_of_an_index_alone_where_few_are_in_it_and_the_planner_cannot_know, |database| {
    let mirror = Mirror::new(&database).await;
    many(&mirror).await;
    index(&mirror, &[FIELD]).await;
    let page = Page { limit: Limit::First(50), after: None, before: None };
    let is_narrowed = async |start: &str| {
        let predicate = Predicate::Field(FIELD.to_owned(), FieldTest::Text(TextTest::StartsWith(start.to_owned())));
        let queries = mirror.reader.profile_queries(Some(&predicate), &[], &page).await.unwrap();
        let found = mirror.reader.profiles(Some(&predicate), &[], &page).await.unwrap().rows.len();
        (queries[0].clone().build(mirror.db.primary().get_database_backend()).sql.contains("ANY (ARRAY"), found)
    };
    let is_blind = database.dialect == Dialect::Postgres;
    assert_eq!(is_narrowed("word 30").await, (is_blind, 39));
    assert_eq!(is_narrowed("").await, (false, 50), "4,000 are many");
});

both!(a_page_of_a_source_a_type_or_a_status_reads_little_more_than_itself, |database| {
    let mirror = Mirror::new(&database).await;
    let people = mirror.profile_type("people").await;
    let firms = mirror.profile_type("firms").await;
    let small = mirror.source("small").await;
    let rows = (0..8_000_i64).map(|number| {
        let mut row = mirror.row(&format!("p{number}"), json!({}));
        row.profile_type_id = Some(if number % 1_000 == 999 { firms } else { people });
        row.display_name = Some(format!("name {:05}", number * 7_919 % 8_000));
        row.status = if number % 2 == 0 { Status::Closed } else { Status::Open };
        // Those of one source lie together.
        if number >= 7_990 {
            row.source_id = small;
            row.status = Status::ScheduledForDeletion;
            row.scheduled_for = Some(NEW_YEAR);
        }
        row
    });
    mirror.put_all(rows).await;
    if database.dialect == Dialect::Postgres {
        mirror.db.writer().execute_unprepared("ANALYZE profile").await.unwrap();
    }
    let equals = |text: &str| TextTest::Equals(text.to_owned());
    let page = Page { limit: Limit::First(50), after: None, before: None };
    let by_id = Vec::new();
    let by_name = vec![Order { key: SortKey::DisplayName, is_descending: false }];
    // The index that is walked through, whether the page is sorted, and how many are on it.
    let (large, little) = (false, true);
    for (predicate, order, index, is_sorted, count) in [
        (Predicate::Source(equals("crm")), &by_id, "profile_of_source", large, 50),
        (Predicate::Source(equals("small")), &by_id, "profile_of_source", large, 10),
        (Predicate::Source(equals("crm")), &by_name, "profile_display_name", large, 50),
        (Predicate::Source(equals("small")), &by_name, "profile_", little, 10),
        (Predicate::Type(equals("people")), &by_id, "profile_of_type", large, 50),
        (Predicate::Type(equals("people")), &by_name, "profile_display_name", large, 50),
        (Predicate::Type(equals("firms")), &by_name, "profile_of_type", little, 8),
        (Predicate::Status(vec![Status::Closed]), &by_id, "profile_lifecycle", large, 50),
        (Predicate::Status(vec![Status::Closed]), &by_name, "profile_display_name", large, 50),
        (Predicate::Status(vec![Status::ScheduledForDeletion]), &by_name, "profile_lifecycle", little, 10),
        (Predicate::OverdueSince(NEW_YEAR.plus_ms(1)), &by_name, "profile_lifecycle", little, 10),
    ] {
        let plan = plan(&mirror, Some(&predicate), order, &page).await;
        // PostgreSQL knows that nearly all are of the large ones, and need not look for them.
        let is_free = database.dialect == Dialect::Postgres && !is_sorted;
        assert!(is_free || plan.contains(index), "{predicate:?} by {order:?}\n{plan}");
        let sorts = ["TEMP B-TREE FOR ORDER BY", "Sort"].iter().any(|sort| plan.contains(sort));
        assert_eq!(sorts, is_sorted, "{predicate:?} by {order:?}\n{plan}");
        let rows = mirror.reader.profiles(Some(&predicate), order, &page).await.unwrap().rows;
        assert_eq!(rows.len(), count, "{predicate:?} by {order:?}");
    }
    let both = Predicate::All(vec![Predicate::Source(equals("crm")), Predicate::Type(equals("firms"))]);
    let found = plan(&mirror, Some(&both), &by_id, &page).await;
    assert!(found.contains("profile_of_type"), "the smaller one is looked up first\n{found}");
    for number in [Predicate::Source(equals("crm")), both.clone()] {
        let counted = mirror.reader.count_profiles(Some(&number)).await.unwrap();
        assert_eq!(counted, if number == both { 7 } else { 7_990 });
    }
    if database.dialect == Dialect::Sqlite {
        let by_external_id = vec![Order { key: SortKey::ExternalId, is_descending: true }];
        let found = plan(&mirror, Some(&Predicate::Source(equals("crm"))), &by_external_id, &page).await;
        assert!(found.contains("profile_external_id") && !found.contains("TEMP B-TREE"), "{found}");
        let few = |test| Predicate::All(vec![Predicate::Source(equals("crm")), test]);
        let without_index = few(Predicate::Text(TextColumn::DisplayName, TextTest::Contains("e 00007".to_owned())));
        let found = plan(&mirror, Some(&without_index), &by_name, &page).await;
        assert!(found.contains("(source_id=?"), "few may pass\n{found}");
        let wide = Predicate::Time { column: TimeColumn::CreatedAt, from: Some(NEW_YEAR), until: None };
        let wide = Predicate::All(vec![Predicate::Source(equals("small")), wide]);
        let found = plan(&mirror, Some(&wide), &by_name, &page).await;
        assert!(found.contains("(source_id=?"), "all may be in the stretch\n{found}");
        let either = Predicate::Any(vec![Predicate::Source(equals("small")), Predicate::Source(equals("small"))]);
        let found = plan(&mirror, Some(&either), &by_name, &page).await;
        assert!(found.contains("(source_id=?"), "{found}");
        // Behind a place: of two bounds on ids SQLite begins at the first.
        let rows = mirror.reader.profiles(Some(&Predicate::Source(equals("crm"))), &by_id, &page).await.unwrap().rows;
        let after = Page { after: rows.last().map(|row| Place::of(row, &by_id)), ..page.clone() };
        let crm = Predicate::Source(equals("crm"));
        let queries = mirror.reader.profile_queries(Some(&crm), &by_id, &after).await.unwrap();
        let sql = queries[0].clone().build(mirror.db.primary().get_database_backend()).sql;
        let place = |part: &str| sql.find(part).unwrap_or_else(|| panic!("{part} in {sql}"));
        assert!(place("\"id\" >= ?") < place("\"id\" > (0)"), "{sql}");
    }
    let id = Predicate::Text(TextColumn::ExternalId, equals("p7"));
    for predicate in [id.clone(), Predicate::All(vec![id, Predicate::Source(equals("crm"))])] {
        let found = plan(&mirror, Some(&predicate), &by_name, &page).await;
        assert!(found.contains("profile_external_id"), "{predicate:?}\n{found}");
        assert_eq!(mirror.reader.profiles(Some(&predicate), &by_name, &page).await.unwrap().rows.len(), 1);
    }
});

/// How often the database has planned pages anew of ten with these filters.
async fn planned_anew(mirror: &Mirror, predicates: impl Iterator<Item = Predicate>) -> i64 {
    let transaction = mirror.db.begin().await.unwrap();
    // As for readers.
    transaction.execute_unprepared("SET LOCAL random_page_cost = 1.1").await.unwrap();
    let page = Page { limit: Limit::First(50), after: None, before: None };
    let mut sql = String::new();
    for predicate in predicates.take(10) {
        let queries = mirror.reader.profile_queries(Some(&predicate), &[], &page).await.unwrap();
        let mut statement = queries[0].clone().build(transaction.get_database_backend());
        statement.sql.push_str(" LIMIT 51");
        sql.clone_from(&statement.sql);
        // What is the same in all pages stands in the text; how much dearer it is bound depends on how many rows there are.
        let bound = statement.values.iter().flat_map(|values| &values.0);
        assert!(!bound.into_iter().any(|value| matches!(value, sea_orm::Value::Bool(_))), "{statement}");
        assert_eq!(transaction.query_all_raw(statement).await.unwrap().len(), 1, "{predicate:?}");
    }
    let asked = "SELECT custom_plans FROM pg_prepared_statements WHERE statement = $1";
    let asked = Statement::from_sql_and_values(transaction.get_database_backend(), asked, [sql.into()]);
    transaction.query_one_raw(asked).await.unwrap().unwrap().try_get_by_index(0).unwrap()
}

#[test]
fn postgres_plans_pages_of_one_shape_once() {
    run_on(Dialect::Postgres, async |database| {
        let mirror = Mirror::new(&database).await;
        many(&mirror).await;
        index(&mirror, &[FIELD]).await;
        let of_field = |test| Predicate::Field(FIELD.to_owned(), FieldTest::Text(test));
        let word = |number: usize| format!("Word {}", 3_000 + 3 * number);
        let words = |number| Predicate::Search(Sought::read(&word(number)).unwrap());
        // It tries with the values five times.
        assert_eq!(planned_anew(&mirror, (0..).map(|number| of_field(TextTest::Equals(word(number))))).await, 5);
        assert_eq!(planned_anew(&mirror, (0..).map(words)).await, 5);
    });
}

both!(addresses_and_names_are_found_by_how_they_start, |database| {
    let mirror = Mirror::new(&database).await;
    mirror
        .put_all((0..4_000).map(|number| {
            let mut row = mirror.row(&format!("p{number}"), json!({}));
            row.email = Some(format!("Person{number}@example.com"));
            row
        }))
        .await;
    index(&mirror, &[FIELD]).await;
    let test = TextTest::StartsWith("person39".to_owned());
    let predicate = Predicate::Text(TextColumn::Email, test);
    let page = Page { limit: Limit::First(50), after: None, before: None };
    let plan = plan(&mirror, Some(&predicate), &[], &page).await;
    assert!(plan.contains("profile_email_folded"), "{plan}");
    assert_eq!(mirror.reader.count_profiles(Some(&predicate)).await.unwrap(), 111);
});

both!(an_answer_tells_which_tests_no_index_serves, |database| {
    let app = TestApp::builder(&database)
        .profiles(5)
        .configure(|config| config.sources[0].filterable = vec!["p_email".to_owned()])
        .start()
        .await;
    let wait = async {
        while field_index::list(app.database().primary()).await.unwrap().len() < FieldAs::ALL.len() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), wait).await.expect("the indexes in time");
    let city = "field: [{ name: \"p_city\", text: { eq: \"x\" } }]";
    for (arguments, expected) in [
        ("filter: { field: [{ name: \"p_email\", text: { eq: \"x\" } }] }".to_owned(), Value::Null),
        (format!("filter: {{ {city} }}"), json!(["field p_city"])),
        (format!("filter: {{ {city}, email: {{ eq: \"x\" }} }}"), Value::Null),
        (
            format!("filter: {{ or: [{{ {city} }}, {{ email: {{ contains: \"x\" }} }}] }}"),
            json!(["email", "field p_city"]),
        ),
        ("filter: { subprofile: { some: {} } }".to_owned(), json!(["subprofile"])),
        ("orderBy: { fieldName: \"p_city\" }".to_owned(), json!(["order p_city"])),
        ("orderBy: { fieldName: \"p_email\", direction: DESC }".to_owned(), Value::Null),
    ] {
        let query = format!("{{ profiles(first: 1, {arguments}) {{ nodes {{ id }} }} }}");
        let (status, answer) = app.client().answer(&query, Value::Null).await;
        assert_eq!(status, 200, "{answer}");
        assert_eq!(answer["extensions"]["unindexed"], expected, "{arguments}");
    }
    app.finish_apart_from_world().await;
});
