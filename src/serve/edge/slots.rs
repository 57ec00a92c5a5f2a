//! How many sockets and event streams are open, in all and by key.

use crate::config;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts what is open, and lets no more in than there may be.
pub(in crate::serve) struct Slots {
    all: usize,
    per_key: usize,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    all: usize,
    by_key: HashMap<Arc<str>, usize>,
}

/// A stream that is counted while this lives.
pub(super) struct Slot {
    slots: Arc<Slots>,
    key: Option<Arc<str>>,
}

impl Slots {
    pub fn new(server: &config::Server) -> Arc<Self> {
        Arc::new(Self { all: server.streams, per_key: server.streams_per_key, open: Mutex::default() })
    }

    /// How many are open.
    pub fn count(&self) -> usize {
        self.lock().all
    }

    /// A slot for somebody who is not known yet; none where all are taken.
    pub(super) fn open(self: &Arc<Self>) -> Option<Slot> {
        let mut open = self.lock();
        if open.all >= self.all {
            return None;
        }
        open.all += 1;
        Some(Slot { slots: Arc::clone(self), key: None })
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// Counts it for this key as well; false where the key has as many as it may.
    pub fn claim(&mut self, key: &Arc<str>) -> bool {
        let mut open = self.slots.lock();
        let count = open.by_key.entry(Arc::clone(key)).or_default();
        if *count >= self.slots.per_key {
            return false;
        }
        *count += 1;
        self.key = Some(Arc::clone(key));
        true
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut open = self.slots.lock();
        open.all -= 1;
        if let Some(key) = &self.key
            && let Some(count) = open.by_key.get_mut(key)
        {
            *count -= 1;
            if *count == 0 {
                open.by_key.remove(key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_are_open_than_there_may_be() {
        let slots = Slots::new(&config::Server { streams: 3, streams_per_key: 2, ..config::Server::default() });
        let (one, other): (Arc<str>, Arc<str>) = ("one".into(), "other".into());
        let (mut a, mut b, mut c) = (slots.open().unwrap(), slots.open().unwrap(), slots.open().unwrap());
        assert!(slots.open().is_none());
        assert!(a.claim(&one) && b.claim(&one) && !c.claim(&one) && c.claim(&other));
        drop(a);
        assert_eq!(slots.count(), 2);
        assert!(slots.open().unwrap().claim(&one));
        drop((b, c));
        assert_eq!((slots.count(), slots.lock().by_key.len()), (0, 0));
    }
}
