//! Copernica's store: databases, profiles, subprofiles, and every change that can be made to them.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeZone, Utc};
use chrono_tz::Europe::Amsterdam;

use super::schema::{Collection, Database, Field, FieldKind, Interest, Unsubscribe, find_field};
use crate::context::Refusal;

/// A profile, live or removed.
#[derive(Debug, Clone)]
pub(crate) struct Profile {
    pub(crate) database: u64,
    /// In the order of the database's fields; missing ones at the end have their empty value.
    pub(crate) values: Vec<Box<str>>,
    /// Places in the database's list of interests, ascending.
    pub(crate) interests: Vec<u16>,
    pub(crate) created: i64,
    pub(crate) modified: i64,
    pub(crate) removed: Option<i64>,
    /// Deleted `completely`: REST does not know it any more.
    pub(crate) erased: bool,
    pub(crate) subprofiles: Vec<u64>,
    pub(crate) secret: Option<Box<str>>,
}

/// A subprofile, live or removed.
#[derive(Debug, Clone)]
pub(crate) struct Subprofile {
    pub(crate) profile: u64,
    pub(crate) collection: u64,
    pub(crate) values: Vec<Box<str>>,
    pub(crate) created: i64,
    pub(crate) modified: i64,
    pub(crate) removed: Option<i64>,
    pub(crate) erased: bool,
    pub(crate) secret: Option<Box<str>>,
}

/// What a deletion took away, for the webhooks about it.
#[derive(Debug)]
pub(crate) struct Removed {
    pub(crate) before: Profile,
    pub(crate) subprofiles: Vec<(u64, Subprofile)>,
}

/// A list of interests as a write gives it.
#[derive(Debug, Clone)]
pub(crate) enum InterestWrite {
    /// Exactly these.
    Replace(Vec<String>),
    /// These on or off, the others as they are.
    Merge(Vec<(String, bool)>),
}

/// Everything in one Copernica account.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) databases: BTreeMap<u64, Database>,
    pub(crate) collections: BTreeMap<u64, Collection>,
    pub(crate) profiles: BTreeMap<u64, Profile>,
    pub(crate) subprofiles: BTreeMap<u64, Subprofile>,
    pub(crate) next_profile: u64,
    pub(crate) next_subprofile: u64,
    pub(crate) next_schema_id: u64,
}

impl World {
    /// Finds a database by id or name, whatever its case.
    pub(crate) fn database(&self, id_or_name: &str) -> Result<&Database, Refusal> {
        self.databases
            .values()
            .find(|known| known.id.to_string() == id_or_name || known.name.eq_ignore_ascii_case(id_or_name))
            .ok_or_else(|| Refusal::because("No database with supplied ID"))
    }

    /// Finds a collection by id or name; names only count within `database` where one is given.
    pub(crate) fn collection(&self, database: Option<u64>, id_or_name: &str) -> Result<&Collection, Refusal> {
        self.collections
            .values()
            .filter(|known| database.is_none_or(|id| known.database == id))
            .find(|known| {
                known.id.to_string() == id_or_name
                    || (database.is_some() && known.name.eq_ignore_ascii_case(id_or_name))
            })
            .ok_or_else(|| Refusal::because("No collection with given ID"))
    }

    pub(crate) fn profile(&self, id: &str) -> Result<(u64, &Profile), Refusal> {
        let unknown = || Refusal::because("No entity with supplied ID");
        let id: u64 = id.parse().map_err(|_| unknown())?;
        let profile = self.profiles.get(&id).filter(|profile| !profile.erased).ok_or_else(unknown)?;
        Ok((id, profile))
    }

    pub(crate) fn subprofile(&self, id: &str) -> Result<(u64, &Subprofile), Refusal> {
        let unknown = || Refusal::because("No subprofile with supplied ID");
        let id: u64 = id.parse().map_err(|_| unknown())?;
        let subprofile = self.subprofiles.get(&id).filter(|subprofile| !subprofile.erased).ok_or_else(unknown)?;
        Ok((id, subprofile))
    }

    pub(crate) fn create_profile(
        &mut self,
        database: &str,
        fields: &[(String, String)],
        now: i64,
    ) -> Result<u64, Refusal> {
        let database_id = self.database(database)?.id;
        let database =
            self.databases.get_mut(&database_id).ok_or_else(|| Refusal::because("Failed to create profile"))?;
        let values = fill(&database.fields, fields);
        self.next_profile += 1;
        let id = self.next_profile;
        database.live.insert(id);
        self.profiles.insert(
            id,
            Profile {
                database: database_id,
                values,
                interests: Vec::new(),
                created: now,
                modified: now,
                removed: None,
                erased: false,
                subprofiles: Vec::new(),
                secret: None,
            },
        );
        Ok(id)
    }

