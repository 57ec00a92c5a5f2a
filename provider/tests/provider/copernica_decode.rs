use crate::bench::*;
use provider::*;
use serde_json::{Map, Value, json};

const FORM: &str = "application/x-www-form-urlencoded";

fn event(name: &str) -> Decoded {
    webhook(build("copernica", settings()).as_ref(), FORM, &fixture(&format!("copernica/{name}.form"))).unwrap()
}

fn form(body: &str) -> Result<Decoded, DecodeError> {
    webhook(build("copernica", settings()).as_ref(), FORM, body.as_bytes())
}

fn fetch(target: &Target, body: &[u8]) -> Result<Decoded, DecodeError> {
    fetched(build("copernica", settings()).as_ref(), target, body)
}

fn fields(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

#[test]
fn the_published_profile_update_is_a_whole_profile() {
    let decoded = event("seed-update-profile");
    assert_eq!(decoded.event.as_deref(), Some("update"));
    let profile = only_profile(decoded);
    assert_eq!(profile.external_id, "123");
    assert_eq!(profile.profile_type.as_deref(), Some("1"));
    assert_eq!(profile.fields, Some(fields(json!({"name": "Johny", "mail": "johny+newemail@example.com"}))));
    assert_eq!(profile.interests, Some(vec![interest(None, "blue")]));
    assert_eq!(profile.modified_at, Some(utc("1979-02-12T11:49:23Z")));
    assert_eq!(profile.version, Version::within_second(Rung::UpstreamModified, utc("1979-02-12T11:49:23Z")));
    assert_eq!(profile.event_at, Some(utc("1979-02-12T11:49:23Z")));
    assert_eq!(profile.status, Some(Status::Open));
    assert_eq!(profile.refetch, None);
}

#[test]
fn the_published_subprofile_update_is_keyed_by_subprofile_and_never_by_id() {
    let Observation::Subprofile(seen) = only(event("seed-update-subprofile")) else { panic!() };
    assert_eq!((seen.external_id.as_str(), seen.profile.as_str(), seen.collection.as_str()), ("123", "123", "2"));
    assert_eq!(seen.profile_type.as_deref(), Some("1"));
    assert_eq!(seen.fields, fields(json!({"name": "Johny", "mail": "johny+newemail@example.com"})));
}

#[test]
fn a_creation_is_a_whole_profile() {
    let profile = only_profile(event("create-profile"));
    assert_eq!(profile.interests, Some(vec![interest(None, "blue"), interest(None, "green")]));
    assert_eq!(profile.created_at, Some(utc("2024-06-01T12:00:05Z")));
    assert_eq!(profile.event_at, Some(utc("2024-06-01T12:00:05Z")));
    assert_eq!(profile.refetch, None);
}

#[test]
fn missing_interests_are_unknown_and_ask_for_a_fetch() {
    let profile = only_profile(event("update-profile"));
    assert_eq!(profile.interests, None);
    assert!(profile.refetch.unwrap().contains("interests"));
    assert!(profile.fields.is_some());
}

#[test]
fn removals_are_told_at_their_event_time() {
    let Observation::Lifecycle(seen) = only(event("delete-profile")) else { panic!() };
    assert_eq!((seen.profile.as_str(), seen.to, seen.at), ("77", Status::Deleted, utc("2024-06-01T12:00:05Z")));
    assert!(!seen.fetch);
    let Observation::SubprofileGone { subprofile, profile, collection, version } = only(event("delete-subprofile"))
    else {
        panic!()
    };
    assert_eq!((subprofile.as_str(), profile.as_deref(), collection.as_deref()), ("501", Some("77"), Some("9")));
    assert_eq!(version, Version::within_second(Rung::UpstreamModified, utc("2024-06-01T12:00:05Z")));
}

#[test]
fn subprofiles_are_created_and_updated() {
    for (name, price) in [("create-subprofile", "12"), ("update-subprofile", "13")] {
        let Observation::Subprofile(seen) = only(event(name)) else { panic!() };
        assert_eq!((seen.external_id.as_str(), seen.profile.as_str(), seen.collection.as_str()), ("501", "77", "9"));
        assert_eq!(seen.fields.get("price"), Some(&json!(price)));
        assert_eq!(seen.version, Version::within_second(Rung::UpstreamModified, utc("2024-06-01T12:00:05Z")));
    }
}

#[test]
fn an_unsubscription_is_fetched_and_its_id_is_not_the_profile() {
    let Observation::Touched { profile, reason, .. } = only(event("unsubscribe")) else { panic!() };
    assert_eq!((profile.as_str(), reason.as_str()), ("77", "unsubscribe"));
}

#[test]
fn mailing_events_are_ignored_and_unknown_ones_lead_to_a_fetch() {
    let click = event("click");
    assert!(click.observations.is_empty() && click.ignored.is_some());
    assert!(
        matches!(only(form("type=merge&profile=5").unwrap()), Observation::Touched { profile, .. } if profile == "5")
    );
    assert!(form("type=test&hello=1").unwrap().ignored.is_some());
    assert!(form("").unwrap().ignored.is_some());
}

#[test]
fn the_older_action_is_read_where_type_is_missing() {
    assert!(matches!(only(form("action=delete&profile=5&time=1717243205").unwrap()), Observation::Lifecycle(_)));
}

#[test]
fn json_is_read_by_its_media_type() {
    let provider = build("copernica", settings());
    let body =
        br#"{"type":"update","profile":123,"time":1717243205,"modified":"2024-06-01 14:00:05","fields":{"a":"b"},
        "interests":{"sports":{"golf":1}}}"#;
    let profile = only_profile(webhook(provider.as_ref(), "application/json", body).unwrap());
    // The group is read from the database's interests, whichever way the profile came.
    assert_eq!(profile.interests, Some(vec![interest(None, "golf")]));
    assert_eq!(profile.version, Version::within_second(Rung::UpstreamModified, utc("2024-06-01T12:00:05Z")));
    assert_eq!(only_profile(webhook(provider.as_ref(), "", body).unwrap()).external_id, "123");
}

