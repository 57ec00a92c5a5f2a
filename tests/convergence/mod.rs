//! Random histories through the inbox and apply: whatever the order in which webhooks, pages and
//! fetches arrive, the mirror ends equal to the world.
//!
//! The test carries out the pulls itself, so that it decides which answer is made when and arrives
//! when: an answer may be on its way while any number of events arrive.

mod history;
mod line;

use crate::support::both;
use profile_mirror::clock::{Clock, SystemClock};

/// Histories on each database.
const HISTORIES: u64 = 150;

both!(random_histories_end_with_the_mirror_equal_to_the_world, |database| {
    let db = database.connect().await;
    let seed = match std::env::var("PROFILE_MIRROR_TEST_SEED") {
        Ok(seed) => seed.parse().expect("PROFILE_MIRROR_TEST_SEED is a number"),
        Err(_) => u64::try_from(SystemClock.now().0).unwrap() * 1_000,
    };
    let count = if std::env::var_os("PROFILE_MIRROR_TEST_SEED").is_some() { 1 } else { HISTORIES };
    println!("seeds {seed} to {}", seed + count - 1);
    for seed in seed..seed + count {
        history::run(&db, seed).await;
    }
});