    /// Sets fields; says whether any value really changed. `modified` moves only then, or on a removed profile.
    pub(crate) fn update_profile(&mut self, id: u64, fields: &[(String, String)], now: i64) -> bool {
        let Some(profile) = self.profiles.get_mut(&id) else { return false };
        if profile.removed.is_some() {
            profile.modified = now;
            return true;
        }
        let Some(database) = self.databases.get(&profile.database) else { return false };
        let changed = overwrite(&database.fields, &mut profile.values, fields);
        if changed {
            profile.modified = now;
        }
        changed
    }

    /// Sets interests; unknown names are ignored. Says whether anything changed.
    pub(crate) fn set_interests(&mut self, id: u64, write: &InterestWrite, bump_modified: Option<i64>) -> bool {
        let Some(profile) = self.profiles.get_mut(&id) else { return false };
        let Some(database) = self.databases.get(&profile.database) else { return false };
        let place = |name: &String| {
            let at = database.interests.iter().position(|interest| interest.name.eq_ignore_ascii_case(name));
            at.and_then(|at| u16::try_from(at).ok())
        };
        let mut active = match write {
            InterestWrite::Replace(names) => names.iter().filter_map(place).collect(),
            InterestWrite::Merge(names) => {
                let mut active = profile.interests.clone();
                for (name, on) in names {
                    if let Some(at) = place(name) {
                        active.retain(|known| *known != at);
                        if *on {
                            active.push(at);
                        }
                    }
                }
                active
            }
        };
        active.sort_unstable();
        active.dedup();
        if profile.removed.is_some() || active == profile.interests {
            return false;
        }
        profile.interests = active;
        if let Some(now) = bump_modified {
            profile.modified = now;
        }
        true
    }

    /// Removes a profile and its subprofiles at the same time; `modified` stays.
    pub(crate) fn delete_profile(&mut self, id: u64, completely: bool, now: i64) -> Result<Removed, Refusal> {
        let profile = self.profiles.get_mut(&id).ok_or_else(|| Refusal::because("No entity with supplied ID"))?;
        if profile.removed.is_some() {
            return Err(Refusal::because("This profile has already been removed"));
        }
        let before = profile.clone();
        profile.removed = Some(now);
        profile.erased = completely;
        profile.values.clear();
        profile.interests.clear();
        let children = std::mem::take(&mut profile.subprofiles);
        if let Some(database) = self.databases.get_mut(&before.database) {
            database.live.remove(&id);
        }
        let mut subprofiles = Vec::new();
        for child in children {
            if let Ok(removed) = self.delete_subprofile(child, completely, now) {
                subprofiles.push((child, removed));
            }
        }
        Ok(Removed { before, subprofiles })
    }

    pub(crate) fn create_subprofile(
        &mut self,
        profile: u64,
        collection: u64,
        fields: &[(String, String)],
        now: i64,
    ) -> Result<u64, Refusal> {
        let refused = || Refusal::because("Subprofile could not be created");
        // A removed profile takes new ones, too.
        let parent = self.profiles.get_mut(&profile).ok_or_else(refused)?;
        let place = self
            .collections
            .get_mut(&collection)
            .filter(|known| known.database == parent.database)
            .ok_or_else(refused)?;
        self.next_subprofile += 1;
        let id = self.next_subprofile;
        parent.subprofiles.push(id);
        place.live.insert(id);
        let values = fill(&place.fields, fields);
        let subprofile = Subprofile {
            profile,
            collection,
            values,
            created: now,
            modified: now,
            removed: None,
            erased: false,
            secret: None,
        };
        self.subprofiles.insert(id, subprofile);
        Ok(id)
    }

    pub(crate) fn update_subprofile(&mut self, id: u64, fields: &[(String, String)], now: i64) -> bool {
        let Some(subprofile) = self.subprofiles.get_mut(&id) else { return false };
        if subprofile.removed.is_some() {
            subprofile.modified = now;
            return true;
        }
        let Some(collection) = self.collections.get(&subprofile.collection) else { return false };
        let changed = overwrite(&collection.fields, &mut subprofile.values, fields);
        if changed {
            subprofile.modified = now;
        }
        changed
    }

    pub(crate) fn delete_subprofile(&mut self, id: u64, completely: bool, now: i64) -> Result<Subprofile, Refusal> {
        let subprofile =
            self.subprofiles.get_mut(&id).ok_or_else(|| Refusal::because("No subprofile with supplied ID"))?;
        if subprofile.removed.is_some() {
            return Err(Refusal::because("This subprofile has already been removed"));
        }
        let before = subprofile.clone();
        subprofile.removed = Some(now);
        subprofile.erased = completely;
        subprofile.values.clear();
        if let Some(collection) = self.collections.get_mut(&before.collection) {
            collection.live.remove(&id);
        }
        if let Some(profile) = self.profiles.get_mut(&before.profile) {
            profile.subprofiles.retain(|known| *known != id);
        }
        Ok(before)
    }

