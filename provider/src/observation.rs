//! What a delivery says about records: the neutral words that every provider is translated into.

use crate::{Records, Version};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What a profile is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProfileKind {
    /// A person.
    Individual,
    /// A company or another legal entity.
    Company,
    /// Anything else, or not known.
    #[default]
    Other,
}

/// Lifecycle statuses of a profile (design section 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// In use.
    Open,
    /// Closed; may be reopened.
    Closed,
    /// Will be deleted upstream, on a date where it is known.
    ScheduledForDeletion,
    /// Personal data is gone for good; final.
    Anonymized,
    /// Gone upstream; a tombstone is what stays.
    Deleted,
}

/// A list of ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdsSeen {
    /// Which records.
    pub records: Records,
    /// External id of the profile type or collection.
    pub place: String,
    /// Their external ids; none where upstream has no such list, or wrote it in a way that cannot be read.
    pub ids: Option<Vec<String>>,
}

/// One thing that a delivery says.
#[derive(Clone, Debug, PartialEq)]
pub enum Observation {
    /// A profile type (Copernica database, Parallel profile type, GetProfile tenant) with its fields.
    ProfileType(ProfileTypeSeen),
    /// The whole current state of a profile.
    Profile(Box<ProfileSeen>),
    /// The whole current state of a subprofile.
    Subprofile(Box<SubprofileSeen>),
    /// A lifecycle transition told by an event, without the profile's values.
    Lifecycle(LifecycleSeen),
    /// A thin event: something about this profile changed, its state must be fetched.
    Touched {
        /// External id of the profile.
        profile: String,
        /// Event time, where the event tells it.
        at: Option<DateTime<Utc>>,
        /// What the event was called; kept with the fetch request for `explainProfile`.
        reason: String,
        /// The event says that the profile was just created, so that a 404 means *not visible yet*.
        is_creation: bool,
        /// Wait this long before fetching, milliseconds: a provider that is still computing.
        delay_ms: u64,
    },
    /// A subprofile must be fetched (an unknown shape, or a tie).
    SubprofileTouched {
        /// External id of the subprofile.
        subprofile: String,
        /// External id of the profile that it belongs to, where known.
        profile: Option<String>,
        /// Why.
        reason: String,
    },
    /// A subprofile is gone.
    SubprofileGone {
        /// External id of the subprofile.
        subprofile: String,
        /// External id of its profile, where told.
        profile: Option<String>,
        /// External id of its collection, where told.
        collection: Option<String>,
        /// When; compared with the stored version of the subprofile.
        version: Version,
    },
    /// A relationship is gone, by its own external id.
    RelationshipGone {
        /// External id of the relationship.
        relationship: String,
    },
    /// A fetch by id found no such profile. Apply decides whether to believe it.
    Missing {
        /// External id of the profile.
        profile: String,
        /// What upstream said, for the operator.
        said: String,
    },
    /// A fetch by id found no such subprofile.
    SubprofileMissing {
        /// External id of the subprofile.
        subprofile: String,
        /// What upstream said.
        said: String,
    },
    /// Which records of a place are live, by a list of ids alone. What it names is there; what it does not name may be.
    Ids(IdsSeen),
    /// All fields of a collection whose profile type was listed without all of them.
    CollectionFields {
        /// External id of the collection.
        collection: String,
        /// All its fields.
        fields: Vec<FieldSeen>,
    },
    /// What unsubscribing does in a profile type or in one of its collections.
    Unsubscribing {
        /// Where.
        place: UnsubscribePlace,
        /// What it does, in the provider's own word (`nothing`, `remove`, `update`).
        action: String,
        /// The values that it gives to fields.
        fields: Map<String, Value>,
    },
    /// The mirror needs this profile type's metadata (fields, collections) before it reads on well.
    MetadataNeeded {
        /// External id of the profile type; `None` asks for all of the source.
        profile_type: Option<String>,
    },
}

/// Where people unsubscribe from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnsubscribePlace {
    /// A profile type, by external id.
    ProfileType(String),
    /// A collection of subprofiles, by external id.
    Collection(String),
}

/// A profile type and what belongs to it.
#[derive(Clone, Debug, PartialEq)]
pub struct ProfileTypeSeen {
    /// External id.
    pub external_id: String,
    /// Name for people; empty where this delivery does not tell it, which keeps the stored one.
    pub name: String,
    /// What profiles of this type are about.
    pub kind: ProfileKind,
    /// All its fields, or `None` where this delivery does not list them.
    pub fields: Option<Vec<FieldSeen>>,
    /// All its collections of subprofiles, or `None` where not listed.
    pub collections: Option<Vec<CollectionSeen>>,
    /// All interests it offers as (group, name), or `None` where not listed.
    pub interests: Option<Vec<InterestSeen>>,
}

