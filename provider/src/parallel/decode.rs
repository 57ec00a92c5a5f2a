//! What Parallel's deliveries say.
//!
//! Events name a profile and a type and carry no values, so that nearly all of them are hints to
//! fetch. Lifecycle events are transitions of their own; an anonymization must take effect from
//! the event alone, because the fetch may be refused afterwards.

use super::wire;
use crate::moment::iso_value;
use crate::text::shorten;
use crate::{
    DecodeError, Decoded, Delivery, DeliveryKind, Derived, FieldSeen, LifecycleSeen, Observation, ProfileSeen,
    ProfileTypeSeen, RelationshipSeen, Rung, Scope, Status, Target, Version, json,
};
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

pub(super) fn decode(delivery: &Delivery<'_>) -> Result<Decoded, DecodeError> {
    let result = match delivery.kind {
        DeliveryKind::Webhook => decode_event(delivery.body),
        DeliveryKind::Fetch => decode_fetch(delivery),
        DeliveryKind::Page => decode_page(delivery),
    };
    let mut decoded = result.map_err(|problem| DecodeError(format!("decode parallel delivery: {problem}")))?;
    decoded.unknown.extend(wire::VOCABULARY.of_observations(&decoded.observations));
    Ok(decoded)
}

fn decode_event(body: &[u8]) -> Result<Decoded, String> {
    let event = json::read_object(body)?;
    if event.is_empty() {
        return Ok(Decoded { ignored: Some("registration probe".to_owned()), ..Decoded::default() });
    }
    let event_type = json::text(event.get("type")).map(|text| shorten(&text, 80));
    let name = event_type.clone().unwrap_or_default();
    if event_type.is_some() && !name.starts_with("PROFILE") {
        let ignored = Some(format!("{name} is not about profiles"));
        return Ok(Decoded { ignored, event: event_type, ..Decoded::default() });
    }
    let Some(profile) = json::id(event.get("profileId")) else {
        if event_type.is_none() || wire::KNOWN_EVENTS.contains(&name.as_str()) {
            return Err("the event has no profileId".to_owned());
        }
        let ignored = Some(format!("{name} names no profile"));
        let unknown = wire::VOCABULARY.of_event(&event, &name, &[]);
        return Ok(Decoded { ignored, event: event_type, unknown, ..Decoded::default() });
    };
    let unknown = wire::VOCABULARY.of_event(&event, &name, &[&profile]);
    let at = iso_value(event.get("createdAt"));
    let to = match name.as_str() {
        "PROFILE_CLOSED" => Some((Status::Closed, Some("CLOSED"))),
        "PROFILE_REOPENED" => Some((Status::Open, Some("OPEN"))),
        "PROFILE_SCHEDULED_FOR_DELETION" => Some((Status::ScheduledForDeletion, Some("DELETION_SCHEDULED"))),
        "PROFILE_ANONYMIZED" => Some((Status::Anonymized, None)),
        _ => None,
    };
    let observation = match (to, at) {
        (Some((to, word)), Some(at)) => Observation::Lifecycle(LifecycleSeen {
            profile,
            to,
            at,
            scheduled_for: event.get("data").and_then(Value::as_object).and_then(deletion_date),
            cause: name,
            upstream_status: word.map(str::to_owned),
            fetch: to != Status::Anonymized,
        }),
        // Erasure must not hang on a fetch that may be refused: a person has to see this one.
        (Some((Status::Anonymized, _)), None) => return Err(format!("{name} without a readable createdAt")),
        _ => Observation::Touched {
            profile,
            at,
            is_creation: name == "PROFILE_CREATED",
            reason: if name.is_empty() { "event without a type".to_owned() } else { name },
            delay_ms: 0,
        },
    };
    Ok(Decoded { observations: vec![observation], ignored: None, event: event_type, unknown, is_partial: false })
}

fn decode_fetch(delivery: &Delivery<'_>) -> Result<Decoded, String> {
    let observations = match delivery.target {
        Some(Target::Profile { id }) if delivery.is_missing => {
            let said = crate::answer::said(delivery.body).unwrap_or_else(|| "not found".to_owned());
            vec![Observation::Missing { profile: id.clone(), said }]
        }
        Some(Target::Profile { id }) => {
            let row = Value::Object(json::read_object(delivery.body)?);
            let profile = read_profile(&row)?;
            if profile.external_id != *id {
                return Err("the answer is another profile than the one asked for".to_owned());
            }
            vec![Observation::Profile(Box::new(profile))]
        }
        Some(Target::Metadata { profile_type }) => {
            let (rows, _) = wire::envelope(delivery.body)?;
            let types = rows.iter().filter_map(read_profile_type);
            types
                .filter(|seen| profile_type.as_ref().is_none_or(|id| *id == seen.external_id))
                .map(Observation::ProfileType)
                .collect()
        }
        Some(Target::Subprofile { .. }) => return Err("parallel has no subprofiles".to_owned()),
        Some(Target::Ids { .. }) => return Err("parallel lists no ids".to_owned()),
        None => return Err("a fetch without its target".to_owned()),
    };
    let ignored = observations.is_empty().then(|| "nothing in the answer is about what was asked for".to_owned());
    let is_partial = observations.iter().any(is_partial);
    Ok(Decoded { observations, ignored, is_partial, ..Decoded::default() })
}

