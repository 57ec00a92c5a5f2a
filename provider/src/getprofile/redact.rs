//! What GetProfile's deliveries tell of a profile: events about it, answers by its id, its rows in a search.

use super::wire;
use crate::redact::{self, Entries, elements};
use crate::{Delivery, Redacted, Subjects, Target, json};
use serde_json::Value;

/// Words in quotes that are taken for ids in a body that cannot be read.
const MAX_WORDS: usize = 200;

pub(super) fn names(delivery: &Delivery<'_>) -> Subjects {
    let mut subjects = Subjects::default();
    if let Some(Target::Profile { id }) = delivery.target {
        subjects.profiles.insert(id.clone());
    }
    match json::read(delivery.body) {
        Ok(body) => {
            let rows = body.get("profiles").and_then(Value::as_array).into_iter().flatten();
            let rows = rows.chain([&body]).filter_map(wire::profile_id);
            subjects.profiles.extend(rows.chain(event_profile(&body)));
        }
        Err(_) => subjects.profiles.extend(redact::quoted(delivery.body, MAX_WORDS)),
    }
    subjects
}

fn event_profile(event: &Value) -> Option<String> {
    json::id(event.get("data")?.get("profile_id"))
}

pub(super) fn redact(delivery: &Delivery<'_>, subjects: &Subjects) -> Redacted {
    if delivery.body.is_empty() {
        return Redacted::Untouched;
    }
    let is_one = |id: Option<String>| id.is_some_and(|id| subjects.profiles.contains(&id));
    let is_asked_for = matches!(delivery.target, Some(Target::Profile { id }) if subjects.profiles.contains(id));
    let is_about = |body: Value| is_one(event_profile(&body)) || is_one(wire::profile_id(&body));
    if is_asked_for || json::read(delivery.body).is_ok_and(is_about) {
        return Redacted::Nothing;
    }
    redact::cut_json(delivery.body, |root, cuts| {
        let lists = Entries::read(root).map(|answer| answer.all("profiles").collect::<Vec<_>>()).unwrap_or_default();
        for row in lists.into_iter().filter_map(elements).flatten() {
            let id = serde_json::from_str(row.get()).ok().and_then(|row: Value| wire::profile_id(&row));
            if let Some(id) = id.filter(|id| subjects.profiles.contains(id)) {
                cuts.replace(row, serde_json::json!({ "profile_id": id }).to_string());
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DeliveryKind;
    use serde_json::json;

    fn redacted(kind: DeliveryKind, body: &Value, target: Option<&Target>) -> Redacted {
        let body = body.to_string();
        let subjects = Subjects { profiles: ["a".to_owned()].into(), ..Subjects::default() };
        let delivery = Delivery {
            kind,
            media_type: "application/json",
            body: body.as_bytes(),
            target,
            page: None,
            is_missing: false,
        };
        redact(&delivery, &subjects)
    }

    #[test]
    fn a_search_loses_the_row() {
        let page = json!({"profiles": [
            {"profile_id": "a", "core_info": {"name": {"value": "Ann"}}},
            {"profile": {"profile_id": "b", "core_info": {"name": {"value": "Bob"}}}},
        ], "total": 2});
        let expected = json!({"profiles": [{"profile_id": "a"}, page["profiles"][1]], "total": 2});
        let other = Target::Profile { id: "b".to_owned() };
        for (kind, target) in [(DeliveryKind::Page, None), (DeliveryKind::Fetch, Some(&other))] {
            let Redacted::Slice(kept) = redacted(kind, &page, target) else { panic!("a slice") };
            assert_eq!(serde_json::from_slice::<Value>(&kept).unwrap(), expected);
        }
    }

    #[test]
    fn events_and_answers_about_it_go_whole() {
        let event = json!({"event": "profile.updated", "tenant_id": "t", "data": {"profile_id": "a"}});
        assert_eq!(redacted(DeliveryKind::Webhook, &event, None), Redacted::Nothing);
        let target = Target::Profile { id: "a".to_owned() };
        assert_eq!(redacted(DeliveryKind::Fetch, &json!({"x": "Ann"}), Some(&target)), Redacted::Nothing);
        let answer = json!({"profile": {"profile_id": "a", "core_info": {}}});
        assert_eq!(redacted(DeliveryKind::Fetch, &answer, None), Redacted::Nothing);
    }
}
