use crate::bench::*;
use http::HeaderMap;
use provider::*;
use serde_json::json;

fn next(page: &Page, from: u64, count: u64, total: u64) -> Result<Vec<Page>, DecodeError> {
    let items: Vec<_> = (from..from + count).map(|id| json!({"id": format!("p{id}")})).collect();
    let body = serde_json::to_vec(&json!({"items": items, "totalCount": total})).unwrap();
    build("parallel", settings()).next_pages(page, &body).map(|read| read.next)
}

fn first(status: &str) -> Page {
    let provider = build("parallel", settings());
    let types = &provider.first_pages()[0];
    let pages = provider.next_pages(types, &fixture("parallel/rest-profile-types.json")).unwrap().next;
    pages.into_iter().find(|page| page.stream == format!("profile-type/pt1/profiles/{status}")).unwrap()
}

fn offset(page: &Page) -> &str {
    query(&page.call, "offset").unwrap()
}

#[test]
fn each_type_is_listed_for_each_status() {
    let provider = build("parallel", settings());
    let pages =
        provider.next_pages(&provider.first_pages()[0], &fixture("parallel/rest-profile-types.json")).unwrap().next;
    assert_eq!(pages.len(), 9);
    let call = &pages[1].call;
    for (name, value) in [
        ("profileTypeId", "pt1"),
        ("status", "CLOSED"),
        ("offset", "0"),
        ("limit", "100"),
        ("include", "fields,relationships"),
        ("sortBy", "createdAt_ASC"),
    ] {
        assert_eq!(query(call, name), Some(value));
    }
}

#[test]
fn pages_overlap_until_the_total_is_reached() {
    let second = next(&first("OPEN"), 0, 100, 150).unwrap().remove(0);
    assert_eq!((offset(&second), second.number, second.expected), ("96", 1, Some(150)));
    assert_eq!(next(&second, 96, 54, 150).unwrap(), []);
    assert_eq!(next(&first("OPEN"), 0, 0, 0).unwrap(), []);
    assert_eq!(next(&first("OPEN"), 0, 100, 100).unwrap(), []);
}

#[test]
fn the_overlap_costs_at_most_a_twentieth_more_requests() {
    const TOTAL: u64 = 20_000;
    let (mut page, mut requests) = (Some(first("OPEN")), 0);
    while let Some(asked) = page {
        let from: u64 = offset(&asked).parse().unwrap();
        page = next(&asked, from, 100.min(TOTAL - from), TOTAL).unwrap().pop();
        requests += 1;
    }
    assert!(requests * 100 <= TOTAL / 100 * 105, "{requests} requests");
}

#[test]
fn a_few_rows_that_vanish_are_covered_and_many_make_it_step_back() {
    let second = next(&first("OPEN"), 0, 100, 300).unwrap().remove(0);
    let few = next(&second, 95, 100, 295).unwrap().remove(0);
    assert_eq!(offset(&few), "192");
    let many = next(&second, 130, 100, 260).unwrap().remove(0);
    assert_eq!((offset(&many), many.after.as_str(), many.number), ("0", "", 2));
}

/// Rows in the order of creation, two of each second, as a list gives them from `offset` on.
fn list(page: &Page, rows: &[u64]) -> Result<Vec<Page>, DecodeError> {
    let from: usize = offset(page).parse().unwrap();
    let limit: usize = query(&page.call, "limit").unwrap().parse().unwrap();
    let created = |id: u64| utc("2026-01-01T00:00:00Z") + chrono::Duration::seconds(i64::try_from(id / 2).unwrap());
    let item = |id: &u64| json!({"id": format!("p{id}"), "createdAt": created(*id)});
    let items: Vec<_> = rows.iter().skip(from).take(limit).map(item).collect();
    let body = serde_json::to_vec(&json!({"items": items, "totalCount": rows.len()})).unwrap();
    build("parallel", settings()).next_pages(page, &body).map(|read| read.next)
}

/// Reads a list to its end, keeping only some rows once so many pages are read: how many pages it takes. Whoever stays is read.
fn read_while_rows_go(count: u64, after_pages: u64, stays: impl Fn(u64) -> bool) -> u64 {
    let mut rows: Vec<u64> = (0..count).collect();
    let (mut page, mut seen, mut requests) = (Some(first("OPEN")), std::collections::BTreeSet::new(), 0);
    while let Some(asked) = page {
        let from: usize = offset(&asked).parse().unwrap();
        seen.extend(rows.iter().skip(from).take(100).copied());
        page = list(&asked, &rows).unwrap().pop();
        requests += 1;
        if requests == after_pages {
            rows.retain(|id| stays(*id));
        }
    }
    assert_eq!(rows.iter().find(|id| !seen.contains(id)), None, "it is left out");
    requests
}

