//! What PostgreSQL's planner is told of tables that grow.

use crate::support::both;
use profile_mirror::db::{Database, Dialect, statistics};
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// What the planner takes a table to hold; -1 where nobody has told it.
async fn rows(db: &Database, table: &str) -> f32 {
    let asked = format!("SELECT reltuples FROM pg_class WHERE oid = '{table}'::regclass");
    let row = db.writer().query_one_raw(Statement::from_string(DbBackend::Postgres, asked)).await.unwrap().unwrap();
    row.try_get_by_index(0).unwrap()
}

both!(the_planner_is_told_of_a_table_that_has_outgrown_what_it_knows, |database| {
    let db = database.connect().await;
    let stop = CancellationToken::new();
    if database.dialect == Dialect::Sqlite {
        let nothing_to_do = statistics::run(db.clone(), stop);
        tokio::time::timeout(Duration::from_secs(10), nothing_to_do).await.expect("SQLite plans well without");
        return;
    }
    for (table, count) in [("\"Grown\"", 5_000), ("little", 10)] {
        let filled = format!("CREATE TABLE {table} AS SELECT id FROM generate_series(1, {count}) id");
        db.writer().execute_unprepared(&filled).await.unwrap();
        assert!(rows(&db, table).await < 0.0, "autovacuum was faster than this test");
    }
    let gathering = tokio::spawn(statistics::run(db.clone(), stop.clone()));
    let grows_to = async |count: f32| {
        let told = async {
            while rows(&db, "\"Grown\"").await < count {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), told).await.expect("the planner is told");
    };
    grows_to(5_000.0).await;
    db.writer().execute_unprepared("INSERT INTO \"Grown\" SELECT generate_series(1, 7000)").await.unwrap();
    grows_to(12_000.0).await;
    assert!(rows(&db, "little").await < 0.0, "a small table is left alone");
    stop.cancel();
    gathering.await.unwrap();
});
