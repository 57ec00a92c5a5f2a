//! GetProfile's REST API: profiles by id and the search that is its only listing.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};
use std::collections::HashSet;

use super::truth::bare_text;
use super::world::Profile;
use super::{GetProfileSim, GetProfileSwitches, State, TENANT, api_key};
use crate::clock::iso_auto;
use crate::context::ProviderKind;
use crate::door::error_body;
use crate::http::{Answer, Call};

impl GetProfileSim {
    /// Answers one REST call.
    pub(crate) fn answer(&self, call: &Call) -> Answer {
        if call.bearer() != Some(self.api_key().as_str()) {
            return Answer::json(StatusCode::UNAUTHORIZED, &json!({"error": "Unauthorized"}));
        }
        match (call.method.as_str(), call.segments().as_slice()) {
            ("GET", ["v1", "profile", id]) => self.read(id),
            ("POST", ["v1", "profile", id]) => self.write(call, id),
            ("DELETE", ["v1", "profile", id]) => match self.delete(id) {
                Ok(()) => Answer::ok(&json!({"message": "deleted", "profile_id": id})),
                Err(_) => absent(&self.state.lock().switches),
            },
            ("GET", ["v1", "search" | "smart-search"]) => {
                let lies = self.context.faults(ProviderKind::GetProfile).lies();
                Answer::ok(&self.state.lock().search(call, &lies.0, lies.1))
            }
            _ => error_body(ProviderKind::GetProfile, StatusCode::NOT_FOUND, "Not found"),
        }
    }

    fn read(&self, id: &str) -> Answer {
        let faults = self.context.faults(ProviderKind::GetProfile);
        let state = self.state.lock();
        if faults.is_forbidden(id) {
            return error_body(ProviderKind::GetProfile, StatusCode::FORBIDDEN, "No access to this profile");
        }
        if faults.is_hidden(id) {
            return absent(&state.switches);
        }
        let flat = match (faults.stale_answer(id), state.world.get(id)) {
            (Some(stale), _) => stale,
            (None, Ok(found)) => view(id, found),
            (None, Err(_)) => return absent(&state.switches),
        };
        Answer::ok(&if state.switches.wrapped { json!({"profile_id": id, "profile": flat}) } else { flat })
    }

    /// `{data, input_type?}`: data that is an object of sections is taken as such, any text becomes a memory.
    fn write(&self, call: &Call, id: &str) -> Answer {
        let body = call.json();
        let data = match &body["data"] {
            Value::String(text) => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
            other => other.clone(),
        };
        let sections = match data {
            Value::Object(sections) => sections,
            Value::Null => return error_body(ProviderKind::GetProfile, StatusCode::BAD_REQUEST, "data is required"),
            text => {
                let at = iso_auto(self.context.clock.now());
                let memory = json!([{"event": text, "date": &at[..10], "importance": "medium", "confidence": 0.7}]);
                Map::from_iter([("memories".to_owned(), memory)])
            }
        };
        self.submit_sections(id, &sections);
        let status = if self.state.lock().switches.post_is_200 { StatusCode::OK } else { StatusCode::ACCEPTED };
        Answer::json(status, &json!({"message": "accepted", "profile_id": id}))
    }

    /// Answers the next `reads` reads of this profile by id as it is now, whatever changes.
    pub fn freeze_reads(&self, profile: &str, reads: u32) {
        self.answer_as(profile, profile, reads);
    }

    /// Answers the next `reads` reads of this profile by id with another one as it is now, as after the two were merged.
    pub fn answer_as(&self, profile: &str, other: &str, reads: u32) {
        let answer = self.state.lock().world.get(other).ok().map(|found| view(other, found));
        if let Some(answer) = answer {
            self.context.faults(ProviderKind::GetProfile).freeze(profile, reads, answer);
        }
    }

    /// Says whether a key is the one in use.
    pub fn accepts_key(&self, key: &str) -> bool {
        key == api_key(self.state.lock().key_generation)
    }
}

