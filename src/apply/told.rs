//! What readers were last told of a profile beside its fields and interests.
//!
//! Whatever differs from it goes with the profile's next change, so that the log alone can lead back to any earlier
//! state, whichever rule moved an attribute.

use super::content::attribute;
use entity::{ChangeKind, Moment, ProfileKind, Status, profile};
use provider::InterestSeen;
use sea_orm::ActiveEnum;
use serde_json::{Value, json};

/// Whether a change tells the values that it takes away. An erasure's does not: nothing may be written of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Values {
    Told,
    Untold,
}

/// The attributes of a profile as they were last told; nothing of one that was never known.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Told {
    status: Option<Status>,
    status_since: Option<Moment>,
    scheduled_for: Option<Moment>,
    upstream_status: Option<String>,
    profile_type_id: Option<i32>,
    kind: Option<ProfileKind>,
    name: Option<String>,
    display_name: Option<String>,
    email: Option<String>,
    created_at: Option<Moment>,
}

impl Told {
    /// What is told of a stored profile; nothing of a placeholder.
    pub fn of(row: &profile::Model) -> Self {
        if !row.is_known {
            return Self::default();
        }
        Self {
            status: Some(row.status),
            status_since: row.status_since,
            scheduled_for: row.scheduled_for,
            upstream_status: row.upstream_status.clone(),
            profile_type_id: row.profile_type_id,
            kind: Some(row.kind),
            name: row.upstream_name.clone(),
            display_name: row.display_name.clone(),
            email: row.email.clone(),
            created_at: row.created_at,
        }
    }

    /// Takes the provider's word for the status as told, though no change tells it.
    pub fn take_upstream_status(&mut self, row: &profile::Model) {
        self.upstream_status.clone_from(&row.upstream_status);
    }

    /// What a change of this kind tells; from then on the row is what was told. `type_name` names profile types by row.
    pub fn tell(
        &mut self,
        row: &profile::Model,
        kind: ChangeKind,
        type_name: impl Fn(i32) -> Option<String>,
    ) -> Vec<Value> {
        let before = std::mem::replace(self, Self::of(row));
        let after = &*self;
        let mut told = Vec::new();
        if before.status != after.status {
            let word = |status: Option<Status>| json!(status.map(status_word));
            told.push(attribute("status", word(before.status), word(after.status)));
        }
        if kind == ChangeKind::Anonymized {
            return told;
        }
        let mut differs = |name: &str, before: Value, after: Value| {
            if before != after {
                told.push(attribute(name, before, after));
            }
        };
        differs("statusSince", time(before.status_since), time(after.status_since));
        differs("scheduledFor", time(before.scheduled_for), time(after.scheduled_for));
        differs("upstreamStatus", json!(before.upstream_status), json!(after.upstream_status));
        differs("kind", json!(before.kind.map(kind_word)), json!(after.kind.map(kind_word)));
        differs("name", json!(before.name), json!(after.name));
        differs("displayName", json!(before.display_name), json!(after.display_name));
        differs("email", json!(before.email), json!(after.email));
        differs("createdAt", time(before.created_at), time(after.created_at));
        if before.profile_type_id != after.profile_type_id {
            let ids = (before.profile_type_id, after.profile_type_id);
            told.push(named_row("type", ids, type_name));
        }
        told
    }
}

/// Attributes that follow from a field or from another attribute.
const FOLLOWING: [&str; 4] = ["statusSince", "kind", "displayName", "email"];

/// Names of what a change tells, but for the attributes that only follow.
pub(super) fn names(changed: &Value) -> impl Iterator<Item = &str> {
    let is_following = |part: &Value, name: &str| part.get("attribute").is_some() && FOLLOWING.contains(&name);
    let parts = changed.as_array().into_iter().flatten();
    parts.filter_map(move |part| {
        let name = part.get("name").and_then(Value::as_str)?;
        (!is_following(part, name)).then_some(name)
    })
}

/// A difference in which row is meant: its name for people, its key for whoever follows the log back.
pub(super) fn named_row(
    name: &str,
    (before, after): (Option<i32>, Option<i32>),
    name_of: impl Fn(i32) -> Option<String>,
) -> Value {
    let mut told = attribute(name, json!(before.and_then(&name_of)), json!(after.and_then(&name_of)));
    for (key, id) in [("beforeId", before), ("afterId", after)] {
        if let Some(id) = id {
            told[key] = Value::from(id);
        }
    }
    told
}

/// A difference in interests, which are told whole.
pub(super) fn interests(before: &[InterestSeen], after: &[InterestSeen]) -> Value {
    attribute("interests", json!(before), json!(after))
}

/// A moment as readers see it.
pub(super) fn time(at: Option<Moment>) -> Value {
    json!(at.map(|at| at.to_datetime().to_rfc3339_opts(chrono::SecondsFormat::Millis, true)))
}

fn status_word(status: Status) -> String {
    status.to_value().to_ascii_uppercase()
}

fn kind_word(kind: ProfileKind) -> String {
    kind.to_value().to_ascii_uppercase()
}
