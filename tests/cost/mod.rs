//! What an answer costs.

use crate::support::app::TestApp;
use crate::support::both;
use async_graphql::{Request, Variables};
use futures::future::join_all;
use profile_mirror::clock::SystemClock;
use profile_mirror::config::Role;
use profile_mirror::mirror::read::Reader;
use profile_mirror::publish::Publisher;
use profile_mirror::serve::Viewer;
use profile_mirror::serve::graphql::{self, Schema};
use serde_json::json;
use std::sync::Arc;

const PAGE: &str = "query ($first: Int!) {
  profiles(first: $first) { nodes {
    displayName status
    type { name }
    fields { name value definition { label } }
    interests { group name }
    lifecycle { history { to } }
    subprofiles(first: 5) { nodes { collection { name } fields { name text } } }
    relationships(first: 5) { nodes { type { name } from { profile { displayName } } to { profile { displayName } } } }
    history(last: 3) { nodes { kind } }
  } }
}";

async fn statements(schema: &Schema, reader: &Reader, first: i32) -> u64 {
    let before = reader.statements();
    let viewer = Viewer { name: "test".into(), role: Role::Admin };
    let variables = Variables::from_json(json!({ "first": first }));
    let answer = schema.execute(Request::new(PAGE).variables(variables).data(viewer)).await;
    assert!(answer.errors.is_empty(), "{:?}", answer.errors);
    let data = answer.data.into_json().unwrap();
    assert_eq!(data["profiles"]["nodes"].as_array().unwrap().len(), usize::try_from(first).unwrap());
    reader.statements() - before
}

both!(a_page_of_fifty_costs_as_many_statements_as_a_page_of_five, |database| {
    let app = TestApp::builder(&database).profiles(200).start().await;
    app.import_all().await;
    let reader = Reader::new(app.database().clone());
    let clock = Arc::new(SystemClock);
    let publisher = Publisher::new(app.database().clone(), clock.clone());
    let schema = graphql::schema(reader.clone(), publisher, clock);
    statements(&schema, &reader, 1).await;

    let few = statements(&schema, &reader, 5).await;
    let many = statements(&schema, &reader, 50).await;
    assert!(many <= few + 1 && many < 20, "five cost {few}, fifty cost {many}");

    let before = reader.statements();
    join_all((0..16).map(|_| statements(&schema, &reader, 50))).await;
    let together = reader.statements() - before;
    assert!(together <= 16 * many, "sixteen at once cost {together}, alone {many} each");
    app.finish().await;
});
