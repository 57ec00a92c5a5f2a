//! The providers from outside: fixtures in, observations out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod bench;
mod copernica_decode;
mod copernica_pull;
mod copernica_verify;
mod getprofile;
mod hostile;
mod parallel_decode;
mod parallel_pull;
mod parallel_verify;
