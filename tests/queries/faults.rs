//! What a client is told of a fault that is ours.

use crate::support::app::{ADMIN, TestApp};
use crate::support::binary::Setup;
use crate::support::graphql::Client;
use crate::support::server_events::ServerEvents;
use crate::support::socket::{Subscription, Told};
use crate::support::{both, world};
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

/// The number in the message of an answer's one error.
fn number_of(answer: &Value) -> String {
    assert_eq!(answer["errors"][0]["extensions"]["code"], "INTERNAL_SERVER_ERROR", "{answer:#}");
    let message = answer["errors"][0]["message"].as_str().expect("a message");
    message.strip_prefix("internal error ").expect("a number").to_owned()
}

both!(a_fault_of_ours_tells_a_number_and_nothing_of_the_inside, |database| {
    let app = TestApp::imported(&database).await;
    app.database().writer().execute_unprepared("DROP TABLE profile_interest").await.unwrap();
    let document = "{ profiles(first: 1) { nodes { externalId interests { name } } } }";
    let (status, answer) = app.client().answer(document, json!({})).await;
    assert_eq!(status, 200);
    let error = &answer["errors"][0];
    assert_eq!(error["path"][0], "profiles", "{answer:#}");
    let number = number_of(&answer);
    assert!(number.len() == 8 && number.bytes().all(|byte| byte.is_ascii_hexdigit()), "{number}");
    assert!(!answer.to_string().contains("profile_interest"), "{answer:#}");
    app.finish_apart_from_world().await;
});

both!(the_log_has_the_number_of_a_fault_and_its_cause_whatever_carried_the_answer, |database| {
    let simulator = world::start(7, 0).await;
    let setup = Setup::new(&simulator, &database);
    let db = database.connect().await;
    let program = setup.start(None);
    db.writer().execute_unprepared("DROP TABLE profile_interest").await.unwrap();
    let document = "{ profiles(first: 1, filter: { interest: { has: \"chess\" } }) { nodes { externalId } } }";

    let (_, over_http) = Client::new(program.address, Some(ADMIN)).answer(document, json!({})).await;
    let request = json!({ "query": document });
    let over_events = ServerEvents::open(program.address, ADMIN, &request).await.only().await;
    let over_socket = match Subscription::open(program.address, ADMIN, document, json!({})).await.told().await {
        Told::Error(answer) => answer,
        other => panic!("expected an error, got {other:?}"),
    };

    let log = setup.log_text();
    let lines: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    for answer in [over_http, over_events, over_socket] {
        let number = number_of(&answer);
        let of_it: Vec<_> = lines.iter().filter(|line| line["id"] == number.as_str()).collect();
        assert_eq!(of_it.len(), 1, "{number} in {log}");
        assert_eq!(of_it[0]["level"], "ERROR");
        let cause = of_it[0]["error"].as_str().expect("the cause");
        assert!(cause.contains("profile_interest"), "what the database said, and not only what was read: {cause}");
    }
    drop(program);
    db.close().await.unwrap();
});
