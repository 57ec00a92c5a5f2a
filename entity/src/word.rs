//! The closed sets of words that columns hold.

use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

/// What a profile is about.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize,
)]
#[sea_orm(rs_type = "String", db_type = "Text")]
#[serde(rename_all = "snake_case")]
pub enum ProfileKind {
    /// Individual.
    #[sea_orm(string_value = "individual")]
    Individual,
    /// Company.
    #[sea_orm(string_value = "company")]
    Company,
    /// Other.
    #[sea_orm(string_value = "other")]
    Other,
}

/// Lifecycle statuses.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize,
)]
#[sea_orm(rs_type = "String", db_type = "Text")]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Open.
    #[sea_orm(string_value = "open")]
    Open,
    /// Closed.
    #[sea_orm(string_value = "closed")]
    Closed,
    /// Scheduled for deletion.
    #[sea_orm(string_value = "scheduled_for_deletion")]
    ScheduledForDeletion,
    /// Anonymized.
    #[sea_orm(string_value = "anonymized")]
    Anonymized,
    /// Deleted.
    #[sea_orm(string_value = "deleted")]
    Deleted,
}

/// Where a version comes from, worst first.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize,
)]
#[sea_orm(rs_type = "String", db_type = "Text")]
#[serde(rename_all = "snake_case")]
pub enum VersionRung {
    /// Request started.
    #[sea_orm(string_value = "request_started")]
    RequestStarted,
    /// Event time.
    #[sea_orm(string_value = "event_time")]
    EventTime,
    /// Upstream modified.
    #[sea_orm(string_value = "upstream_modified")]
    UpstreamModified,
    /// Native sequence.
    #[sea_orm(string_value = "native_sequence")]
    NativeSequence,
}

/// What a call to a provider is for, the highest right first. The words sort in that order.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize,
)]
#[sea_orm(rs_type = "String", db_type = "Text")]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// News that just came.
    #[sea_orm(string_value = "live")]
    Live,
    /// Making sure: what a sync left open, what is missing, what is overdue.
    #[sea_orm(string_value = "repair")]
    Repair,
    /// Pages of a sync.
    #[sea_orm(string_value = "sync")]
    Sync,
}

impl Purpose {
    /// All of them, the highest right first.
    pub const ALL: [Self; 3] = [Self::Live, Self::Repair, Self::Sync];

    /// As columns and metrics have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Repair => "repair",
            Self::Sync => "sync",
        }
    }
}

/// Kinds of deliveries.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize,
)]
#[sea_orm(rs_type = "String", db_type = "Text")]
#[serde(rename_all = "snake_case")]
pub enum DeliveryKind {
    /// Webhook.
    #[sea_orm(string_value = "webhook")]
    Webhook,
    /// Page.
    #[sea_orm(string_value = "page")]
    Page,
    /// Fetch.
    #[sea_orm(string_value = "fetch")]
    Fetch,
}

/// Where a delivery stands.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize,
)]
#[sea_orm(rs_type = "String", db_type = "Text")]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// Pending.
    #[sea_orm(string_value = "pending")]
    Pending,
    /// Applied.
    #[sea_orm(string_value = "applied")]
    Applied,
    /// Ignored.
    #[sea_orm(string_value = "ignored")]
    Ignored,
    /// Parked.
    #[sea_orm(string_value = "parked")]
    Parked,
    /// Discarded.
    #[sea_orm(string_value = "discarded")]
    Discarded,
    /// A page of a plan: kept, compared, and not applied unless the plan is.
    #[sea_orm(string_value = "held")]
    Held,
}

/// Where a fetch request stands.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize,
)]
#[sea_orm(rs_type = "String", db_type = "Text")]
#[serde(rename_all = "snake_case")]
pub enum FetchState {
    /// Pending.
    #[sea_orm(string_value = "pending")]
    Pending,
    /// Running.
    #[sea_orm(string_value = "running")]
    Running,
    /// Answered.
    #[sea_orm(string_value = "answered")]
    Answered,
    /// Parked.
    #[sea_orm(string_value = "parked")]
    Parked,
}

/// Kinds of records.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize,
)]
#[sea_orm(rs_type = "String", db_type = "Text")]
#[serde(rename_all = "snake_case")]
pub enum RecordKind {
    /// Profile.
    #[sea_orm(string_value = "profile")]
    Profile,
    /// Subprofile.
    #[sea_orm(string_value = "subprofile")]
    Subprofile,
    /// Relationship.
    #[sea_orm(string_value = "relationship")]
    Relationship,
    /// Profile type.
    #[sea_orm(string_value = "profile_type")]
    ProfileType,
}

