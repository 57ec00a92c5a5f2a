//! Automatic persisted queries: documents that clients sent once and name by their hash from then on.

use lru::LruCache;
use ring::digest;
use std::sync::{Arc, Mutex, PoisonError};

/// Documents kept, in bytes: some hundreds of usual ones. The least recently used goes first.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// Documents by hash. Whoever gives a hash gives the document first, so that nothing can be put under the hash of another.
pub(super) struct Automatic {
    kept: Mutex<Kept>,
}

struct Kept {
    by_hash: LruCache<Box<str>, Arc<str>>,
    bytes: usize,
}

impl Automatic {
    pub fn new() -> Self {
        Self { kept: Mutex::new(Kept { by_hash: LruCache::unbounded(), bytes: 0 }) }
    }

    /// The document of this hash, where it is kept.
    pub fn find(&self, hash: &str) -> Option<Arc<str>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).by_hash.get(hash).cloned()
    }

    /// Keeps a document under its hash.
    pub fn keep(&self, hash: &str, document: &str) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.by_hash.get(hash).is_some() {
            return;
        }
        kept.by_hash.put(hash.into(), document.into());
        kept.bytes += weight(hash, document);
        while kept.bytes > MAX_BYTES
            && let Some((hash, document)) = kept.by_hash.pop_lru()
        {
            kept.bytes -= weight(&hash, &document);
        }
    }
}

/// What an entry takes, with the links of the list and of the map.
fn weight(hash: &str, document: &str) -> usize {
    hash.len() + document.len() + 128
}

/// The SHA-256 of a document in small hexadecimal digits, as clients send it.
pub(super) fn hash_of(document: &str) -> String {
    let digest = digest::digest(&digest::SHA256, document.as_bytes());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_that_clients_make() {
        // Of the documentation of Apollo's protocol.
        assert_eq!(hash_of("{__typename}"), "ecf4edb46db40b5132295c0291d62fb65d6759a9eedfa4d5d612dd5ec54a6b38");
    }

    #[test]
    fn the_least_recently_used_goes_first() {
        let automatic = Automatic::new();
        let large = "x".repeat(MAX_BYTES / 4 - 256);
        for hash in ["a", "b", "c"] {
            automatic.keep(hash, &large);
        }
        assert!(automatic.find("a").is_some());
        automatic.keep("d", &large);
        automatic.keep("e", &large);
        let is_kept = ["a", "b", "c", "d", "e"].map(|hash| automatic.find(hash).is_some());
        assert_eq!(is_kept, [true, false, true, true, true]);
        assert!(automatic.kept.lock().unwrap().bytes <= MAX_BYTES);
    }
}
