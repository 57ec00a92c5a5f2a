//! A client and a server that are cut at any moment. Acceptance 23.

use super::{assert_log_is_whole, drain, is_acknowledged, make_things_happen};
use crate::support::binary::Setup;
use crate::support::view::View;
use crate::support::{both, world};
use serde_json::json;

both!(a_client_that_was_cut_by_kills_shows_what_one_shows_that_never_was, |database| {
    let simulator = world::start(7, 0).await;
    let setup = Setup::new(&simulator, &database);
    let db = database.connect().await;
    let open = json!({ "status": { "eq": "OPEN" } });
    let mut cut = View::of(open.clone());
    for round in 0..4 {
        let program = setup.start(None);
        for webhook in make_things_happen(&simulator, round) {
            assert!(is_acknowledged(&simulator, &program, &webhook).await);
        }
        // Whatever it takes next is lost with the process, and with the client's socket.
        cut.take_some(program.address, 3 + round).await;
        drop(program);
    }
    let program = setup.start(None);
    drain(&db).await;
    cut.catch_up(program.address).await;
    let mut whole = View::of(open);
    whole.catch_up(program.address).await;
    assert_eq!(cut.shown, whole.shown);
    assert!(!whole.shown.is_empty());
    assert_log_is_whole(&db).await;
    db.close().await.unwrap();
});
