//! Parallel's REST API: paging, include gating, rate-limit headers, errors as `{"code","message"}`.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::view::{self, Include};
use super::world::{End, Profile, Status};
use super::{API_KEY, AnonymizedReads, ParallelSim, State};
use crate::context::{ProviderKind, Refusal};
use crate::door::error_body;
use crate::http::{Answer, Call};
use crate::outbox::Subscription;

const REQUESTS_A_MINUTE: u32 = 100;
/// What the headers tell while nothing is refused: clients that obey them must not slow down for it.
const UNLIMITED: u32 = 1_000_000;
const MOST_ROWS: usize = 100;

fn error(status: StatusCode, text: &str) -> Answer {
    error_body(ProviderKind::Parallel, status, text)
}

fn unprocessable(text: &str) -> Answer {
    error(StatusCode::UNPROCESSABLE_ENTITY, text)
}

impl ParallelSim {
    /// Answers one REST call.
    pub(crate) fn answer(&self, call: &Call) -> Answer {
        let (limit_headers, over) = self.state.lock().count_request();
        let answer = if call.bearer() != Some(API_KEY) {
            error(StatusCode::UNAUTHORIZED, "Invalid API key")
        } else if let Some(seconds) = over {
            error(StatusCode::TOO_MANY_REQUESTS, "Too many requests").with_header("Retry-After", seconds.to_string())
        } else {
            self.dispatch(call).unwrap_or_else(|refused| refused)
        };
        limit_headers.into_iter().fold(answer, |answer, (name, value)| answer.with_header(name, value))
    }

    fn dispatch(&self, call: &Call) -> Result<Answer, Answer> {
        let broken = |refusal: Refusal| error(StatusCode::BAD_REQUEST, &refusal.0);
        match (call.method.as_str(), call.segments().as_slice()) {
            ("GET", ["me"]) => {
                Ok(Answer::ok(&json!({"id": "usr3kP0aXb", "fullName": "Simulated User", "email": "user@example.com"})))
            }
            ("GET", ["profile-types"]) => self.list_types(call),
            ("GET", ["profiles"]) => self.list_profiles(call),
            ("GET", ["profiles", id]) => self.read_profile(call, id),
            ("GET", ["profiles", id, "relationships"]) => {
                let state = self.state.lock();
                let profile = state.readable(id)?;
                Ok(Answer::ok(&view::relationships(&state.world, profile)))
            }
            ("POST", ["profiles"]) => {
                let body = call.json();
                let values = body["values"].as_object().cloned().unwrap_or_default();
                let values: Vec<(&str, Value)> =
                    values.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
                let id =
                    self.create_profile(body["profileTypeId"].as_str().unwrap_or_default(), &values).map_err(broken)?;
                Ok(self.read_profile(call, &id)?.with_status(StatusCode::CREATED))
            }
            ("PUT", ["profiles", id, "values"]) => {
                self.state.lock().readable(id)?;
                let body = call.json();
                let values = body.as_object().cloned().unwrap_or_default();
                let values: Vec<(&str, Option<Value>)> =
                    values.iter().map(|(key, value)| (key.as_str(), Some(value.clone()))).collect();
                self.set_fields(id, &values).map_err(broken)?;
                self.read_profile(call, id)
            }
            ("POST", ["profiles", id, "close"]) => {
                self.state.lock().readable(id)?;
                self.close(id).map_err(broken)?;
                self.read_profile(call, id)
            }
            ("DELETE", ["profiles", id]) => {
                if self.state.lock().readable(id)?.status == Status::Open {
                    return Err(error(StatusCode::BAD_REQUEST, "Profile must be closed or scheduled for deletion"));
                }
                self.vanish(id).map_err(broken)?;
                Ok(Answer::empty(StatusCode::NO_CONTENT))
            }
            ("POST", ["subscriptions"]) => self.subscribe(call),
            ("GET", ["subscriptions"]) => {
                let known = self.context.outbox.subscriptions(ProviderKind::Parallel);
                Ok(Answer::ok(&known.iter().map(subscription).collect::<Vec<_>>()))
            }
            ("DELETE", ["subscriptions", id]) => {
                if !self.context.outbox.unsubscribe(ProviderKind::Parallel, id) {
                    return Err(error(StatusCode::NOT_FOUND, "Subscription not found"));
                }
                Ok(Answer::empty(StatusCode::NO_CONTENT))
            }
            _ => Err(error(StatusCode::NOT_FOUND, "Not found")),
        }
    }

