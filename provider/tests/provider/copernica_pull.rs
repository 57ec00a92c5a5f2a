use crate::bench::*;
use http::HeaderMap;
use provider::*;
use serde_json::json;

fn next(page: &Page, body: serde_json::Value) -> Result<Vec<Page>, DecodeError> {
    build("copernica", settings()).next_pages(page, &serde_json::to_vec(&body).unwrap()).map(|read| read.next)
}

fn rows(from: u64, count: u64, limit: u64) -> serde_json::Value {
    let data: Vec<_> = (from..from + count).map(|id| json!({"ID": id.to_string()})).collect();
    json!({"start": 0, "limit": limit, "count": count, "data": data})
}

fn profiles() -> Page {
    let databases = &build("copernica", settings()).first_pages()[0];
    let pages =
        build("copernica", settings()).next_pages(databases, &fixture("copernica/rest-databases.json")).unwrap().next;
    pages.into_iter().find(|page| page.stream == "database/7616/profiles").unwrap()
}

#[test]
fn a_database_leads_to_its_profiles_then_its_collections() {
    let provider = build("copernica", settings());
    let first = provider.first_pages();
    assert_eq!(
        (first.len(), first[0].call.path.as_str(), query(&first[0].call, "limit")),
        (1, "/databases", Some("1000"))
    );
    let pages = provider.next_pages(&first[0], &fixture("copernica/rest-databases.json")).unwrap().next;
    let streams: Vec<&str> = pages.iter().map(|page| page.stream.as_str()).collect();
    assert_eq!(
        streams,
        [
            "database/7616/unsubscribe",
            "database/7616/profiles",
            "collection/6312/unsubscribe",
            "collection/6312/subprofiles",
            "collection/6313/fields",
            "collection/6313/unsubscribe",
            "collection/6313/subprofiles"
        ]
    );
    let call = &pages[1].call;
    assert_eq!(call.path, "/database/7616/profiles");
    for (name, value) in
        [("limit", "1000"), ("total", "true"), ("orderby", "id"), ("order", "asc"), ("fields[]", "id>0")]
    {
        assert_eq!(query(call, name), Some(value));
    }
}

#[test]
fn metadata_that_was_cut_is_listed_on_its_own() {
    let first = &build("copernica", settings()).first_pages()[0];
    let cut =
        json!({"start": 0, "limit": 1, "count": 1, "total": 2, "data": [{"ID": "1", "name": "a", "type": "text"}]});
    let database = json!({"ID": "5", "fields": cut, "interests": cut, "collections": cut});
    let pages = next(first, json!({"start": 0, "limit": 1000, "count": 1, "total": 2, "data": [database]})).unwrap();
    let streams: Vec<&str> = pages.iter().map(|page| page.stream.as_str()).collect();
    assert_eq!(
        streams,
        [
            "databases",
            "database/5/fields",
            "database/5/interests",
            "database/5/unsubscribe",
            "database/5/profiles",
            "database/5/collections"
        ]
    );
    assert_eq!((pages[0].number, query(&pages[0].call, "start")), (1, Some("1")));
    let collections =
        next(&pages[5], json!({"start": 0, "limit": 1000, "count": 1, "total": 1, "data": [{"ID": "9"}]})).unwrap();
    let streams: Vec<&str> = collections.iter().map(|page| page.stream.as_str()).collect();
    assert_eq!(streams, ["collection/9/fields", "collection/9/unsubscribe", "collection/9/subprofiles"]);
}

#[test]
fn profiles_page_by_key_until_a_page_is_not_full() {
    let page = profiles();
    let pages = next(&page, rows(1, 1000, 1000)).unwrap();
    assert_eq!((pages.len(), pages[0].after.as_str(), pages[0].number), (1, "1000", 1));
    assert_eq!(query(&pages[0].call, "fields[]"), Some("id>1000"));
    assert_eq!(next(&pages[0], rows(1001, 999, 1000)).unwrap(), []);
    assert_eq!(next(&pages[0], rows(1001, 0, 1000)).unwrap(), []);
}

#[test]
fn a_lower_cap_of_upstream_is_heeded() {
    let pages = next(&profiles(), rows(1, 100, 100)).unwrap();
    assert_eq!(query(&pages[0].call, "fields[]"), Some("id>100"));
}

#[test]
fn smaller_pages_end_where_they_are_not_full_and_go_on_as_small() {
    let provider = build("copernica", settings());
    let smaller = provider.smaller(&profiles()).unwrap();
    let pairs = |page: &Page| ["limit", "total", "fields[]"].map(|name| query(&page.call, name).unwrap().to_owned());
    assert_eq!(pairs(&smaller), ["500", "true", "id>0"]);
    let second = next(&smaller, rows(1, 500, 500)).unwrap().remove(0);
    assert_eq!(pairs(&second), ["500", "false", "id>500"]);
    let third = next(&provider.smaller(&second).unwrap(), rows(501, 250, 250)).unwrap().remove(0);
    assert_eq!(pairs(&third), ["250", "false", "id>750"]);
    assert_eq!(next(&third, rows(751, 249, 250)).unwrap(), []);
    let without_limit = json!({"data": [{"ID": "751"}]});
    assert_eq!(next(&third, without_limit).unwrap(), []);
    let smallest = std::iter::successors(Some(third), |page| provider.smaller(page)).last().unwrap();
    assert_eq!(pairs(&smallest), ["1", "false", "id>750"]);

    let databases = provider.smaller(&provider.first_pages()[0]).unwrap();
    let body = json!({"start": 0, "limit": 500, "count": 1, "total": 2, "data": [{"ID": "5", "fields": []}]});
    let second = next(&databases, body).unwrap().remove(0);
    let listed = |page: &Page| ["limit", "start"].map(|name| query(&page.call, name).unwrap().to_owned());
    assert_eq!((second.stream.as_str(), listed(&second)), ("databases", ["500".to_owned(), "1".to_owned()]));
    let unsubscribe = Page::first("database/5/unsubscribe", Call::get("/database/5/unsubscribe"));
    assert_eq!(provider.smaller(&unsubscribe), None);
}

