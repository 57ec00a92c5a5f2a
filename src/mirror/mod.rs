//! The mirror: the statements over its records.
//!
//! `read` is for serve and publish and never writes; `write` is for apply only, inside its transaction.
//! Deliberately absent: decisions, which belong to apply, and the shape of answers, which belongs to serve.

pub mod read;
pub(crate) mod write;
