//! The convergence kit: random histories of a source, and whether the mirror ends equal to the world.
//!
//! A [`history::History`] is made from a seed: what happens upstream, which webhooks get lost, doubled, late and
//! reordered, when a stage does its next step, when it is killed, what upstream answers wrongly. [`play::play`] carries it
//! out on the real stages, and closes with one complete run. [`oracle`] then says what is wrong, if anything is.
//!
//! Nothing here waits and nothing is left to chance: the driver holds the clock ([`seam::VirtualClock`]) and the network
//! ([`seam::HeldWire`]), and lets one stage at a time take one step. So a history can be played again from its seed, and
//! [`shrink`] can leave steps out until only those remain that matter.
//!
//! `place` makes databases, `picture`, `rows` and `world` compare a mirror with the world; the end-to-end tests share them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

pub mod history;
pub mod oracle;
mod people;
pub mod picture;
pub mod place;
pub mod play;
pub mod rows;
pub mod seam;
pub mod shrink;
pub mod stages;
mod weather;
pub mod world;
