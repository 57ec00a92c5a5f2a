//! Copernica's JSON: string ids, string values, local times.

use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::listing::Page;
use super::schema::{Collection, Database, Field, FieldKind, Interest, Unsubscribe};
use super::world::{Profile, Subprofile, World, local_time, secret_of, value_at};

/// A list with its numbers.
#[derive(Serialize)]
pub(crate) struct Envelope<T> {
    start: i64,
    limit: i64,
    count: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nextid: Option<u64>,
    data: Vec<T>,
}

impl<T> Envelope<T> {
    pub(crate) fn of_page(page: &Page, data: Vec<T>) -> Self {
        Self { start: page.start, limit: page.limit, count: data.len(), total: page.total, nextid: page.next, data }
    }

    /// A list that is all there, cut to `start` and `limit`.
    pub(crate) fn of_all(all: Vec<T>, (start, limit): (i64, i64), wants_total: bool) -> Self {
        let total = all.len();
        let skip = usize::try_from(start).unwrap_or(total);
        let data: Vec<T> = all.into_iter().skip(skip).take(usize::try_from(limit).unwrap_or(0)).collect();
        Self { start, limit, count: data.len(), total: wants_total.then_some(total), nextid: None, data }
    }
}

/// A profile or subprofile's fields as a map in schema order.
pub(crate) struct FieldMap<'a> {
    pub(crate) schema: &'a [Field],
    pub(crate) values: &'a [Box<str>],
    pub(crate) removed: bool,
}

impl Serialize for FieldMap<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.schema.is_empty() {
            // PHP writes an empty map as an empty list.
            return serializer.serialize_seq(Some(0))?.end();
        }
        let mut map = serializer.serialize_map(Some(self.schema.len()))?;
        for (at, field) in self.schema.iter().enumerate() {
            map.serialize_entry(&field.name, value_at(self.schema, self.values, at, self.removed))?;
        }
        map.end()
    }
}

/// `false`, or when it was removed.
#[derive(Serialize)]
#[serde(untagged)]
enum RemovedView {
    No(bool),
    At(String),
}

impl RemovedView {
    fn of(removed: Option<i64>) -> Self {
        removed.map_or(Self::No(false), |at| Self::At(local_time(at)))
    }
}

#[derive(Serialize)]
pub(crate) struct ProfileView<'a> {
    #[serde(rename = "ID")]
    id: String,
    fields: FieldMap<'a>,
    interests: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    database: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<String>,
    modified: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    removed: Option<RemovedView>,
}

pub(crate) fn profile<'a>(world: &'a World, id: u64, profile: &'a Profile, data_only: bool) -> ProfileView<'a> {
    let whole = !data_only;
    ProfileView {
        id: id.to_string(),
        fields: profile_fields(world, profile),
        interests: active_interests(world, profile).map(|interest| interest.name.as_str()).collect(),
        database: whole.then(|| profile.database.to_string()),
        secret: whole.then(|| secret_of(id, 1, profile.secret.as_deref())),
        created: whole.then(|| local_time(profile.created)),
        modified: local_time(profile.modified),
        removed: whole.then(|| RemovedView::of(profile.removed)),
    }
}

pub(crate) fn profile_fields<'a>(world: &'a World, profile: &'a Profile) -> FieldMap<'a> {
    let schema = world.databases.get(&profile.database).map_or(&[][..], |database| &database.fields);
    FieldMap { schema, values: &profile.values, removed: profile.removed.is_some() }
}

pub(crate) fn active_interests<'a>(world: &'a World, profile: &'a Profile) -> impl Iterator<Item = &'a Interest> {
    let all = world.databases.get(&profile.database).map_or(&[][..], |database| &database.interests);
    profile.interests.iter().filter_map(|at| all.get(usize::from(*at)))
}

#[derive(Serialize)]
pub(crate) struct SubprofileView<'a> {
    #[serde(rename = "ID")]
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    fields: FieldMap<'a>,
    profile: String,
    collection: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<String>,
    modified: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    removed: Option<RemovedView>,
}

pub(crate) fn subprofile<'a>(
    world: &'a World,
    id: u64,
    subprofile: &'a Subprofile,
    data_only: bool,
) -> SubprofileView<'a> {
    let whole = !data_only;
    SubprofileView {
        id: id.to_string(),
        secret: whole.then(|| secret_of(id, 2, subprofile.secret.as_deref())),
        fields: subprofile_fields(world, subprofile),
        profile: subprofile.profile.to_string(),
        collection: subprofile.collection.to_string(),
        created: whole.then(|| local_time(subprofile.created)),
        modified: local_time(subprofile.modified),
        removed: whole.then(|| RemovedView::of(subprofile.removed)),
    }
}

pub(crate) fn subprofile_fields<'a>(world: &'a World, subprofile: &'a Subprofile) -> FieldMap<'a> {
    let schema = world.collections.get(&subprofile.collection).map_or(&[][..], |collection| &collection.fields);
    FieldMap { schema, values: &subprofile.values, removed: subprofile.removed.is_some() }
}

pub(crate) fn field(field: &Field) -> Value {
    let value = match &field.kind {
        FieldKind::Select(options) => options.join("\r\n"),
        kind => kind.empty_value().to_owned(),
    };
    json!({
        "ID": field.id.to_string(), "name": field.name, "type": field.kind.wire_name(), "value": value, "displayed": true,
        "ordered": false, "length": "255", "textlines": "3", "hidden": false, "index": false,
    })
}

pub(crate) fn interest(interest: &Interest) -> Value {
    json!({"ID": interest.id.to_string(), "name": interest.name, "group": interest.group})
}

pub(crate) fn collection(collection: &Collection) -> Value {
    let fields = Envelope::of_all(collection.fields.iter().map(field).collect(), (0, 100), true);
    json!({
        "ID": collection.id.to_string(), "name": collection.name, "database": collection.database.to_string(),
        "fields": fields, "intentions": intentions(),
    })
}

pub(crate) fn database(world: &World, database: &Database) -> Value {
    let collections = database.collections.iter().filter_map(|id| world.collections.get(id)).map(collection).collect();
    json!({
        "ID": database.id.to_string(), "name": database.name, "description": database.description, "archived": false,
        "created": local_time(database.created),
        "fields": Envelope::of_all(database.fields.iter().map(field).collect(), (0, 1000), true),
        "interests": Envelope::of_all(database.interests.iter().map(interest).collect(), (0, 1000), true),
        "collections": Envelope::of_all(collections, (0, 1000), true),
        "intentions": intentions(),
    })
}

fn intentions() -> Value {
    json!({"email": true, "sms": false, "fax": false, "pdf": false})
}

pub(crate) fn unsubscribe(behaviour: &Unsubscribe) -> Value {
    match behaviour {
        Unsubscribe::Nothing => json!({"behavior": "nothing", "fields": []}),
        Unsubscribe::Remove => json!({"behavior": "remove", "fields": []}),
        Unsubscribe::Update(fields) => {
            let fields: serde_json::Map<String, Value> =
                fields.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
            json!({"behavior": "update", "fields": fields})
        }
    }
}
