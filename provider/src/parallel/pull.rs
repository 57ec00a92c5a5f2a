//! Calls to Parallel's REST API (`/api/v1`), the order of a sync, and what answers mean.
//!
//! Lists page by offset and shift under the reader when a row before the page goes away. So each
//! page overlaps the one before it by some rows, and where it does not join that one more rows went
//! away than the overlap covers: the stream then steps back, page by page, until one joins.

use super::wire::{self, LISTED_STATUSES};
use crate::joint::{self, Joint, Row};
use crate::{Answer, Call, DecodeError, Method, Page, PageRead, Target, answer, json, moment, percent};
use http::HeaderMap;
use serde_json::Value;

/// Stream of the profile types.
pub(super) const TYPES: &str = "profile-types";
/// Rows a page, the most that the API gives.
const LIMIT: u64 = 100;
/// Rows that a page has in common with the one before it.
const OVERLAP: usize = joint::KEPT;

pub(super) fn fetch(target: &Target) -> Call {
    match target {
        Target::Profile { id } | Target::Subprofile { id } => {
            Call::get(format!("/profiles/{}", percent::segment(id))).with("include", "fields,relationships")
        }
        Target::Metadata { .. } | Target::Ids { .. } => types_call(0),
    }
}

pub(super) fn first_page() -> Page {
    Page::first(TYPES, types_call(0))
}

fn types_call(offset: u64) -> Call {
    Call::get("/profile-types").with("offset", offset).with("limit", LIMIT).with("include", "fields,fields.options")
}

fn profiles_call(profile_type: &str, status: &str, offset: u64) -> Call {
    Call::get("/profiles")
        .with("profileTypeId", profile_type)
        .with("status", status)
        .with("offset", offset)
        .with("limit", LIMIT)
        .with("include", "fields,relationships")
        .with("sortBy", "createdAt_ASC")
}

pub(super) fn next_pages(page: &Page, body: &[u8]) -> Result<PageRead, DecodeError> {
    let (rows, total) = wire::envelope(body).map_err(|problem| wrong(page, &problem))?;
    let mut next: Vec<Page> = following(page, &rows, total)?.into_iter().collect();
    let lists_types = page.stream == TYPES;
    if lists_types {
        for id in rows.iter().filter_map(|row| json::id(row.get("id"))) {
            next.extend(LISTED_STATUSES.iter().map(|status| {
                let stream = format!("profile-type/{}/profiles/{status}", percent::segment(&id));
                Page { profile_type: Some(id.clone()), ..Page::first(stream, profiles_call(&id, status, 0)) }
            }));
        }
    }
    Ok(PageRead { next, rows: rows.len() as u64, total: (!lists_types).then_some(total) })
}

/// The next page of the same stream, where there is one.
fn following(page: &Page, rows: &[Value], total: u64) -> Result<Option<Page>, DecodeError> {
    let offset = page.call.number("offset").unwrap_or(0);
    let place = |row: &Value| Row { id: json::id(row.get("id")), created: moment::iso_value(row.get("createdAt")) };
    let places: Vec<Row> = rows.iter().map(place).collect();
    let joint = Joint::read(&page.after);
    let is_joined = offset == 0 || page.after.is_empty() || joint.holds(&places);
    if !is_joined && joint::may_go_back(page, total, page.call.number("limit").unwrap_or(LIMIT)) {
        // As far however small its pages are: nothing tells how many rows went away.
        let back = offset.min(total).saturating_sub(LIMIT - OVERLAP as u64);
        // Without times nothing tells a page that is too far back from one that is not far enough.
        let after = joint.created().map_or_else(String::new, |_| page.after.clone());
        return Ok(Some(at(page, back, after, total)));
    }
    let end = offset + rows.len() as u64;
    if end >= total {
        return Ok(None);
    }
    if rows.is_empty() {
        return Err(wrong(page, &format!("the list is empty at {offset} of {total}")));
    }
    // A smaller page than asked for (a lower cap) must still move on.
    let overlap = OVERLAP.min(rows.len() / 2);
    let after = if overlap == 0 { String::new() } else { Joint::of(&places, overlap).to_text() };
    Ok(Some(at(page, end - overlap as u64, after, total)))
}

/// The page of the same stream at `offset`.
fn at(page: &Page, offset: u64, after: String, total: u64) -> Page {
    page.next(after, page.call.clone().with_instead("offset", offset), Some(total))
}

fn wrong(page: &Page, problem: &str) -> DecodeError {
    DecodeError(format!("read page {} of {}: {problem}", page.number, page.stream))
}

/// Sorts an answer by the documented statuses: 401 bad key, 403 no access, 404 absent, 422 malformed
/// id or parameter (which says nothing about the record), 429 over the limit.
pub(super) fn classify(call: &Call, status: u16, headers: &HeaderMap, body: &[u8]) -> Answer {
    let is_by_id = call.path.starts_with("/profiles/");
    let is_of_type = call.query.iter().any(|(name, _)| name == "profileTypeId");
    match status {
        200 if json::is_document(body) => Answer::Usable,
        201 | 204 if call.method == Method::Post => Answer::Usable,
        401 => Answer::Unauthorized(answer::said_or_status(status, body)),
        // It may be the answer about a profile that is not there. A proxy's page says nothing of it.
        403 if is_by_id && json::is_document(body) => Answer::MaybeMissing(answer::said_or_status(status, body)),
        403 => Answer::Forbidden(answer::said_or_status(status, body)),
        // A 404 page of a proxy says nothing about a profile; the API answers in JSON.
        404 if (is_by_id || is_of_type) && json::is_document(body) => {
            Answer::Missing(answer::said_or_status(status, body))
        }
        _ if answer::is_transient(status) => answer::busy(status, headers, body),
        _ => answer::broken(status, body),
    }
}