/// The definition of a field.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldSeen {
    /// The key under which values stand in [`ProfileSeen::fields`].
    pub name: String,
    /// The provider's own id of the field, where it has one.
    pub external_id: Option<String>,
    /// Name for people, where it differs.
    pub label: Option<String>,
    /// The provider's own word for the type (`empty_date`, `SHORT_TEXT`).
    pub upstream_type: String,
    /// Position among the fields of its type, from 0.
    pub position: i32,
    /// A value is the external id of another profile of the same source.
    pub is_reference: bool,
}

/// A collection of subprofiles.
#[derive(Clone, Debug, PartialEq)]
pub struct CollectionSeen {
    /// External id.
    pub external_id: String,
    /// Name for people.
    pub name: String,
    /// All its fields, or `None` where not listed.
    pub fields: Option<Vec<FieldSeen>>,
}

/// An interest that is on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct InterestSeen {
    /// Its group, where told. Copernica's webhooks may tell it and its REST answers never do: `None`
    /// is *not told*, to be looked up by name among [`ProfileTypeSeen::interests`], and not a
    /// difference from the same interest with a group.
    pub group: Option<String>,
    /// Its name.
    pub name: String,
}

/// How much of a set a list covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The list is the whole set: what is not on it is not there.
    Complete,
    /// The list names some; the others are unknown.
    Partial,
}

/// The whole current state of a profile, as one delivery tells it.
#[derive(Clone, Debug, PartialEq)]
pub struct ProfileSeen {
    /// External id.
    pub external_id: String,
    /// External id of its profile type, where told.
    pub profile_type: Option<String>,
    /// How new this is. For [`crate::Rung::RequestStarted`] apply puts the inbox position in.
    pub version: Version,
    /// Event time of a webhook, for lifecycle order.
    pub event_at: Option<DateTime<Utc>>,
    /// The provider's own name for it, where it has names beside the fields and this delivery tells it; empty where it
    /// tells that there is none.
    pub name: Option<String>,
    /// Status as far as this delivery tells; `None` leaves it.
    pub status: Option<Status>,
    /// Date of the scheduled deletion, where told.
    pub scheduled_for: Option<DateTime<Utc>>,
    /// The provider's own word for its status.
    pub upstream_status: Option<String>,
    /// All field values, raw as upstream writes them; `None` keeps the stored ones (still computing).
    pub fields: Option<Map<String, Value>>,
    /// All interests that are on, or `None` where this delivery does not tell them.
    pub interests: Option<Vec<InterestSeen>>,
    /// Its relationships, or `None` where not told.
    pub relationships: Option<(Scope, Vec<RelationshipSeen>)>,
    /// Upstream creation time.
    pub created_at: Option<DateTime<Utc>>,
    /// Upstream time of last modification.
    pub modified_at: Option<DateTime<Utc>>,
    /// Fetch it as well: something in this delivery could not be read for certain (the reason).
    pub refetch: Option<String>,
}

/// The whole current state of a subprofile.
#[derive(Clone, Debug, PartialEq)]
pub struct SubprofileSeen {
    /// External id.
    pub external_id: String,
    /// External id of the profile that it belongs to.
    pub profile: String,
    /// External id of its collection.
    pub collection: String,
    /// External id of the profile type that the collection belongs to, where told.
    pub profile_type: Option<String>,
    /// How new this is.
    pub version: Version,
    /// All field values, raw.
    pub fields: Map<String, Value>,
    /// Upstream creation time.
    pub created_at: Option<DateTime<Utc>>,
    /// Upstream time of last modification.
    pub modified_at: Option<DateTime<Utc>>,
}

/// A relationship between two profiles of one source.
#[derive(Clone, Debug, PartialEq)]
pub struct RelationshipSeen {
    /// External id, the same seen from both ends.
    pub external_id: String,
    /// External id or alias of its type.
    pub type_external_id: String,
    /// Name of the type, read from `from` to `to`.
    pub type_name: String,
    /// Name of the type, read from `to` to `from`, where there is one.
    pub type_inverse_name: Option<String>,
    /// External id of the profile at the left end.
    pub from: String,
    /// External id of the profile at the right end.
    pub to: String,
    /// Upstream creation time, where told.
    pub created_at: Option<DateTime<Utc>>,
}

/// A lifecycle transition told by an event.
#[derive(Clone, Debug, PartialEq)]
pub struct LifecycleSeen {
    /// External id of the profile.
    pub profile: String,
    /// The status after the transition.
    pub to: Status,
    /// Upstream time of the event.
    pub at: DateTime<Utc>,
    /// Date of the scheduled deletion, where told.
    pub scheduled_for: Option<DateTime<Utc>>,
    /// The provider's own word for the event.
    pub cause: String,
    /// The provider's own word for the status after it, where it has one.
    pub upstream_status: Option<String>,
    /// The profile's values should be fetched as well.
    pub fetch: bool,
}
