//! A set of row ids, small where they lie close together.

use roaring::RoaringTreemap;

/// A set of row ids. A page of a thousand neighbouring rows takes some hundred bytes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RowSet(RoaringTreemap);

impl RowSet {
    /// Adds a row. Rows without an id yet (0 and below) are not taken.
    pub fn insert(&mut self, id: i64) {
        if let Some(id) = u64::try_from(id).ok().filter(|id| *id > 0) {
            self.0.insert(id);
        }
    }

    /// Whether a row is in it.
    pub fn contains(&self, id: i64) -> bool {
        u64::try_from(id).is_ok_and(|id| self.0.contains(id))
    }

    /// How many rows are in it.
    pub fn len(&self) -> u64 {
        self.0.len()
    }

    /// Whether no row is in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The rows, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = i64> {
        self.0.iter().filter_map(|id| i64::try_from(id).ok())
    }

    /// Adds all rows of another set.
    pub fn unite(&mut self, other: &Self) {
        self.0 |= &other.0;
    }

    /// As stored.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.0.serialized_size());
        // Writing to memory does not fail.
        drop(self.0.serialize_into(&mut bytes));
        bytes
    }

    /// From what is stored; `None` where it is damaged.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        RoaringTreemap::deserialize_from(bytes).ok().map(Self)
    }
}

impl FromIterator<i64> for RowSet {
    fn from_iter<I: IntoIterator<Item = i64>>(ids: I) -> Self {
        let mut set = Self::default();
        ids.into_iter().for_each(|id| set.insert(id));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_survives_being_stored_and_unites_with_others() {
        let mut one: RowSet = [3, 1, 0, -4, 5_000_000_000].into_iter().collect();
        assert_eq!((one.len(), one.contains(5_000_000_000), one.contains(2)), (3, true, false));
        let stored = RowSet::from_bytes(&one.to_bytes()).unwrap();
        assert_eq!(stored, one);
        one.unite(&[2].into_iter().collect());
        assert!(one.contains(2) && one.contains(3));
        assert_eq!(RowSet::from_bytes(b"no"), None);
    }
}