#[test]
fn an_event_without_its_record_is_an_error() {
    for body in ["type=update&id=12", "type=delete&profile=0", "type=create&profile=", "type=unsubscribe&id=9"] {
        assert!(form(body).is_err(), "{body}");
    }
    assert!(form("type=update&profile=1&fields=x&time=1717243205").is_err());
    assert!(form("a=1&a[b]=2").is_err());
}

#[test]
fn what_events_without_the_time_of_the_change_tell_is_fetched() {
    let undated = "type=update&profile=5&time=1717243205&fields[a]=b&interests[c]=1";
    assert!(matches!(only(form(undated).unwrap()), Observation::Touched { .. }));
    let undated = "type=update&subprofile=7&profile=5&collection=3&time=1717243205&fields[a]=b";
    assert!(matches!(only(form(undated).unwrap()), Observation::SubprofileTouched { .. }));
    assert!(matches!(only(form("type=delete&profile=5").unwrap()), Observation::Touched { .. }));
    assert!(matches!(only(form("type=update&profile=5&fields[a]=b").unwrap()), Observation::Touched { .. }));
    assert!(matches!(only(form("type=delete&subprofile=5").unwrap()), Observation::SubprofileTouched { .. }));
    assert!(matches!(only(form("type=update&subprofile=5&time=1").unwrap()), Observation::SubprofileTouched { .. }));
}

#[test]
fn the_repeated_hour_is_settled_by_the_pair_of_times() {
    let body = |time: i64| {
        format!(
            "type=update&profile=1&time={time}&timestamp=2024-10-27+02:30:00&modified=2024-10-27+02:30:00&fields[a]=b"
        )
    };
    let version = |body: String| only_profile(form(&body).unwrap()).version;
    assert_eq!(
        version(body(1_729_989_000)),
        Version::within_second(Rung::UpstreamModified, utc("2024-10-27T00:30:00Z"))
    );
    assert_eq!(
        version(body(1_729_992_600)),
        Version::within_second(Rung::UpstreamModified, utc("2024-10-27T01:30:00Z"))
    );
    let unsettled = version(
        "type=update&profile=1&timestamp=2024-10-27+02:30:00&modified=2024-10-27+02:30:00&fields[a]=b".to_owned(),
    );
    assert_eq!(unsettled.until - unsettled.from, 3_600_999);
}

#[test]
fn fetched_profiles_are_whole() {
    let profile = only_profile(fetch(&profile("18381"), &fixture("copernica/rest-profile.json")).unwrap());
    assert_eq!(profile.fields, Some(fields(json!({"name": "Test", "email": "test@example.com"}))));
    assert_eq!(profile.interests, Some(vec![interest(None, "baseball"), interest(None, "soccer")]));
    assert_eq!(profile.profile_type.as_deref(), Some("7616"));
    assert_eq!(profile.version, Version::within_second(Rung::UpstreamModified, utc("2019-02-21T12:26:21Z")));
    assert!(fetch(&super::bench::profile("1"), &fixture("copernica/rest-profile.json")).is_err());
}

