use crate::bench::*;
use provider::*;
use serde_json::{Map, Value, json};

fn event(name: &str) -> Decoded {
    let body = fixture(&format!("parallel/{name}.json"));
    webhook(build("parallel", settings()).as_ref(), "application/json", &body).unwrap()
}

fn decode(body: &str) -> Result<Decoded, DecodeError> {
    webhook(build("parallel", settings()).as_ref(), "application/json", body.as_bytes())
}

#[test]
fn thin_events_are_hints() {
    for (name, creation) in [
        ("profile-created", true),
        ("profile-updated", false),
        ("profile-field-value-updated", false),
        ("profile-field-expiry-updated", false),
        ("profile-field-file-added", false),
        ("profile-field-file-removed", false),
        ("profile-field-value-monitored", false),
        ("profile-relationship-created", false),
        ("profile-relationship-removed", false),
        ("profile-shared", false),
    ] {
        let decoded = event(name);
        assert_eq!(decoded.event, Some(name.to_uppercase().replace('-', "_")));
        let Observation::Touched { profile, at, is_creation, delay_ms, .. } = only(decoded) else { panic!("{name}") };
        assert_eq!(
            (profile.as_str(), at, is_creation, delay_ms),
            ("prof1", Some(utc("2026-01-01T00:00:00Z")), creation, 0)
        );
    }
}

#[test]
fn lifecycle_events_are_transitions() {
    for (name, to, fetch) in [
        ("profile-closed", Status::Closed, true),
        ("profile-reopened", Status::Open, true),
        ("profile-scheduled-for-deletion", Status::ScheduledForDeletion, true),
        ("profile-anonymized", Status::Anonymized, false),
    ] {
        let Observation::Lifecycle(seen) = only(event(name)) else { panic!("{name}") };
        assert_eq!((seen.to, seen.fetch, seen.at), (to, fetch, utc("2026-01-01T00:00:00Z")));
        assert_eq!(seen.cause, name.to_uppercase().replace('-', "_"));
    }
}

