//! What Parallel's deliveries tell of a profile: events about it, its rows in lists, and its name in the
//! relationships of others.

use crate::redact::{self, Cuts, Entries, Raw, elements};
use crate::{Delivery, DeliveryKind, Redacted, Subjects, Target, json};
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
            let of_rows = body.get("items").and_then(Value::as_array).into_iter().flatten();
            subjects.profiles.extend(of_rows.chain([&body]).flat_map(|row| {
                let others = row.get("relationships").and_then(Value::as_array).into_iter().flatten();
                let others = others.filter_map(|other| json::id(other.get("profile").and_then(|it| it.get("id"))));
                let own = [row.get("profileId"), row.get("id")];
                own.into_iter().filter_map(json::id).chain(others).collect::<Vec<_>>()
            }));
        }
        Err(_) => subjects.profiles.extend(redact::quoted(delivery.body, MAX_WORDS)),
    }
    subjects
}

pub(super) fn redact(delivery: &Delivery<'_>, subjects: &Subjects) -> Redacted {
    if delivery.body.is_empty() {
        return Redacted::Untouched;
    }
    let is_asked_for = matches!(delivery.target, Some(Target::Profile { id }) if subjects.profiles.contains(id));
    if is_asked_for || (delivery.kind == DeliveryKind::Webhook && is_event_about(delivery.body, subjects)) {
        return Redacted::Nothing;
    }
    redact::cut_json(delivery.body, |root, cuts| cut(root, subjects, cuts))
}

fn is_event_about(body: &[u8], subjects: &Subjects) -> bool {
    let event = json::read_object(body).ok();
    event.and_then(|event| json::id(event.get("profileId"))).is_some_and(|id| subjects.profiles.contains(&id))
}

/// Leaves of every profile object in question its id, and takes the relationships with it out of the lists of others.
fn cut(value: Raw<'_>, subjects: &Subjects, cuts: &mut Cuts<'_>) {
    if let Some(elements) = elements(value) {
        elements.into_iter().for_each(|element| cut(element, subjects, cuts));
        return;
    }
    let Some(object) = Entries::read(value) else { return };
    if let Some(id) = object.id("id").filter(|id| subjects.profiles.contains(id)) {
        if !is_emptied(&object) {
            cuts.replace(value, serde_json::json!({ "id": id }).to_string());
        }
        return;
    }
    for list in object.all("relationships") {
        cut_relationships(list, subjects, cuts);
    }
    for inner in object.values() {
        if object.all("relationships").any(|list| std::ptr::eq(list, inner)) {
            continue;
        }
        cut(inner, subjects, cuts);
    }
}

fn cut_relationships(list: Raw<'_>, subjects: &Subjects, cuts: &mut Cuts<'_>) {
    let Some(rows) = elements(list) else { return };
    let names_one = |row: &Raw<'_>| {
        let other = Entries::read(row).and_then(|row| Entries::read(row.get("profile")?)?.id("id"));
        other.is_some_and(|id| subjects.profiles.contains(&id))
    };
    let (gone, kept): (Vec<Raw<'_>>, Vec<Raw<'_>>) = rows.into_iter().partition(names_one);
    if !gone.is_empty() {
        let kept: Vec<&str> = kept.into_iter().map(|row| row.get()).collect();
        cuts.replace(list, format!("[{}]", kept.join(",")));
    }
}

