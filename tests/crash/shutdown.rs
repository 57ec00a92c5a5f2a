//! A clean stop.

use super::{assert_equals_world, assert_log_is_whole, drain, is_acknowledged, is_ready, make_things_happen};
use crate::support::binary::Setup;
use crate::support::{both, world};
use std::time::Duration;

both!(a_stop_loses_nothing_and_ends_in_time, |database| {
    let simulator = world::start(7, 0).await;
    let setup = Setup::new(&simulator, &database);
    let db = database.connect().await;
    let mut program = setup.start(None);
    assert!(is_ready(&program).await);
    let webhooks = make_things_happen(&simulator, 0);
    for webhook in &webhooks {
        assert!(is_acknowledged(&simulator, &program, webhook).await);
    }
    program.terminate();
    let death = program.death(Duration::from_secs(10)).await;
    assert!(death.is_some_and(|status| status.success()), "it ends by itself: {death:?}");

    let _program = setup.start(None);
    drain(&db).await;
    assert_equals_world(&db, &simulator).await;
    assert_log_is_whole(&db).await;
    db.close().await.unwrap();
});
