//! Random histories through the inbox and apply: whatever the order in which webhooks, pages and
//! fetches arrive, the mirror ends equal to the world.
//!
//! The test carries out the pulls itself, so that it decides which answer is made when and arrives
//! when: an answer may be on its way while any number of events arrive.

mod history;
mod line;

use crate::support::{both, seeds};

/// Histories on each database.
const HISTORIES: u64 = 120;

both!(random_histories_end_with_the_mirror_equal_to_the_world, |database| {
    let db = database.connect().await;
    for seed in seeds(HISTORIES) {
        history::run(&db, seed).await;
    }
});
