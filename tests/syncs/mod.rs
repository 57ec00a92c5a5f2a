//! Full runs, what they repair, and what they must not take for gone.

mod approvals;
mod deletions;
mod interruptions;
mod lies;
mod repairs;
mod retries;
mod times;
mod unsubscribing;
