//! Closed sets of words, as the schema writes them. They may grow: keep a default branch.

use ::entity as tables;
use async_graphql::Enum;

/// What a profile is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "tables::ProfileKind")]
pub enum ProfileKind {
    /// A person.
    Individual,
    /// A company or another legal entity.
    Company,
    /// Anything else, or not known.
    Other,
}

/// Where a profile stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "tables::Status")]
pub enum LifecycleStatus {
    /// In use.
    Open,
    /// Closed; may be reopened.
    Closed,
    /// Will be deleted upstream, on a date where it is known.
    ScheduledForDeletion,
    /// Personal data is gone for good. Final.
    Anonymized,
    /// Gone upstream; this record is what stays.
    Deleted,
}

/// What a change did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "tables::ChangeKind")]
pub enum ChangeKind {
    /// The profile became known.
    Created,
    /// Values of the profile changed.
    Updated,
    /// The profile was closed.
    Closed,
    /// The profile was opened again.
    Reopened,
    /// The profile is to be deleted.
    ScheduledForDeletion,
    /// The profile's personal data was taken away upstream.
    Anonymized,
    /// The profile is gone upstream.
    Deleted,
    /// The profile's personal data was erased here.
    Erased,
    /// A subprofile appeared.
    SubprofileCreated,
    /// Values of a subprofile changed.
    SubprofileUpdated,
    /// A subprofile is gone.
    SubprofileDeleted,
    /// A relationship appeared.
    RelationshipCreated,
    /// A relationship is gone.
    RelationshipRemoved,
}

/// Kinds of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "tables::RecordKind")]
pub enum RecordKind {
    /// A profile.
    Profile,
    /// A subprofile.
    Subprofile,
    /// A relationship.
    Relationship,
    /// A profile type.
    ProfileType,
}

/// How a delivery came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "tables::DeliveryKind")]
pub enum DeliveryKind {
    /// The provider pushed it.
    Webhook,
    /// A page of a sync.
    Page,
    /// The answer to a fetch by id.
    Fetch,
}

/// Where a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "tables::DeliveryState")]
pub enum DeliveryState {
    /// Not applied yet.
    Pending,
    /// Applied.
    Applied,
    /// Says nothing about any record.
    Ignored,
    /// Needs a person.
    Parked,
    /// Given up by a person.
    Discarded,
}

/// What was decided for one observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "tables::Decision")]
pub enum Decision {
    /// It changed the mirror.
    Applied,
    /// The mirror held the same already.
    Unchanged,
    /// The mirror held something newer.
    Stale,
    /// It could not be told whether it was newer: the record was fetched.
    TieRefetched,
    /// It told of a deletion.
    Tombstoned,
    /// Held back until a person looks at it.
    Quarantined,
    /// The record was erased and stays so.
    Suppressed,
    /// It needs a person.
    Parked,
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "tables::RunState")]
pub enum RunState {
    /// Compared, nothing written.
    Planned,
    /// Reading pages.
    Running,
    /// Looking for what is gone.
    Sweeping,
    /// Deletions wait for a person.
    WaitingForApproval,
    /// Complete.
    Done,
    /// Stopped by an error.
    Failed,
    /// Stopped by a person.
    Cancelled,
}

/// Which end of a relationship a profile is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "crate::mirror::read::Direction")]
pub enum RelationshipDirection {
    /// The profile is `from`.
    Outgoing,
    /// The profile is `to`.
    Incoming,
}

/// What a key may do; each role may do what the ones before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "crate::config::Role")]
pub enum Role {
    /// Query profiles and subscribe to them.
    Reader,
    /// See deliveries, verdicts and runs.
    Operator,
    /// Everything.
    Admin,
}

/// Where a source stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum SourceState {
    /// Taking in changes.
    Running,
    /// Standing still until it is resumed.
    Paused,
}

/// Directions of a sort. Profiles without a value come last in both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Enum)]
pub enum SortDirection {
    /// From the smallest up.
    #[default]
    Asc,
    /// From the greatest down.
    Desc,
}

/// What profiles are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "crate::mirror::read::SortKey")]
pub enum ProfileOrderField {
    /// By `displayName`.
    DisplayName,
    /// By `email`.
    Email,
    /// By `createdAt`.
    CreatedAt,
    /// By `modifiedAt`.
    ModifiedAt,
    /// By `externalId`.
    ExternalId,
    /// In the order in which the mirror first met them.
    Id,
}
