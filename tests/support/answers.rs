//! The mirror's picture from what the API answers: all pages of a source.

use super::graphql::Client;
use super::picture::{Content, Picture, ProfileShown};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const PROFILES: &str = "query ($source: String!, $after: String) {
  profiles(
    filter: { source: { eq: $source }, status: { in: [OPEN, CLOSED, SCHEDULED_FOR_DELETION, ANONYMIZED, DELETED] } }
    first: 25
    after: $after
  ) {
    pageInfo { hasNextPage endCursor }
    nodes {
      externalId status upstreamStatus displayName email
      type { externalId }
      fields { name value text }
      interests { group name }
      subprofiles(first: 100) {
        pageInfo { hasNextPage }
        nodes { externalId collection { externalId } fields { name value text } }
      }
      relationships(first: 100) {
        pageInfo { hasNextPage }
        nodes { type { externalId } from { externalId } to { externalId } }
      }
    }
  }
}";

/// The picture of a source as the API shows it. Plain values are compared as text: see [`Picture::readable`].
pub async fn picture(client: &Client, source: &str) -> Picture {
    let mut picture = Picture::default();
    let mut after = Value::Null;
    loop {
        let data = client.query(PROFILES, json!({ "source": source, "after": after })).await;
        let page = &data["profiles"];
        for node in page["nodes"].as_array().expect("nodes") {
            let shown = profile(node);
            assert!(picture.profiles.insert(text(&node["externalId"]), shown).is_none(), "a profile on two pages");
            for relationship in list(&node["relationships"]) {
                let end = |name: &str| text(&relationship[name]["externalId"]);
                picture.relationships.insert((end("type"), end("from"), end("to")));
            }
        }
        if page["pageInfo"]["hasNextPage"] != json!(true) {
            return picture;
        }
        after = page["pageInfo"]["endCursor"].clone();
    }
}

fn profile(node: &Value) -> ProfileShown {
    let status = text(&node["status"]);
    let is_gone = matches!(status.as_str(), "DELETED" | "ANONYMIZED");
    let interests = node["interests"].as_array().expect("interests");
    let subprofiles = list(&node["subprofiles"]).iter().map(|child| {
        let shown = (text(&child["collection"]["externalId"]), fields(&child["fields"]));
        (text(&child["externalId"]), shown)
    });
    let content = Content {
        profile_type: text(&node["type"]["externalId"]),
        upstream_status: optional(&node["upstreamStatus"]),
        fields: fields(&node["fields"]),
        interests: interests.iter().map(|seen| (optional(&seen["group"]), text(&seen["name"]))).collect(),
        subprofiles: subprofiles.collect(),
        name: optional(&node["displayName"]),
        email: optional(&node["email"]),
    };
    ProfileShown { status, content: (!is_gone).then_some(content) }
}

/// The nodes of a list that must fit on one page.
fn list(connection: &Value) -> &[Value] {
    assert_eq!(connection["pageInfo"]["hasNextPage"], json!(false), "more than a page of children");
    connection["nodes"].as_array().expect("nodes")
}

fn fields(answered: &Value) -> BTreeMap<String, Value> {
    let shown = |field: &Value| {
        let value = &field["value"];
        let shown = if value.is_array() || value.is_object() { value.clone() } else { field["text"].clone() };
        (text(&field["name"]), shown)
    };
    answered.as_array().expect("fields").iter().map(shown).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("expected text, got {value}")).to_owned()
}

fn optional(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}
