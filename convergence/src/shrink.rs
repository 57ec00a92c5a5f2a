//! Leaves steps out of a history that fails, as long as it still fails.

use crate::history::History;
use crate::play::play;
use profile_mirror::db::Database;

/// Plays at most so many histories to find a short one.
const MOST_TRIES: usize = 400;

/// The shortest history found that still fails, and what is wrong with it.
pub async fn shrink(db: &Database, history: &History, mut failure: String) -> (History, String) {
    let mut shortest = history.clone();
    let mut tries = 0;
    let mut chunk = shortest.steps.len().div_ceil(2).max(1);
    loop {
        let mut has_shrunk = false;
        let mut from = 0;
        while from < shortest.steps.len() && tries < MOST_TRIES {
            let mut shorter = shortest.clone();
            shorter.steps.drain(from..(from + chunk).min(shorter.steps.len()));
            tries += 1;
            match play(db, &shorter, &mut |_| {}).await {
                Err(still) => (shortest, failure, has_shrunk) = (shorter, still, true),
                Ok(_) => from += chunk,
            }
        }
        if tries >= MOST_TRIES || (chunk == 1 && !has_shrunk) {
            return (shortest, failure);
        }
        chunk = if has_shrunk { chunk } else { chunk.div_ceil(2) };
        chunk = chunk.min(shortest.steps.len()).max(1);
    }
}
