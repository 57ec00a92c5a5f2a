//! What Copernica's REST answers say: profiles, subprofiles, databases, and pages of them.
//!
//! A removed record is answered like any other by id, with empty fields and its time of removal
//! under `removed`; lists never show it.

use super::local_time::{self, Span};
use super::{interests, pull, wire};
use crate::{
    CollectionSeen, Decoded, Delivery, FieldSeen, IdsSeen, InterestSeen, LifecycleSeen, Observation, ProfileKind,
    ProfileSeen, ProfileTypeSeen, Rung, Status, SubprofileSeen, Target, UnsubscribePlace, Version, answer, json,
};
use chrono_tz::Tz;
use serde_json::{Map, Value};

pub(super) fn decode_fetch(zone: Tz, delivery: &Delivery<'_>) -> Result<Decoded, String> {
    let target = delivery.target.ok_or("a fetch without its target")?;
    let said = || answer::said(delivery.body).unwrap_or_else(|| "not found".to_owned());
    let observations = match target {
        Target::Profile { id } if delivery.is_missing => {
            vec![Observation::Missing { profile: id.clone(), said: said() }]
        }
        Target::Subprofile { id } if delivery.is_missing => {
            vec![Observation::SubprofileMissing { subprofile: id.clone(), said: said() }]
        }
        Target::Profile { id } => vec![read_profile(zone, &mut checked(delivery.body, id)?, None)?],
        Target::Subprofile { id } => vec![read_subprofile(zone, &mut checked(delivery.body, id)?, None)?],
        Target::Metadata { .. } if delivery.is_missing => Vec::new(),
        Target::Ids { records, place } => {
            let ids = (!delivery.is_missing).then(|| read_ids(delivery.body)).flatten();
            vec![Observation::Ids(IdsSeen { records: *records, place: place.clone(), ids })]
        }
        Target::Metadata { profile_type: Some(id) } => read_database(&Value::Object(checked(delivery.body, id)?)),
        Target::Metadata { profile_type: None } => {
            let body = json::read(delivery.body)?;
            let envelope = wire::Envelope::read(&body).ok_or("the list has no data")?;
            envelope.data.iter().flat_map(read_database).collect()
        }
    };
    let ignored = observations.is_empty().then(|| "there is no such database".to_owned());
    Ok(Decoded { observations, ignored, ..Decoded::default() })
}

/// The ids in a bare list, which the documentation shows as texts. A list that is less than whole names fewer, which says
/// nothing of the others.
fn read_ids(body: &[u8]) -> Option<Vec<String>> {
    match json::read(body).ok()? {
        Value::Array(ids) => Some(ids.iter().filter_map(|id| wire::id(Some(id))).collect()),
        _ => None,
    }
}

/// The object in a body, which must be the one that was asked for.
fn checked(body: &[u8], id: &str) -> Result<Map<String, Value>, String> {
    let object = json::read_object(body)?;
    match wire::own_id(&object) {
        Some(given) if given == id => Ok(object),
        Some(_) => Err("the answer is another record than the one asked for".to_owned()),
        None => Err("the answer has no ID".to_owned()),
    }
}

pub(super) fn decode_page(zone: Tz, delivery: &Delivery<'_>) -> Result<Decoded, String> {
    let page = delivery.page.ok_or("a page without its place")?;
    let mut body = json::read(delivery.body)?;
    let parts: Vec<&str> = page.stream.split('/').collect();
    if let [owner @ ("database" | "collection"), id, pull::UNSUBSCRIBE] = parts.as_slice() {
        let (action, fields) = wire::unsubscribing(&body).ok_or("the answer tells no behavior")?;
        let id = (*id).to_owned();
        let place =
            if *owner == "database" { UnsubscribePlace::ProfileType(id) } else { UnsubscribePlace::Collection(id) };
        let observations = vec![Observation::Unsubscribing { place, action, fields }];
        return Ok(Decoded { observations, ..Decoded::default() });
    }
    let envelope = wire::Envelope::read(&body).ok_or("the page has no data")?;
    let is_whole = envelope.start == 0 && !envelope.is_truncated();
    let observations: Vec<Observation> = match parts.as_slice() {
        ["databases"] => envelope.data.iter().flat_map(read_database).collect(),
        // Rows are taken out one by one, so that none is in memory twice.
        ["database", database, "profiles"] => wire::Envelope::take_rows(&mut body)
            .into_iter()
            .filter_map(|row| read_row(row, "profile", |row| read_profile(zone, row, Some(database))))
            .collect(),
        ["collection", collection, "subprofiles"] => wire::Envelope::take_rows(&mut body)
            .into_iter()
            .filter_map(|row| read_row(row, "subprofile", |row| read_subprofile(zone, row, Some(collection))))
            .collect(),
        ["database", database, part @ ("fields" | "interests" | "collections")] if is_whole => {
            let list = Some(&body);
            vec![Observation::ProfileType(ProfileTypeSeen {
                external_id: (*database).to_owned(),
                name: String::new(),
                kind: ProfileKind::Other,
                fields: if *part == "fields" { read_fields(list) } else { None },
                collections: if *part == "collections" { read_collections(list) } else { None },
                interests: if *part == "interests" { read_interests(list) } else { None },
            })]
        }
        ["collection", collection, "fields"] if is_whole => read_fields(Some(&body))
            .map(|fields| Observation::CollectionFields { collection: (*collection).to_owned(), fields })
            .into_iter()
            .collect(),
        // More metadata than one page holds: none of it is the whole set.
        ["database" | "collection", _, "fields" | "interests" | "collections"] => Vec::new(),
        _ => return Err(format!("the page is of an unknown stream {}", page.stream)),
    };
    let ignored = observations.is_empty().then(|| "an empty page".to_owned());
    Ok(Decoded { observations, ignored, ..Decoded::default() })
}

