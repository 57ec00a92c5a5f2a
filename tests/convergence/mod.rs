//! Random histories of a source: whatever gets lost, late, doubled, reordered, cut or killed, the mirror ends equal
//! to the world after one complete run.

use crate::support::{both, seeds};
use convergence::history::History;
use convergence::play::play;
use convergence::shrink::shrink;

/// Histories on each database.
const HISTORIES: u64 = 200;

both!(random_histories_end_with_the_mirror_equal_to_the_world, |database| {
    let db = database.connect().await;
    for seed in seeds(HISTORIES) {
        let history = History::of(seed, None);
        if let Err(failure) = play(&db, &history, &mut |_| {}).await {
            let (shortest, what) = shrink(&db, &history, failure).await;
            panic!("PROFILE_MIRROR_TEST_SEED={seed}: {:#?}\n{what}", shortest.steps);
        }
    }
});
