//! What Copernica's deliveries tell of a profile or subprofile: webhooks about it (those on mailings too, which
//! mostly name its address), answers by id, rows of lists.

use super::{decode, wire};
use crate::redact::{self, Entries, Raw, elements};
use crate::{Delivery, DeliveryKind, Redacted, Subjects, Target, json};
use serde_json::{Map, Value};

/// Words in quotes that are taken for ids in a body that cannot be read.
const MAX_WORDS: usize = 200;

pub(super) fn names(delivery: &Delivery<'_>) -> Subjects {
    let mut subjects = Subjects::default();
    match delivery.target {
        Some(Target::Profile { id }) => drop(subjects.profiles.insert(id.clone())),
        Some(Target::Subprofile { id }) => drop(subjects.subprofiles.insert(id.clone())),
        Some(Target::Metadata { .. } | Target::Ids { .. }) | None => {}
    }
    if delivery.kind != DeliveryKind::Webhook {
        return subjects;
    }
    match decode::read_body(delivery) {
        Ok(event) => {
            let (profile, subprofile) = subjects_of(&event);
            subjects.profiles.extend(profile);
            subjects.subprofiles.extend(subprofile);
        }
        Err(_) => {
            subjects.profiles.extend(pairs(delivery.body, "profile"));
            subjects.subprofiles.extend(pairs(delivery.body, "subprofile"));
            subjects.profiles.extend(redact::quoted(delivery.body, MAX_WORDS));
        }
    }
    subjects
}

fn subjects_of(event: &Map<String, Value>) -> (Option<String>, Option<String>) {
    (wire::id(event.get("profile")), wire::id(event.get("subprofile")))
}

/// Values under a name in a form that nests too deep or contradicts itself.
fn pairs(body: &[u8], name: &str) -> Vec<String> {
    let pairs: Vec<(String, String)> = serde_urlencoded::from_bytes(body).unwrap_or_default();
    pairs.into_iter().filter(|(key, _)| key == name).map(|(_, value)| value).take(MAX_WORDS).collect()
}

pub(super) fn redact(delivery: &Delivery<'_>, subjects: &Subjects) -> Redacted {
    if delivery.body.is_empty() {
        return Redacted::Untouched;
    }
    let is_asked_for = match delivery.target {
        Some(Target::Profile { id }) => subjects.profiles.contains(id),
        Some(Target::Subprofile { id }) => subjects.subprofiles.contains(id),
        Some(Target::Metadata { .. } | Target::Ids { .. }) | None => false,
    };
    if is_asked_for {
        return Redacted::Nothing;
    }
    let is_one = |(profile, subprofile): (Option<String>, Option<String>)| {
        profile.is_some_and(|id| subjects.profiles.contains(&id))
            || subprofile.is_some_and(|id| subjects.subprofiles.contains(&id))
    };
    match delivery.kind {
        DeliveryKind::Webhook => match decode::read_body(delivery) {
            Ok(event) if !is_one(subjects_of(&event)) => Redacted::Untouched,
            Ok(_) | Err(_) => Redacted::Nothing,
        },
        DeliveryKind::Fetch => {
            // A subprofile names its profile.
            let answer = json::read_object(delivery.body).ok();
            let is_subprofile = matches!(delivery.target, Some(Target::Subprofile { .. }));
            let profile = answer.as_ref().filter(|_| is_subprofile).and_then(|answer| wire::id(answer.get("profile")));
            if is_one((profile, None)) { Redacted::Nothing } else { Redacted::Untouched }
        }
        DeliveryKind::Page => {
            let stream = delivery.page.map(|page| page.stream.as_str()).unwrap_or_default();
            let lists_subprofiles = stream.ends_with("/subprofiles");
            if !lists_subprofiles && !stream.ends_with("/profiles") {
                return Redacted::Untouched;
            }
            redact::cut_json(delivery.body, |root, cuts| {
                for row in rows(root) {
                    let Some(object) = Entries::read(row) else { continue };
                    let own = object.id("ID").or_else(|| object.id("id"));
                    let parent = object.id("profile");
                    let found = if lists_subprofiles { (parent.clone(), own.clone()) } else { (own.clone(), None) };
                    if is_one(found) {
                        let mut left = Map::new();
                        left.extend(own.map(|id| ("ID".to_owned(), Value::String(id))));
                        let parent = parent.filter(|_| lists_subprofiles);
                        left.extend(parent.map(|id| ("profile".to_owned(), Value::String(id))));
                        cuts.replace(row, Value::Object(left).to_string());
                    }
                }
            })
        }
    }
}