/// A row of a list; one that cannot be read becomes a hint to fetch, so that the others are kept.
fn read_row(
    mut row: Value,
    kind: &str,
    read: impl Fn(&mut Map<String, Value>) -> Result<Observation, String>,
) -> Option<Observation> {
    let found = row.as_object_mut().and_then(|object| Some((wire::own_id(object)?, object)));
    let Some((id, object)) = found else {
        tracing::warn!(provider = "copernica", kind, "a row of a list has no readable id");
        return None;
    };
    Some(read(object).unwrap_or_else(|problem| {
        let reason = format!("a row of a list could not be read: {problem}");
        if kind == "subprofile" {
            Observation::SubprofileTouched { subprofile: id, profile: wire::id(object.get("profile")), reason }
        } else {
            Observation::Touched { profile: id, at: None, reason, is_creation: false, delay_ms: 0 }
        }
    }))
}

/// `removed`: false, or a time, or (the documentation calls it a flag) true.
enum Removal {
    No,
    At(Span),
    Sometime,
}

fn removal(zone: Tz, object: &Map<String, Value>) -> Removal {
    match object.get("removed") {
        None | Some(Value::Null | Value::Bool(false)) => Removal::No,
        Some(Value::String(text)) => match local_time::read(zone, text) {
            Some(span) => Removal::At(span),
            None if matches!(text.trim(), "" | "0" | "false") || text.starts_with("0000-00-00") => Removal::No,
            None => Removal::Sometime,
        },
        Some(Value::Number(number)) if number.as_i64() == Some(0) => Removal::No,
        Some(_) => Removal::Sometime,
    }
}

fn time(zone: Tz, object: &Map<String, Value>, key: &str) -> Option<Span> {
    local_time::read(zone, object.get(key)?.as_str()?)
}

/// `modified` as a version; a record without one is ordered by when it was asked for.
fn version(modified: Option<Span>) -> Version {
    modified.map_or(Version::at(Rung::RequestStarted, 0), |span| span.version(Rung::UpstreamModified))
}

fn read_profile(zone: Tz, object: &mut Map<String, Value>, database: Option<&str>) -> Result<Observation, String> {
    let external_id = wire::own_id(object).ok_or("the profile has no ID")?;
    let (created, modified) = (time(zone, object, "created"), time(zone, object, "modified"));
    let removed = match removal(zone, object) {
        Removal::No => None,
        Removal::At(span) => Some(span),
        // Removal does not bump `modified`, so that it came after; the earliest safe time is that.
        Removal::Sometime => match modified.or(created) {
            Some(span) => Some(span),
            None => return Ok(Observation::Missing { profile: external_id, said: "removed".to_owned() }),
        },
    };
    if let Some(removed) = removed {
        // Its fields are empty texts by now and say nothing.
        return Ok(Observation::Lifecycle(LifecycleSeen {
            profile: external_id,
            to: Status::Deleted,
            at: removed.until,
            scheduled_for: None,
            cause: "removed".to_owned(),
            upstream_status: None,
            fetch: false,
        }));
    }
    let fields = object.get_mut("fields").map(|fields| wire::take_map(fields).ok_or("fields is no map"));
    let fields = fields.transpose()?;
    // Interests of an unknown shape are unknown; the rest of the profile still counts.
    let interests = object.get("interests").and_then(|interests| interests::read(interests).ok());
    Ok(Observation::Profile(Box::new(ProfileSeen {
        external_id,
        profile_type: wire::id(object.get("database")).or_else(|| database.map(str::to_owned)),
        version: version(modified),
        event_at: None,
        name: None,
        status: Some(Status::Open),
        scheduled_for: None,
        upstream_status: None,
        fields,
        interests,
        relationships: None,
        created_at: created.map(|span| span.from),
        modified_at: modified.map(|span| span.from),
        refetch: None,
    })))
}