/// What apply can decide.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize,
)]
#[sea_orm(rs_type = "String", db_type = "Text")]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Applied.
    #[sea_orm(string_value = "applied")]
    Applied,
    /// Unchanged.
    #[sea_orm(string_value = "unchanged")]
    Unchanged,
    /// Stale.
    #[sea_orm(string_value = "stale")]
    Stale,
    /// Tie refetched.
    #[sea_orm(string_value = "tie_refetched")]
    TieRefetched,
    /// Tombstoned.
    #[sea_orm(string_value = "tombstoned")]
    Tombstoned,
    /// Quarantined.
    #[sea_orm(string_value = "quarantined")]
    Quarantined,
    /// Suppressed.
    #[sea_orm(string_value = "suppressed")]
    Suppressed,
    /// Parked.
    #[sea_orm(string_value = "parked")]
    Parked,
}

/// Kinds of changes.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize,
)]
#[sea_orm(rs_type = "String", db_type = "Text")]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// Created.
    #[sea_orm(string_value = "created")]
    Created,
    /// Updated.
    #[sea_orm(string_value = "updated")]
    Updated,
    /// Closed.
    #[sea_orm(string_value = "closed")]
    Closed,
    /// Reopened.
    #[sea_orm(string_value = "reopened")]
    Reopened,
    /// Scheduled for deletion.
    #[sea_orm(string_value = "scheduled_for_deletion")]
    ScheduledForDeletion,
    /// Anonymized.
    #[sea_orm(string_value = "anonymized")]
    Anonymized,
    /// Deleted.
    #[sea_orm(string_value = "deleted")]
    Deleted,
    /// Erased.
    #[sea_orm(string_value = "erased")]
    Erased,
    /// Subprofile created.
    #[sea_orm(string_value = "subprofile_created")]
    SubprofileCreated,
    /// Subprofile updated.
    #[sea_orm(string_value = "subprofile_updated")]
    SubprofileUpdated,
    /// Subprofile deleted.
    #[sea_orm(string_value = "subprofile_deleted")]
    SubprofileDeleted,
    /// Relationship created.
    #[sea_orm(string_value = "relationship_created")]
    RelationshipCreated,
    /// Relationship removed.
    #[sea_orm(string_value = "relationship_removed")]
    RelationshipRemoved,
}

/// Where a run stands.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize,
)]
#[sea_orm(rs_type = "String", db_type = "Text")]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Planned.
    #[sea_orm(string_value = "planned")]
    Planned,
    /// Running.
    #[sea_orm(string_value = "running")]
    Running,
    /// Sweeping.
    #[sea_orm(string_value = "sweeping")]
    Sweeping,
    /// Waiting for approval.
    #[sea_orm(string_value = "waiting_for_approval")]
    WaitingForApproval,
    /// Done.
    #[sea_orm(string_value = "done")]
    Done,
    /// Failed.
    #[sea_orm(string_value = "failed")]
    Failed,
    /// Cancelled.
    #[sea_orm(string_value = "cancelled")]
    Cancelled,
}

/// What a run passes through.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize,
)]
#[sea_orm(rs_type = "String", db_type = "Text")]
#[serde(rename_all = "snake_case")]
pub enum RunKind {
    /// Every list from its first page: only such a run may find that something is gone.
    #[sea_orm(string_value = "full")]
    Full,
    /// What upstream says has changed since the last run.
    #[sea_orm(string_value = "incremental")]
    Incremental,
    /// Named profiles, each fetched by id.
    #[sea_orm(string_value = "named")]
    Named,
}

/// How far the sweep of a run is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize,
)]
#[sea_orm(rs_type = "String", db_type = "Text")]
#[serde(rename_all = "snake_case")]
pub enum SweepStage {
    /// Puts into quarantine the profiles that no page named.
    #[sea_orm(string_value = "listing_profiles")]
    ListingProfiles,
    /// Puts into quarantine the subprofiles that no page named.
    #[sea_orm(string_value = "listing_subprofiles")]
    ListingSubprofiles,
    /// Asks for a few of many candidates by id: one that is there shows that the lists lie.
    #[sea_orm(string_value = "sampling")]
    Sampling,
    /// Asks for every candidate by id.
    #[sea_orm(string_value = "verifying")]
    Verifying,
    /// Turns those that are gone into tombstones.
    #[sea_orm(string_value = "burying")]
    Burying,
}

