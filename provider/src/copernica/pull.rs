//! Calls to Copernica's REST API (v4), the order of a sync, and what answers mean.
//!
//! Profiles and subprofiles page by key (`orderby=id`, `fields[]=id>last`), so that rows which come
//! and go meanwhile move nothing. Upstream ignores a condition that it does not understand, and would
//! then give the first page for ever: ids that do not increase past the last one are an error.
//! Metadata is embedded in its database, and listed on its own only where it was cut there.

use super::wire::{self, Envelope};
use crate::{Answer, Call, DecodeError, Method, Page, Target, answer, json, percent};
use http::HeaderMap;
use serde_json::{Map, Value};

/// Rows a page, the most that the API gives.
const LIMIT: u64 = 1000;
/// Stream of the databases.
const DATABASES: &str = "databases";

pub(super) fn fetch(target: &Target) -> Call {
    match target {
        Target::Profile { id } => Call::get(format!("/profile/{}", percent::segment(id))),
        Target::Subprofile { id } => Call::get(format!("/subprofile/{}", percent::segment(id))),
        Target::Metadata { profile_type: Some(id) } => Call::get(format!("/database/{}", percent::segment(id))),
        Target::Metadata { profile_type: None } => listing(DATABASES),
    }
}

pub(super) fn first_page() -> Page {
    start(DATABASES.to_owned(), listing(DATABASES))
}

fn start(stream: String, call: Call) -> Page {
    Page { stream, number: 0, after: String::new(), call, expected: None }
}

/// A list by offset.
fn listing(stream: &str) -> Call {
    Call::get(format!("/{stream}")).with("limit", LIMIT).with("start", 0)
}

/// A list by key, from after `last`. Counting the total costs upstream much and is not needed.
fn keyed(stream: &str, last: u64) -> Call {
    Call::get(format!("/{stream}"))
        .with("limit", LIMIT)
        .with("total", "false")
        .with("orderby", "id")
        .with("order", "asc")
        .with("fields[]", format!("id>{last}"))
}

pub(super) fn next_pages(page: &Page, body: &[u8]) -> Result<Vec<Page>, DecodeError> {
    follow(page, body)
        .map_err(|problem| DecodeError(format!("read page {} of {}: {problem}", page.number, page.stream)))
}

fn follow(page: &Page, body: &[u8]) -> Result<Vec<Page>, String> {
    let body = json::read(body)?;
    let envelope = Envelope::read(&body).ok_or("the page has no data")?;
    if envelope.count.is_some_and(|count| count != envelope.data.len() as u64) {
        return Err(format!("{} rows came, another count was told", envelope.data.len()));
    }
    let parts: Vec<&str> = page.stream.split('/').collect();
    match parts.as_slice() {
        ["databases"] => {
            let mut pages: Vec<Page> = following_offset(page, &envelope)?.into_iter().collect();
            pages.extend(envelope.data.iter().filter_map(Value::as_object).flat_map(of_database));
            Ok(pages)
        }
        ["database", _, "collections"] => {
            let mut pages: Vec<Page> = following_offset(page, &envelope)?.into_iter().collect();
            pages.extend(envelope.data.iter().filter_map(Value::as_object).flat_map(of_collection));
            Ok(pages)
        }
        ["database" | "collection", _, "fields" | "interests"] => {
            Ok(following_offset(page, &envelope)?.into_iter().collect())
        }
        ["database", _, "profiles"] | ["collection", _, "subprofiles"] => {
            Ok(following_key(page, &envelope)?.into_iter().collect())
        }
        _ => Err("the stream is unknown".to_owned()),
    }
}

/// The streams of a database: what it embeds cut, then its profiles, then its collections, so that
/// subprofiles find their profiles.
fn of_database(database: &Map<String, Value>) -> Vec<Page> {
    let Some(id) = wire::own_id(database).filter(|id| is_number(id)) else {
        return Vec::new();
    };
    let embedded = |part: &str| database.get(part).and_then(Envelope::read);
    let is_whole = |part: &str| embedded(part).is_some_and(|list| !list.is_truncated());
    let mut pages: Vec<Page> = ["fields", "interests"]
        .iter()
        .filter(|part| !is_whole(part))
        .map(|part| format!("database/{id}/{part}"))
        .map(|stream| start(stream.clone(), listing(&stream)))
        .collect();
    let profiles = format!("database/{id}/profiles");
    pages.push(start(profiles.clone(), keyed(&profiles, 0)));
    if is_whole("collections") {
        let collections = embedded("collections").map_or(&[][..], |list| list.data);
        pages.extend(collections.iter().filter_map(Value::as_object).flat_map(of_collection));
    } else {
        let collections = format!("database/{id}/collections");
        pages.push(start(collections.clone(), listing(&collections)));
    }
    pages
}