fn read_subprofile(zone: Tz, object: &mut Map<String, Value>, collection: Option<&str>) -> Result<Observation, String> {
    let external_id = wire::own_id(object).ok_or("the subprofile has no ID")?;
    let (created, modified) = (time(zone, object, "created"), time(zone, object, "modified"));
    let profile = wire::id(object.get("profile"));
    let collection = wire::id(object.get("collection")).or_else(|| collection.map(str::to_owned));
    match removal(zone, object) {
        Removal::No => {}
        Removal::At(span) => {
            let version = span.version(Rung::UpstreamModified);
            return Ok(Observation::SubprofileGone { subprofile: external_id, profile, collection, version });
        }
        Removal::Sometime => {
            return Ok(Observation::SubprofileMissing { subprofile: external_id, said: "removed".to_owned() });
        }
    }
    let fields = object.get_mut("fields").and_then(wire::take_map).ok_or("the subprofile has no map of fields")?;
    Ok(Observation::Subprofile(Box::new(SubprofileSeen {
        external_id,
        profile: profile.ok_or("the subprofile names no profile")?,
        collection: collection.ok_or("the subprofile names no collection")?,
        profile_type: None,
        version: version(modified),
        fields,
        created_at: created.map(|span| span.from),
        modified_at: modified.map(|span| span.from),
    })))
}

/// A database with what it embeds; parts that it does not embed whole are not told.
fn read_database(row: &Value) -> Vec<Observation> {
    let Some((object, external_id)) = row.as_object().and_then(|object| Some((object, wire::own_id(object)?))) else {
        tracing::warn!(provider = "copernica", "a database has no readable id");
        return Vec::new();
    };
    vec![Observation::ProfileType(ProfileTypeSeen {
        name: json::text(object.get("name")).unwrap_or_else(|| external_id.clone()),
        external_id,
        kind: ProfileKind::Other,
        fields: read_fields(object.get("fields")),
        collections: read_collections(object.get("collections")),
        interests: read_interests(object.get("interests")),
    })]
}

/// The rows of an embedded list that holds all there are.
fn whole(list: Option<&Value>) -> Option<&[Value]> {
    let envelope = wire::Envelope::read(list?)?;
    (envelope.start == 0 && !envelope.is_truncated()).then_some(envelope.data)
}

fn read_fields(list: Option<&Value>) -> Option<Vec<FieldSeen>> {
    let rows = whole(list)?.iter().filter_map(Value::as_object).zip(0..);
    let read = |(field, position): (&Map<String, Value>, i32)| {
        let upstream_type = json::text(field.get("type")).unwrap_or_default();
        Some(FieldSeen {
            name: json::text(field.get("name"))?,
            external_id: wire::own_id(field),
            label: None,
            position,
            // A foreign key holds the id of a profile, usually of another database of the account.
            is_reference: upstream_type == "foreign_key",
            upstream_type,
        })
    };
    Some(rows.filter_map(read).collect())
}

fn read_collections(list: Option<&Value>) -> Option<Vec<CollectionSeen>> {
    let rows = whole(list)?.iter().filter_map(Value::as_object);
    let read = |collection: &Map<String, Value>| {
        let external_id = wire::own_id(collection)?;
        Some(CollectionSeen {
            name: json::text(collection.get("name")).unwrap_or_else(|| external_id.clone()),
            external_id,
            fields: read_fields(collection.get("fields")),
        })
    };
    Some(rows.filter_map(read).collect())
}

fn read_interests(list: Option<&Value>) -> Option<Vec<InterestSeen>> {
    let rows = whole(list)?.iter().filter_map(Value::as_object);
    let read = |interest: &Map<String, Value>| {
        Some(InterestSeen { group: json::text(interest.get("group")), name: json::text(interest.get("name"))? })
    };
    Some(rows.filter_map(read).collect())
}
