//! Filters and orders on filterable fields, sources, types and statuses, and search, over a small and a large mirror: a page
//! of 50 must not cost more than twice as much where there are a hundred times as many profiles, and as many of them are
//! found or the index has them in the order of the page. Also how long the indexes take to be made.
//!
//! Knobs: `FILTERS_SMALL` (10,000 profiles), `FILTERS_LARGE` (1,000,000), `FILTERS_ROUNDS` (200), `BENCH_DATABASE` (`sqlite`, or
//! `postgres` on a server of its own).

mod support;

use anyhow::ensure;
use entity::Status;
use profile_mirror::apply::Indexer;
use profile_mirror::db::fields::FieldAs;
use profile_mirror::db::{self, Database, Dialect};
use profile_mirror::mirror::read::{
    FieldTest, Limit, NumberTest, Order, Page, Predicate, Reader, SortKey, Sought, TextColumn, TextTest,
};
use sea_orm::ConnectionTrait;
use std::time::Instant;
use support::databases::Databases;
use support::place;
use support::report::{is_asked_for, knob, median, round};
use tokio_util::sync::CancellationToken;

/// Profiles whose values differ from row to row as those of people do.
const ROWS_OF_SQLITE: &str = "
    WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < COUNT)
    INSERT INTO profile (source_id, profile_type_id, external_id, is_known, kind, display_name, email, status,
        status_position, fields, mirrored_at, version_rung, version_from, version_until, position, row_hash, revision)
    SELECT GROUPS, 'p' || n, 1, 'individual', 'Person Number' || n, 'person' || n || '@example.com', STATUS, 0,
        json_object('p_email', 'person' || n || '@example.com', 'p_country', 'C' || (n * 7919 % 50),
            'p_amount', (n * 7919 % COUNT) || '.50', 'p_born', date('1950-01-01', '+' || (n * 7919 % 20000) || ' days'),
            'p_note', 'nothing that anybody looks for stands here', 'p_city', 'City' || (n * 7919 % 3000)),
        0, 'event_time', 0, 0, 0, 0, 0
    FROM number";

/// The same.
const ROWS_OF_POSTGRES: &str = "
    INSERT INTO profile (source_id, profile_type_id, external_id, is_known, kind, display_name, email, status,
        status_position, fields, mirrored_at, version_rung, version_from, version_until, position, row_hash, revision)
    SELECT GROUPS, 'p' || n, true, 'individual', 'Person Number' || n, 'person' || n || '@example.com', STATUS, 0,
        jsonb_build_object('p_email', 'person' || n || '@example.com', 'p_country', 'C' || (n * 7919 % 50),
            'p_amount', (n * 7919 % COUNT) || '.50', 'p_born', (date '1950-01-01' + (n * 7919 % 20000)::int)::text,
            'p_note', 'nothing that anybody looks for stands here', 'p_city', 'City' || (n * 7919 % 3000)),
        0, 'event_time', 0, 0, 0, 0, 0
    FROM generate_series(1, COUNT::bigint) AS n";

const FIELDS: [&str; 4] = ["p_email", "p_country", "p_amount", "p_born"];

const SOURCES: &str = "INSERT INTO source (id, name, provider, created_at)
    VALUES (1, 'crm', 'parallel', 0), (2, 'small', 'parallel', 0)";
const TYPES: &str = "INSERT INTO profile_type (id, source_id, external_id, name, kind, has_metadata, mirrored_at)
    VALUES (1, 1, 'people', 'people', 'individual', true, 0), (2, 1, 'firms', 'firms', 'company', true, 0)";

/// The last fifty are of the small source, 200 are firms.
const GROUPS: &str = "CASE WHEN n > COUNT - 50 THEN 2 ELSE 1 END, CASE WHEN n % (COUNT / 200) = 0 THEN 2 ELSE 1 END";
/// A tenth is closed, a hundred are scheduled for deletion.
const STATUS: &str =
    "CASE WHEN n % (COUNT / 100) = 1 THEN 'scheduled_for_deletion' WHEN n % 10 = 0 THEN 'closed' ELSE 'open' END";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    if !is_asked_for() {
        return Ok(());
    }
    let (small, large) = (knob("FILTERS_SMALL", 10_000_u64), knob("FILTERS_LARGE", 1_000_000_u64));
    let folder = place::fresh()?;
    let mut databases = Databases::asked_for(folder.path())?;
    let (first, second) = tokio::task::block_in_place(|| (databases.make("small"), databases.make("large")));
    let small = measure(&first, small).await?;
    let large = measure(&second, large).await?;
    let dialect = databases.dialect;
    println!("{:<34} {:>10} {:>10} {:>7}", format!("a page of 50, ms (median), {dialect}"), "small", "large", "ratio");
    for ((what, small), (_, large)) in small.iter().zip(&large) {
        println!("{what:<34} {:>10} {:>10} {:>7}", round(*small), round(*large), round(large / small));
    }
    Ok(())
}

