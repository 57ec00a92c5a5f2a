//! Which keys may be filed on SQLite: a Bloom filter over all of them, in memory.
//!
//! Nearly every delivery is new, and to make sure of that each of them read a random page of the table of keys, in the commit
//! that its sender waits for. The filter says of nearly all that they are not there. In: every key that this process notes, and,
//! once, in the background, those that were filed before. Out: *certainly not filed*, or *look*. Until all are in it, it always
//! says *look*.

use super::keys::Digest;
use crate::db::Database;
use entity::delivery_key;
use sea_orm::{ColumnTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio_util::sync::CancellationToken;

/// Bits for each key that there is room for: of a thousand new keys two or three are looked for in vain. What is noted
/// beyond the room makes it more, up to all of them; the next start makes room again.
const BITS_A_KEY: u64 = 16;
/// Places that each key sets.
const PLACES: usize = 4;
/// Room for so many keys at least (4 MB), and at most (64 MB).
const ROOM: std::ops::RangeInclusive<u64> = 1 << 21..=1 << 25;
/// Keys read at once.
const READ_AT_ONCE: u64 = 8192;

/// The filter. Two tasks write to it at once: the one that appends, and the one that reads what was filed before.
pub(super) struct Filed {
    bits: Box<[AtomicU64]>,
    is_complete: AtomicBool,
}

impl Filed {
    /// An empty one with room for twice as many keys as there may be.
    pub fn beside(keys: u64) -> Self {
        let room = keys.saturating_mul(2).clamp(*ROOM.start(), *ROOM.end()).next_power_of_two();
        let words = usize::try_from(room * BITS_A_KEY / 64).unwrap_or(1 << 19);
        Self { bits: (0..words).map(|_| AtomicU64::new(0)).collect(), is_complete: AtomicBool::new(false) }
    }

    /// The words and bits of a key. Digests are even as they are: no hashing.
    fn places(&self, digest: &Digest) -> impl Iterator<Item = (&AtomicU64, u64)> {
        let (parts, _) = digest.as_chunks::<4>();
        let parts: [u32; PLACES] = std::array::from_fn(|place| u32::from_le_bytes(parts[place]));
        // The number of words is a power of two.
        let mask = self.bits.len() - 1;
        parts.into_iter().map(move |part| (&self.bits[(part >> 6) as usize & mask], 1 << (part & 63)))
    }

    /// Takes a key up.
    pub fn add(&self, digest: &Digest) {
        for (word, bit) in self.places(digest) {
            word.fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// Whether the key may be filed; false only where it certainly is not.
    pub fn may_hold(&self, digest: &Digest) -> bool {
        !self.is_complete.load(Ordering::Acquire)
            || self.places(digest).all(|(word, bit)| word.load(Ordering::Relaxed) & bit != 0)
    }

    /// Takes up all keys that are filed. Those that are filed meanwhile were added by whoever noted them.
    ///
    /// # Errors
    /// The database's own error: it goes on saying *look*.
    pub async fn read_all(&self, db: &Database, stop: &CancellationToken) -> Result<(), DbErr> {
        use delivery_key::Column;
        let mut after: Vec<u8> = Vec::new();
        while !stop.is_cancelled() {
            let digests: Vec<Vec<u8>> = delivery_key::Entity::find()
                .filter(Column::Digest.gt(after))
                .order_by_asc(Column::Digest)
                .limit(READ_AT_ONCE)
                .select_only()
                .column(Column::Digest)
                .into_tuple()
                .all(db.reader())
                .await?;
            for digest in digests.iter().filter_map(|digest| Digest::try_from(digest.as_slice()).ok()) {
                self.add(&digest);
            }
            match digests.into_iter().last() {
                Some(last) => after = last,
                None => {
                    self.is_complete.store(true, Ordering::Release);
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::keys::digest;
    use super::*;

    #[test]
    fn it_holds_what_was_added_and_little_else() {
        let filed = Filed::beside(0);
        filed.is_complete.store(true, Ordering::Release);
        let key = |number: u32| digest(1, &number.to_string());
        let count = 200_000;
        (0..count).for_each(|number| filed.add(&key(number)));
        assert!((0..count).all(|number| filed.may_hold(&key(number))));
        let odd = (count..2 * count).filter(|number| filed.may_hold(&key(*number))).count();
        assert!(odd < 100, "{odd} of {count} that are not there");
    }

    #[test]
    fn until_all_are_known_it_says_look() {
        let filed = Filed::beside(0);
        assert!(filed.may_hold(&digest(1, "new")));
    }
}
