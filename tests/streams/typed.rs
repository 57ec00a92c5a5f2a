//! Values are shown by the definitions of their fields, which may come after them.

use super::{first_cursor, take_changes};
use crate::support::app::{READER, TestApp};
use crate::support::both;
use crate::support::socket::Subscription;
use serde_json::{Value, json};

const VALUES: &str = "subscription {
  profileChanges {
    __typename
    ... on ProfileChange { change { kind } profile { fields(names: [\"age\"]) { value } } }
    ... on CaughtUp { cursor }
  }
}";

both!(who_was_told_of_a_profile_before_its_type_was_known_is_told_of_it_again, |database| {
    let app = TestApp::builder(&database).start().await;
    let mut stream = Subscription::open(app.address(), READER, VALUES, json!({})).await;
    first_cursor(&mut stream).await;
    let metadata = app.simulator.pause_next("/database");
    app.simulator.copernica().create_profile("People", &[("firstname", "Ann"), ("age", "41")]).unwrap();
    app.send().await;

    let kind_and_age =
        |change: &Value| (change["change"]["kind"].clone(), change["profile"]["fields"][0]["value"].clone());
    let first = take_changes(&mut stream, 1).await;
    assert_eq!(kind_and_age(&first[0]), (json!("CREATED"), json!("41")), "as upstream wrote it");
    metadata.reached().await;
    metadata.release();
    let second = take_changes(&mut stream, 1).await;
    assert_eq!(kind_and_age(&second[0]), (json!("UPDATED"), json!(41)), "as its type has it");
    app.finish_apart_from_world().await;
});
