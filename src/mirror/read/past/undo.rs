//! Undoes one change on a row.

use ::entity::{ChangeKind, Moment, ProfileKind, RecordKind, Status, change, profile, subprofile};
use chrono::DateTime;
use sea_orm::ActiveEnum;
use serde_json::{Map, Value};

/// One changed value, as the log keeps it.
pub(super) struct Part<'a>(&'a Value);

impl<'a> Part<'a> {
    pub fn all(change: &'a change::Model) -> impl Iterator<Item = Self> {
        change.fields.as_array().into_iter().flatten().map(Self)
    }

    pub fn name(&self) -> &'a str {
        self.0.get("name").and_then(Value::as_str).unwrap_or_default()
    }

    pub fn is_attribute(&self) -> bool {
        self.0.get("attribute").and_then(Value::as_bool).unwrap_or(false)
    }

    pub fn before(&self) -> &'a Value {
        self.0.get("before").unwrap_or(&Value::Null)
    }

    pub fn text_before(&self) -> Option<String> {
        self.before().as_str().map(str::to_owned)
    }

    /// Key of the row that was meant before.
    pub fn id_before(&self) -> Option<i32> {
        self.0.get("beforeId").and_then(Value::as_i64).and_then(|id| i32::try_from(id).ok())
    }

    fn time_before(&self) -> Option<Moment> {
        let at = DateTime::parse_from_rfc3339(self.before().as_str()?).ok()?;
        Some(Moment::from(at.to_utc()))
    }

    fn word_before<T: ActiveEnum<Value = String>>(&self) -> Option<T> {
        T::try_from_value(&self.before().as_str()?.to_ascii_lowercase()).ok()
    }

    fn undo_in(&self, fields: &mut Map<String, Value>) {
        if self.before().is_null() {
            fields.remove(self.name());
        } else {
            fields.insert(self.name().to_owned(), self.before().clone());
        }
    }
}

/// Makes a profile what it was before a change; one that the change brought becomes a placeholder again. Changes of what
/// hangs on it leave it as it is.
pub fn undo(row: &mut profile::Model, change: &change::Model) {
    if change.record_kind != RecordKind::Profile {
        return;
    }
    row.modified_at = None;
    for part in Part::all(change) {
        if !part.is_attribute() {
            if let Value::Object(fields) = &mut row.fields {
                part.undo_in(fields);
            }
            continue;
        }
        match part.name() {
            "status" => match part.word_before::<Status>() {
                Some(status) => row.status = status,
                None => row.is_known = false,
            },
            "statusSince" => row.status_since = part.time_before(),
            "scheduledFor" => row.scheduled_for = part.time_before(),
            "upstreamStatus" => row.upstream_status = part.text_before(),
            "kind" => row.kind = part.word_before().unwrap_or(ProfileKind::Other),
            "name" => row.upstream_name = part.text_before(),
            "displayName" => row.display_name = part.text_before(),
            "email" => row.email = part.text_before(),
            "createdAt" => row.created_at = part.time_before(),
            "type" => row.profile_type_id = part.id_before(),
            _ => {}
        }
    }
}

/// Makes a subprofile what it was before a change of it.
pub(super) fn undo_subprofile(row: &mut subprofile::Model, change: &change::Model) {
    row.modified_at = None;
    for part in Part::all(change) {
        match (part.is_attribute(), part.name()) {
            (true, "collection") => row.collection_id = part.id_before(),
            (true, "createdAt") => row.created_at = part.time_before(),
            (true, _) => {}
            (false, _) => {
                if let Value::Object(fields) = &mut row.fields {
                    part.undo_in(fields);
                }
            }
        }
    }
    if change.kind == ChangeKind::SubprofileDeleted {
        row.deleted_at = None;
    }
}