    fn list_types(&self, call: &Call) -> Result<Answer, Answer> {
        let (offset, limit) = paging(call)?;
        let include = list_of(call, "include");
        let with_options = include.iter().any(|part| part == "fields.options");
        let fields = (with_options || include.iter().any(|part| part == "fields")).then_some(with_options);
        let state = self.state.lock();
        let types = &state.world.types;
        let items: Vec<Value> = types
            .iter()
            .skip(offset)
            .take(limit)
            .map(|kind| view::profile_type(&state.switches, kind, fields))
            .collect();
        Ok(Answer::ok(&json!({"items": items, "totalCount": types.len()})))
    }

    fn list_profiles(&self, call: &Call) -> Result<Answer, Answer> {
        let (mut offset, limit) = paging(call)?;
        let include = read_include(call)?;
        let statuses = read_statuses(call)?;
        let (unlisted, overstated) = self.context.faults(ProviderKind::Parallel).lies();
        let mut state = self.state.lock();
        let limit = limit.min(state.switches.most_rows);
        state.lists += 1;
        if state.switches.shifting_pages && offset > 0 && state.lists.is_multiple_of(2) {
            offset += 1;
        }
        let type_id =
            call.query("profileTypeId").ok_or_else(|| error(StatusCode::BAD_REQUEST, "profileTypeId is required"))?;
        let kind = state.world.types.iter().find(|kind| kind.id == type_id);
        let kind = kind.ok_or_else(|| error(StatusCode::NOT_FOUND, "Profile type not found"))?;
        let everything = statuses.is_empty() && !state.switches.lists_open_only;
        let wanted = |profile: &&Profile| {
            everything
                || if statuses.is_empty() {
                    profile.status == Status::Open
                } else {
                    statuses.contains(profile.status.wire_name())
                }
        };
        let is_listed = |profile: &&Profile| unlisted.is_empty() || !unlisted.contains(&profile.id);
        let listed =
            || kind.listed.iter().filter_map(|place| state.world.profiles.get(place)).filter(wanted).filter(is_listed);
        let page: Vec<&Profile> = match call.query("sortBy") {
            None | Some("createdAt_ASC") => listed().skip(offset).take(limit).collect(),
            Some(order) => state.sorted(listed().collect(), order)?.into_iter().skip(offset).take(limit).collect(),
        };
        let total = if everything && unlisted.is_empty() { kind.listed.len() } else { listed().count() };
        let total = total + overstated;
        let items: Vec<Value> =
            page.into_iter().map(|profile| view::profile(&state.world, &state.switches, profile, include)).collect();
        Ok(Answer::ok(&json!({"items": items, "totalCount": total})))
    }

    fn read_profile(&self, call: &Call, id: &str) -> Result<Answer, Answer> {
        let include = read_include(call)?;
        let state = self.state.lock();
        let faults = self.context.faults(ProviderKind::Parallel);
        if faults.is_forbidden(id) {
            return Err(error(StatusCode::FORBIDDEN, "No access to this profile"));
        }
        if faults.is_hidden(id) {
            return Err(state.absent());
        }
        if let Some(mut stale) = faults.stale_answer(id) {
            include.gate(&mut stale);
            return Ok(Answer::ok(&stale));
        }
        let profile = state.readable(id)?;
        Ok(Answer::ok(&view::profile(&state.world, &state.switches, profile, include)))
    }

    /// Registers an endpoint; the entrance sends it the unsigned probe.
    fn subscribe(&self, call: &Call) -> Result<Answer, Answer> {
        let body = call.json();
        let Some(url) = body["eventsUrl"].as_str().filter(|url| reqwest::Url::parse(url).is_ok()) else {
            return Err(unprocessable("eventsUrl is not a URL"));
        };
        let names = body["eventTypes"]
            .as_array()
            .map(|names| names.iter().filter_map(Value::as_str).map(str::to_owned).collect());
        let known = Subscription {
            id: self.state.lock().world.new_id(),
            provider: ProviderKind::Parallel,
            url: url.to_owned(),
            events: names.filter(|names: &BTreeSet<String>| !names.is_empty()),
            scope: body["fromProfileTypeId"].as_str().map(str::to_owned).into_iter().collect(),
        };
        let answer = Answer::json(StatusCode::CREATED, &subscription(&known));
        self.context.outbox.subscribe(known);
        Ok(answer)
    }
}

