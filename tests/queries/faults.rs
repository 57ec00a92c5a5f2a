//! What a client is told of a fault that is ours.

use crate::support::app::TestApp;
use crate::support::both;
use sea_orm::ConnectionTrait;
use serde_json::json;

both!(a_fault_of_ours_tells_a_number_and_nothing_of_the_inside, |database| {
    let app = TestApp::imported(&database).await;
    app.database().writer().execute_unprepared("DROP TABLE profile_interest").await.unwrap();
    let document = "{ profiles(first: 1) { nodes { externalId interests { name } } } }";
    let (status, answer) = app.client().answer(document, json!({})).await;
    assert_eq!(status, 200);
    let error = &answer["errors"][0];
    assert_eq!(error["extensions"]["code"], "INTERNAL_SERVER_ERROR", "{answer:#}");
    assert_eq!(error["path"][0], "profiles", "{answer:#}");
    let number = error["message"].as_str().unwrap().strip_prefix("internal error ").expect("a number");
    assert!(number.len() == 8 && number.bytes().all(|byte| byte.is_ascii_hexdigit()), "{number}");
    assert!(!answer.to_string().contains("profile_interest"), "{answer:#}");
    app.finish_apart_from_world().await;
});
