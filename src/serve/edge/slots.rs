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

/// What carries a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::serve) enum Carrier {
    /// A WebSocket.
    Socket,
    /// An answer of server-sent events.
    Events,
}

#[derive(Default)]
struct Open {
    sockets: usize,
    events: usize,
    by_key: HashMap<Arc<str>, usize>,
}

/// A stream that is counted while this lives.
pub(super) struct Slot {
    slots: Arc<Slots>,
    carrier: Carrier,
    key: Option<Arc<str>>,
}

impl Open {
    fn of(&mut self, carrier: Carrier) -> &mut usize {
        match carrier {
            Carrier::Socket => &mut self.sockets,
            Carrier::Events => &mut self.events,
        }
    }
}

impl Slots {
    pub fn new(server: &config::Server) -> Arc<Self> {
        Arc::new(Self { all: server.streams, per_key: server.streams_per_key, open: Mutex::default() })
    }

    /// How many of this kind are open.
    pub fn count(&self, carrier: Carrier) -> usize {
        *self.lock().of(carrier)
    }

    /// A slot for somebody who is not known yet; none where all are taken.
    pub(super) fn open(self: &Arc<Self>, carrier: Carrier) -> Option<Slot> {
        let mut open = self.lock();
        if open.sockets + open.events >= self.all {
            return None;
        }
        *open.of(carrier) += 1;
        Some(Slot { slots: Arc::clone(self), carrier, key: None })
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
        *open.of(self.carrier) -= 1;
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
        let open = |carrier| slots.open(carrier);
        let [mut a, mut b, mut c] = [Carrier::Socket, Carrier::Events, Carrier::Socket].map(|one| open(one).unwrap());
        assert!(open(Carrier::Socket).is_none() && open(Carrier::Events).is_none());
        assert_eq!((slots.count(Carrier::Socket), slots.count(Carrier::Events)), (2, 1));
        assert!(a.claim(&one) && b.claim(&one) && !c.claim(&one) && c.claim(&other));
        drop(a);
        assert_eq!(slots.count(Carrier::Socket), 1);
        assert!(open(Carrier::Socket).unwrap().claim(&one));
        drop((b, c));
        assert_eq!((slots.count(Carrier::Socket), slots.count(Carrier::Events), slots.lock().by_key.len()), (0, 0, 0));
    }
}
