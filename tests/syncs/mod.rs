//! Full runs, what they repair, and what they must not take for gone.

mod approvals;
mod deletions;
mod id_lists;
mod interruptions;
mod large_pages;
mod lies;
mod lost_places;
mod odd_rows;
mod refusals;
mod repairs;
mod retries;
mod times;
mod unsubscribing;
