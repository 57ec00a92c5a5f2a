//! The harness: databases for tests, the application under test, clients, and the comparison of
//! the mirror with the world.
//!
//! Tests do not sleep. They `drain()` the application, or wait for a condition with a deadline.

pub mod answers;
pub mod app;
pub mod binary;
pub mod clock;
pub mod graphql;
pub mod refusal;
pub mod registered;
pub mod server_events;
pub mod socket;
pub mod view;
pub mod webhook;

pub use convergence::{picture, place, rows, world};

/// Writes one test for both databases: `name::sqlite` and `name::postgres`.
///
/// The body gets a [`place::TestDatabase`] and runs on a runtime of its own.
macro_rules! both {
    ($name:ident, |$database:ident| $body:expr) => {
        mod $name {
            #[allow(unused_imports, reason = "a body may need none of them")]
            use super::*;

            #[test]
            fn sqlite() {
                $crate::support::place::run_on(profile_mirror::db::Dialect::Sqlite, async |$database| $body);
            }

            #[test]
            fn postgres() {
                $crate::support::place::run_on(profile_mirror::db::Dialect::Postgres, async |$database| $body);
            }
        }
    };
}
pub(crate) use both;

/// Seeds for so many random histories, printed; or the one that `PROFILE_MIRROR_TEST_SEED` names.
pub fn seeds(count: u64) -> std::ops::Range<u64> {
    use profile_mirror::clock::{Clock, SystemClock};
    let (first, count) = match std::env::var("PROFILE_MIRROR_TEST_SEED") {
        Ok(seed) => (seed.parse().expect("PROFILE_MIRROR_TEST_SEED is a number"), 1),
        Err(_) => (SystemClock.now().0.unsigned_abs() * 1_000, count),
    };
    println!("seeds from {first}, {count} of them");
    first..first + count
}
