//! The nonces that were used within the window of valid dates.
//!
//! A repeated nonce with the same body is the same delivery sent again, perhaps because our first
//! answer got lost or was a 503: it passes, and the inbox knows it by its dedupe key. With another
//! body it is a replay. Only requests that verified are remembered, so that nobody else can fill this.

use crate::digest::sha256;
use chrono::{DateTime, Utc};
use std::collections::{HashMap, VecDeque};

/// Most nonces that are remembered, about 10 MB; more than a window's worth of any real account.
const MAX_NONCES: usize = 65_536;

/// The memory.
#[derive(Default)]
pub(super) struct Nonces {
    bodies: HashMap<[u8; 32], [u8; 32]>,
    order: VecDeque<(DateTime<Utc>, [u8; 32])>,
}

impl Nonces {
    /// Notes a nonce until `until`; false where it was used with another body.
    pub(super) fn admit(
        &mut self,
        now: DateTime<Utc>,
        until: DateTime<Utc>,
        nonce: &[u8],
        date: &[u8],
        body: &[u8; 32],
    ) -> bool {
        while let Some((expiry, key)) = self.order.front().copied() {
            if expiry >= now && self.order.len() < MAX_NONCES {
                break;
            }
            self.bodies.remove(&key);
            self.order.pop_front();
        }
        let key = sha256(&[nonce, b"\n", date].concat());
        match self.bodies.get(&key) {
            Some(known) => known == body,
            None => {
                self.bodies.insert(key, *body);
                self.order.push_back((until, key));
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    #[test]
    fn a_nonce_serves_one_body_while_its_date_is_valid() {
        let (now, mut nonces) = (DateTime::UNIX_EPOCH, Nonces::default());
        let until = now + TimeDelta::seconds(60);
        assert!(nonces.admit(now, until, b"n", b"d", &[1; 32]));
        assert!(nonces.admit(now, until, b"n", b"d", &[1; 32]));
        assert!(!nonces.admit(now, until, b"n", b"d", &[2; 32]));
        assert!(nonces.admit(now, until, b"n", b"other date", &[2; 32]));
        assert!(nonces.admit(until + TimeDelta::seconds(1), until, b"n", b"d", &[2; 32]));
    }

    #[test]
    fn the_memory_is_bounded() {
        let (now, mut nonces) = (DateTime::UNIX_EPOCH, Nonces::default());
        for number in 0..MAX_NONCES + 100 {
            assert!(nonces.admit(now, now, number.to_string().as_bytes(), b"d", &[1; 32]));
        }
        assert!(nonces.order.len() <= MAX_NONCES && nonces.bodies.len() == nonces.order.len());
    }
}
