use crate::bench::*;
use http::HeaderMap;
use provider::*;
use serde_json::{Value, json};
use std::sync::Arc;

fn getprofile() -> Arc<dyn Provider> {
    build(
        "getprofile",
        SourceSettings { secrets: vec!["old-secret".to_owned(), "new-secret".to_owned()], ..settings() },
    )
}

fn request(pairs: &[(&str, &str)]) -> Request {
    Request {
        path: "/webhooks/people".to_owned(),
        headers: headers(pairs),
        body: fixture("getprofile/seed-profile-updated.json").into(),
        now: utc("2026-01-01T00:00:00Z"),
        registered_url: "https://mirror.example.com/webhooks/people".to_owned(),
    }
}

fn event(name: &str) -> Result<Decoded, DecodeError> {
    webhook(getprofile().as_ref(), "application/json", &fixture(&format!("getprofile/{name}.json")))
}

/// The profile of a fetch, and what stands beside it and the profile type.
fn fetch(id: &str, name: &str) -> (ProfileSeen, Vec<Observation>) {
    let body = fixture(&format!("getprofile/{name}.json"));
    let mut observations = fetched(getprofile().as_ref(), &profile(id), &body).unwrap().observations;
    let Observation::ProfileType(tenant) = observations.remove(0) else { panic!() };
    assert_eq!((tenant.external_id.as_str(), tenant.kind), ("abc-tenant", ProfileKind::Individual));
    let Observation::Profile(seen) = observations.remove(0) else { panic!() };
    (*seen, observations)
}

#[test]
fn any_configured_secret_lets_a_webhook_in() {
    for value in ["Bearer old-secret", "bearer new-secret", "BEARER  new-secret "] {
        let receipt = request(&[("Authorization", value)]).verify(getprofile().as_ref());
        assert_eq!(receipt, Ok(Receipt::Accept { dedupe_key: "id:evt_1234567890".to_owned() }), "{value}");
    }
}

#[test]
fn anything_else_is_refused() {
    for value in ["Bearer other", "Bearer", "Bearer ", "Basic old-secret", "old-secret", "Bearer old-secretx", ""] {
        assert!(request(&[("Authorization", value)]).verify(getprofile().as_ref()).is_err(), "{value}");
    }
    assert_eq!(request(&[]).verify(getprofile().as_ref()), Err(Refusal::Missing("Authorization")));
    let two = [("Authorization", "Bearer old-secret"), ("Authorization", "Bearer x")];
    assert!(request(&two).verify(getprofile().as_ref()).is_err());
    let closed = build("getprofile", settings());
    assert!(request(&[("Authorization", "Bearer ")]).verify(closed.as_ref()).is_err());
}

#[test]
fn settings_must_name_the_tenant_and_no_empty_secret() {
    let error =
        |settings| registry::build("getprofile", settings, Arc::new(Dns::default())).unwrap().err().unwrap().key;
    assert_eq!(error(SourceSettings { tenant: None, ..settings() }), "tenant");
    assert_eq!(error(SourceSettings { secrets: vec![" ".to_owned()], ..settings() }), "webhook.secrets");
}

#[test]
fn the_published_event_is_a_hint_whose_status_is_not_believed() {
    let decoded = event("seed-profile-updated").unwrap();
    assert_eq!(decoded.event.as_deref(), Some("profile.updated"));
    let Observation::Touched { profile, at, is_creation, .. } = only(decoded) else { panic!() };
    assert_eq!((profile.as_str(), at, is_creation), ("12345", Some(utc("2023-10-01T12:00:00Z")), false));
}

#[test]
fn other_events_are_hints_where_they_name_a_profile() {
    assert!(event("billing-event").unwrap().ignored.is_some());
    let body = br#"{"event":"profile.merged","tenant_id":"abc-tenant","data":{"profile_id":"7"}}"#;
    assert!(matches!(only(webhook(getprofile().as_ref(), "", body).unwrap()), Observation::Touched { .. }));
    let body = br#"{"event":"profile.updated","tenant_id":"abc-tenant","data":{}}"#;
    assert!(webhook(getprofile().as_ref(), "", body).is_err());
}

