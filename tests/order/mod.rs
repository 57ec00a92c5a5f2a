//! Which news wins, whatever the order in which it arrives. Acceptance 1 to 6.

mod answers;
mod derivations;
mod histories;
mod lifecycle;
mod precedence;
mod removals;
