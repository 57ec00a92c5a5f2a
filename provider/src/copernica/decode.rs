//! What Copernica's webhooks say; answers to calls are read in `rest`.
//!
//! Only the type and the profile (or subprofile) are certain to be there: samples and tables of the
//! documentation contradict each other on nearly everything else. A create or update is a whole
//! snapshot of the fields. Form bodies leave empty lists out, so that missing interests are unknown
//! and not none.

use super::local_time::{self, EventTime};
use super::{brackets, interests, rest, wire};
use crate::text::shorten;
use crate::{
    DecodeError, Decoded, Delivery, DeliveryKind, InterestSeen, LifecycleSeen, Observation, ProfileSeen, Rung, Status,
    SubprofileSeen, json, moment,
};
use chrono_tz::Tz;
use serde_json::{Map, Value};

pub(super) fn decode(zone: Tz, delivery: &Delivery<'_>) -> Result<Decoded, DecodeError> {
    let result = match delivery.kind {
        DeliveryKind::Webhook => read_body(delivery).and_then(|event| decode_event(zone, &event)),
        DeliveryKind::Fetch => rest::decode_fetch(zone, delivery),
        DeliveryKind::Page => rest::decode_page(zone, delivery),
    };
    let mut decoded = result.map_err(|problem| DecodeError(format!("decode copernica delivery: {problem}")))?;
    decoded.unknown.extend(wire::VOCABULARY.of_observations(&decoded.observations));
    Ok(decoded)
}

/// Forms are what is documented; a sample header shows JSON.
pub(super) fn read_body(delivery: &Delivery<'_>) -> Result<Map<String, Value>, String> {
    let opens_object = delivery.body.trim_ascii_start().first() == Some(&b'{');
    let is_json = match delivery.media_type {
        "application/x-www-form-urlencoded" => false,
        media_type if media_type.contains("json") => true,
        _ => opens_object,
    };
    if is_json { json::read_object(delivery.body) } else { brackets::read_form(delivery.body) }
}

/// An event, as far as all types share it.
struct Event<'a> {
    zone: Tz,
    body: &'a Map<String, Value>,
    name: String,
    profile: Option<String>,
    time: Option<EventTime>,
}

impl Event<'_> {
    fn id(&self, key: &str) -> Option<String> {
        wire::id(self.body.get(key))
    }

    fn text(&self, key: &str) -> Option<String> {
        json::text(self.body.get(key))
    }

    /// `modified`, told apart by the event's own time in an hour that is repeated.
    fn modified(&self) -> Option<local_time::Span> {
        let modified = self.text("modified")?;
        match self.time {
            Some(time) => time.settle(self.zone, &modified),
            None => local_time::read(self.zone, &modified),
        }
    }

    fn touched(&self, profile: String, reason: String) -> Observation {
        let at = self.time.map(|time| time.at());
        Observation::Touched { profile, at, reason, is_creation: self.name == "create", delay_ms: 0 }
    }
}

fn decode_event(zone: Tz, body: &Map<String, Value>) -> Result<Decoded, String> {
    let name = json::text(body.get("type")).or_else(|| json::text(body.get("action")));
    let name = name.map(|name| shorten(&name, 40).to_lowercase());
    let unix = body.get("time").and_then(json::scalar).and_then(|text| text.trim().parse().ok());
    let event = Event {
        zone,
        body,
        name: name.clone().unwrap_or_default(),
        profile: wire::id(body.get("profile")),
        time: EventTime::read(zone, unix.and_then(moment::unix_seconds), body.get("timestamp").and_then(Value::as_str)),
    };
    let subprofile = event.id("subprofile");
    if wire::is_mailing_event(&event.name) {
        let ignored = Some(format!("{} is about a mailing", event.name));
        return Ok(Decoded { ignored, event: name, ..Decoded::default() });
    }
    let ids: Vec<&str> = [&subprofile, &event.profile].into_iter().flatten().map(String::as_str).collect();
    let unknown = wire::VOCABULARY.of_event(body, &event.name, &ids);
    let observation = match (event.name.as_str(), subprofile, event.profile.clone()) {
        ("create" | "update", Some(subprofile), _) => read_subprofile(&event, subprofile)?,
        ("delete", Some(subprofile), _) => read_subprofile_removal(&event, subprofile),
        ("create" | "update", None, Some(profile)) => read_profile(&event, profile)?,
        ("delete", None, Some(profile)) => read_removal(&event, profile),
        ("create" | "update" | "delete" | "unsubscribe", None, None) => {
            return Err(format!("the {} event names no profile", event.name));
        }
        // What an unsubscription does is configured upstream: nothing, a removal or an update.
        (_, _, Some(profile)) => {
            let reason = if event.name.is_empty() { "event without a type".to_owned() } else { event.name.clone() };
            event.touched(profile, reason)
        }
        _ => {
            let ignored = Some("the event names neither a known type nor a profile".to_owned());
            return Ok(Decoded { ignored, event: name, unknown, ..Decoded::default() });
        }
    };
    Ok(Decoded { observations: vec![observation], ignored: None, event: name, unknown, is_partial: false })
}

