//! The tables of the mirror as sea-orm models, one file a table, with scoped finders.
//!
//! Every table of one source carries `source_id`, and finders take it, so that a query that forgets
//! the source looks wrong at once. Times are [`Moment`]s. Sets of words are enums in `word`.

pub mod change;
pub mod client_mutation;
pub mod collection;
pub mod deletion_candidate;
pub mod delivery;
pub mod delivery_key;
pub mod delivery_key_mark;
pub mod delivery_names;
pub mod derivation;
mod digest;
pub mod drift_difference;
pub mod drift_find;
pub mod drift_run;
pub mod drift_sample;
pub mod erasure;
pub mod fetch_request;
pub mod field_definition;
pub mod interest;
pub mod lifecycle_transition;
pub mod metadata_part;
mod moment;
pub mod profile;
pub mod profile_interest;
pub mod profile_search;
pub mod profile_type;
pub mod relationship;
pub mod relationship_type;
mod row_set;
pub mod run_page;
pub mod source;
pub mod source_state;
pub mod subprofile;
pub mod suppression;
pub mod suppression_key;
pub mod sync_run;
pub mod verdict;
mod word;

pub use digest::{BUCKETS, Digest, mix_record};
pub use moment::Moment;
pub use row_set::RowSet;
pub use word::{
    CandidateState, ChangeKind, Decision, DeliveryKind, DeliveryState, DriftMeans, DriftNature, FetchState,
    ProfileKind, Purpose, RecordKind, RunKind, RunState, SampleOutcome, Status, SweepStage, VersionRung,
};
