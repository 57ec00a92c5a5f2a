//! A clean stop.

use super::{assert_equals_world, assert_log_is_whole, drain, is_acknowledged, is_ready, make_things_happen};
use crate::support::binary::Setup;
use crate::support::{both, world};
use entity::{Moment, source_state};
use sea_orm::EntityTrait;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

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
    let death = program.death(Duration::from_secs(30)).await;
    assert!(death.is_some_and(|status| status.success()), "it ends by itself: {death:?}");

    let _program = setup.start(None);
    drain(&db).await;
    assert_equals_world(&db, &simulator).await;
    assert_log_is_whole(&db).await;
    db.close().await.unwrap();
});

both!(a_client_that_stalls_keeps_no_lease_held, |database| {
    let simulator = world::start(7, 0).await;
    let setup = Setup::new(&simulator, &database);
    let db = database.connect().await;
    let mut program = setup.start(None);
    assert!(is_ready(&program).await);
    let leases = async || -> Vec<Moment> {
        let states = source_state::Entity::find().all(db.primary()).await.unwrap();
        states.into_iter().map(|state| state.lease_until).collect()
    };
    while leases().await.contains(&Moment(0)) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut stalled = TcpStream::connect(program.address).await.unwrap();
    let half =
        "POST /webhooks/crm HTTP/1.1\r\nhost: mirror\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{";
    stalled.write_all(half.as_bytes()).await.unwrap();
    stalled.flush().await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;

    program.terminate();
    assert!(program.death(Duration::from_secs(30)).await.is_some_and(|status| status.success()));
    assert_eq!(leases().await, [Moment(0); 3], "another instance need not wait for them");
    db.close().await.unwrap();
});
