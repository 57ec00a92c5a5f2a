//! The reading half of Copernica's REST API, and its errors.

use axum::http::{Method, StatusCode};
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeSet;

use super::listing::{self, Lies, Row, Told, paging};
use super::view::{self, Envelope};
use super::world::secret_of;
use super::{ACCOUNT_NUMBER, CopernicaSim, CopernicaSwitches, State, token};
use crate::clock::real_now;
use crate::context::{ProviderKind, Refusal};
use crate::http::{Answer, Call};

/// An error as v4 writes it: 400 and a message.
pub(super) fn error(switches: &CopernicaSwitches, message: &str) -> Answer {
    error_with(switches, StatusCode::BAD_REQUEST, message)
}

fn error_with(switches: &CopernicaSwitches, status: StatusCode, message: &str) -> Answer {
    let prefix =
        if switches.bare_errors { String::new() } else { format!("Copernica REST API Error {}: ", status.as_u16()) };
    Answer::json(status, &json!({"error": {"message": format!("{prefix}{message}")}}))
}

impl CopernicaSim {
    /// Answers one REST call.
    pub(crate) fn answer(&self, call: &Call) -> Answer {
        if let Some(refused) = self.refuse_bad_token(call) {
            return refused;
        }
        let outcome = if call.method == Method::GET { self.read(call) } else { self.write(call) };
        outcome.unwrap_or_else(|refusal| error(&self.state.lock().switches, &refusal.0))
    }

    fn refuse_bad_token(&self, call: &Call) -> Option<Answer> {
        let state = self.state.lock();
        let now = real_now().timestamp();
        if call.bearer().is_some_and(|token| token::is_valid(token, state.token_generation, now)) {
            return None;
        }
        let status =
            if state.switches.auth_failure_is_400 { StatusCode::BAD_REQUEST } else { StatusCode::UNAUTHORIZED };
        Some(error_with(&state.switches, status, "Invalid access token"))
    }

    /// Extra path parts after a list are ignored, as are parameters that nobody knows.
    fn read(&self, call: &Call) -> Result<Answer, Refusal> {
        let lies = self.context.faults(ProviderKind::Copernica).lies();
        let state = self.state.lock();
        let world = &state.world;
        match call.segments().as_slice() {
            ["identity", ..] => Ok(Answer::ok(&json!({
                "id": ACCOUNT_NUMBER.to_string(), "name": "Simulated account", "description": "", "company": "Example B.V."
            }))),
            ["consumption", ..] => {
                Ok(Answer::ok(&json!({"apicalls": self.context.traffic.count_of(ProviderKind::Copernica)})))
            }
            ["databases", ..] => {
                let seen =
                    world.databases.values().filter(|database| !state.switches.lost_databases.contains(&database.id));
                Ok(all(call, seen.map(|database| view::database(world, database)).collect()))
            }
            ["database", id, rest @ ..] => read_database(call, &state, &lies, id, rest),
            ["collection", id, rest @ ..] => read_collection(call, &state, &lies, id, rest),
            ["profile", id, rest @ ..] => self.read_profile(call, &state, id, rest),
            ["subprofile", id, rest @ ..] => {
                let missing = "No subprofile with supplied ID";
                if self.context.faults(ProviderKind::Copernica).is_hidden_subprofile(id) {
                    return Err(Refusal::because(missing));
                }
                let (id, found) = world.subprofile(id)?;
                let owner = world.collection(None, &found.collection.to_string())?.database;
                may_read(&state, owner, missing)?;
                Ok(match rest {
                    ["fields", ..] => Answer::ok(&view::subprofile_fields(world, found)),
                    _ => Answer::ok(&view::subprofile(world, id, found, false)),
                })
            }
            ["webhook", id] => self.read_webhook(id),
            ["database" | "collection" | "profile" | "subprofile" | "webhook"] => {
                Err(Refusal::because("Invalid request, element 1 is missing in 'directory' path"))
            }
            _ => Err(Refusal::because("Invalid method")),
        }
    }

    fn read_profile(&self, call: &Call, state: &State, id: &str, rest: &[&str]) -> Result<Answer, Refusal> {
        let world = &state.world;
        let faults = self.context.faults(ProviderKind::Copernica);
        if faults.is_hidden(id) {
            return Err(Refusal::because("No entity with supplied ID"));
        }
        let (number, found) = world.profile(id)?;
        may_read(state, found.database, "No entity with supplied ID")?;
        match rest {
            ["fields", ..] => Ok(Answer::ok(&view::profile_fields(world, found))),
            ["interests", ..] => Ok(match call.query("return") {
                Some("ids") => {
                    Answer::ok(&view::active_interests(world, found).map(|it| it.id.to_string()).collect::<Vec<_>>())
                }
                Some("objects") => {
                    Answer::ok(&view::active_interests(world, found).map(view::interest).collect::<Vec<_>>())
                }
                _ => Answer::ok(&view::active_interests(world, found).map(|it| it.name.as_str()).collect::<Vec<_>>()),
            }),
            ["subprofiles", collection, ..] => {
                let collection = world.collection(Some(found.database), collection)?.id;
                let children =
                    found.subprofiles.iter().filter_map(|child| Some((*child, world.subprofiles.get(child)?)));
                let children = children.filter(|(_, child)| child.collection == collection);
                Ok(all(call, children.map(|(child, it)| view::subprofile(world, child, it, false)).collect()))
            }
            ["subprofiles"] => Err(Refusal::because("Invalid request, element 3 is missing in 'directory' path")),
            _ => {
                if let Some(stale) = faults.stale_answer(id) {
                    return Ok(Answer::ok(&stale));
                }
                Ok(Answer::ok(&view::profile(world, number, found, false)))
            }
        }
    }