#[test]
fn another_tenants_event_is_an_error() {
    assert!(event("other-tenant").unwrap_err().0.contains("tenant other is not this source's tenant"));
    assert!(webhook(getprofile().as_ref(), "", br#"{"event":"profile.updated","data":{"profile_id":"1"}}"#).is_err());
}

#[test]
fn flat_and_wrapped_profiles_read_the_same() {
    let (flat, rest) = fetch("12345", "rest-profile-flat");
    assert!(rest.is_empty());
    assert_eq!(fetch("12345", "rest-profile-wrapped").0, flat);
    let expected = json!({
        "core_info.name": {"value": "Alex", "confidence": 0.95},
        "core_info.age": {"value": 33, "confidence": 0.5},
        "interests.hobbies": [{"value": "hiking", "confidence": 0.8}, "chess"],
        "interests.topics": ["art"],
        "personality.traits": [{"value": "curious", "confidence": 0.9}],
        "personality.mood_trends": {"default": {"value": "calm", "confidence": 0.9}},
        "preferences.conversation_style": {"value": "brief", "confidence": 0.7},
        "preferences.topics_to_avoid": [],
        "memories": [{"event": "adopted a cat", "date": "2024-01-20", "importance": "high", "confidence": 0.9}],
        "summary": "Likes hills.",
    });
    assert_eq!(flat.fields.clone().map(Value::Object), Some(expected));
    let interests =
        [interest(Some("hobbies"), "chess"), interest(Some("hobbies"), "hiking"), interest(Some("topics"), "art")];
    assert_eq!(flat.interests.as_deref(), Some(&interests[..]));
    assert_eq!(flat.version, Version::within_second(Rung::UpstreamModified, utc("2024-01-20T00:00:00Z")));
    assert_eq!((flat.status, flat.upstream_status.as_deref()), (Some(Status::Open), Some("ready")));
    let derived = getprofile().derive(&flat.fields.unwrap(), &[]);
    assert_eq!((derived.display_name.as_deref(), derived.email), (Some("Alex"), None));
}

#[test]
fn bare_scalars_and_fine_times_are_read() {
    let (bare, _) = fetch("u/1", "rest-profile-bare");
    assert_eq!(bare.version, Version::at_time(Rung::UpstreamModified, utc("2024-01-20T00:00:00.250Z")));
    assert_eq!(bare.interests, Some(vec![interest(Some("hobbies"), "tennis")]));
    let derived = getprofile().derive(&bare.fields.unwrap(), &[]);
    assert_eq!(
        (derived.display_name.as_deref(), derived.email.as_deref()),
        (Some("Jane Doe"), Some("jane@example.com"))
    );
}

#[test]
fn a_profile_that_is_being_computed_keeps_its_content_and_is_asked_for_again() {
    let (seen, rest) = fetch("12345", "rest-profile-processing");
    assert_eq!((seen.fields, seen.interests, seen.upstream_status.as_deref()), (None, None, Some("processing")));
    assert!(matches!(rest.as_slice(), [Observation::Touched { profile, delay_ms: 2000, .. }] if profile == "12345"));
}

#[test]
fn an_odd_row_of_a_page_does_not_cost_the_others() {
    let provider = getprofile();
    let page = provider.first_pages().remove(0);
    let decoded = paged(provider.as_ref(), &page, &fixture("getprofile/rest-search-page.json")).unwrap();
    let [Observation::ProfileType(_), Observation::Profile(_), Observation::Touched { profile, .. }] =
        decoded.observations.as_slice()
    else {
        panic!("{decoded:?}")
    };
    assert_eq!(profile, "2");
}

#[test]
fn absence_is_confirmed_by_the_listing() {
    let provider = getprofile();
    let call = provider.confirm_missing(&profile("a b")).unwrap();
    assert_eq!(
        (call.path.as_str(), query(&call, "filterBy"), query(&call, "filterValue")),
        ("/v1/search", Some("id"), Some("a b"))
    );
    let classify = |body: &str| provider.classify(&call, 200, &HeaderMap::new(), body.as_bytes());
    assert!(matches!(classify(r#"{"profiles":[],"total":0}"#), Answer::Missing(_)));
    assert!(matches!(classify(r#"{"profiles":[{"profile_id":"a b c"}],"total":1}"#), Answer::Missing(_)));
    assert_eq!(classify(r#"{"profiles":[{"profile_id":"a b"}],"total":1}"#), Answer::Usable);
    assert!(matches!(classify(r#"{"profiles":[{"profile_id":"a b c"}],"total":900}"#), Answer::Broken(_)));
    assert_eq!(provider.confirm_further(&call, br#"{"profiles":[{"profile_id":"a b c"}],"total":1}"#), None);
    let found = br#"{"profiles":[{"profile_id":"a b c"},{"profile_id":"a b","tenant_id":"abc-tenant"}],"total":2}"#;
    let decoded = fetched(provider.as_ref(), &profile("a b"), found).unwrap();
    assert!(matches!(&decoded.observations[1], Observation::Profile(seen) if seen.external_id == "a b"));
}

#[test]
fn an_id_that_is_part_of_many_is_looked_for_on_every_page_from_the_last_to_the_first() {
    let provider = getprofile();
    let body = |page: u64, ids: std::ops::Range<u64>| {
        let profiles: Vec<_> = ids.map(|id| json!({"profile_id": format!("7-{id}")})).collect();
        serde_json::to_vec(&json!({"profiles": profiles, "total": 45, "page": page, "pageSize": 20})).unwrap()
    };
    let first = provider.confirm_missing(&profile("7")).unwrap();
    let (mut call, mut answer, mut pages) = (first.clone(), body(1, 0..20), Vec::new());
    while let Some(next) = provider.confirm_further(&call, &answer) {
        let page: u64 = query(&next, "page").unwrap().parse().unwrap();
        assert_eq!((query(&next, "pageSize"), query(&next, "sortBy")), (Some("20"), Some("created_at")));
        pages.push(page);
        (call, answer) = (next, body(page, (page - 1) * 20..(page * 20).min(45)));
        let sorted = provider.classify(&call, 200, &HeaderMap::new(), &answer);
        assert!(matches!(sorted, Answer::Missing(_)), "{page}: {sorted:?}");
    }
    assert_eq!(pages, [3, 2, 1], "the first one again: what came after it may have moved there");
    for wrong in [body(2, 20..40), body(1, 0..7)] {
        assert!(matches!(provider.classify(&call, 200, &HeaderMap::new(), &wrong), Answer::Broken(_)));
    }
    assert_eq!(
        provider.classify(&first, 200, &HeaderMap::new(), &body(1, 0..20)),
        Answer::Missing("the search does not find it either".to_owned())
    );
}

#[test]
fn answers_are_sorted() {
    let provider = getprofile();
    let call = provider.fetch(&profile("a/b c"));
    assert_eq!(call.path, "/v1/profile/a%2Fb%20c");
    let classify = |status, body: &str| provider.classify(&call, status, &HeaderMap::new(), body.as_bytes());
    assert_eq!(classify(200, "{}"), Answer::Usable);
    assert!(matches!(classify(404, ""), Answer::Missing(_)));
    assert!(matches!(classify(400, r#"{"error":400,"message":"Profile not found"}"#), Answer::Missing(_)));
    assert!(
        matches!(classify(401, r#"{"error":"Unauthorized"}"#), Answer::Unauthorized(said) if said == "Unauthorized")
    );
    assert!(matches!(classify(403, ""), Answer::Forbidden(_)));
    for (status, body) in [(404, "<html>"), (400, r#"{"message":"bad"}"#), (200, "<html>"), (202, "")] {
        assert!(matches!(classify(status, body), Answer::Broken(_)), "{status} {body}");
    }
    assert!(matches!(classify(503, ""), Answer::Busy { .. }));
}

fn next(page: &Page, count: usize, total: u64, number: u64, size: u64) -> Result<Vec<Page>, DecodeError> {
    let profiles: Vec<_> = (0..count).map(|id| json!({"profile_id": format!("{number}-{id}")})).collect();
    let body = json!({"profiles": profiles, "total": total, "page": number, "pageSize": size});
    getprofile().next_pages(page, &serde_json::to_vec(&body).unwrap()).map(|read| read.next)
}

#[test]
fn pages_follow_the_echoed_size_and_the_total() {
    let first = getprofile().first_pages().remove(0);
    for (name, value) in [("sortBy", "created_at"), ("sortOrder", "asc"), ("page", "1"), ("pageSize", "50")] {
        assert_eq!(query(&first.call, name), Some(value));
    }
    let second = next(&first, 20, 45, 1, 20).unwrap().remove(0);
    assert_eq!((query(&second.call, "page"), query(&second.call, "pageSize")), (Some("2"), Some("20")));
    let third = next(&second, 20, 45, 2, 20).unwrap().remove(0);
    assert_eq!(next(&third, 5, 45, 3, 20).unwrap(), []);
    assert_eq!(next(&first, 0, 0, 1, 50).unwrap(), []);
}

#[test]
fn a_total_that_shrinks_repeats_the_page_before() {
    let first = getprofile().first_pages().remove(0);
    let second = next(&first, 20, 45, 1, 20).unwrap().remove(0);
    let again = next(&second, 20, 44, 2, 20).unwrap().remove(0);
    assert_eq!((query(&again.call, "page"), again.number, again.expected), (Some("1"), 2, Some(44)));
}

#[test]
fn a_total_that_shrinks_by_more_than_a_page_goes_back_as_far() {
    let first = getprofile().first_pages().remove(0);
    let second = next(&first, 4, 40, 1, 4).unwrap().remove(0);
    let third = next(&second, 4, 40, 2, 4).unwrap().remove(0);
    let fourth = next(&third, 4, 40, 3, 4).unwrap().remove(0);
    for (total, number) in [(36, "3"), (35, "2"), (32, "2"), (31, "1"), (17, "1")] {
        let again = next(&fourth, 4, total, 4, 4).unwrap().remove(0);
        assert_eq!(query(&again.call, "page"), Some(number), "{total}");
    }
}

/// Rows in the order of a search, each with the second of its creation or last change, as the page of them.
fn search(page: &Page, rows: &[(u64, i64)]) -> Vec<Page> {
    let number = |name: &str| query(&page.call, name).unwrap().parse::<usize>().unwrap();
    let (asked, size) = (number("page"), number("pageSize"));
    let at = |second: i64| utc("2026-01-01T00:00:00Z") + chrono::Duration::seconds(second);
    let row = |(id, second): &(u64, i64)| json!({"profile_id": format!("p{id}"), "created_at": at(*second), "last_updated": at(*second)});
    let profiles: Vec<_> = rows.iter().skip((asked - 1) * size).take(size).map(row).collect();
    let body = json!({"profiles": profiles, "total": rows.len(), "page": asked, "pageSize": size});
    getprofile().next_pages(page, &serde_json::to_vec(&body).unwrap()).unwrap().next
}

fn rows_of(page: &Page, rows: &[(u64, i64)]) -> Vec<u64> {
    let number = |name: &str| query(&page.call, name).unwrap().parse::<usize>().unwrap();
    let (asked, size) = (number("page"), number("pageSize"));
    rows.iter().skip((asked - 1) * size).take(size).map(|(id, _)| *id).collect()
}

#[test]
fn rows_that_go_while_nobody_asks_are_missed_by_no_page_though_as_many_came() {
    for (gone, to) in [(0, 1), (0, 70), (40, 190), (0, 199), (120, 200)] {
        let mut rows: Vec<(u64, i64)> = (0..300).map(|id| (id, i64::try_from(id).unwrap())).collect();
        let (mut page, mut seen, mut pages) = (getprofile().first_pages().pop(), std::collections::BTreeSet::new(), 0);
        while let Some(mut asked) = page {
            pages += 1;
            if pages == 5 {
                rows.retain(|(id, _)| !(gone..to).contains(id));
                rows.extend((300..300 + to - gone).map(|id| (id, i64::try_from(id).unwrap())));
                asked = getprofile().rejoin(&asked).unwrap();
            }
            seen.extend(rows_of(&asked, &rows));
            page = search(&asked, &rows).pop();
        }
        assert!(rows.iter().all(|(id, _)| seen.contains(id)), "{gone} to {to}");
    }
    assert_eq!(getprofile().rejoin(&getprofile().first_pages()[0]), None);
}

#[test]
fn rows_that_go_pull_no_changed_one_out_of_reach() {
    let newest_first = |rows: &mut Vec<(u64, i64)>| rows.sort_by_key(|(_, second)| std::cmp::Reverse(*second));
    for gone in [1, 3, 50, 70] {
        let mut rows: Vec<(u64, i64)> = (0..300).map(|id| (id, i64::try_from(id).unwrap())).collect();
        newest_first(&mut rows);
        let mut page = getprofile().changed_pages(utc("2026-01-01T00:01:00Z")).pop();
        let (mut seen, mut pages) = (std::collections::BTreeSet::new(), 0);
        while let Some(asked) = page {
            pages += 1;
            if pages == 3 {
                rows.drain(..gone);
            }
            seen.extend(rows_of(&asked, &rows));
            page = search(&asked, &rows).pop();
        }
        let is_missed = |(id, second): &&(u64, i64)| *second >= 60 && !seen.contains(id);
        assert_eq!(rows.iter().find(is_missed), None, "{gone} gone");
        assert!(seen.len() < 300, "it ends where what is older comes");
    }
}

#[test]
fn smaller_pages_begin_no_later_and_go_on_as_small() {
    let first = getprofile().first_pages().remove(0);
    let numbers = |page: &Page| ["page", "pageSize"].map(|name| query(&page.call, name).unwrap().to_owned());
    let halved = |page: &Page| getprofile().smaller(page).unwrap();
    assert_eq!(numbers(&halved(&first)), ["1", "25"]);
    let second = next(&first, 50, 120, 1, 50).unwrap().remove(0);
    let smaller = halved(&second);
    assert_eq!((numbers(&smaller), smaller.expected), (["3".to_owned(), "25".to_owned()], Some(120)));
    // 12 do not divide 50: the page begins two rows before.
    let smaller = halved(&smaller);
    assert_eq!(numbers(&smaller), ["5", "12"]);
    let mut page = next(&smaller, 12, 120, 5, 12).unwrap().remove(0);
    for number in 6..10 {
        assert_eq!(numbers(&page), [number.to_string(), "12".to_owned()]);
        page = next(&page, 12, 120, number, 12).unwrap().remove(0);
    }
    assert_eq!(next(&page, 12, 120, 10, 12).unwrap(), []);
    assert!(next(&page, 50, 120, 10, 50).is_err(), "the size was not heeded, and the number means another page");

    let sizes = std::iter::successors(Some(second), |page| getprofile().smaller(page));
    let sizes: Vec<_> = sizes.map(|page| numbers(&page)).collect();
    let [.., last] = sizes.as_slice() else { panic!() };
    assert_eq!((sizes.len(), last), (6, &["49".to_owned(), "1".to_owned()]), "50, 25, 12, 6, 3, 1: {sizes:?}");

    let changed = getprofile().changed_pages(utc("2026-01-01T00:00:00Z")).remove(0);
    let changed = halved(&changed);
    assert_eq!(
        (numbers(&changed), query(&changed.call, "sortBy")),
        (["1".to_owned(), "25".to_owned()], Some("last_updated"))
    );
    let by_id = Page::first("profile", getprofile().fetch(&profile("1")));
    assert_eq!(getprofile().smaller(&by_id), None);
}

#[test]
fn cut_and_repeated_pages_are_errors() {
    let first = getprofile().first_pages().remove(0);
    let second = next(&first, 20, 45, 1, 20).unwrap().remove(0);
    assert!(next(&second, 20, 45, 1, 20).is_err());
    assert!(next(&second, 3, 45, 2, 20).is_err());
    assert!(getprofile().next_pages(&first, br#"{"profiles":[]}"#).is_err());
    assert!(getprofile().next_pages(&first, br#"{"total":0}"#).is_err());
}

#[test]
fn an_unknown_status_is_kept_as_a_word_and_told_apart() {
    let provider = build("getprofile", settings());
    for (status, unknown) in [("ready", vec![]), ("dreaming", vec![Unknown::Status])] {
        let body = json!({ "profile_id": "12345", "tenant_id": "abc-tenant", "status": status }).to_string();
        let decoded = fetched(provider.as_ref(), &profile("12345"), body.as_bytes()).unwrap();
        let is_kept = |seen: &Observation| matches!(seen, Observation::Profile(seen) if seen.upstream_status.as_deref() == Some(status));
        assert!(decoded.observations.iter().any(is_kept));
        assert_eq!(decoded.unknown, unknown);
    }
}
