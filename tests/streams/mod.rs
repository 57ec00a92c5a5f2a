//! Subscriptions: each change once, in order, with no gap. Acceptance 18 to 20.

mod cursors;
mod ends;
mod past;
mod server_events;
mod typed;
mod views;
mod writers;

use crate::support::socket::Subscription;
use serde_json::Value;

/// Every change of every source.
pub const CHANGES: &str = "subscription ($after: Cursor) {
  profileChanges(after: $after) {
    __typename
    ... on ProfileChange { cursor change { id kind recordId source { name } } }
    ... on CaughtUp { cursor }
  }
}";

/// The changes that a subscription brings, without the other events, until there are so many.
pub async fn take_changes(subscription: &mut Subscription, count: usize) -> Vec<Value> {
    let mut changes = Vec::with_capacity(count);
    while changes.len() < count {
        let event = subscription.next().await["profileChanges"].take();
        match event["__typename"].as_str() {
            Some("ProfileChange") => changes.push(event),
            Some("CaughtUp") => {}
            _ => panic!("{event}"),
        }
    }
    changes
}

/// The cursor of *caught up*, which a subscription from now on brings first.
pub async fn first_cursor(subscription: &mut Subscription) -> Value {
    let event = subscription.next().await["profileChanges"].take();
    assert_eq!(event["__typename"], "CaughtUp");
    event["cursor"].clone()
}

/// (source, id) of a change.
pub fn key(change: &Value) -> (String, String) {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    (text(&change["change"]["source"]["name"]), text(&change["change"]["id"]))
}
