//! Calls to GetProfile's REST API (`/v1`), the order of a sync, and what answers mean.
//!
//! `/v1/search` is the only listing. Its default order is *last updated first*, which moves rows
//! while they are paged, so the sync sorts by creation. Pages are numbered and do not overlap: when
//! the total shrinks between two pages, or they are far apart in time, rows may have moved to pages
//! before. Those are asked for again, page by page, until one joins what was read.

use super::wire;
use crate::joint::{self, Joint, Row};
use crate::{Answer, Call, DecodeError, Method, Page, PageRead, Target, answer, json, moment, percent};
use chrono::{DateTime, Utc};
use http::HeaderMap;
use serde_json::Value;

/// Stream of the one listing.
const STREAM: &str = "search";
const SEARCH: &str = "/v1/search";
/// Rows a page to start with; the most that upstream gives is not documented, its echo counts.
const PAGE_SIZE: u64 = 50;
/// Behind the place at which what was read so far ends, in [`Page::after`].
const END: char = ':';
/// Rows asked for when an absence is confirmed: the filter matches parts of ids.
const CONFIRM_SIZE: u64 = 100;

pub(super) fn fetch(target: &Target) -> Call {
    match target {
        Target::Profile { id } | Target::Subprofile { id } => {
            Call::get(format!("/v1/profile/{}", percent::segment(id)))
        }
        // The tenant is configured; the smallest search shows that the account answers.
        Target::Metadata { .. } | Target::Ids { .. } => search(1, 1),
    }
}

/// The not-found status is not documented, so an absence counts only where the listing agrees.
pub(super) fn confirm_missing(target: &Target) -> Option<Call> {
    match target {
        Target::Profile { id } => Some(matches(id, 1, CONFIRM_SIZE)),
        Target::Subprofile { .. } | Target::Metadata { .. } | Target::Ids { .. } => None,
    }
}

/// Where a short id matches more than one page shows, all of them: from the last page to the first, since rows that go
/// meanwhile move others to pages that are still to come. These pages are sorted, the first look is not.
pub(super) fn confirm_further(call: &Call, body: &[u8]) -> Option<Call> {
    let id = filtered_id(call)?;
    let asked = call.number("page")?;
    let (page, size) = if query(call, "sortBy").is_some() {
        (asked.checked_sub(1).filter(|page| *page > 0)?, call.number("pageSize")?)
    } else {
        let matched = Matched::read(body)?;
        if matched.total <= matched.rows.len() as u64 {
            return None;
        }
        let size = matched.size.filter(|size| *size > 0)?;
        (matched.total.div_ceil(size), size)
    };
    Some(matches(id, page, size).with("sortBy", "created_at").with("sortOrder", "asc"))
}

/// The profiles whose ids hold this text.
fn matches(id: &str, page: u64, size: u64) -> Call {
    Call::get(SEARCH).with("filterBy", "id").with("filterValue", id).with("page", page).with("pageSize", size)
}

/// The id that a call of [`matches()`] looks for.
fn filtered_id(call: &Call) -> Option<&str> {
    query(call, "filterValue").filter(|_| query(call, "filterBy") == Some("id"))
}

/// What a search found.
struct Matched {
    rows: Vec<Value>,
    total: u64,
    page: Option<u64>,
    size: Option<u64>,
}

impl Matched {
    fn read(body: &[u8]) -> Option<Self> {
        let mut answer = json::read_object(body).ok()?;
        let Some(Value::Array(rows)) = answer.remove("profiles") else { return None };
        let count = |name: &str| json::count(answer.get(name));
        Some(Self { rows, total: count("total")?, page: count("page"), size: count("pageSize") })
    }
}

pub(super) fn first_page() -> Page {
    Page::first(STREAM, search(1, PAGE_SIZE))
}

/// Newest first, until what is older than `since` comes.
pub(super) fn changed_page(since: DateTime<Utc>) -> Page {
    Page { since: Some(since), ..Page::first(STREAM, newest(1, PAGE_SIZE)) }
}

