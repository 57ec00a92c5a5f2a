//! What the parts of a batch have come to that no transaction has written yet.
//!
//! Pages of which the rest follows, and deliveries that changed nothing. A sync that finds the mirror as it should be would
//! otherwise wait for the one writer and the disk in two or three transactions a page which only say so. They are settled
//! together: before anything else of the batch is written, so that whoever is erased is looked for in them too, and at its
//! end. Until then they are pending, and are applied again where the process ends.

use crate::inbox::Settlement;
use crate::mirror::write::PageTally;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// How a delivery ends, with its event's word.
pub(super) type Settled = (i64, Option<String>, Settlement);

/// What is not written yet.
#[derive(Default)]
pub(super) struct Unwritten {
    pages: BTreeMap<(i64, i64), PageTally>,
    /// The delivery whose rest is in the next part.
    unfinished: Option<i64>,
    /// Deliveries that changed nothing.
    settlements: Vec<Settled>,
    /// Whom they name.
    names: Vec<(i64, Vec<u8>)>,
    /// Deliveries of the batch that are settled for good.
    settled: usize,
}

impl Unwritten {
    /// Adds what the pages of a part have come to; `unfinished` is the delivery of which there is more.
    pub fn add(&mut self, tallies: Vec<PageTally>, unfinished: Option<i64>) {
        for tally in tallies {
            match self.pages.entry((tally.run_id, tally.delivery_id)) {
                Entry::Occupied(known) => known.into_mut().add(tally),
                Entry::Vacant(place) => drop(place.insert(tally)),
            }
        }
        self.unfinished = unfinished;
    }

    /// Puts off how deliveries end that changed nothing.
    pub fn put_off(&mut self, settlements: Vec<Settled>, names: Vec<(i64, Vec<u8>)>) {
        self.settlements.extend(settlements);
        self.names.extend(names);
    }

    /// Whether deliveries wait to be settled.
    pub fn is_waiting(&self) -> bool {
        !self.settlements.is_empty()
    }

    /// Deliveries that wait to be settled, and whom they name.
    pub fn take_waiting(&mut self) -> (Vec<Settled>, Vec<(i64, Vec<u8>)>) {
        (std::mem::take(&mut self.settlements), std::mem::take(&mut self.names))
    }

    /// What the pages have come to that are whole.
    pub fn take_finished(&mut self) -> Vec<PageTally> {
        let unfinished = self.unfinished;
        let (left, finished) = std::mem::take(&mut self.pages)
            .into_iter()
            .partition(|((_, delivery_id), _)| Some(*delivery_id) == unfinished);
        self.pages = left;
        let finished: BTreeMap<_, _> = finished;
        finished.into_values().collect()
    }

    /// Notes that so many deliveries are settled for good.
    pub fn note_settled(&mut self, count: usize) {
        self.settled += count;
    }

    /// How many deliveries of the batch are settled for good: its first ones.
    pub fn settled(&self) -> usize {
        self.settled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_counted_once_it_is_whole() {
        let part = |delivery_id, created| PageTally { run_id: 1, delivery_id, created, ..PageTally::default() };
        let mut unwritten = Unwritten::default();
        unwritten.add(vec![part(5, 2), part(6, 3)], Some(6));
        let finished = unwritten.take_finished();
        assert_eq!(finished.iter().map(|page| (page.delivery_id, page.created)).collect::<Vec<_>>(), [(5, 2)]);
        unwritten.add(vec![part(6, 4)], None);
        let finished = unwritten.take_finished();
        assert_eq!(finished.iter().map(|page| (page.delivery_id, page.created)).collect::<Vec<_>>(), [(6, 7)]);
    }
}
