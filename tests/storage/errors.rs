//! Whose fault an error is: the database's, or that of what was to be written.

use crate::support::app::TestApp;
use crate::support::{both, place};
use entity::{DeliveryState, delivery};
use profile_mirror::db::{self, Dialect, dialect};
use sea_orm::{ConnectionTrait, EntityTrait, QueryOrder};
use std::time::Duration;

const POSTGRES: [(&str, bool); 13] = [
    ("08006", true),
    ("25006", true),
    ("25P03", true),
    ("40001", true),
    ("40P01", true),
    ("53100", true),
    ("55P03", true),
    ("57014", true),
    ("58030", true),
    ("22001", false),
    ("23505", false),
    ("55000", false),
    ("P0001", false),
];

async fn of_the_database(statement: &str, connection: &impl ConnectionTrait) -> bool {
    let error = connection.execute_unprepared(statement).await.expect_err(statement);
    dialect::is_of_the_database(&error)
}

both!(errors_of_the_database_are_told_by_their_codes, |database| {
    let connected = database.connect().await;
    match database.dialect {
        Dialect::Postgres => {
            for (code, expected) in POSTGRES {
                // The words would say otherwise: they are not what counts.
                let says = if expected { "a bad value" } else { "no connection to the disk" };
                let raise = format!("DO $$ BEGIN RAISE EXCEPTION '{says}' USING ERRCODE = '{code}'; END $$");
                assert_eq!(of_the_database(&raise, connected.writer()).await, expected, "{code}");
            }
            let slow = "SET statement_timeout = 10; SELECT pg_sleep(5)";
            assert!(of_the_database(slow, connected.writer()).await, "it was cancelled");
        }
        Dialect::Sqlite => {
            let wrong = "INSERT INTO source (id, name) VALUES (NULL, NULL)";
            assert!(!of_the_database(wrong, connected.writer()).await, "a constraint");
            assert!(!of_the_database("a connection to the disk I/O", connected.writer()).await, "no SQL");
            assert!(of_the_database("DELETE FROM delivery", connected.reader()).await, "read only");
            let other = db::connect(&database.url, None).await.unwrap();
            let holding = other.begin().await.unwrap();
            connected.writer().execute_unprepared("PRAGMA busy_timeout = 10").await.unwrap();
            assert!(of_the_database("DELETE FROM delivery", connected.writer()).await, "busy");
            holding.rollback().await.unwrap();
            connected.writer().execute_unprepared("PRAGMA max_page_count = 1").await.unwrap();
            let fill = "CREATE TABLE filling AS SELECT zeroblob(1000000) AS bytes";
            assert!(of_the_database(fill, connected.writer()).await, "full");
            other.close().await.unwrap();
        }
    }
    connected.close().await.unwrap();
});

/// Makes the disk full for apply alone. The sequence counts its tries: it is not rolled back.
const FILL: [&str; 3] = [
    "CREATE SEQUENCE tries",
    "CREATE FUNCTION fill() RETURNS trigger LANGUAGE plpgsql AS \
     $$ BEGIN PERFORM nextval('tries'); RAISE EXCEPTION 'no room' USING ERRCODE = '53100'; END $$",
    "CREATE TRIGGER fill BEFORE INSERT ON change FOR EACH ROW EXECUTE FUNCTION fill()",
];

#[test]
fn a_full_disk_is_no_fault_of_a_delivery() {
    place::run_on(Dialect::Postgres, async |database| {
        let app = TestApp::imported(&database).await;
        let writer = app.database().writer();
        for statement in FILL {
            writer.execute_unprepared(statement).await.unwrap();
        }
        let copernica = app.simulator.copernica();
        copernica.create_profile("People", &[("email", "full@example.com")]).unwrap();
        app.send().await;
        let tries = sea_orm::Statement::from_string(sea_orm::DbBackend::Postgres, "SELECT last_value FROM tries");
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        while writer.query_one_raw(tries.clone()).await.unwrap().unwrap().try_get_by_index::<i64>(0).unwrap() < 3 {
            assert!(tokio::time::Instant::now() < deadline, "it is tried again and again");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let newest = delivery::Entity::find().order_by_desc(delivery::Column::Id);
        let newest = newest.one(app.database().primary()).await.unwrap().expect("a delivery");
        assert_eq!((newest.state, newest.attempts), (DeliveryState::Pending, 0));

        writer.execute_unprepared("DROP TRIGGER fill ON change").await.unwrap();
        app.finish().await;
    });
}