/// The rows of a list: under `data`, or a bare list.
fn rows(root: Raw<'_>) -> Vec<Raw<'_>> {
    elements(root).unwrap_or_else(|| {
        let data = Entries::read(root).map(|envelope| envelope.all("data").collect::<Vec<_>>()).unwrap_or_default();
        data.into_iter().filter_map(elements).flatten().collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Call, Page};
    use serde_json::json;

    fn subjects(profile: &str, subprofile: &str) -> Subjects {
        Subjects { profiles: [profile.to_owned()].into(), subprofiles: [subprofile.to_owned()].into() }
    }

    fn webhook(body: &[u8]) -> Delivery<'_> {
        let media_type = "application/x-www-form-urlencoded";
        Delivery { kind: DeliveryKind::Webhook, media_type, body, target: None, page: None, is_missing: false }
    }

    #[test]
    fn a_webhook_goes_whole_where_it_is_about_one_of_them() {
        let one = subjects("7", "9");
        assert_eq!(redact(&webhook(b"type=update&profile=7&fields[name]=Ann"), &one), Redacted::Nothing);
        assert_eq!(redact(&webhook(b"type=update&profile=8&subprofile=9&fields[x]=1"), &one), Redacted::Nothing);
        assert_eq!(redact(&webhook(b"type=update&profile=9&fields[name]=Bob"), &one), Redacted::Untouched);
        assert_eq!(redact(&webhook(b"type=click&profile=7&recipient=ann%40a.example"), &one), Redacted::Nothing);
    }

    #[test]
    fn a_mailing_event_names_its_profile() {
        assert!(names(&webhook(b"type=open&profile=7")).profiles.contains("7"));
        assert!(names(&webhook(b"profile=7&a=1&a[b]=2")).profiles.contains("7"));
    }

    #[test]
    fn rows_go_from_lists_of_their_kind_alone() {
        let body = json!({"data": [{"ID": "7", "profile": "1", "fields": {"a": "x"}}, {"ID": "9", "profile": "2"}]});
        let text = body.to_string();
        let page = |stream: &str| -> Page {
            let call = Call::get("/");
            serde_json::from_value(json!({"stream": stream, "number": 0, "after": "", "call": call})).unwrap()
        };
        let cut = |stream: &str, subjects: &Subjects| {
            let page = page(stream);
            let delivery = Delivery {
                kind: DeliveryKind::Page,
                media_type: "application/json",
                body: text.as_bytes(),
                target: None,
                page: Some(&page),
                is_missing: false,
            };
            match redact(&delivery, subjects) {
                Redacted::Slice(kept) => serde_json::from_slice(&kept).unwrap(),
                Redacted::Untouched => body.clone(),
                Redacted::Nothing => Value::Null,
            }
        };
        assert_eq!(cut("database/1/profiles", &subjects("7", "9"))["data"][0], json!({"ID": "7"}));
        assert_eq!(cut("database/1/profiles", &subjects("7", "9"))["data"][1], body["data"][1]);
        assert_eq!(cut("collection/1/subprofiles", &subjects("2", "7"))["data"][0], json!({"ID": "7", "profile": "1"}));
        assert_eq!(cut("collection/1/subprofiles", &subjects("2", "0"))["data"][1], json!({"ID": "9", "profile": "2"}));
        assert_eq!(cut("database/1/fields", &subjects("7", "9")), body);
    }
}