#[test]
fn other_events_are_ignored_and_nameless_ones_are_errors() {
    assert!(event("petition-completed").ignored.is_some());
    assert!(decode("{}").unwrap().ignored.is_some());
    assert!(decode(r#"{"type":"PROFILE_TYPE_UPDATED"}"#).unwrap().ignored.is_some());
    assert!(decode(r#"{"type":"PROFILE_UPDATED"}"#).is_err());
    assert!(decode(r#"{"data":{}}"#).is_err());
    assert!(decode(r#"{"type":"PROFILE_ANONYMIZED","profileId":"p"}"#).is_err());
    assert!(decode("[]").is_err());
    assert!(matches!(
        only(decode(r#"{"type":"PROFILE_CLOSED","profileId":"p"}"#).unwrap()),
        Observation::Touched { .. }
    ));
}

#[test]
fn a_name_that_is_empty_is_told_and_one_that_is_left_out_is_not() {
    let provider = build("parallel", settings());
    let name = |name: &str| {
        let body = format!(r#"{{"id":"prof1","status":"OPEN"{name}}}"#);
        only_profile(fetched(provider.as_ref(), &profile("prof1"), body.as_bytes()).unwrap()).name
    };
    assert_eq!(name(r#","name":"Acme""#).as_deref(), Some("Acme"));
    for empty in [r#","name":"""#, r#","name":null"#, r#","name":{"en":""}"#] {
        assert_eq!(name(empty).as_deref(), Some(""), "{empty}");
    }
    assert_eq!(name(""), None);
    assert_eq!(name(r#","name":["Acme"]"#), None, "it cannot be read");
}

#[test]
fn a_fetched_profile_is_whole() {
    let provider = build("parallel", settings());
    let body = fixture("parallel/rest-profile.json");
    let seen = only_profile(fetched(provider.as_ref(), &profile("prof1"), &body).unwrap());
    assert_eq!(
        (seen.name.as_deref(), seen.status, seen.upstream_status.as_deref()),
        (Some("Acme"), Some(Status::Open), Some("OPEN"))
    );
    assert_eq!(seen.profile_type.as_deref(), Some("pt1"));
    assert_eq!(seen.version, Version::at(Rung::RequestStarted, 0));
    let expected = json!({
        "p_entity_name": "Acme",
        "f2": 12.5,
        "p_passport": {"filename": "a.pdf", "size": 3},
        "p_passport.expiresAt": "2027-01-01",
        "p_email": "info@acme.example",
    });
    assert_eq!(seen.fields.map(Value::Object), Some(expected));
    let (scope, relationships) = seen.relationships.unwrap();
    assert_eq!(scope, Scope::Complete);
    let ends: Vec<_> =
        relationships.iter().map(|seen| (seen.external_id.as_str(), seen.from.as_str(), seen.to.as_str())).collect();
    assert_eq!(ends, [("rel1", "prof1", "prof2"), ("rel2", "prof3", "prof1")]);
    assert_eq!(
        (relationships[0].type_name.as_str(), relationships[0].type_inverse_name.as_deref()),
        ("Parent", Some("Child"))
    );
    assert!(fetched(provider.as_ref(), &profile("other"), &body).is_err());
}

#[test]
fn an_unreadable_relationship_makes_the_list_partial() {
    let provider = build("parallel", settings());
    let mut body: Value = serde_json::from_slice(&fixture("parallel/rest-profile.json")).unwrap();
    body["relationships"][0]["profile"] = json!(null);
    let body = serde_json::to_vec(&body).unwrap();
    let seen = only_profile(fetched(provider.as_ref(), &profile("prof1"), &body).unwrap());
    let (scope, relationships) = seen.relationships.unwrap();
    assert_eq!((scope, relationships.len()), (Scope::Partial, 1));
}

#[test]
fn unknown_statuses_are_kept_as_words() {
    let provider = build("parallel", settings());
    let body = br#"{"id":"p","status":"FROZEN"}"#;
    let seen = only_profile(fetched(provider.as_ref(), &profile("p"), body).unwrap());
    assert_eq!((seen.status, seen.upstream_status.as_deref()), (None, Some("FROZEN")));
    assert_eq!((seen.fields, seen.relationships), (None, None));
    assert_eq!(fetched(provider.as_ref(), &profile("p"), body).unwrap().unknown, [Unknown::Status]);
    let known = br#"{"id":"p","status":"CLOSED"}"#;
    assert_eq!(fetched(provider.as_ref(), &profile("p"), known).unwrap().unknown, []);
}

#[test]
fn unknown_types_of_fields_are_kept_and_told_apart() {
    let provider = build("parallel", settings());
    let metadata = Target::Metadata { profile_type: None };
    for (kind, unknown) in [("SHORT_TEXT", vec![]), ("HOLOGRAM", vec![Unknown::FieldType])] {
        let fields = json!([{ "id": "f1", "alias": "a", "type": kind }]);
        let body = json!({ "items": [{ "id": "pt1", "name": "A", "fields": fields }], "totalCount": 1 }).to_string();
        let decoded = fetched(provider.as_ref(), &metadata, body.as_bytes()).unwrap();
        assert_eq!((decoded.observations.len(), decoded.unknown), (1, unknown));
    }
}

#[test]
fn the_documented_events_hold_nothing_unknown() {
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/parallel")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        // Its type stands on no page; the others do.
        if name.starts_with("profile-") && name != "profile-shared.json" {
            assert_eq!(event(name.trim_end_matches(".json")).unknown, [], "{name}");
        }
    }
    assert_eq!(event("profile-shared").unknown, [Unknown::EventType]);
}

#[test]
fn an_odd_row_of_a_page_does_not_cost_the_others() {
    let provider = build("parallel", settings());
    let page = page("profile-type/pt1/profiles/OPEN", Call::get("/profiles"));
    let decoded = paged(provider.as_ref(), &page, &fixture("parallel/rest-profiles-page.json")).unwrap();
    let [Observation::Profile(_), Observation::Profile(scheduled), Observation::Touched { profile, .. }] =
        decoded.observations.as_slice()
    else {
        panic!("{decoded:?}")
    };
    assert_eq!(profile, "odd");
    assert_eq!(scheduled.status, Some(Status::ScheduledForDeletion));
    assert_eq!(scheduled.scheduled_for, Some(utc("2026-03-01T00:00:00Z")));
    assert!(scheduled.refetch.is_some(), "a row without fields is fetched");
}

#[test]
fn profile_types_tell_kinds_and_fields() {
    let provider = build("parallel", settings());
    let body = fixture("parallel/rest-profile-types.json");
    let decoded = paged(provider.as_ref(), &provider.first_pages()[0], &body).unwrap();
    let types: Vec<&ProfileTypeSeen> = decoded
        .observations
        .iter()
        .map(|observation| match observation {
            Observation::ProfileType(seen) => seen,
            other => panic!("{other:?}"),
        })
        .collect();
    let kinds: Vec<_> = types.iter().map(|seen| seen.kind).collect();
    assert_eq!(kinds, [ProfileKind::Company, ProfileKind::Individual, ProfileKind::Other]);
    let fields = types[0].fields.as_ref().unwrap();
    assert_eq!((fields[0].name.as_str(), fields[1].name.as_str()), ("p_entity_name", "f2"));
    assert_eq!((fields[1].label.as_deref(), fields[1].position), (Some("Tamaño"), 1));
    let one = Target::Metadata { profile_type: Some("pt2".to_owned()) };
    assert_eq!(fetched(provider.as_ref(), &one, &body).unwrap().observations.len(), 1);
}

#[test]
fn what_is_not_there_is_told_as_missing() {
    let provider = build("parallel", settings());
    let decoded = missing(provider.as_ref(), &profile("p"), br#"{"code":"NOT_FOUND","message":"Profile not found"}"#);
    assert_eq!(only(decoded), Observation::Missing { profile: "p".to_owned(), said: "Profile not found".to_owned() });
}

#[test]
fn the_address_comes_from_its_field() {
    let provider = build("parallel", settings());
    let values: Map<String, Value> =
        json!({"p_email": "a@b.c", "work_email": "x@y.z", "p_first_name": "Ann", "p_last_name": "Lee"})
            .as_object()
            .unwrap()
            .clone();
    let derived = provider.derive(&values, &[]);
    assert_eq!((derived.email.as_deref(), derived.display_name.as_deref()), (Some("a@b.c"), Some("Ann Lee")));
    let other: Map<String, Value> = json!({"work_email": "x@y.z", "email_sent": true}).as_object().unwrap().clone();
    assert_eq!(provider.derive(&other, &[]).email.as_deref(), Some("x@y.z"));
}

#[test]
fn the_date_of_a_deletion_is_found_under_any_likely_key() {
    let provider = build("parallel", settings());
    for key in ["permanentDeletionAt", "deletionScheduledAt", "scheduledForDeletionAt", "deletionDate"] {
        let body =
            format!(r#"{{"id":"p","deletionRequestedAt":"2026-01-01T00:00:00Z","{key}":"2026-03-01T00:00:00Z"}}"#);
        let seen = only_profile(fetched(provider.as_ref(), &profile("p"), body.as_bytes()).unwrap());
        assert_eq!(seen.scheduled_for, Some(utc("2026-03-01T00:00:00Z")), "{key}");
    }
    let body = br#"{"id":"p","deletionRequestedAt":"2026-01-01T00:00:00Z","deletionPolicy":"x"}"#;
    assert_eq!(only_profile(fetched(provider.as_ref(), &profile("p"), body).unwrap()).scheduled_for, None);
}
