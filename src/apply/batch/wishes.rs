//! What a batch leaves to be fetched: wishes, and requests that go on or are dropped.

use super::{Batch, Origin};
use crate::mirror::write::{self, Again, Wish};
use entity::Purpose;
use provider::{DeliveryKind, Target};

impl Batch<'_> {
    /// Wishes to fetch a record; many wishes are one. What a page leaves open is repair, what news asks for is live.
    pub fn wish(&mut self, target: Target, origin: &Origin, reason: &str, delay_ms: u64, is_creation: bool) {
        let not_before = self.now.plus_ms(i64::try_from(delay_ms).unwrap_or(i64::MAX));
        let purpose = if origin.kind == DeliveryKind::Page { Purpose::Repair } else { Purpose::Live };
        let (position, reason) = (origin.position, reason.to_owned());
        self.add_wish(Wish { target, within: None, position, reason, not_before, is_creation, purpose });
    }

    /// Wishes to see whether a record is there of which no fresh news tells. Many may come at once, after a standstill or with
    /// a database that is found again: they are repair, so that fresh news goes first.
    pub fn wish_repair(&mut self, target: Target, origin: &Origin, reason: &str) {
        let (position, reason) = (origin.position, reason.to_owned());
        let (not_before, purpose) = (self.now, Purpose::Repair);
        self.add_wish(Wish { target, within: None, position, reason, not_before, is_creation: false, purpose });
    }

    fn add_wish(&mut self, wish: Wish) {
        match self.wishes.get_mut(&write::target_key(&wish.target)) {
            Some(known) => {
                known.position = known.position.max(wish.position);
                known.not_before = known.not_before.min(wish.not_before);
                known.is_creation |= wish.is_creation;
                known.purpose = known.purpose.min(wish.purpose);
            }
            None => {
                self.wishes.insert(write::target_key(&wish.target), wish);
            }
        }
    }

    /// A request must be asked again, unless an answer in the batch that was asked for later says otherwise.
    pub fn ask_again(&mut self, again: Again) {
        let is_older = self.again.get(&again.request_id).is_some_and(|known| known.started_at > again.started_at);
        if !is_older {
            self.again.insert(again.request_id, again);
        }
    }

    /// Wishes to fetch a profile now.
    pub fn wish_profile(&mut self, external_id: &str, origin: &Origin, reason: &str) {
        self.wish(Target::Profile { id: external_id.to_owned() }, origin, reason, 0, false);
    }

    /// Drops what was wished for a profile: there is nothing to look up any more.
    pub fn cancel_wishes(&mut self, external_id: &str) {
        let key = write::target_key(&Target::Profile { id: external_id.to_owned() });
        self.wishes.remove(&key);
        self.cancelled.push(key);
    }

    /// Inbox position of the newest news in the batch that asks for a record; none where none does.
    pub fn asked_at(&self, target: &Target) -> Option<i64> {
        self.wishes.get(&write::target_key(target)).map(|wish| wish.position)
    }

    /// Whether it leaves something to be fetched: wishes, or requests that go on.
    pub fn asks(&self) -> bool {
        !self.wishes.is_empty() || !self.again.is_empty() || !self.done_requests.is_empty()
    }
}