#[test]
fn ids_that_do_not_increase_are_an_error() {
    let second = next(&profiles(), rows(1, 1000, 1000)).unwrap().remove(0);
    assert!(next(&second, rows(1, 1000, 1000)).unwrap_err().0.contains("does not come after"));
    let shuffled = json!({"limit": 1000, "count": 2, "data": [{"ID": "5"}, {"ID": "4"}]});
    assert!(next(&profiles(), shuffled).is_err());
    assert!(next(&profiles(), json!({"limit": 1000, "count": 3, "data": [{"ID": "5"}]})).is_err());
    assert!(next(&profiles(), json!({"error": {"message": "x"}})).is_err());
}

#[test]
fn calls_are_built_by_target() {
    let provider = build("copernica", settings());
    assert_eq!(provider.fetch(&profile("1")).path, "/profile/1");
    assert_eq!(provider.fetch(&Target::Subprofile { id: "2".to_owned() }).path, "/subprofile/2");
    assert_eq!(provider.fetch(&Target::Metadata { profile_type: Some("3".to_owned()) }).path, "/database/3");
    assert_eq!(provider.fetch(&Target::Metadata { profile_type: None }).path, "/databases");
    assert_eq!(provider.auth(), Auth::ExchangedJwt { url: "https://authenticate.copernica.com".to_owned() });
}

#[test]
fn answers_are_sorted() {
    let provider = build("copernica", settings());
    let call = Call::get("/profile/1");
    let classify = |status, body: &str| provider.classify(&call, status, &HeaderMap::new(), body.as_bytes());
    let error = |message: &str| format!("{{\"error\":{{\"message\":\"{message}\"}}}}");
    assert_eq!(classify(200, "{\"ID\":\"1\"}"), Answer::Usable);
    for message in [
        "No entity with supplied ID",
        "Copernica REST API Error 400: No subprofile with supplied ID",
        "This profile has already been removed",
    ] {
        assert!(matches!(classify(400, &error(message)), Answer::Missing(_)), "{message}");
    }
    for (status, message) in [(401, "x"), (403, "x"), (400, "Invalid access token"), (200, "Invalid access token")] {
        assert!(matches!(classify(status, &error(message)), Answer::Unauthorized(_)), "{status} {message}");
    }
    for status in [429, 500, 502, 503, 504] {
        assert!(matches!(classify(status, "<html>Loadbalancer Error</html>"), Answer::Busy { .. }), "{status}");
    }
    for (status, body) in
        [(200, "<html>"), (200, ""), (200, "{\"ID\":"), (404, "<html>"), (400, ""), (301, ""), (204, "")]
    {
        assert!(matches!(classify(status, body), Answer::Broken(_)), "{status} {body}");
    }
    assert!(matches!(classify(400, &error("Invalid method")), Answer::Broken(_)));
    let busy = provider.classify(&call, 429, &headers(&[("Retry-After", "9")]), b"");
    assert!(matches!(busy, Answer::Busy { retry_after_seconds: Some(9), .. }));
}

#[test]
fn wrong_settings_are_named() {
    let mut wrong = settings();
    wrong.time_zone = Some("Amsterdam".to_owned());
    let error = registry::build("copernica", wrong, std::sync::Arc::new(Dns::default())).unwrap().err().unwrap();
    assert_eq!(error.key, "time_zone");
}

#[test]
fn what_unsubscribing_does_is_one_answer_for_each_database_and_collection() {
    let page = Page::first("database/7616/unsubscribe", Call::get("/database/7616/unsubscribe"));
    assert_eq!(next(&page, json!({"behavior": "update", "fields": {"newsletter": "no"}})).unwrap(), []);
    assert!(next(&page, json!({"data": []})).is_err(), "a list is no answer to it");
    let tells = |stream: &str, body: serde_json::Value| {
        let page = Page::first(stream, Call::get(format!("/{stream}")));
        let body = serde_json::to_vec(&body).unwrap();
        let delivery = Delivery {
            kind: DeliveryKind::Page,
            media_type: "application/json",
            body: &body,
            target: None,
            page: Some(&page),
            is_missing: false,
        };
        build("copernica", settings()).decode(&delivery).unwrap().observations.remove(0)
    };
    let Observation::Unsubscribing { place, action, fields } =
        tells("database/7616/unsubscribe", json!({"behavior": "update", "fields": {"newsletter": "no"}}))
    else {
        panic!("what it does")
    };
    assert_eq!((place, action.as_str()), (UnsubscribePlace::ProfileType("7616".to_owned()), "update"));
    assert_eq!(fields["newsletter"], "no");
    let empty = tells("collection/9/unsubscribe", json!({"behavior": "nothing", "fields": []}));
    assert!(matches!(empty, Observation::Unsubscribing { fields, .. } if fields.is_empty()));
}