fn search(page: u64, size: u64) -> Call {
    Call::get(SEARCH).with("sortBy", "created_at").with("sortOrder", "asc").with("page", page).with("pageSize", size)
}

fn newest(page: u64, size: u64) -> Call {
    Call::get(SEARCH).with("sortBy", "last_updated").with("sortOrder", "desc").with("page", page).with("pageSize", size)
}

pub(super) fn next_pages(page: &Page, body: &[u8]) -> Result<PageRead, DecodeError> {
    let wrong = |problem: &str| DecodeError(format!("read page {} of {}: {problem}", page.number, page.stream));
    let answer = json::read_object(body).map_err(|problem| wrong(&problem))?;
    let Some(Value::Array(rows)) = answer.get("profiles") else {
        return Err(wrong("the page has no profiles"));
    };
    let total = json::count(answer.get("total")).ok_or_else(|| wrong("the page has no total"))?;
    let asked = page.call.number("page").unwrap_or(1);
    if json::count(answer.get("page")).is_some_and(|given| given != asked) {
        return Err(wrong("the answer is another page than the one asked for"));
    }
    let size = json::count(answer.get("pageSize")).or_else(|| page.call.number("pageSize"));
    let size = size.filter(|size| *size > 0).ok_or_else(|| wrong("the page has no size"))?;
    if page.call.number("pageSize").is_some_and(|asked| size > asked) {
        return Err(wrong("the page is larger than the one asked for"));
    }
    let count = rows.len() as u64;
    let is_last = asked.saturating_mul(size) >= total;
    let due = if is_last { total.saturating_sub(asked.saturating_sub(1).saturating_mul(size)) } else { size };
    if count < due {
        return Err(wrong(&format!("{count} rows where {due} are due")));
    }
    let may_go_back = asked > 1 && joint::may_go_back(page, total, size);
    let gone = page.expected.filter(|_| may_go_back).map_or(0, |expected| expected.saturating_sub(total));
    let back = asked.saturating_sub(gone.div_ceil(size)).max(1);
    if let Some(since) = page.since {
        // Rows that come or change meanwhile move to the front, and push others onto the next page. Only rows that go pull
        // others back, and then the total shrinks by as many at least.
        let is_over = is_last || rows.last().is_some_and(|row| is_older(row, since));
        let number = if gone > 0 { Some(back) } else { (!is_over).then_some(asked + 1) };
        let next = number.map(|number| page.next(String::new(), newest(number, size), Some(total)));
        return Ok(PageRead { next: next.into_iter().collect(), rows: count, total: None });
    }
    let next = if gone > 0 {
        Some((page.after.clone(), back))
    } else if may_go_back && !is_joined(page, rows, (asked - 1).saturating_mul(size)) {
        Some((page.after.clone(), asked - 1))
    } else {
        (!is_last).then(|| (end_of(rows, asked.saturating_mul(size)), asked + 1))
    };
    let next = next.map(|(after, number)| page.next(after, search(number, size), Some(total)));
    Ok(PageRead { next: next.into_iter().collect(), rows: count, total: Some(total) })
}

fn places(rows: &[Value]) -> Vec<Row> {
    let created = |row: &Value| moment::iso_value(row.get("profile").unwrap_or(row).get("created_at"));
    rows.iter().map(|row| Row { id: wire::profile_id(row), created: created(row) }).collect()
}

/// What the next page is held against: the place behind these rows, and the last of them.
fn end_of(rows: &[Value], end: u64) -> String {
    format!("{end}{END}{}", Joint::of(&places(rows), joint::KEPT).to_text())
}

/// Whether a page that begins at this place joins what was read before it. Nothing tells where it has nothing in common
/// with that by its place, or rows do not say when they were created.
fn is_joined(page: &Page, rows: &[Value], start: u64) -> bool {
    let Some((end, joint)) = page.after.split_once(END) else { return true };
    let overlaps = end.parse().is_ok_and(|end: u64| start < end);
    let joint = Joint::read(joint);
    let is_told = start > 0 && overlaps && joint.created().is_some();
    !is_told || joint.holds(&places(rows))
}

