//! A client that folds a filtered subscription: what it shows after a snapshot, changes, and profiles that left.

use super::app::READER;
use super::socket::Subscription;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

const VIEW: &str = "subscription ($filter: ProfileFilter, $after: Cursor) {
  profileChanges(filter: $filter, after: $after, snapshot: true) {
    __typename
    ... on ProfileSnapshot { cursor profile { id status displayName fields { name value } } }
    ... on ProfileChange { cursor change { id } profile { id status displayName fields { name value } } }
    ... on ProfileLeft { cursor id change { id } }
    ... on CaughtUp { cursor }
  }
}";

/// A profile with its fields by name: their own order is the type's, which may be learnt later than the profile.
pub fn in_order(profile: &Value) -> Value {
    let mut profile = profile.clone();
    if let Some(fields) = profile["fields"].as_array_mut() {
        fields.sort_by_key(|field| field["name"].to_string());
    }
    profile
}

/// A client's view of the profiles that pass a filter.
pub struct View {
    /// The filter.
    pub filter: Value,
    cursor: Value,
    /// What it shows, by id.
    pub shown: BTreeMap<String, Value>,
    /// Profiles that snapshots brought.
    pub in_snapshot: usize,
    /// Profiles that left.
    pub left: usize,
    changes: BTreeSet<String>,
}

impl View {
    /// A view that shows nothing yet.
    pub fn of(filter: Value) -> Self {
        Self { filter, cursor: Value::Null, shown: BTreeMap::new(), in_snapshot: 0, left: 0, changes: BTreeSet::new() }
    }

    async fn open(&self, address: SocketAddr) -> Subscription {
        Subscription::open(address, READER, VIEW, json!({ "filter": self.filter, "after": self.cursor })).await
    }

    /// Takes an event; true of *caught up*.
    fn take(&mut self, event: &Value) -> bool {
        let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{event}")).to_owned();
        let kind = text(&event["__typename"]);
        if matches!(kind.as_str(), "ProfileChange" | "ProfileLeft") {
            assert!(self.changes.insert(text(&event["change"]["id"])), "twice: {event}");
        }
        match kind.as_str() {
            "ProfileSnapshot" => {
                let id = text(&event["profile"]["id"]);
                assert!(self.shown.insert(id, in_order(&event["profile"])).is_none(), "twice: {event}");
                self.in_snapshot += 1;
            }
            "ProfileChange" => {
                self.shown.insert(text(&event["profile"]["id"]), in_order(&event["profile"]));
            }
            "ProfileLeft" => {
                self.left += 1;
                self.shown.remove(&text(&event["id"]));
            }
            "CaughtUp" => {}
            _ => panic!("{event}"),
        }
        self.cursor = event["cursor"].clone();
        kind == "CaughtUp"
    }

    /// Goes on where it was, takes so many events, and is cut.
    pub async fn take_some(&mut self, address: SocketAddr, count: usize) {
        let mut subscription = self.open(address).await;
        for _ in 0..count {
            self.take(&subscription.next().await["profileChanges"]);
        }
    }

    /// Goes on where it was until it has caught up, and is cut.
    pub async fn catch_up(&mut self, address: SocketAddr) {
        let mut subscription = self.open(address).await;
        while !self.take(&subscription.next().await["profileChanges"]) {}
    }
}
