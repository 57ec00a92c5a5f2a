//! The tables of the mirror as sea-orm models, one file a table, with scoped finders.
//!
//! Every table of one source carries `source_id`, and finders take it, so that a query that forgets
//! the source looks wrong at once. Times are [`Moment`]s. Sets of words are enums in `word`.

pub mod change;
pub mod collection;
pub mod delivery;
pub mod fetch_request;
pub mod field_definition;
pub mod interest;
pub mod lifecycle_transition;
mod moment;
pub mod profile;
pub mod profile_interest;
pub mod profile_type;
pub mod relationship;
pub mod relationship_type;
pub mod source;
pub mod source_state;
pub mod subprofile;
pub mod sync_run;
pub mod verdict;
mod word;

pub use moment::Moment;
pub use word::{
    ChangeKind, Decision, DeliveryKind, DeliveryState, FetchState, ProfileKind, RecordKind, RunState, Status,
    VersionRung,
};
