//! A digest of records in buckets: two sets of records are compared bucket by bucket, whatever their order.

/// Buckets of a digest.
pub const BUCKETS: usize = 256;

/// The sum of records in each bucket. Equal sets of records have equal digests; one record that differs changes
/// one bucket, but for one chance in 2^64.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest(Vec<u64>);

impl Default for Digest {
    fn default() -> Self {
        Self(vec![0; BUCKETS])
    }
}

impl Digest {
    /// Adds a record: its external id chooses the bucket. Adding it in any order comes to the same.
    pub fn add(&mut self, external_id: &str, mixed: u64) {
        let bucket = usize::try_from(mix(&[external_id.as_bytes()]) >> 56).unwrap_or(0) % BUCKETS;
        self.0[bucket] = self.0[bucket].wrapping_add(mixed);
    }

    /// How many buckets differ.
    pub fn differing(&self, other: &Self) -> usize {
        self.0.iter().zip(&other.0).filter(|(one, another)| one != another).count()
    }

    /// As stored.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|sum| sum.to_le_bytes()).collect()
    }

    /// From what is stored; an empty digest where it is damaged.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let (sums, rest) = bytes.as_chunks::<8>();
        let sums: Vec<u64> = sums.iter().map(|sum| u64::from_le_bytes(*sum)).collect();
        if sums.len() == BUCKETS && rest.is_empty() { Self(sums) } else { Self::default() }
    }
}

/// Mixes what tells one state of a record from another into 64 bits: its id, the hash of its content, its status.
/// Never 0, which stands for *nothing is known*. The same on every platform and in every version.
pub fn mix_record(external_id: &str, content: i64, status: &str) -> u64 {
    mix(&[external_id.as_bytes(), &content.to_le_bytes(), status.as_bytes()]).max(1)
}

/// FNV-1a over the parts, each closed by its length, and the finalizer of SplitMix64 so that every bit counts.
fn mix(parts: &[&[u8]]) -> u64 {
    let mut sum = 0xcbf2_9ce4_8422_2325_u64;
    for part in parts {
        let length = u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes();
        for byte in part.iter().chain(&length) {
            sum = (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    sum = (sum ^ (sum >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    sum = (sum ^ (sum >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    sum ^ (sum >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(records: impl IntoIterator<Item = (u32, i64, &'static str)>) -> Digest {
        let mut digest = Digest::default();
        for (id, content, status) in records {
            let id = format!("person-{id}");
            digest.add(&id, mix_record(&id, content, status));
        }
        digest
    }

    #[test]
    fn the_order_of_records_does_not_matter() {
        let forward = digest((0..5_000).map(|id| (id, i64::from(id) * 31, "open")));
        let backward = digest((0..5_000).rev().map(|id| (id, i64::from(id) * 31, "open")));
        assert_eq!(forward, backward);
        assert_eq!(Digest::from_bytes(&forward.to_bytes()), forward);
        assert_eq!(forward.differing(&Digest::default()), BUCKETS, "five thousand records reach every bucket");
    }

    #[test]
    fn one_record_that_differs_changes_exactly_one_bucket() {
        let whole = digest((0..5_000).map(|id| (id, 7, "open")));
        let changed = digest((0..5_000).map(|id| (id, if id == 99 { 8 } else { 7 }, "open")));
        let closed = digest((0..5_000).map(|id| (id, 7, if id == 99 { "closed" } else { "open" })));
        let missing = digest((0..5_000).filter(|id| *id != 99).map(|id| (id, 7, "open")));
        for other in [changed, closed, missing] {
            assert_eq!(whole.differing(&other), 1);
        }
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(mix_record("ab", 0, "c"), mix_record("a", 0, "bc"));
        assert_eq!(Digest::from_bytes(b"damaged"), Digest::default());
    }
}
