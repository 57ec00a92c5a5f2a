//! The fields that the configuration names have indexes, queries use them, and other filters are told of.

use super::mirror::{Mirror, NEW_YEAR};
use crate::support::app::TestApp;
use crate::support::both;
use crate::support::place::run_on;
use profile_mirror::apply::Indexer;
use profile_mirror::db::fields::FieldAs;
use profile_mirror::db::{Dialect, field_index};
use profile_mirror::mirror::read::{
    FieldTest, Limit, NumberTest, Order, Page, Place, Predicate, SortKey, Sought, TextTest,
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
    let predicate = Predicate::Text(profile_mirror::mirror::read::TextColumn::Email, test);
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