    /// Adds a field at the end of a database's fields: no webhook tells of it.
    pub(crate) fn add_field(&mut self, database: &str, name: &str, kind: FieldKind) -> Result<u64, Refusal> {
        let id = self.database(database)?.id;
        let field = self.new_field(name, kind);
        let field_id = field.id;
        let database = self.databases.get_mut(&id).ok_or_else(|| Refusal::because("No database with supplied ID"))?;
        if find_field(&database.fields, name).is_some() {
            return Err(Refusal::because("Invalid data provided"));
        }
        database.fields.push(field);
        Ok(field_id)
    }

    pub(crate) fn new_schema_id(&mut self) -> u64 {
        self.next_schema_id += 1;
        self.next_schema_id
    }

    pub(crate) fn new_field(&mut self, name: &str, kind: FieldKind) -> Field {
        Field { id: self.new_schema_id(), name: name.to_owned(), kind }
    }

    pub(crate) fn new_interest(&mut self, group: &str, name: &str) -> Interest {
        Interest { id: self.new_schema_id(), name: name.to_owned(), group: group.to_owned() }
    }

    pub(crate) fn new_database(&mut self, name: &str, description: &str, created: i64) -> u64 {
        let id = self.databases.len() as u64 + 1;
        let database = Database {
            id,
            name: name.to_owned(),
            description: description.to_owned(),
            created,
            fields: Vec::new(),
            interests: Vec::new(),
            collections: Vec::new(),
            unsubscribe: Unsubscribe::Nothing,
            live: Default::default(),
        };
        self.databases.insert(id, database);
        id
    }

    pub(crate) fn new_collection(&mut self, database: u64, name: &str, fields: Vec<Field>) -> u64 {
        let id = 100 + self.collections.len() as u64 + 1;
        self.collections
            .insert(id, Collection { id, name: name.to_owned(), database, fields, live: Default::default() });
        if let Some(database) = self.databases.get_mut(&database) {
            database.collections.push(id);
        }
        id
    }
}

/// The value of a field, its kind's empty one where none was ever written, and empty text once removed.
pub(crate) fn value_at<'a>(fields: &'a [Field], values: &'a [Box<str>], at: usize, removed: bool) -> &'a str {
    if removed {
        return "";
    }
    match values.get(at) {
        Some(value) => value,
        None => fields[at].kind.empty_value(),
    }
}

fn fill(schema: &[Field], written: &[(String, String)]) -> Vec<Box<str>> {
    let mut values: Vec<Box<str>> = schema.iter().map(|field| field.kind.empty_value().into()).collect();
    overwrite(schema, &mut values, written);
    values
}

/// Writes what the schema knows, ignores the rest, and says whether a value changed.
fn overwrite(schema: &[Field], values: &mut Vec<Box<str>>, written: &[(String, String)]) -> bool {
    while values.len() < schema.len() {
        values.push(schema[values.len()].kind.empty_value().into());
    }
    let mut changed = false;
    for (name, value) in written {
        let Some(at) = find_field(schema, name) else { continue };
        let value = schema[at].kind.coerce(value);
        if *values[at] != *value {
            values[at] = value.into();
            changed = true;
        }
    }
    changed
}

/// `YYYY-MM-DD HH:MM:SS` on the clocks of Amsterdam, without a zone, as every time in Copernica.
pub(crate) fn local_time(unix: i64) -> String {
    let utc: DateTime<Utc> = DateTime::from_timestamp(unix, 0).unwrap_or_default();
    Amsterdam.from_utc_datetime(&utc.naive_utc()).format("%Y-%m-%d %H:%M:%S").to_string()
}

/// 28 hexadecimal digits; derived from the id unless one was set.
pub(crate) fn secret_of(id: u64, salt: u64, set: Option<&str>) -> String {
    if let Some(secret) = set {
        return secret.to_owned();
    }
    let first = mix(id ^ (salt << 56));
    let second = mix(first);
    format!("{first:016x}{:012x}", second >> 16)
}

/// One step of splitmix64.
fn mix(value: u64) -> u64 {
    let mut value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_time_follows_amsterdam_through_the_fold() {
        let before = Utc.with_ymd_and_hms(2026, 10, 25, 0, 30, 0).unwrap().timestamp();
        assert_eq!(local_time(before), "2026-10-25 02:30:00");
        assert_eq!(local_time(before + 3600), "2026-10-25 02:30:00");
        assert_eq!(local_time(before + 7200), "2026-10-25 03:30:00");
    }
}