#[test]
fn removed_profiles_are_told_at_their_removal() {
    let removed = fixture("copernica/rest-profile-removed.json");
    let Observation::Lifecycle(seen) = only(fetch(&profile("18381"), &removed).unwrap()) else { panic!() };
    assert_eq!((seen.to, seen.at), (Status::Deleted, utc("2020-03-01T08:00:00Z")));
    let mut object: Value = serde_json::from_slice(&removed).unwrap();
    for flag in [json!(true), json!(1), json!("yes")] {
        object["removed"] = flag;
        let body = serde_json::to_vec(&object).unwrap();
        let Observation::Lifecycle(seen) = only(fetch(&profile("18381"), &body).unwrap()) else { panic!() };
        assert_eq!((seen.to, seen.at), (Status::Deleted, utc("2019-02-21T12:26:21Z")));
    }
    for flag in [json!(false), json!(null), json!(""), json!("0000-00-00 00:00:00"), json!(0)] {
        object["removed"] = flag;
        let body = serde_json::to_vec(&object).unwrap();
        assert_eq!(only_profile(fetch(&profile("18381"), &body).unwrap()).status, Some(Status::Open));
    }
}

#[test]
fn what_is_not_there_is_told_as_missing() {
    let provider = build("copernica", settings());
    let said = br#"{"error":{"message":"No entity with supplied ID"}}"#;
    let decoded = missing(provider.as_ref(), &profile("9"), said);
    assert!(matches!(only(decoded), Observation::Missing { said, .. } if said.contains("No entity")));
    let target = Target::Subprofile { id: "9".to_owned() };
    assert!(matches!(only(missing(provider.as_ref(), &target, b"")), Observation::SubprofileMissing { .. }));
}

#[test]
fn fetched_subprofiles_are_whole_or_gone() {
    let target = Target::Subprofile { id: "20285".to_owned() };
    let body = fixture("copernica/rest-subprofile.json");
    let Observation::Subprofile(seen) = only(fetch(&target, &body).unwrap()) else { panic!() };
    assert_eq!((seen.profile.as_str(), seen.collection.as_str()), ("18381", "6312"));
    let mut object: Value = serde_json::from_slice(&body).unwrap();
    object["removed"] = json!("2020-03-01 09:00:00");
    let gone = fetch(&target, &serde_json::to_vec(&object).unwrap()).unwrap();
    assert!(matches!(only(gone), Observation::SubprofileGone { .. }));
}

#[test]
fn a_database_tells_fields_interests_and_collections() {
    let target = Target::Metadata { profile_type: Some("7616".to_owned()) };
    let Observation::ProfileType(seen) = only(fetch(&target, &fixture("copernica/rest-database.json")).unwrap()) else {
        panic!()
    };
    assert_eq!((seen.external_id.as_str(), seen.name.as_str()), ("7616", "Customers"));
    let fields = seen.fields.unwrap();
    assert_eq!(fields.iter().map(|field| field.name.as_str()).collect::<Vec<_>>(), ["email", "name", "friend"]);
    assert!(fields[2].is_reference && !fields[0].is_reference);
    assert_eq!(seen.interests, Some(vec![interest(Some("sports"), "soccer")]));
    let collections = seen.collections.unwrap();
    assert_eq!(collections[0].fields.as_ref().unwrap().len(), 1);
    assert_eq!(collections[1].fields, None, "a list that was cut is not told");
    let all = Target::Metadata { profile_type: None };
    assert!(matches!(
        only(fetch(&all, &fixture("copernica/rest-databases.json")).unwrap()),
        Observation::ProfileType(_)
    ));
}

#[test]
fn an_odd_row_of_a_page_does_not_cost_the_others() {
    let provider = build("copernica", settings());
    let page = page("database/7616/profiles", Call::get("/x"));
    let decoded = paged(provider.as_ref(), &page, &fixture("copernica/rest-profiles-page.json")).unwrap();
    let [Observation::Profile(first), Observation::Profile(second), Observation::Touched { profile, .. }] =
        decoded.observations.as_slice()
    else {
        panic!("{decoded:?}")
    };
    assert_eq!(
        (first.external_id.as_str(), second.external_id.as_str(), profile.as_str()),
        ("18381", "18390", "18391")
    );
    assert_eq!((second.fields.clone(), second.interests.clone()), (Some(Map::new()), Some(Vec::new())));
    assert_eq!(second.version.rung, Rung::RequestStarted);
}