/// How a record of the mirror differed from upstream.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize,
)]
#[sea_orm(rs_type = "String", db_type = "Text")]
#[serde(rename_all = "snake_case")]
pub enum DriftNature {
    /// Its content or status was another.
    #[sea_orm(string_value = "changed")]
    Changed,
    /// The mirror did not hold it.
    #[sea_orm(string_value = "missing")]
    Missing,
    /// The mirror held it, and upstream did not any more.
    #[sea_orm(string_value = "gone")]
    Gone,
}

/// What showed that a record differed.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize,
)]
#[sea_orm(rs_type = "String", db_type = "Text")]
#[serde(rename_all = "snake_case")]
pub enum DriftMeans {
    /// A full run: a page, or the lists as a whole.
    #[sea_orm(string_value = "run")]
    Run,
    /// The digests after a run did not agree.
    #[sea_orm(string_value = "digest")]
    Digest,
    /// A sampled read by id.
    #[sea_orm(string_value = "read")]
    Read,
}

/// What a sampled read came to.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize,
)]
#[sea_orm(rs_type = "String", db_type = "Text")]
#[serde(rename_all = "snake_case")]
pub enum SampleOutcome {
    /// No answer yet.
    #[sea_orm(string_value = "asked")]
    Asked,
    /// Upstream was as the mirror.
    #[sea_orm(string_value = "same")]
    Same,
    /// Upstream was another; news on its way may still explain it.
    #[sea_orm(string_value = "checking")]
    Checking,
    /// Upstream was another, and no news explains it.
    #[sea_orm(string_value = "differed")]
    Differed,
    /// It tells nothing: news came in between, or no answer.
    #[sea_orm(string_value = "void")]
    Void,
}

/// What became of a record that no page of a complete run named.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize,
)]
#[sea_orm(rs_type = "String", db_type = "Text")]
#[serde(rename_all = "snake_case")]
pub enum CandidateState {
    /// Not asked for by id yet.
    #[sea_orm(string_value = "quarantined")]
    Quarantined,
    /// A fetch by id found it: the list lied, or it came back.
    #[sea_orm(string_value = "present")]
    Present,
    /// A fetch by id did not find it either.
    #[sea_orm(string_value = "absent")]
    Absent,
    /// Upstream would not say; it stays.
    #[sea_orm(string_value = "unknown")]
    Unknown,
    /// A tombstone now.
    #[sea_orm(string_value = "deleted")]
    Deleted,
    /// News came meanwhile, or a person said no; it stays.
    #[sea_orm(string_value = "dismissed")]
    Dismissed,
}

impl From<provider::ProfileKind> for ProfileKind {
    fn from(kind: provider::ProfileKind) -> Self {
        match kind {
            provider::ProfileKind::Individual => Self::Individual,
            provider::ProfileKind::Company => Self::Company,
            provider::ProfileKind::Other => Self::Other,
        }
    }
}

impl From<provider::Status> for Status {
    fn from(status: provider::Status) -> Self {
        match status {
            provider::Status::Open => Self::Open,
            provider::Status::Closed => Self::Closed,
            provider::Status::ScheduledForDeletion => Self::ScheduledForDeletion,
            provider::Status::Anonymized => Self::Anonymized,
            provider::Status::Deleted => Self::Deleted,
        }
    }
}

impl From<provider::Rung> for VersionRung {
    fn from(rung: provider::Rung) -> Self {
        match rung {
            provider::Rung::RequestStarted => Self::RequestStarted,
            provider::Rung::EventTime => Self::EventTime,
            provider::Rung::UpstreamModified => Self::UpstreamModified,
            provider::Rung::NativeSequence => Self::NativeSequence,
        }
    }
}

impl From<VersionRung> for provider::Rung {
    fn from(rung: VersionRung) -> Self {
        match rung {
            VersionRung::RequestStarted => Self::RequestStarted,
            VersionRung::EventTime => Self::EventTime,
            VersionRung::UpstreamModified => Self::UpstreamModified,
            VersionRung::NativeSequence => Self::NativeSequence,
        }
    }
}

impl From<provider::DeliveryKind> for DeliveryKind {
    fn from(kind: provider::DeliveryKind) -> Self {
        match kind {
            provider::DeliveryKind::Webhook => Self::Webhook,
            provider::DeliveryKind::Page => Self::Page,
            provider::DeliveryKind::Fetch => Self::Fetch,
        }
    }
}

impl From<DeliveryKind> for provider::DeliveryKind {
    fn from(kind: DeliveryKind) -> Self {
        match kind {
            DeliveryKind::Webhook => Self::Webhook,
            DeliveryKind::Page => Self::Page,
            DeliveryKind::Fetch => Self::Fetch,
        }
    }
}
