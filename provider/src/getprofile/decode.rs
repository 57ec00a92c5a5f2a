//! What GetProfile's deliveries say.

use super::wire;
use crate::moment::{iso_value, iso_version};
use crate::text::shorten;
use crate::{
    DecodeError, Decoded, Delivery, DeliveryKind, Derived, Observation, ProfileKind, ProfileSeen, ProfileTypeSeen,
    Rung, Status, Target, Version, json,
};
use serde_json::{Map, Value};

/// First pause before a profile that is still being computed is looked at again; apply lets it grow.
const FIRST_POLL_MS: u64 = 2000;

pub(super) fn decode(tenant: &str, delivery: &Delivery<'_>) -> Result<Decoded, DecodeError> {
    let result = match delivery.kind {
        DeliveryKind::Webhook => decode_event(tenant, delivery.body),
        DeliveryKind::Fetch => decode_fetch(tenant, delivery),
        DeliveryKind::Page => decode_page(tenant, delivery),
    };
    let mut decoded = result.map_err(|problem| DecodeError(format!("decode getprofile delivery: {problem}")))?;
    decoded.unknown.extend(wire::VOCABULARY.of_observations(&decoded.observations));
    Ok(decoded)
}

fn decode_event(tenant: &str, body: &[u8]) -> Result<Decoded, String> {
    let event = json::read_object(body)?;
    let name = json::text(event.get("event")).map(|text| shorten(&text, 80));
    check_tenant(tenant, &event)?;
    let Some(profile) = event.get("data").and_then(|data| json::id(data.get("profile_id"))) else {
        if name.as_deref() == Some("profile.updated") {
            return Err("profile.updated without data.profile_id".to_owned());
        }
        let what = name.as_deref().unwrap_or("an event without a name");
        let ignored = Some(format!("{what} names no profile"));
        let unknown = wire::VOCABULARY.of_event(&event, what, &[]);
        return Ok(Decoded { ignored, event: name, unknown, ..Decoded::default() });
    };
    let unknown = wire::VOCABULARY.of_event(&event, name.as_deref().unwrap_or_default(), &[&profile]);
    let touched = Observation::Touched {
        profile,
        at: iso_value(event.get("created_at")),
        reason: name.clone().unwrap_or_else(|| "event without a name".to_owned()),
        is_creation: false,
        delay_ms: 0,
    };
    Ok(Decoded { observations: vec![touched], ignored: None, event: name, unknown, is_partial: false })
}

/// Ids are unique only within a tenant, so that another tenant's event must never be read as ours.
fn check_tenant(tenant: &str, event: &Map<String, Value>) -> Result<(), String> {
    match json::id(event.get("tenant_id")) {
        Some(given) if given == tenant => Ok(()),
        Some(given) => Err(format!("tenant {} is not this source's tenant", shorten(&given, 80))),
        None => Err("the event names no tenant".to_owned()),
    }
}

fn decode_fetch(tenant: &str, delivery: &Delivery<'_>) -> Result<Decoded, String> {
    let mut observations = vec![profile_type(tenant)];
    match delivery.target {
        Some(Target::Profile { id }) if delivery.is_missing => {
            let said = crate::answer::said(delivery.body).unwrap_or_else(|| "not found".to_owned());
            observations = vec![Observation::Missing { profile: id.clone(), said }];
        }
        Some(Target::Profile { id }) => {
            let mut answer = json::read_object(delivery.body)?;
            // The search that confirms an absence may find the profile after all.
            let row = match answer.remove("profiles") {
                Some(Value::Array(rows)) => rows
                    .into_iter()
                    .find(|row| wire::profile_id(row).as_deref() == Some(id))
                    .ok_or("the search does not hold the profile asked for")?,
                _ => Value::Object(answer),
            };
            if wire::profile_id(&row).is_some_and(|given| given != *id) {
                return Err("the answer is another profile than the one asked for".to_owned());
            }
            observations.extend(read_profile(tenant, row)?);
        }
        Some(Target::Metadata { .. }) => {}
        Some(Target::Subprofile { .. }) => return Err("getprofile has no subprofiles".to_owned()),
        Some(Target::Ids { .. }) => return Err("getprofile lists no ids".to_owned()),
        None => return Err("a fetch without its target".to_owned()),
    }
    Ok(Decoded { observations, ..Decoded::default() })
}