fn decode_page(delivery: &Delivery<'_>) -> Result<Decoded, String> {
    let page = delivery.page.ok_or("a page without its place")?;
    let (rows, _) = wire::envelope(delivery.body)?;
    let observations: Vec<Observation> = if page.stream == super::pull::TYPES {
        rows.iter().filter_map(read_profile_type).map(Observation::ProfileType).collect()
    } else {
        rows.iter().filter_map(read_row).collect()
    };
    let ignored = observations.is_empty().then(|| "an empty page".to_owned());
    let is_partial = observations.len() < rows.len() || observations.iter().any(is_partial);
    Ok(Decoded { observations, ignored, is_partial, ..Decoded::default() })
}

/// Whether a row could not be read, or one of its relationships.
fn is_partial(observation: &Observation) -> bool {
    match observation {
        Observation::Profile(seen) => matches!(seen.relationships, Some((Scope::Partial, _))),
        Observation::Touched { .. } => true,
        _ => false,
    }
}

/// A row of a list; one that cannot be read becomes a hint to fetch, so that the others are kept.
fn read_row(row: &Value) -> Option<Observation> {
    match read_profile(row) {
        Ok(mut profile) => {
            if profile.fields.is_none() {
                profile.refetch = Some("the list left the fields out".to_owned());
            }
            Some(Observation::Profile(Box::new(profile)))
        }
        Err(problem) => {
            let Some(profile) = json::id(row.get("id")) else {
                tracing::warn!(provider = "parallel", problem, "a row of a list has no readable id");
                return None;
            };
            let reason = format!("a row of a list could not be read: {problem}");
            Some(Observation::Touched { profile, at: None, reason, is_creation: false, delay_ms: 0 })
        }
    }
}

/// Reads a profile object (API reference, *Profile*).
fn read_profile(row: &Value) -> Result<ProfileSeen, String> {
    let row = row.as_object().ok_or("the profile is no object")?;
    let external_id = json::id(row.get("id")).ok_or("the profile has no id")?;
    let fields = match row.get("fields") {
        None | Some(Value::Null) => None,
        Some(Value::Array(fields)) => Some(read_fields(fields)),
        Some(_) => return Err("fields is no list".to_owned()),
    };
    let relationships = match row.get("relationships") {
        None | Some(Value::Null) => None,
        Some(Value::Array(rows)) => Some(read_relationships(&external_id, rows)),
        Some(_) => return Err("relationships is no list".to_owned()),
    };
    let upstream_status = json::text(row.get("status"));
    let profile_type = row.get("profileType").and_then(|seen| json::id(seen.get("id")));
    Ok(ProfileSeen {
        external_id,
        profile_type: profile_type.or_else(|| json::id(row.get("profileTypeId"))),
        // Parallel has neither a version nor a modified time: apply orders by when we asked.
        version: Version::at(Rung::RequestStarted, 0),
        event_at: None,
        name: read_name(row),
        status: upstream_status.as_deref().and_then(wire::status),
        scheduled_for: deletion_date(row),
        upstream_status,
        fields,
        interests: None,
        relationships,
        created_at: iso_value(row.get("createdAt")),
        modified_at: iso_value(row.get("updatedAt")),
        refetch: None,
    })
}

/// The name of a profile, empty where it says that it has none. Of what cannot be read as a name nothing is told.
fn read_name(row: &Map<String, Value>) -> Option<String> {
    let name = row.get("name")?;
    let is_readable = matches!(name, Value::Null | Value::String(_) | Value::Object(_));
    wire::label(Some(name)).or_else(|| is_readable.then(String::new))
}

/// The date of a scheduled deletion. The reference names no key for it (*assumed*): any that speaks of
/// deletion and holds a time counts, but for the time at which somebody asked for it.
fn deletion_date(object: &Map<String, Value>) -> Option<DateTime<Utc>> {
    let speaks_of_it = |key: &str| key.contains("deletion") && !key.contains("request");
    object.iter().filter(|(key, _)| speaks_of_it(&key.to_lowercase())).find_map(|(_, value)| iso_value(Some(value)))
}