fn absent(switches: &GetProfileSwitches) -> Answer {
    let status = if switches.absent_is_400 { StatusCode::BAD_REQUEST } else { StatusCode::NOT_FOUND };
    error_body(ProviderKind::GetProfile, status, "Profile not found")
}

fn view(id: &str, profile: &Profile) -> Value {
    let updated = iso_auto(profile.last_updated);
    let mut view = profile.sections.unpack();
    let stamps: Map<String, Value> = view.keys().map(|section| (section.clone(), json!(updated))).collect();
    let log: Vec<Value> =
        (0..profile.updates.min(50)).map(|_| json!({"extracted_on": updated, "changes": {}})).collect();
    let rest = json!({
        "profile_id": id, "tenant_id": TENANT, "status": profile.progress.wire_name(), "field_timestamps": stamps,
        "update_log": log, "last_updated": updated, "created_at": iso_auto(profile.created_at),
    });
    if let Value::Object(rest) = rest {
        view.extend(rest);
    }
    Value::Object(view)
}

impl State {
    /// Everything is found but what `filterBy` and `filterValue` keep out; `query` only makes `sortBy` count for nothing.
    fn search(&self, call: &Call, unlisted: &HashSet<String>, overstated: usize) -> Value {
        let number =
            |name: &str, default: usize| call.query(name).and_then(|text| text.parse().ok()).unwrap_or(default);
        let page = number("page", 1).max(1);
        let page_size = number("pageSize", 10).clamp(1, self.switches.most_rows);
        let filter = call.query("filterBy").zip(call.query("filterValue").map(str::to_lowercase));
        let fits = |id: &str, profile: &Profile| {
            filter.as_ref().is_none_or(|(by, value)| {
                text_at(id, profile, by).is_some_and(|text| text.to_lowercase().contains(value))
            })
        };
        let descending = call.query("sortOrder").unwrap_or("desc") != "asc";
        let sort_by = call.query("sortBy").filter(|_| call.query("query").is_none());
        let skip = (page - 1).saturating_mul(page_size);
        if sort_by == Some("created_at") && !descending && filter.is_none() {
            let listed = self.world.by_creation.iter().filter(|(_, id)| !unlisted.contains(id));
            let ids = listed.skip(skip).take(page_size).map(|(_, id)| id);
            let rows: Vec<Value> = ids.filter_map(|id| Some(view(id, self.world.profiles.get(id)?))).collect();
            let left_out = unlisted.iter().filter(|id| self.world.profiles.contains_key(*id)).count();
            let total = self.world.profiles.len() - left_out + overstated;
            return json!({"profiles": rows, "total": total, "page": page, "pageSize": page_size});
        }
        let mut found: Vec<(&String, &Profile)> = self.world.profiles.iter().filter(|(id, it)| fits(id, it)).collect();
        match sort_by.unwrap_or("last_updated") {
            "created_at" => found.sort_by_key(|(_, profile)| profile.created_at),
            "id" => {}
            "name" => found.sort_by_cached_key(|(id, profile)| text_at(id, profile, "name")),
            _ => found.sort_by_key(|(_, profile)| profile.last_updated),
        }
        if descending {
            found.reverse();
        }
        let total = found.len();
        let rows: Vec<Value> =
            found.into_iter().skip(skip).take(page_size).map(|(id, profile)| view(id, profile)).collect();
        json!({"profiles": rows, "total": total, "page": page, "pageSize": page_size})
    }
}

/// The text under `status`, `name` or a dotted path such as `core_info.location`.
fn text_at(id: &str, profile: &Profile, path: &str) -> Option<String> {
    match path {
        "id" | "profile_id" => return Some(id.to_owned()),
        "status" => return Some(profile.progress.wire_name().to_owned()),
        _ => {}
    }
    let sections = profile.sections.unpack();
    let mut parts = path.split('.');
    let section = sections.get(parts.next()?);
    let found = parts.fold(section, |at, part| at?.get(part));
    let value = found.or_else(|| sections.get("core_info")?.get(path))?;
    bare_text(value).map_or_else(|| Some(value.to_string()), |text| Some(text.to_owned()))
}
