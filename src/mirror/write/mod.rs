//! Statements that write the mirror. Called by apply only, inside its transaction.
//!
//! In: rows that apply has decided on. Out: their ids. Every function takes the transaction and works
//! on many rows at once, in chunks below both databases' limits on bound values. Deliberately absent:
//! any decision, any read that is not needed to write.

mod candidates;
mod catalog;
mod derivations;
mod drift;
mod erasure;
mod journal;
mod listed;
mod places;
mod profiles;
mod relationships;
mod requests;
mod rows;
mod run_pages;
mod runs;
mod search;
mod subprofiles;
mod unlisted;

pub(crate) use candidates::{
    count_absent, count_candidates, dismiss_candidates, has_candidates, load_candidate_sample, load_candidates,
    load_candidates_of, named_runs, quarantine_named, settle_candidates, supersede_waiting, write_candidates,
};
pub(crate) use catalog::{
    Asked, Definitions, KnownType, ensure_collections, ensure_profile_types, ensure_relationship_types, load_catalog,
    note_metadata_part, replace_fields, replace_interests, write_collection, write_profile_type, write_unsubscribing,
};
pub(crate) use derivations::{ask_to_derive, load_derivation, note_derived};
pub(crate) use drift::{
    Awaited, Differing, Drawn, PageDrift, Place, Shown, draw_profiles, has_awaited, has_requests, is_measured,
    load_awaited, load_drift_run, load_due_find, load_last_sample_at, load_quiet_since, load_shown, load_told_about,
    profiles_of, prune_samples, settle_find, settle_sample, write_comparison, write_find, write_remaining,
    write_repair, write_samples,
};
pub(crate) use erasure::{
    count_late, deliveries_of, drop_requests, empty_changes, empty_verdicts, ensure_suppression_key, note_cleaned,
    pending_erasures, profile_rows, subprofile_ids, suppress, suppressed, suppression_key, write_erasure,
};
pub(crate) use journal::{advance_revision, write_changes, write_transitions, write_verdicts};
pub(crate) use listed::{
    Listed, Missable, count_live_profiles, count_live_subprofiles, digest_of_profile, digest_of_subprofile,
    load_listed_profiles, load_listed_subprofiles,
};
pub(crate) use places::locate_wishes;
pub(crate) use profiles::{
    Moved, load_due, load_interests, load_profiles, load_profiles_by_id, load_profiles_of_type, new_profile_ids,
    write_interests, write_placeholders, write_profiles, write_revisions,
};
pub(crate) use relationships::{RelationshipsOf, load_relationships, write_relationships};
pub(crate) use requests::{
    Again, GivenUp, Wish, cancel_requests, give_up_requests, load_request_states, load_requests, settle_requests,
    target_key, write_wishes,
};
pub(crate) use rows::Writes;
pub(crate) use run_pages::{NamedRows, PageTally, load_named, load_told, write_tallies};
pub(crate) use runs::{
    ListsRead, advance_sweep, end_sweep, hold_sweep, load_lists_read, load_run_for_apply, note_candidates,
    set_run_count,
};
pub(crate) use search::fill_search;
pub(crate) use subprofiles::{load_buried_subprofiles, load_subprofiles, new_subprofile_ids, write_subprofiles};
pub(crate) use unlisted::{Unlisted, clear_listed, count_place, count_unlisted, give_up_list};

/// Names in one list of a statement: below the databases' limits on bound values, and each list is as long as the next
/// power of two, so that the database keeps few prepared statements.
const CHUNK: usize = 256;
