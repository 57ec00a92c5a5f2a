//! Calls to Copernica's REST API (v4), the order of a sync, and what answers mean.
//!
//! Profiles and subprofiles page by key (`orderby=id`, `fields[]=id>last`), so that rows which come
//! and go meanwhile move nothing. Upstream ignores a condition that it does not understand, and would
//! then give the first page for ever: ids that do not increase past the last one are an error.
//! Metadata is embedded in its database, and listed on its own only where it was cut there.

use super::wire::{self, Envelope};
use crate::{Answer, Call, DecodeError, Method, Page, PageRead, Records, Target, Vouch, answer, json, percent};
use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use http::HeaderMap;
use serde_json::{Map, Value};

/// Rows a page, the most that the API gives.
const LIMIT: u64 = 1000;
/// Stream of the databases.
const DATABASES: &str = "databases";
/// Last part of the streams that tell what unsubscribing does: one answer each.
pub(super) const UNSUBSCRIBE: &str = "unsubscribe";

pub(super) fn fetch(target: &Target) -> Call {
    match target {
        Target::Profile { id } => Call::get(format!("/profile/{}", percent::segment(id))),
        Target::Subprofile { id } => Call::get(format!("/subprofile/{}", percent::segment(id))),
        Target::Metadata { profile_type: Some(id) } => Call::get(format!("/database/{}", percent::segment(id))),
        Target::Metadata { profile_type: None } => listing(DATABASES),
        Target::Ids { records: Records::Profiles, place } => {
            Call::get(format!("/database/{}/profileids", percent::segment(place)))
        }
        Target::Ids { records: Records::Subprofiles, place } => {
            Call::get(format!("/collection/{}/subprofileids", percent::segment(place)))
        }
    }
}

/// What a token may not see is *not there* to it, so that a record counts as gone only while its database or
/// collection is seen.
pub(super) fn vouch(target: &Target, within: Option<&str>) -> Vouch {
    let Some(within) = within else { return Vouch::Nobody };
    let place = percent::segment(within);
    match target {
        Target::Profile { .. } => Vouch::Call(Call::get(format!("/database/{place}"))),
        Target::Subprofile { .. } => Vouch::Call(Call::get(format!("/collection/{place}"))),
        Target::Metadata { .. } | Target::Ids { .. } => Vouch::Needless,
    }
}

pub(super) fn first_page() -> Page {
    Page::first(DATABASES, listing(DATABASES))
}

/// A list by offset.
fn listing(stream: &str) -> Call {
    Call::get(format!("/{stream}")).with("limit", LIMIT).with("start", 0)
}

/// A list by key, from after `last`. Counting the total costs upstream much: it is done once a stream.
fn keyed(stream: &str, last: u64, limit: u64, modified: Option<&str>) -> Call {
    let call = Call::get(format!("/{stream}"))
        .with("limit", limit)
        .with("total", last == 0)
        .with("orderby", "id")
        .with("order", "asc")
        .with("fields[]", format!("id>{last}"));
    match modified {
        Some(moment) => call.with("fields[]", format!("modified>={moment}")),
        None => call,
    }
}

/// A moment as `modified` writes it. In the hour that a clock change repeats two moments are one text, so
/// that the condition reaches back by more than that.
fn local(zone: Tz, since: DateTime<Utc>) -> String {
    (since - TimeDelta::hours(2)).with_timezone(&zone).format("%Y-%m-%d %H:%M:%S").to_string()
}

pub(super) fn next_pages(zone: Tz, page: &Page, body: &[u8]) -> Result<PageRead, DecodeError> {
    follow(zone, page, body)
        .map_err(|problem| DecodeError(format!("read page {} of {}: {problem}", page.number, page.stream)))
}

fn follow(zone: Tz, page: &Page, body: &[u8]) -> Result<PageRead, String> {
    let body = json::read(body)?;
    let parts: Vec<&str> = page.stream.split('/').collect();
    if let ["database" | "collection", _, UNSUBSCRIBE] = parts.as_slice() {
        wire::unsubscribing(&body).ok_or("the answer tells no behavior")?;
        return Ok(PageRead::default());
    }
    let envelope = Envelope::read(&body).ok_or("the page has no data")?;
    if envelope.count.is_some_and(|count| count != envelope.data.len() as u64) {
        return Err(format!("{} rows came, another count was told", envelope.data.len()));
    }
    let rows = envelope.data.len() as u64;
    let objects = || envelope.data.iter().filter_map(Value::as_object);
    let modified = page.since.map(|since| local(zone, since));
    let modified = modified.as_deref();
    let mut next: Vec<Page> = match parts.as_slice() {
        ["databases"] => {
            let streams = of_databases(objects(), modified);
            following_offset(page, &envelope)?.into_iter().chain(streams).collect()
        }
        ["database", id, "collections"] => {
            let streams = objects().flat_map(|collection| of_collection(id, collection, modified));
            following_offset(page, &envelope)?.into_iter().chain(streams).collect()
        }
        ["database" | "collection", _, "fields" | "interests"] => {
            following_offset(page, &envelope)?.into_iter().collect()
        }
        ["database", _, "profiles"] | ["collection", _, "subprofiles"] => {
            let next = following_key(page, &envelope, modified)?.into_iter().collect();
            // The total of a page after the first one is that of what is left.
            let total = envelope.total.filter(|_| page.after.is_empty() && page.since.is_none());
            return Ok(PageRead { next, rows, total });
        }
        _ => return Err("the stream is unknown".to_owned()),
    };
    for following in &mut next {
        following.since = page.since;
    }
    Ok(PageRead { next, rows, total: None })
}

