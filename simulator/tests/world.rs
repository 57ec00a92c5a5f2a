//! The simulator seen from outside: REST against the truth, paging, webhooks, faults, determinism.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "tests may fail by panicking")]

#[path = "world/client.rs"]
mod client;
#[path = "world/copernica.rs"]
mod copernica;
#[path = "world/getprofile.rs"]
mod getprofile;
#[path = "world/parallel.rs"]
mod parallel;
#[path = "world/sending.rs"]
mod sending;
#[path = "world/upstream.rs"]
mod upstream;
