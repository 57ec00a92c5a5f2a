//! Everything that is tested from outside, in one binary: it links once.
//!
//! - `adapters`: each provider against the simulator.
//! - `convergence`: random histories through the inbox and apply.
//! - `events`: every event of the providers, from the webhook to the GraphQL answer.
//! - `crash`: the program killed at each durable step.
//! - `demo`: what a stranger sees first, and what is left of it.
//! - `door`: what senders of webhooks are answered.
//! - `drift`: how far the mirror was from the world, and what became of it.
//! - `health`: whether a source is well, and who is told.
//! - `erasure`: what is left of a person who is anonymized, and dates of deletion that pass.
//! - `ops`: what operators ask for, over the API and at a shell.
//! - `order`: which news wins.
//! - `queries`: filters, orders, search and where values come from.
//! - `readme`: what the README tells people to try.
//! - `rules`: what the code and the documents must keep to.
//! - `socket`: the protocol graphql-transport-ws, frame by frame.
//! - `storage`: what both databases must do alike before any stage is involved.
//! - `streams`: subscriptions and cursors.
//! - `syncs`: full runs, what they repair, and what they must not take for gone.
//! - `upstream`: calls to providers, their budget, and pauses.
//!
//! `support` holds the harness. A test that touches a database is written once, with `both!`, and
//! runs on SQLite and on PostgreSQL.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod adapters;
mod convergence;
mod crash;
mod demo;
mod door;
mod drift;
mod erasure;
mod events;
mod health;
mod ops;
mod order;
mod queries;
mod readme;
mod rules;
mod socket;
mod storage;
mod streams;
mod support;
mod syncs;
mod upstream;