/// The page before: rows that went meanwhile may have pulled others onto it.
pub(super) fn rejoin(page: &Page) -> Option<Page> {
    let before = page.call.number("page")?.checked_sub(1).filter(|before| *before > 0)?;
    let is_full = page.since.is_none() && page.after.contains(END);
    is_full.then(|| Page { call: page.call.clone().with_instead("page", before), ..page.clone() })
}

/// Pages are counted by their own size: the smaller one begins where `page` does, or somewhat before it. Rows that come
/// twice do no harm.
pub(super) fn smaller(page: &Page) -> Option<Page> {
    let before = page.call.number("page")?.saturating_sub(1).saturating_mul(page.call.number("pageSize")?);
    let half = page.halved("pageSize")?;
    let number = before / half.call.number("pageSize")? + 1;
    Some(Page { call: half.call.with_instead("page", number), ..page.clone() })
}

fn is_older(row: &Value, since: DateTime<Utc>) -> bool {
    let row = row.get("profile").unwrap_or(row);
    let updated = moment::iso_value(row.get("last_updated"));
    updated.is_some_and(|updated| updated < since)
}

fn query<'a>(call: &'a Call, name: &str) -> Option<&'a str> {
    call.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

/// Sorts an answer. Only 400 is documented as an error; 401 is in the client's tests.
pub(super) fn classify(call: &Call, status: u16, headers: &HeaderMap, body: &[u8]) -> Answer {
    let is_by_id = call.path.starts_with("/v1/profile/");
    let said = || answer::said_or_status(status, body);
    match status {
        200 if json::is_document(body) => confirm(call, body),
        201 | 202 | 204 if call.method == Method::Post => Answer::Usable,
        401 => Answer::Unauthorized(said()),
        403 => Answer::Forbidden(said()),
        404 if is_by_id && (body.trim_ascii().is_empty() || json::is_document(body)) => Answer::Missing(said()),
        400 if is_by_id && says_not_found(&said()) => Answer::Missing(said()),
        _ if answer::is_transient(status) => answer::busy(status, headers, body),
        _ => answer::broken(status, body),
    }
}

fn says_not_found(message: &str) -> bool {
    let message = message.to_lowercase();
    ["not found", "not_found", "does not exist", "doesn't exist", "no such profile", "unknown profile"]
        .iter()
        .any(|words| message.contains(words))
}

/// For the searches of [`confirm_missing`] and [`confirm_further`]: absent where no row of the page that was asked for is it.
fn confirm(call: &Call, body: &[u8]) -> Answer {
    let Some(id) = filtered_id(call) else {
        return Answer::Usable;
    };
    let Some(matched) = Matched::read(body) else {
        return Answer::Broken("the search has no profiles, or no total".to_owned());
    };
    if matched.rows.iter().any(|row| wire::profile_id(row).as_deref() == Some(id)) {
        return Answer::Usable;
    }
    let is_whole = matched.total <= matched.rows.len() as u64;
    let is_sorted = query(call, "sortBy").is_some();
    let is_asked = |given: Option<u64>, name| given.is_some() && given == call.number(name);
    let is_the_page = is_asked(matched.page, "page") && is_asked(matched.size, "pageSize");
    if (is_sorted && !is_the_page) || (!is_sorted && !is_whole && matched.size.is_none()) {
        return Answer::Broken("the search answers with another page than the one asked for".to_owned());
    }
    let page = matched.page.unwrap_or(1);
    let before = page.saturating_sub(1).saturating_mul(matched.size.unwrap_or(0));
    let due = matched.total.saturating_sub(before).min(matched.size.unwrap_or(u64::MAX));
    if (matched.rows.len() as u64) < due {
        return Answer::Broken("the search shows fewer profiles than it counts".to_owned());
    }
    Answer::Missing("the search does not find it either".to_owned())
}