/// The streams of databases: what they embed cut, then all profiles, then the collections, so that subprofiles find their
/// profiles. A small database goes before a large one, whose profiles refer to it mostly: those are known then, and not
/// met as strangers first.
fn of_databases<'a>(databases: impl Iterator<Item = &'a Map<String, Value>>, modified: Option<&str>) -> Vec<Page> {
    let (mut pages, mut profiles, mut subprofiles) = (Vec::new(), Vec::new(), Vec::new());
    for database in databases {
        let Some(id) = wire::own_id(database).filter(|id| is_number(id)) else { continue };
        let embedded = |part: &str| database.get(part).and_then(Envelope::read);
        let is_whole = |part: &str| embedded(part).is_some_and(|list| !list.is_truncated());
        let cut = ["fields", "interests"].into_iter().filter(|part| !is_whole(part));
        let cut = cut.map(|part| format!("database/{id}/{part}"));
        pages.extend(cut.map(|stream| Page::first(stream.clone(), listing(&stream))));
        pages.extend(unsubscribing("database", &id, &id, modified));
        let stream = records(format!("database/{id}/profiles"), &id, database, modified);
        profiles.extend(stream.map(|page| Page { records: Some(Records::Profiles), ..page }));
        if is_whole("collections") {
            let collections = embedded("collections").map_or(&[][..], |list| list.data);
            let collections = collections.iter().filter_map(Value::as_object);
            subprofiles.extend(collections.flat_map(|collection| of_collection(&id, collection, modified)));
        } else {
            let collections = format!("database/{id}/collections");
            subprofiles
                .push(Page { profile_type: Some(id), ..Page::first(collections.clone(), listing(&collections)) });
        }
    }
    pages.into_iter().chain(profiles).chain(subprofiles).collect()
}

/// The stream of records of a database or collection. A field of the customer's own that is called *modified*
/// takes the condition on it: changes alone cannot be asked for then.
fn records(stream: String, database: &str, owner: &Map<String, Value>, modified: Option<&str>) -> Option<Page> {
    let fields = owner.get("fields").and_then(Envelope::read);
    let is_taken = fields.is_none_or(|fields| {
        let name = |field: &Value| field.get("name").and_then(Value::as_str).unwrap_or_default().to_lowercase();
        fields.is_truncated() || fields.data.iter().any(|field| name(field) == "modified")
    });
    if modified.is_some() && is_taken {
        return None;
    }
    let call = keyed(&stream, 0, LIMIT, modified);
    Some(Page { profile_type: Some(database.to_owned()), ..Page::first(stream, call) })
}

fn of_collection(database: &str, collection: &Map<String, Value>, modified: Option<&str>) -> Vec<Page> {
    let Some(id) = wire::own_id(collection).filter(|id| is_number(id)) else {
        return Vec::new();
    };
    let mut pages = Vec::new();
    // Fields are embedded up to 100.
    if collection.get("fields").and_then(Envelope::read).is_none_or(|list| list.is_truncated()) {
        let fields = format!("collection/{id}/fields");
        pages.push(Page::first(fields.clone(), listing(&fields)));
    }
    pages.extend(unsubscribing("collection", &id, database, modified));
    pages.extend(records(format!("collection/{id}/subprofiles"), database, collection, modified));
    pages
}

/// The stream that tells what unsubscribing does in a database or collection. It is not among what has changed.
fn unsubscribing(owner: &str, id: &str, database: &str, modified: Option<&str>) -> Option<Page> {
    let stream = format!("{owner}/{id}/{UNSUBSCRIBE}");
    let call = Call::get(format!("/{stream}"));
    modified.is_none().then(|| Page { profile_type: Some(database.to_owned()), ..Page::first(stream, call) })
}

fn is_number(id: &str) -> bool {
    id.parse::<u64>().is_ok()
}

/// The next page of a list by offset, where there is one.
fn following_offset(page: &Page, envelope: &Envelope<'_>) -> Result<Option<Page>, String> {
    if !envelope.is_truncated() {
        return Ok(None);
    }
    let end = page.call.number("start").unwrap_or(0) + envelope.data.len() as u64;
    if envelope.data.is_empty() {
        return Err(format!("the list is empty at {end}, before its end"));
    }
    let call = page.call.clone().with_instead("start", end);
    Ok(Some(page.next(String::new(), call, envelope.total)))
}

/// The next page of a list by key, where there is one.
fn following_key(page: &Page, envelope: &Envelope<'_>, modified: Option<&str>) -> Result<Option<Page>, String> {
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
    let asked = page.call.number("limit").unwrap_or(LIMIT);
    let limit = envelope.limit.map_or(asked, |limit| limit.min(asked));
    if (envelope.data.len() as u64) < limit {
        return Ok(None);
    }
    if is_stuck {
        return Err("no row of a full page has a readable id".to_owned());
    }
    let expected = if page.after.is_empty() { envelope.total } else { page.expected };
    Ok(Some(page.next(last.to_string(), keyed(&page.stream, last, asked, modified), expected)))
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