/// A profile that upstream has emptied itself and still lists: there is nothing to take out of every page that does.
fn is_emptied(object: &Entries<'_>) -> bool {
    let parsed = |key: &'static str| -> Vec<Value> {
        object.all(key).map(|value| serde_json::from_str(value.get()).unwrap_or_default()).collect()
    };
    let is_blank = |value: &Value| match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        _ => false,
    };
    let has_no_value = |field: &Value| field.get("value").is_none_or(Value::is_null);
    let names = parsed("name").iter().all(|name| match name {
        Value::Object(locales) => locales.values().all(is_blank),
        other => is_blank(other),
    });
    let values = parsed("values").iter().all(|values| match values {
        Value::Object(values) => values.values().all(Value::is_null),
        other => other.is_null(),
    });
    let fields = parsed("fields").iter().all(|fields| match fields {
        Value::Array(fields) => fields.iter().all(has_no_value),
        other => other.is_null(),
    });
    const TOLD: [&str; 14] = [
        "id",
        "name",
        "status",
        "profileType",
        "profileTypeId",
        "createdAt",
        "updatedAt",
        "closedAt",
        "anonymizedAt",
        "values",
        "fields",
        "relationships",
        "subscribers",
        "deletionScheduledAt",
    ];
    let mut lists = parsed("relationships").into_iter().chain(parsed("subscribers"));
    let lists = lists.all(|list| list.as_array().is_none_or(Vec::is_empty));
    names && values && fields && lists && object.keys().all(|key| TOLD.contains(&key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn delivery<'a>(kind: DeliveryKind, body: &'a [u8], target: Option<&'a Target>) -> Delivery<'a> {
        Delivery { kind, media_type: "application/json", body, target, page: None, is_missing: false }
    }

    fn one(id: &str) -> Subjects {
        Subjects { profiles: [id.to_owned()].into(), ..Subjects::default() }
    }

    #[test]
    fn a_page_loses_the_slice_and_the_name_in_others() {
        let page = json!({"items": [
            {"id": "a", "name": "Ann", "fields": [{"field": {"id": "f"}, "value": {"content": {"value": "x"}}}]},
            {"id": "b", "name": "Bob", "relationships": [
                {"id": "r1", "profile": {"id": "a", "name": "Ann"}},
                {"id": "r2", "profile": {"id": "c", "name": "Cleo"}},
            ]},
        ], "totalCount": 2})
        .to_string();
        let Redacted::Slice(kept) = redact(&delivery(DeliveryKind::Page, page.as_bytes(), None), &one("a")) else {
            panic!("a slice")
        };
        let kept: Value = serde_json::from_slice(&kept).unwrap();
        let rows = json!([
            {"id": "a"},
            {"id": "b", "name": "Bob", "relationships": [{"id": "r2", "profile": {"id": "c", "name": "Cleo"}}]},
        ]);
        assert_eq!(kept, json!({"items": rows, "totalCount": 2}));
        let again = kept.to_string();
        assert_eq!(redact(&delivery(DeliveryKind::Page, again.as_bytes(), None), &one("a")), Redacted::Untouched);
    }

    #[test]
    fn what_is_about_the_profile_alone_goes_whole() {
        let event = br#"{"id":"e1","profileId":"a","type":"PROFILE_UPDATED","data":{"note":"Ann"}}"#;
        assert_eq!(redact(&delivery(DeliveryKind::Webhook, event, None), &one("a")), Redacted::Nothing);
        assert_eq!(redact(&delivery(DeliveryKind::Webhook, event, None), &one("b")), Redacted::Untouched);
        let target = Target::Profile { id: "a".to_owned() };
        let fetch = br#"{"id":"a","name":"Ann"}"#;
        assert_eq!(redact(&delivery(DeliveryKind::Fetch, fetch, Some(&target)), &one("a")), Redacted::Nothing);
        assert_eq!(redact(&delivery(DeliveryKind::Webhook, b"{\"profileId\":\"a", None), &one("a")), Redacted::Nothing);
    }

    #[test]
    fn an_emptied_row_is_left_alone() {
        let row = json!({"id": "a", "name": "", "status": "CLOSED", "values": {"p": null},
            "fields": [{"field": {"id": "f"}, "value": null}], "relationships": []});
        let page = json!({"items": [row], "totalCount": 1}).to_string();
        assert_eq!(redact(&delivery(DeliveryKind::Page, page.as_bytes(), None), &one("a")), Redacted::Untouched);
    }

    #[test]
    fn ids_are_found_in_bodies_that_nothing_is_observed_in() {
        let event =
            delivery(DeliveryKind::Webhook, br#"{"id":"e1","profileId":"a","type":"PROFILE_ANONYMIZED"}"#, None);
        assert!(names(&event).profiles.contains("a"));
        let cut = delivery(DeliveryKind::Webhook, br#"{"id":"e1","profileId":"a","type":"PROF"#, None);
        assert!(names(&cut).profiles.contains("a"));
    }
}