fn read_profile(event: &Event<'_>, profile: String) -> Result<Observation, String> {
    let fields = event.body.get("fields").map(|fields| wire::map(fields).ok_or("fields is no map"));
    let fields = fields.transpose()?;
    // The time of the event is later than that of the change, which is what REST shows: they do not compare.
    let Some(modified) = event.modified() else {
        return Ok(event.touched(profile, format!("{} without the time of the change", event.name)));
    };
    let mut unsure: Vec<&str> = Vec::new();
    if fields.is_none() {
        unsure.push("the webhook has no fields");
    }
    let interests = match event.body.get("interests").map(interests::read) {
        Some(Ok(interests)) => Some(without_groups(interests)),
        Some(Err(reason)) => {
            unsure.push(reason);
            None
        }
        None => {
            unsure.push("the webhook has no interests, which may mean none");
            None
        }
    };
    Ok(Observation::Profile(Box::new(ProfileSeen {
        external_id: profile,
        profile_type: event.id("database"),
        version: modified.version(Rung::UpstreamModified),
        event_at: event.time.map(|time| time.at()),
        name: None,
        status: Some(Status::Open),
        scheduled_for: None,
        upstream_status: None,
        fields,
        interests,
        relationships: None,
        created_at: event.text("created").and_then(|text| local_time::read(event.zone, &text)).map(|span| span.from),
        modified_at: Some(modified.from),
        refetch: (!unsure.is_empty()).then(|| unsure.join("; ")),
    })))
}

/// REST names no groups and webhooks may: a group is read from the database's interests alone, or the same
/// profile would differ by the way it came.
fn without_groups(interests: Vec<InterestSeen>) -> Vec<InterestSeen> {
    interests.into_iter().map(|interest| InterestSeen { group: None, ..interest }).collect()
}

fn read_removal(event: &Event<'_>, profile: String) -> Observation {
    match event.time {
        Some(time) => Observation::Lifecycle(LifecycleSeen {
            profile,
            to: Status::Deleted,
            at: time.at(),
            scheduled_for: None,
            cause: event.name.clone(),
            upstream_status: None,
            fetch: false,
        }),
        // A fetch tells removed records with the time of their removal.
        None => event.touched(profile, "delete without any time".to_owned()),
    }
}

fn read_subprofile(event: &Event<'_>, subprofile: String) -> Result<Observation, String> {
    let fields = event.body.get("fields").map(|fields| wire::map(fields).ok_or("fields is no map"));
    let (Some(profile), Some(collection), Some(modified), Some(fields)) =
        (event.profile.clone(), event.id("collection"), event.modified(), fields.transpose()?)
    else {
        return Ok(Observation::SubprofileTouched {
            subprofile,
            profile: event.profile.clone(),
            reason: format!("{} without profile, collection, time of the change or fields", event.name),
        });
    };
    Ok(Observation::Subprofile(Box::new(SubprofileSeen {
        external_id: subprofile,
        profile,
        collection,
        profile_type: event.id("database"),
        version: modified.version(Rung::UpstreamModified),
        fields,
        created_at: event.text("created").and_then(|text| local_time::read(event.zone, &text)).map(|span| span.from),
        modified_at: Some(modified.from),
    })))
}

fn read_subprofile_removal(event: &Event<'_>, subprofile: String) -> Observation {
    match event.time {
        // The removal is the last modification, told by the clock that `modified` is told by.
        Some(time) => Observation::SubprofileGone {
            subprofile,
            profile: event.profile.clone(),
            collection: event.id("collection"),
            version: time.version(Rung::UpstreamModified),
        },
        None => Observation::SubprofileTouched {
            subprofile,
            profile: event.profile.clone(),
            reason: "delete without any time".to_owned(),
        },
    }
}