/// Field values by alias, else field id. An expiry stands beside its field as `<field>.expiresAt`.
fn read_fields(rows: &[Value]) -> Map<String, Value> {
    let mut fields = Map::new();
    for row in rows {
        let Some(key) = row.get("field").and_then(Value::as_object).and_then(wire::field_key) else {
            continue;
        };
        let value = row.get("value").unwrap_or(&Value::Null);
        let Some(content) = wire::content(value) else { continue };
        if let Some(expiry) = value.get("expiresAt").filter(|expiry| !expiry.is_null()) {
            fields.insert(format!("{key}.expiresAt"), expiry.clone());
        }
        // A field with several files may be listed once a file.
        let content = match fields.remove(&key) {
            None => content,
            Some(Value::Array(mut several)) => {
                several.push(content);
                Value::Array(several)
            }
            Some(first) => Value::Array(vec![first, content]),
        };
        fields.insert(key, content);
    }
    fields
}

/// The relationships of `profile`; complete only where every row could be read.
fn read_relationships(profile: &str, rows: &[Value]) -> (Scope, Vec<RelationshipSeen>) {
    let relationships: Vec<_> = rows.iter().filter_map(|row| read_relationship(profile, row)).collect();
    let scope = if relationships.len() == rows.len() { Scope::Complete } else { Scope::Partial };
    (scope, relationships)
}

/// One relationship, always told from its left end: seen from the right end it is marked `inverse`.
fn read_relationship(profile: &str, row: &Value) -> Option<RelationshipSeen> {
    let kind = row.get("relationshipType")?;
    let other = row.get("profile").and_then(|other| json::id(other.get("id")))?;
    let is_inverse = match row.get("inverse") {
        Some(Value::Bool(flag)) => *flag,
        None | Some(Value::Null) => false,
        Some(_) => return None,
    };
    let (from, to) = if is_inverse { (other, profile.to_owned()) } else { (profile.to_owned(), other) };
    let alias = json::text(kind.get("alias"));
    // As with fields, the alias is the key that people know; it may be missing.
    let type_external_id = alias.clone().or_else(|| json::id(kind.get("id")))?;
    Some(RelationshipSeen {
        external_id: json::id(row.get("id"))?,
        type_name: wire::label(kind.get("name")).or(alias).unwrap_or_else(|| type_external_id.clone()),
        type_inverse_name: wire::label(kind.get("inverseName")),
        type_external_id,
        from,
        to,
        created_at: iso_value(row.get("createdAt")),
    })
}

/// Reads a profile type with its fields (API reference, *Profile type*).
fn read_profile_type(row: &Value) -> Option<ProfileTypeSeen> {
    let row = row.as_object()?;
    let external_id = json::id(row.get("id"))?;
    let fields = row.get("fields").and_then(Value::as_array).map(|fields| {
        let known = fields.iter().filter_map(Value::as_object).zip(0..);
        known.filter_map(|(field, position)| read_field(field, position)).collect()
    });
    Some(ProfileTypeSeen {
        name: wire::label(row.get("name")).unwrap_or_else(|| external_id.clone()),
        kind: wire::kind(row),
        external_id,
        fields,
        collections: None,
        interests: None,
    })
}

fn read_field(field: &Map<String, Value>, position: i32) -> Option<FieldSeen> {
    Some(FieldSeen {
        name: wire::field_key(field)?,
        external_id: json::id(field.get("id")),
        label: wire::label(field.get("name")),
        upstream_type: json::text(field.get("type")).unwrap_or_default(),
        position,
        is_reference: false,
    })
}

/// Reads the e-mail address (`p_email`, else any field that says e-mail), and a name for profiles
/// that come without [`ProfileSeen::name`], which counts first where there is one.
pub(super) fn derive(fields: &Map<String, Value>, definitions: &[FieldSeen]) -> Derived {
    let text = |key: &str| json::text(fields.get(key));
    let mut ordered: Vec<&FieldSeen> = definitions.iter().collect();
    ordered.sort_by_key(|field| field.position);
    let says_email = |name: &str| name.to_lowercase().replace('-', "").contains("email");
    let names = ordered
        .iter()
        .filter(|field| says_email(&field.name) || field.label.as_deref().is_some_and(says_email))
        .map(|field| field.name.as_str())
        .chain(fields.keys().map(String::as_str).filter(|name| says_email(name)));
    let email = std::iter::once("p_email").chain(names).find_map(|name| text(name).filter(|text| text.contains('@')));
    let full = [text("p_first_name"), text("p_last_name")].into_iter().flatten().collect::<Vec<_>>().join(" ");
    let display_name =
        text("p_entity_name").or_else(|| text("p_full_name")).or_else(|| (!full.is_empty()).then_some(full));
    Derived { display_name, email, references: Vec::new() }
}