fn decode_page(tenant: &str, delivery: &Delivery<'_>) -> Result<Decoded, String> {
    let mut answer = json::read_object(delivery.body)?;
    let Some(Value::Array(rows)) = answer.remove("profiles") else {
        return Err("the page has no profiles".to_owned());
    };
    let mut observations = vec![profile_type(tenant)];
    for row in rows {
        let id = wire::profile_id(&row);
        match (read_profile(tenant, row), id) {
            (Ok(read), _) => observations.extend(read),
            // An odd row must not cost the others.
            (Err(problem), Some(profile)) => observations.push(Observation::Touched {
                profile,
                at: None,
                reason: format!("a row of a list could not be read: {problem}"),
                is_creation: false,
                delay_ms: 0,
            }),
            (Err(problem), None) => {
                tracing::warn!(provider = "getprofile", problem, "a row of a list has no readable id");
            }
        }
    }
    Ok(Decoded { observations, ..Decoded::default() })
}

/// The tenant is the one profile type; profiles are of persons (users and characters).
fn profile_type(tenant: &str) -> Observation {
    Observation::ProfileType(ProfileTypeSeen {
        external_id: tenant.to_owned(),
        name: tenant.to_owned(),
        kind: ProfileKind::Individual,
        fields: None,
        collections: None,
        interests: None,
    })
}

/// Reads a profile; one that is still being computed keeps its last content and is asked for again.
fn read_profile(tenant: &str, row: Value) -> Result<Vec<Observation>, String> {
    let Value::Object(row) = row else { return Err("the profile is no object".to_owned()) };
    let profile = wire::unwrap_profile(row);
    let external_id = json::id(profile.get("profile_id"))
        .or_else(|| json::id(profile.get("id")))
        .ok_or("the profile has no profile_id")?;
    if let Some(given) = json::id(profile.get("tenant_id")).filter(|given| given != tenant) {
        return Err(format!("tenant {} is not this source's tenant", shorten(&given, 80)));
    }
    let upstream_status = json::text(profile.get("status"));
    let is_computing = matches!(upstream_status.as_deref(), Some("processing" | "summarizing"));
    let last_updated = json::text(profile.get("last_updated"));
    let version = last_updated.as_deref().and_then(|text| iso_version(Rung::UpstreamModified, text));
    let poll = is_computing.then(|| Observation::Touched {
        profile: external_id.clone(),
        at: None,
        reason: format!("upstream is {}", upstream_status.as_deref().unwrap_or_default()),
        is_creation: false,
        delay_ms: FIRST_POLL_MS,
    });
    let seen = Observation::Profile(Box::new(ProfileSeen {
        external_id,
        profile_type: Some(tenant.to_owned()),
        version: version.unwrap_or(Version::at(Rung::RequestStarted, 0)),
        event_at: None,
        name: None,
        status: Some(Status::Open),
        scheduled_for: None,
        upstream_status,
        fields: (!is_computing).then(|| wire::fields(&profile)),
        interests: (!is_computing).then(|| wire::interests(&profile)),
        relationships: None,
        created_at: iso_value(profile.get("created_at")),
        modified_at: iso_value(profile.get("last_updated")),
        refetch: None,
    }));
    Ok(std::iter::once(seen).chain(poll).collect())
}

/// Reads the name and, where the account keeps one, the e-mail address from `core_info`.
pub(super) fn derive(fields: &Map<String, Value>) -> Derived {
    let text = |key: &str| fields.get(key).and_then(wire::scored_text);
    let email = ["core_info.email", "core_info.e_mail", "core_info.mail"].iter().find_map(|key| text(key));
    Derived {
        display_name: text("core_info.name"),
        email: email.filter(|email| email.contains('@')),
        references: Vec::new(),
    }
}