impl State {
    /// The headers that count requests, and how long to wait where they are used up.
    fn count_request(&mut self) -> (Vec<(&'static str, String)>, Option<u64>) {
        let minute = Duration::from_secs(60);
        if self.window.elapsed() >= minute {
            self.window = Instant::now();
            self.used = 0;
        }
        self.used += 1;
        let limit = if self.switches.rate_limited { REQUESTS_A_MINUTE } else { UNLIMITED };
        let remaining = limit.saturating_sub(self.used);
        let reset = minute.saturating_sub(self.window.elapsed()).as_secs() + 1;
        let headers = vec![
            ("X-RateLimit-Limit", limit.to_string()),
            ("X-RateLimit-Remaining", remaining.to_string()),
            ("X-RateLimit-Reset", reset.to_string()),
            ("RateLimit", format!("limit={limit}, remaining={remaining}, reset={reset}")),
        ];
        let over = self.switches.rate_limited && self.used > limit;
        (headers, over.then_some(reset))
    }

    fn absent(&self) -> Answer {
        if self.switches.absent_is_403 {
            error(StatusCode::FORBIDDEN, "No access to this profile")
        } else {
            error(StatusCode::NOT_FOUND, "Profile not found")
        }
    }

    /// A profile that a read shows.
    fn readable(&self, id: &str) -> Result<&Profile, Answer> {
        if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(unprocessable("Malformed id"));
        }
        let found =
            self.world.places.get(id).and_then(|place| self.world.profiles.get(place)).ok_or_else(|| self.absent())?;
        match (found.end, self.switches.anonymized_reads) {
            (None, _) | (Some(End::Anonymized), AnonymizedReads::Emptied | AnonymizedReads::Told) => Ok(found),
            (Some(End::Anonymized), AnonymizedReads::Forbidden) => {
                Err(error(StatusCode::FORBIDDEN, "No access to this profile"))
            }
            _ => Err(self.absent()),
        }
    }

    fn sorted<'a>(&self, mut profiles: Vec<&'a Profile>, order: &str) -> Result<Vec<&'a Profile>, Answer> {
        let (key, descending) = match order.rsplit_once('_') {
            Some((key, "ASC")) => (key, false),
            Some((key, "DESC")) => (key, true),
            _ => return Err(unprocessable("Unknown sortBy")),
        };
        match key {
            "createdAt" => {}
            "updatedAt" => profiles.sort_by_key(|profile| profile.updated_at),
            "closedAt" => profiles.sort_by_key(|profile| Reverse(profile.closed_at.map(Reverse))),
            "name" => profiles.sort_by_cached_key(|profile| self.world.name(profile)),
            _ => return Err(unprocessable("Unknown sortBy")),
        }
        if descending {
            profiles.reverse();
        }
        Ok(profiles)
    }
}

fn paging(call: &Call) -> Result<(usize, usize), Answer> {
    let number = |name: &str, default: usize| match call.query(name) {
        None => Ok(default),
        Some(text) => text.parse::<usize>().map_err(|_| unprocessable(&format!("{name} is not a number"))),
    };
    let (offset, limit) = (number("offset", 0)?, number("limit", 10)?);
    if limit > MOST_ROWS || limit == 0 {
        return Err(unprocessable(&format!("limit must be between 1 and {MOST_ROWS}")));
    }
    Ok((offset, limit))
}

/// The values of a parameter: separated by commas, repeated, or both.
fn list_of(call: &Call, name: &str) -> Vec<String> {
    let bracketed = format!("{name}[]");
    let given = call.query.iter().filter(|(known, _)| known == name || *known == bracketed);
    given
        .flat_map(|(_, value)| value.split(','))
        .map(|part| part.trim().to_owned())
        .filter(|part| !part.is_empty())
        .collect()
}

fn read_include(call: &Call) -> Result<Include, Answer> {
    let mut include = Include::default();
    for part in list_of(call, "include") {
        match part.as_str() {
            "fields" | "fields.options" => include.fields = true,
            "relationships" => include.relationships = true,
            "subscribers" => include.subscribers = true,
            _ => return Err(unprocessable("Unknown include")),
        }
    }
    Ok(include)
}

fn read_statuses(call: &Call) -> Result<BTreeSet<String>, Answer> {
    let statuses: BTreeSet<String> = list_of(call, "status").into_iter().collect();
    let known = |status: &String| matches!(status.as_str(), "OPEN" | "CLOSED" | "DELETION_SCHEDULED");
    if statuses.iter().all(known) { Ok(statuses) } else { Err(unprocessable("Unknown status")) }
}

fn subscription(known: &Subscription) -> Value {
    json!({"id": known.id, "type": "PROFILE", "eventsUrl": known.url, "eventTypes": known.events, "isEnabled": true})
}