#[test]
fn however_many_rows_go_between_two_pages_no_other_is_left_out() {
    for (gone, to) in [(0, 3), (0, 40), (0, 150), (100, 350), (290, 480), (0, 480), (470, 560)] {
        let requests = read_while_rows_go(700, 5, |id| !(gone..to).contains(&id));
        assert!(requests <= 8 + 2 * (to - gone).div_ceil(96), "{gone} to {to}: {requests} requests");
    }
}

#[test]
fn a_list_in_no_lasting_order_is_read_to_an_end_all_the_same() {
    let mut rows: Vec<u64> = (0..7_000).collect();
    let (mut page, mut requests) = (Some(first("OPEN")), 0);
    while let Some(asked) = page {
        rows.rotate_left(201);
        page = list(&asked, &rows).unwrap().pop();
        requests += 1;
        assert!(requests < 4_000, "it does not end");
    }
}

#[test]
fn a_long_list_that_shrinks_to_a_short_one_is_read_on() {
    read_while_rows_go(30_000, 290, |id| id % 100 == 7);
}

#[test]
fn a_lower_cap_still_moves_on() {
    let second = next(&first("OPEN"), 0, 10, 12).unwrap().remove(0);
    assert_eq!(offset(&second), "6");
    let third = next(&first("OPEN"), 0, 1, 2).unwrap().remove(0);
    assert_eq!(offset(&third), "1");
}

#[test]
fn smaller_pages_reach_every_row_and_go_on_as_small() {
    const TOTAL: u64 = 130;
    let provider = build("parallel", settings());
    let limit = |page: &Page| query(&page.call, "limit").unwrap().to_owned();
    let second = next(&first("OPEN"), 0, 100, TOTAL).unwrap().remove(0);
    for times in 1..=6 {
        let smaller = std::iter::successors(Some(second.clone()), |page| provider.smaller(page)).nth(times).unwrap();
        let rows: u64 = limit(&smaller).parse().unwrap();
        assert_eq!(rows, 100_u64 >> times);
        assert_eq!((offset(&smaller), &smaller.after), ("96", &second.after));
        let (mut page, mut reached) = (Some(smaller.clone()), 96);
        while let Some(asked) = page {
            let from: u64 = offset(&asked).parse().unwrap();
            assert!(from <= reached, "rows {reached} to {from} are left out");
            assert_eq!(limit(&asked), limit(&smaller));
            let count = rows.min(TOTAL - from);
            assert!(from + count > reached, "it does not move on");
            reached = from + count;
            page = next(&asked, from, count, TOTAL).unwrap().pop();
        }
        assert_eq!(reached, TOTAL);
    }
    let smallest = std::iter::successors(Some(second), |page| provider.smaller(page)).last().unwrap();
    assert_eq!(limit(&smallest), "1");
    let types = provider.smaller(&provider.first_pages()[0]).unwrap();
    assert_eq!((limit(&types).as_str(), offset(&types)), ("50", "0"));
    assert_eq!(provider.smaller(&Page::first("profile", provider.fetch(&profile("1")))), None);
}

#[test]
fn a_list_that_contradicts_itself_is_an_error() {
    assert!(next(&first("OPEN"), 0, 0, 5).is_err());
    let provider = build("parallel", settings());
    assert!(provider.next_pages(&first("OPEN"), br#"{"items":[]}"#).is_err());
    assert!(provider.next_pages(&first("OPEN"), br#"{"totalCount":0}"#).is_err());
}

#[test]
fn answers_are_sorted() {
    let provider = build("parallel", settings());
    let call = provider.fetch(&profile("a/b"));
    assert_eq!(call.path, "/profiles/a%2Fb");
    let classify = |status, body: &str| provider.classify(&call, status, &HeaderMap::new(), body.as_bytes());
    let error = r#"{"code":"X","message":"words"}"#;
    assert_eq!(classify(200, "{}"), Answer::Usable);
    assert_eq!(classify(404, error), Answer::Missing("words".to_owned()));
    assert_eq!(classify(403, error), Answer::MaybeMissing("words".to_owned()));
    assert!(matches!(classify(403, "<html>"), Answer::Forbidden(_)));
    assert_eq!(classify(401, error), Answer::Unauthorized("words".to_owned()));
    for (status, body) in [(404, "<html>"), (422, error), (400, error), (200, "<html>"), (200, ""), (302, "")] {
        assert!(matches!(classify(status, body), Answer::Broken(_)), "{status} {body}");
    }
    for status in [429, 500, 503] {
        assert!(matches!(classify(status, error), Answer::Busy { .. }));
    }
    let limited = headers(&[("X-RateLimit-Reset", "13")]);
    assert!(matches!(provider.classify(&call, 429, &limited, b""), Answer::Busy { retry_after_seconds: Some(13), .. }));
    let list = provider.first_pages().remove(0).call;
    assert!(matches!(provider.classify(&list, 404, &HeaderMap::new(), error.as_bytes()), Answer::Broken(_)));
}