    fn read_webhook(&self, id: &str) -> Result<Answer, Refusal> {
        let known = self.context.outbox.subscriptions(ProviderKind::Copernica).into_iter().find(|known| known.id == id);
        let known = known.ok_or_else(|| Refusal::because("No webhook with supplied ID"))?;
        let trigger = known.events.and_then(|events| events.into_iter().next()).unwrap_or_default();
        Ok(Answer::ok(
            &json!({"ID": known.id, "handler": known.url, "trigger": trigger, "callers": ["ms", "publisher"]}),
        ))
    }
}

/// What a token has no rights for looks to it as if it were not there.
fn may_read(state: &State, database: u64, absent: &'static str) -> Result<(), Refusal> {
    if state.switches.lost_databases.contains(&database) { Err(Refusal::because(absent)) } else { Ok(()) }
}

/// A list that is not filtered.
fn all<T: Serialize>(call: &Call, items: Vec<T>) -> Answer {
    Answer::ok(&Envelope::of_all(items, paging(call, 100, 1000), call.query("total") != Some("false")))
}

/// A bare list of ids, which leaves out what no list tells unless it is honest.
fn ids(state: &State, (unlisted, _): &Lies, live: &BTreeSet<u64>) -> Answer {
    let ids = live.iter().map(u64::to_string);
    let told = ids.filter(|id| state.switches.honest_id_lists || !unlisted.contains(id));
    Answer::ok(&told.collect::<Vec<_>>())
}

fn read_database(call: &Call, state: &State, lies: &Lies, id: &str, rest: &[&str]) -> Result<Answer, Refusal> {
    let world = &state.world;
    let database = world.database(id)?;
    may_read(state, database.id, "No database with supplied ID")?;
    match rest {
        [] => Ok(Answer::ok(&view::database(world, database))),
        ["fields", ..] => Ok(all(call, database.fields.iter().map(view::field).collect())),
        ["interests", ..] => Ok(all(call, database.interests.iter().map(view::interest).collect())),
        ["collections", ..] => {
            let collections = database.collections.iter().filter_map(|id| world.collections.get(id));
            Ok(all(call, collections.map(view::collection).collect()))
        }
        ["views", ..] => Ok(all::<()>(call, Vec::new())),
        ["unsubscribe", ..] => Ok(Answer::ok(&view::unsubscribe(&database.unsubscribe))),
        ["profileids", ..] => Ok(ids(state, lies, &database.live)),
        ["profiles", ..] => {
            let row = |id: u64| {
                let it = world.profiles.get(&id)?;
                Some(Row { values: &it.values, modified: it.modified, secret: secret_of(id, 1, it.secret.as_deref()) })
            };
            let page =
                listing::select(call, &database.fields, &Told::of(&database.live, lies, state.switches.most_rows), row);
            let data_only = call.query_is_true("dataonly");
            let found = page
                .ids
                .iter()
                .filter_map(|id| Some(view::profile(world, *id, world.profiles.get(id)?, data_only)))
                .collect();
            Ok(Answer::ok(&Envelope::of_page(&page, found)))
        }
        _ => Err(Refusal::because("Invalid method")),
    }
}

fn read_collection(call: &Call, state: &State, lies: &Lies, id: &str, rest: &[&str]) -> Result<Answer, Refusal> {
    let world = &state.world;
    let collection = world.collection(None, id)?;
    may_read(state, collection.database, "No collection with given ID")?;
    match rest {
        [] => Ok(Answer::ok(&view::collection(collection))),
        ["fields", ..] => Ok(all(call, collection.fields.iter().map(view::field).collect())),
        ["unsubscribe", ..] => Ok(Answer::ok(&view::unsubscribe(&super::Unsubscribe::Nothing))),
        ["subprofileids", ..] => Ok(ids(state, lies, &collection.live)),
        ["subprofiles", ..] => {
            let row = |id: u64| {
                let it = world.subprofiles.get(&id)?;
                Some(Row { values: &it.values, modified: it.modified, secret: secret_of(id, 2, it.secret.as_deref()) })
            };
            let page = listing::select(
                call,
                &collection.fields,
                &Told::of(&collection.live, lies, state.switches.most_rows),
                row,
            );
            let data_only = call.query_is_true("dataonly");
            let found = page
                .ids
                .iter()
                .filter_map(|id| Some(view::subprofile(world, *id, world.subprofiles.get(id)?, data_only)))
                .collect();
            Ok(Answer::ok(&Envelope::of_page(&page, found)))
        }
        _ => Err(Refusal::because("Invalid method")),
    }
}
