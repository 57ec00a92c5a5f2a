//! Everything that is tested from outside, in one binary: it links once.
//!
//! - `adapters`: each provider against the simulator.
//! - `convergence`: random histories through the inbox and apply.
//! - `events`: every event of the providers, from the webhook to the GraphQL answer.
//! - `crash`: the program killed at each durable step.
//! - `door`: what senders of webhooks are answered.
//! - `order`: which news wins.
//! - `readme`: what the README tells people to try.
//! - `rules`: what the code and the documents must keep to.
//! - `storage`: what both databases must do alike before any stage is involved.
//! - `streams`: subscriptions and cursors.
//!
//! `support` holds the harness. A test that touches a database is written once, with `both!`, and
//! runs on SQLite and on PostgreSQL.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod adapters;
mod convergence;
mod crash;
mod door;
mod events;
mod order;
mod readme;
mod rules;
mod storage;
mod streams;
mod support;