fn of_collection(collection: &Map<String, Value>) -> Vec<Page> {
    let Some(id) = wire::own_id(collection).filter(|id| is_number(id)) else {
        return Vec::new();
    };
    let mut pages = Vec::new();
    // Fields are embedded up to 100.
    if collection.get("fields").and_then(Envelope::read).is_none_or(|list| list.is_truncated()) {
        let fields = format!("collection/{id}/fields");
        pages.push(start(fields.clone(), listing(&fields)));
    }
    let subprofiles = format!("collection/{id}/subprofiles");
    pages.push(start(subprofiles.clone(), keyed(&subprofiles, 0)));
    pages
}

fn is_number(id: &str) -> bool {
    id.parse::<u64>().is_ok()
}

/// The next page of a list by offset, where there is one.
fn following_offset(page: &Page, envelope: &Envelope<'_>) -> Result<Option<Page>, String> {
    if !envelope.is_truncated() {
        return Ok(None);
    }
    let asked = page.call.query.iter().find(|(name, _)| name == "start").and_then(|(_, start)| start.parse().ok());
    let end = asked.unwrap_or(0) + envelope.data.len() as u64;
    if envelope.data.is_empty() {
        return Err(format!("the list is empty at {end}, before its end"));
    }
    let mut call = page.call.clone();
    for (name, value) in &mut call.query {
        if name == "start" {
            *value = end.to_string();
        }
    }
    let number = page.number.saturating_add(1);
    Ok(Some(Page { stream: page.stream.clone(), number, after: String::new(), call, expected: envelope.total }))
}

/// The next page of a list by key, where there is one.
fn following_key(page: &Page, envelope: &Envelope<'_>) -> Result<Option<Page>, String> {
    let mut last: u64 = if page.after.is_empty() {
        0
    } else {
        page.after.parse().map_err(|_| "the last key is no number".to_owned())?
    };
    let mut is_stuck = true;
    for row in envelope.data {
        // A row without an id cannot be checked; those around it are.
        let id = row.as_object().and_then(wire::own_id);
        let Some(id) = id.and_then(|id| id.parse::<u64>().ok()) else { continue };
        if id <= last {
            return Err(format!("id {id} does not come after {last}: the condition was not heeded"));
        }
        last = id;
        is_stuck = false;
    }
    let limit = envelope.limit.map_or(LIMIT, |limit| limit.min(LIMIT));
    if (envelope.data.len() as u64) < limit {
        return Ok(None);
    }
    if is_stuck {
        return Err("no row of a full page has a readable id".to_owned());
    }
    Ok(Some(Page {
        stream: page.stream.clone(),
        number: page.number.saturating_add(1),
        after: last.to_string(),
        call: keyed(&page.stream, last),
        expected: None,
    }))
}

/// What upstream says, in a 400, of a record that is not there (seen live in v2; v3 puts a prefix
/// before it, so that any part of the text counts).
const MISSING: [&str; 5] = [
    "no entity with supplied id",
    "no subprofile with supplied id",
    "no database with supplied id",
    "no collection with given id",
    "already been removed",
];

/// Sorts an answer. Failures are documented as 400 with `{"error":{"message"}}`, also for unknown
/// ids; what v4 answers to an expired token is not documented, so that every likely form counts.
pub(super) fn classify(call: &Call, status: u16, headers: &HeaderMap, body: &[u8]) -> Answer {
    let said = answer::said(body);
    match (status, &said) {
        (401 | 403, _) => Answer::Unauthorized(answer::said_or_status(status, body)),
        (200 | 400 | 404, Some(said)) if is_error(body) => sort_message(status, said),
        (201 | 204, _) if call.method == Method::Post => Answer::Usable,
        (200, _) if json::is_document(body) => Answer::Usable,
        _ if answer::is_transient(status) => answer::busy(status, headers, body),
        // A 404 page comes from a balancer or a wrong base URL: ids that are not there are a 400.
        _ => answer::broken(status, body),
    }
}

fn is_error(body: &[u8]) -> bool {
    json::read_object(body).is_ok_and(|object| object.contains_key("error"))
}

fn sort_message(status: u16, said: &str) -> Answer {
    let lower = said.to_lowercase();
    if MISSING.iter().any(|message| lower.contains(message)) {
        Answer::Missing(said.to_owned())
    } else if status != 404 && lower.contains("token") {
        Answer::Unauthorized(said.to_owned())
    } else {
        Answer::Broken(format!("status {status}: {said}"))
    }
}
