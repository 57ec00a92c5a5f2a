//! Migrations: up, twice at once, down.

use crate::support::{both, place};
use migration::{Migrator, MigratorTrait};

both!(nothing_is_pending_after_a_start, |database| {
    let connected = database.connect().await;
    assert_eq!(connected.pending_migrations().await.unwrap(), Vec::<String>::new());
    connected.migrate().await.expect("a second run does nothing");
});

both!(two_processes_that_migrate_at_once_both_succeed, |database| {
    let database = tokio::task::spawn_blocking(move || place::without_schema(database.dialect)).await.unwrap();
    let first = profile_mirror::db::connect(&database.url, None).await.unwrap();
    let second = profile_mirror::db::connect(&database.url, None).await.unwrap();
    let (one, two) = tokio::join!(first.migrate(), second.migrate());
    one.expect("the first");
    two.expect("the second");
    assert_eq!(second.pending_migrations().await.unwrap(), Vec::<String>::new());
    first.close().await.unwrap();
    second.close().await.unwrap();
});

both!(every_migration_goes_down_and_up_again, |database| {
    let connected = database.connect().await;
    Migrator::down(connected.writer(), None).await.expect("down");
    assert_eq!(connected.pending_migrations().await.unwrap().len(), Migrator::migrations().len());
    connected.migrate().await.expect("up again");
});
