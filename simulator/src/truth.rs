//! What a perfect mirror would hold: the oracle, in the providers' own terms.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// Everything that one provider's world holds at this moment.
///
/// # Fields
/// - Copernica: strings exactly as REST answers them.
/// - Parallel: keyed by alias, or by field id where there is no alias; `content.value`; fields without a value are absent.
/// - GetProfile: dotted paths two levels deep (`core_info.name`, `interests.hobbies`) and one level for lists and scalars
///   (`memories`, `summary`); `field_timestamps`, `update_log`, status, ids and times are not fields.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Truth {
    /// By external id.
    pub profiles: BTreeMap<String, TruthProfile>,
    /// By external id; see [`TruthRelationship`].
    pub relationships: BTreeMap<String, TruthRelationship>,
}

/// What is gone upstream, by external id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gone {
    /// Profiles, deleted or anonymized.
    pub profiles: BTreeSet<String>,
    /// Subprofiles that were deleted, alone or with their profile.
    pub subprofiles: BTreeSet<String>,
}

/// Where a profile stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TruthStatus {
    /// In use.
    Open,
    /// Closed, and readable.
    Closed,
    /// Waits for its deletion, and readable.
    ScheduledForDeletion,
    /// Its personal data are gone for good.
    Anonymized,
    /// Gone.
    Deleted,
}

impl TruthStatus {
    /// Says whether no content is left upstream. Where the anonymized event was lost nobody outside can tell
    /// *anonymized* from *deleted*, and a comparison should use this.
    pub fn is_gone(self) -> bool {
        matches!(self, Self::Anonymized | Self::Deleted)
    }
}

/// One profile as its provider knows it.
#[derive(Debug, Clone, PartialEq)]
pub struct TruthProfile {
    /// Copernica: database id. Parallel: profile type id. GetProfile: `profile`.
    pub type_id: String,
    /// Where it stands in its life.
    pub status: TruthStatus,
    /// The provider's own word for it, where it has one.
    pub upstream_status: Option<String>,
    /// Its values.
    pub fields: BTreeMap<String, Value>,
    /// Active interests as (group, name).
    pub interests: BTreeSet<(Option<String>, String)>,
    /// By external id.
    pub subprofiles: BTreeMap<String, TruthSubprofile>,
    /// The name people know it by.
    pub name: Option<String>,
    /// Its address for mail.
    pub email: Option<String>,
}

impl TruthProfile {
    /// A profile of which nothing is left but its id and type.
    pub(crate) fn emptied(type_id: String, status: TruthStatus) -> Self {
        Self {
            type_id,
            status,
            upstream_status: None,
            fields: BTreeMap::new(),
            interests: BTreeSet::new(),
            subprofiles: BTreeMap::new(),
            name: None,
            email: None,
        }
    }
}

/// One live subprofile (Copernica only).
#[derive(Debug, Clone, PartialEq)]
pub struct TruthSubprofile {
    /// The collection it belongs to.
    pub collection_id: String,
    /// Its values.
    pub fields: BTreeMap<String, Value>,
}

/// One live relationship.
///
/// Parallel: the id is the relationship's; `from` is the profile that shows it with `inverse: false`.
/// Copernica: a foreign key that is neither empty nor `0`; the id is `fk:{field}:{profile id}`; `from` holds the key and `to`
/// is the id in it, whether or not such a profile lives. A relationship ends with either end of it at Parallel, and with
/// `from` at Copernica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TruthRelationship {
    /// Parallel: the type's alias, or its id. Copernica: the field's name.
    pub type_name: String,
    /// External id of the left profile.
    pub from: String,
    /// External id of the right profile.
    pub to: String,
}

/// Empty text is no text.
pub(crate) fn non_empty(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}
