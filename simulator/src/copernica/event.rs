//! The form-encoded bodies of Copernica's webhooks.

use super::schema::{Field, Interest};
use super::world::{Profile, Removed, Subprofile, World, local_time, value_at};
use super::{CopernicaSwitches, InterestsEncoding};
use crate::context::ProviderKind;
use crate::outbox::Event;

/// A body under construction.
#[derive(Default)]
struct Form(Vec<(String, String)>);

impl Form {
    fn put(&mut self, key: impl Into<String>, value: impl ToString) {
        self.0.push((key.into(), value.to_string()));
    }

    /// A map, or what the switches say of an empty one.
    fn put_map(&mut self, key: &str, entries: Vec<(String, String)>, switches: &CopernicaSwitches) {
        if entries.is_empty() && switches.empty_arrays_present {
            self.put(key, "");
        }
        for (name, value) in entries {
            self.put(format!("{key}{name}"), value);
        }
    }

    fn finish(self) -> Vec<u8> {
        serde_urlencoded::to_string(self.0).unwrap_or_default().into_bytes()
    }
}

/// What an action was called with.
pub(crate) type Parameters = Vec<(String, String)>;

fn bracketed(entries: &[(String, String)]) -> Vec<(String, String)> {
    entries.iter().map(|(name, value)| (format!("[{name}]"), value.clone())).collect()
}

fn field_entries(schema: &[Field], values: &[Box<str>]) -> Vec<(String, String)> {
    let entry =
        |(at, field): (usize, &Field)| (format!("[{}]", field.name), value_at(schema, values, at, false).to_owned());
    schema.iter().enumerate().map(entry).collect()
}

fn interest_entries(all: &[Interest], profile: &Profile, encoding: InterestsEncoding) -> Vec<(String, String)> {
    let flagged = all
        .iter()
        .enumerate()
        .map(|(at, interest)| (interest, u16::try_from(at).is_ok_and(|at| profile.interests.contains(&at))));
    match encoding {
        InterestsEncoding::Map => {
            flagged.map(|(interest, on)| (format!("[{}]", interest.name), u8::from(on).to_string())).collect()
        }
        InterestsEncoding::List => {
            flagged.filter(|(_, on)| *on).map(|(interest, _)| ("[]".to_owned(), interest.name.clone())).collect()
        }
        InterestsEncoding::Grouped => flagged
            .map(|(interest, on)| (format!("[{}][{}]", interest.group, interest.name), u8::from(on).to_string()))
            .collect(),
    }
}

fn begin(kind: &str, now: i64) -> Form {
    let mut form = Form::default();
    form.put("type", kind);
    form.put("timestamp", local_time(now));
    form.put("time", now);
    form
}

fn event(kind: &str, profile: u64, scope: Vec<String>, form: Form) -> Event {
    Event {
        provider: ProviderKind::Copernica,
        event: kind.to_owned(),
        profile: profile.to_string(),
        body: form.finish(),
        scope,
    }
}

fn database_scope(database: u64) -> String {
    format!("database:{database}")
}

/// `create` or `update` of a live profile.
pub(crate) fn profile(
    world: &World,
    switches: &CopernicaSwitches,
    kind: &str,
    id: u64,
    parameters: &Parameters,
    now: i64,
) -> Option<Event> {
    let profile = world.profiles.get(&id).filter(|profile| profile.removed.is_none())?;
    let database = world.databases.get(&profile.database)?;
    let mut form = begin(kind, now);
    form.put("profile", id);
    if switches.id_key {
        form.put("id", id);
    }
    form.put("database", profile.database);
    form.put("created", local_time(profile.created));
    form.put("modified", local_time(profile.modified));
    form.put_map("parameters", bracketed(parameters), switches);
    form.put_map("fields", field_entries(&database.fields, &profile.values), switches);
    form.put_map("interests", interest_entries(&database.interests, profile, switches.interests), switches);
    Some(event(kind, id, vec![database_scope(profile.database)], form))
}

/// `delete` of a profile, and of its subprofiles where the switch says so.
pub(crate) fn profile_deleted(
    world: &World,
    switches: &CopernicaSwitches,
    id: u64,
    removed: &Removed,
    now: i64,
) -> Vec<Event> {
    let Some(database) = world.databases.get(&removed.before.database) else { return Vec::new() };
    let mut form = begin("delete", now);
    form.put("profile", id);
    form.put("database", removed.before.database);
    if !switches.minimal_delete_body {
        form.put_map("fields", field_entries(&database.fields, &removed.before.values), switches);
    }
    let mut events = vec![event("delete", id, vec![database_scope(removed.before.database)], form)];
    if switches.cascaded_delete_webhooks {
        let children = removed.subprofiles.iter();
        events.extend(children.filter_map(|(child, before)| subprofile_deleted(world, switches, *child, before, now)));
    }
    events
}

/// `create` or `update` of a live subprofile.
pub(crate) fn subprofile(
    world: &World,
    switches: &CopernicaSwitches,
    kind: &str,
    id: u64,
    parameters: &Parameters,
    now: i64,
) -> Option<Event> {
    let subprofile = world.subprofiles.get(&id).filter(|subprofile| subprofile.removed.is_none())?;
    let collection = world.collections.get(&subprofile.collection)?;
    let mut form = begin(kind, now);
    form.put("profile", subprofile.profile);
    form.put("subprofile", id);
    if switches.id_key {
        // In the documented sample this number matches neither the profile nor the subprofile.
        form.put("id", id + 1_000_000);
    }
    form.put("database", collection.database);
    form.put("collection", collection.id);
    form.put("created", local_time(subprofile.created));
    form.put("modified", local_time(subprofile.modified));
    form.put_map("parameters", bracketed(parameters), switches);
    form.put_map("fields", field_entries(&collection.fields, &subprofile.values), switches);
    Some(event(kind, subprofile.profile, subprofile_scope(collection.database, collection.id), form))
}

/// `delete` of a subprofile.
pub(crate) fn subprofile_deleted(
    world: &World,
    switches: &CopernicaSwitches,
    id: u64,
    before: &Subprofile,
    now: i64,
) -> Option<Event> {
    let collection = world.collections.get(&before.collection)?;
    let mut form = begin("delete", now);
    form.put("profile", before.profile);
    form.put("subprofile", id);
    form.put("collection", collection.id);
    if !switches.minimal_delete_body {
        form.put("database", collection.database);
        form.put_map("fields", field_entries(&collection.fields, &before.values), switches);
    }
    Some(event("delete", before.profile, subprofile_scope(collection.database, collection.id), form))
}

fn subprofile_scope(database: u64, collection: u64) -> Vec<String> {
    vec![database_scope(database), format!("collection:{collection}")]
}

/// `unsubscribe` of a profile: `id` is the unsubscription's.
pub(crate) fn unsubscribed(database: u64, id: u64, unsubscription: u64, now: i64) -> Event {
    let mut form = begin("unsubscribe", now);
    form.put("id", unsubscription);
    form.put("database", database);
    form.put("profile", id);
    form.put("mailing", 1);
    event("unsubscribe", id, vec![database_scope(database)], form)
}