async fn measure(url: &str, profiles: u64) -> anyhow::Result<Vec<(String, f64)>> {
    let db = db::connect(url, None).await?;
    db.migrate().await?;
    db.writer().execute_unprepared(SOURCES).await?;
    db.writer().execute_unprepared(TYPES).await?;
    let rows = match db.dialect() {
        Dialect::Sqlite => ROWS_OF_SQLITE,
        Dialect::Postgres => ROWS_OF_POSTGRES,
    };
    let rows = rows.replace("GROUPS", GROUPS).replace("STATUS", STATUS).replace("COUNT", &profiles.to_string());
    db.writer().execute_unprepared(&rows).await?;
    println!("{profiles} profiles");
    index(&db, &[], "the words of all").await;
    for (place, field) in FIELDS.iter().enumerate() {
        index(&db, &FIELDS[..=place], &format!("three indexes of {field}")).await;
    }
    let reader = Reader::new(db.clone());
    let mut medians = Vec::new();
    for (what, predicate, order) in questions(profiles)? {
        let page = Page { limit: Limit::First(50), after: None, before: None };
        let mut times = Vec::new();
        for _ in 0..knob("FILTERS_ROUNDS", 200) {
            let begun = Instant::now();
            let found = reader.profiles(predicate.as_ref(), &order, &page).await?;
            times.push(begun.elapsed().as_secs_f64() * 1000.0);
            ensure!(!found.rows.is_empty(), "{what} finds something");
        }
        medians.push((what.to_owned(), median(&times)));
    }
    db.close().await?;
    Ok(medians)
}

async fn index(db: &Database, fields: &[&str], what: &str) {
    let begun = Instant::now();
    let fields = fields.iter().map(|field| (*field).to_owned());
    Indexer::new(db.clone(), fields).run(CancellationToken::new()).await;
    println!("  {what}: {} s, pauses included", round(begun.elapsed().as_secs_f64()));
}

type Question = (&'static str, Option<Predicate>, Vec<Order>);

fn questions(profiles: u64) -> anyhow::Result<Vec<Question>> {
    let field = |name: &str, test| Some(Predicate::Field(name.to_owned(), test));
    let text = |test| FieldTest::Text(test);
    let by = |name: &str, reading, is_descending| {
        vec![Order { key: SortKey::Field(name.to_owned(), reading), is_descending }]
    };
    let named = |name: &str| TextTest::Equals(name.to_owned());
    let source = |name: &str| Some(Predicate::Source(named(name)));
    let kind = |name: &str| Some(Predicate::Type(named(name)));
    let small_of_large = Predicate::All(vec![Predicate::Source(named("crm")), Predicate::Type(named("firms"))]);
    let scheduled = Predicate::Status(vec![Status::ScheduledForDeletion]);
    let by_name = vec![Order { key: SortKey::DisplayName, is_descending: false }];
    let middle = f64::from(u32::try_from(profiles / 2)?);
    let name = format!("person{}", profiles / 2);
    let email = format!("{name}@example.com");
    Ok(vec![
        ("e-mail equals", field("p_email", text(TextTest::Equals(email.clone()))), vec![]),
        ("e-mail is one of two", field("p_email", text(TextTest::In(vec![email, "x".to_owned()]))), vec![]),
        ("e-mail starts with", field("p_email", text(TextTest::StartsWith(name))), vec![]),
        // Finds a hundredth of all, which have to be brought into the order of the page.
        (
            "e-mail of a hundredth starts with",
            field("p_email", text(TextTest::StartsWith("person42".to_owned()))),
            vec![],
        ),
        ("one of 50 countries", field("p_country", text(TextTest::Equals("C7".to_owned()))), vec![]),
        (
            "amount is above, by amount",
            field("p_amount", FieldTest::Number(NumberTest::Above(middle))),
            by("p_amount", FieldAs::Number, false),
        ),
        (
            "amount of fifty is above",
            field("p_amount", FieldTest::Number(NumberTest::Above(f64::from(u32::try_from(profiles - 50)?)))),
            vec![],
        ),
        ("amount equals", field("p_amount", FieldTest::Number(NumberTest::In(vec![middle + 0.5]))), vec![]),
        ("youngest first", None, by("p_born", FieldAs::Date, true)),
        ("by e-mail", None, by("p_email", FieldAs::Text, false)),
        ("of a source", source("crm"), vec![]),
        ("of a source, by name", source("crm"), by_name.clone()),
        ("of a small source, by name", source("small"), by_name.clone()),
        ("of a type", kind("people"), vec![]),
        ("of a type, by name", kind("people"), by_name.clone()),
        ("of a small type of a source", Some(small_of_large), vec![]),
        ("closed", Some(Predicate::Status(vec![Status::Closed])), vec![]),
        ("scheduled for deletion, by name", Some(scheduled), by_name),
        ("by external id", Some(Predicate::Text(TextColumn::ExternalId, named("p77"))), vec![]),
        ("search for a word", Some(Predicate::Search(Sought::read(&format!("number{}", profiles / 2))?)), vec![]),
        ("search for a word of a hundredth", Some(Predicate::Search(Sought::read("number42")?)), vec![]),
    ])
}