#[test]
fn subprofile_pages_and_cut_metadata_are_read() {
    let provider = build("copernica", settings());
    let subprofiles = page("collection/6312/subprofiles", Call::get("/x"));
    let decoded = paged(provider.as_ref(), &subprofiles, &fixture("copernica/rest-subprofiles-page.json")).unwrap();
    assert!(matches!(&decoded.observations[0], Observation::Subprofile(seen) if seen.profile == "18381"));
    assert!(
        matches!(&decoded.observations[1], Observation::SubprofileTouched { subprofile, .. } if subprofile == "20286")
    );
    let fields = page("collection/6313/fields", Call::get("/x"));
    let body = br#"{"start":0,"limit":1000,"count":1,"total":1,"data":[{"ID":"1","name":"a","type":"text"}]}"#;
    let decoded = paged(provider.as_ref(), &fields, body).unwrap();
    assert!(
        matches!(only(decoded), Observation::CollectionFields { collection, fields } if collection == "6313" && fields.len() == 1)
    );
    let cut = br#"{"start":0,"limit":1,"count":1,"total":2,"data":[{"ID":"1","name":"a","type":"text"}]}"#;
    assert!(paged(provider.as_ref(), &fields, cut).unwrap().observations.is_empty());
    let interests = page("database/7616/interests", Call::get("/x"));
    let body = br#"{"start":0,"limit":1000,"count":1,"total":1,"data":[{"ID":"1","name":"a","group":""}]}"#;
    let Observation::ProfileType(seen) = only(paged(provider.as_ref(), &interests, body).unwrap()) else { panic!() };
    assert_eq!((seen.name.as_str(), seen.fields, seen.interests), ("", None, Some(vec![interest(None, "a")])));
}

#[test]
fn names_addresses_and_references_come_from_definitions_or_names() {
    let provider = build("copernica", settings());
    let defined = |name: &str, upstream_type: &str| FieldSeen {
        name: name.to_owned(),
        external_id: None,
        label: None,
        upstream_type: upstream_type.to_owned(),
        position: 0,
        is_reference: upstream_type == "foreign_key",
    };
    let values = fields(
        json!({"contact": "a@b.c", "Mail": "x@y.z", "FirstName": "Ann", "surname": "Lee", "boss": "12", "peer": "0", "none": ""}),
    );
    let definitions = [
        defined("contact", "email"),
        defined("boss", "foreign_key"),
        defined("peer", "foreign_key"),
        defined("none", "foreign_key"),
    ];
    let derived = provider.derive(&values, &definitions);
    assert_eq!(derived.email.as_deref(), Some("a@b.c"));
    assert_eq!(derived.display_name.as_deref(), Some("Ann Lee"));
    assert_eq!(derived.references, [Reference { field: "boss".to_owned(), to: "12".to_owned() }]);
    let emptied = provider.derive(&fields(json!({"contact": "", "mail": "x@y.z"})), &definitions);
    assert_eq!(emptied.email, None);
    let derived = provider.derive(&values, &[]);
    assert_eq!((derived.email.as_deref(), derived.references.len()), (Some("x@y.z"), 0));
    let named = provider.derive(&fields(json!({"name": "Ann", "firstname": "X"})), &[]);
    assert_eq!(named.display_name.as_deref(), Some("Ann"));
    assert_eq!(provider.derive(&Map::new(), &[]), Derived::default());
}

#[test]
fn what_is_unknown_is_told_apart() {
    let database = Target::Metadata { profile_type: Some("7616".to_owned()) };
    let known = text_fixture("copernica/rest-database.json");
    assert_eq!(fetch(&database, known.as_bytes()).unwrap().unknown, []);
    let odd = known.replace("\"type\": \"text\"", "\"type\": \"hologram\"");
    assert_eq!(fetch(&database, odd.as_bytes()).unwrap().unknown, [Unknown::FieldType]);
    for name in ["create-profile", "update-subprofile", "delete-profile", "unsubscribe", "seed-update-profile", "click"]
    {
        assert_eq!(event(name).unknown, [], "{name}");
    }
    let all = [Unknown::EventType, Unknown::Key, Unknown::IdFormat];
    assert_eq!(form("type=sneezed&profile=a%2F1&time=1717243205&added=1").unwrap().unknown, all);
}
