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

/// What unsubscribing does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum UnsubscribeAction {
    /// Nothing.
    Nothing,
    /// It removes the record.
    Remove,
    /// It gives values to fields.
    Update,
    /// Something that this version of the mirror does not know.
    Other,
}

impl UnsubscribeAction {
    /// What the provider calls so.
    pub fn of(word: &str) -> Self {
        match word {
            "nothing" => Self::Nothing,
            "remove" => Self::Remove,
            "update" => Self::Update,
            _ => Self::Other,
        }
    }
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
    /// Given up by a person, or part of a plan that is stale.
    Discarded,
    /// A page of a plan: compared, and not applied unless the plan is.
    Held,
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
    /// Asked for; it begins when the holder of the source's lease sees it.
    Planned,
    /// Reading pages, or comparing them where it is a plan.
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

/// How a record of the mirror differed from upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "tables::DriftNature")]
pub enum DriftNature {
    /// Its content or status was another.
    Changed,
    /// The mirror did not hold it.
    Missing,
    /// The mirror held it, and upstream did not any more.
    Gone,
}

/// What showed that a record differed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "tables::DriftMeans")]
pub enum DriftMeans {
    /// A full run: a page, or the lists as a whole.
    Run,
    /// The digests after a run did not agree.
    Digest,
    /// A read by id at random.
    Read,
}

/// What a run passes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "tables::RunKind")]
pub enum RunKind {
    /// Every list from its first page. Only such a run may find that something is gone.
    Full,
    /// What upstream says has changed since the last run.
    Incremental,
    /// Named profiles, each fetched by id.
    Named,
}

/// How far the sweep of a run is: what no page named is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "tables::SweepStage")]
pub enum SweepStage {
    /// Finds the profiles that no page named.
    ListingProfiles,
    /// Finds the subprofiles that no page named.
    ListingSubprofiles,
    /// Asks for a few of many by id: one that is there shows that the lists are not complete.
    Sampling,
    /// Asks for every one by id.
    Verifying,
    /// Deletes those that are gone, or waits for a person to approve it.
    Burying,
}

/// What became of a record that no page of a complete run named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "tables::CandidateState")]
pub enum CandidateState {
    /// Not asked for by id yet.
    Quarantined,
    /// It was found by id, and stays.
    Present,
    /// It was not found by id either, and is not deleted yet.
    Absent,
    /// Upstream would not say; it stays.
    Unknown,
    /// It is deleted.
    Deleted,
    /// News of it came meanwhile, or a person said no; it stays.
    Dismissed,
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
    /// See deliveries, verdicts and runs; resync, approve, retry, pause.
    Operator,
    /// Everything.
    Admin,
}

/// How a source is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "crate::serve::health::State")]
pub enum SourceState {
    /// Taking in changes.
    Running,
    /// Taking in changes, and something is wrong: it refuses everything, hears nothing, falls behind, its full syncs fail, or
    /// deletions of it wait for a person; `reason` says which.
    Degraded,
    /// Standing still until it is resumed: nothing is fetched. Webhooks are kept and applied.
    Paused,
}

/// What tells how new a value is, the best last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "tables::VersionRung")]
pub enum VersionRung {
    /// When our request for it began.
    RequestStarted,
    /// The time of the event that told it.
    EventTime,
    /// The provider's own time of modification.
    UpstreamModified,
    /// The provider's own count of versions.
    NativeSequence,
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

/// How the values of a field are sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Enum)]
#[graphql(remote = "crate::db::fields::FieldAs")]
pub enum FieldOrder {
    /// As texts, by their characters; the case of ASCII letters does not matter.
    #[default]
    Text,
    /// As numbers; what is none comes last.
    Number,
    /// As dates; what is none comes last.
    Date,
}

/// What profiles are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
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
    /// By how well they answer the filter's `search`: those with all of it in their name come first, `DESC` last.
    Relevance,
}
