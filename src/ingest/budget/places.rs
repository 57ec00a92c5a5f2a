//! Places: how many calls may be under way at once. Halved where upstream is strained, and one more after ten good
//! answers in a row, up to what is configured.

/// Good answers in a row after which one more call may be under way at once.
const GOOD_RUN: u32 = 10;

/// The places of a source, and which are taken.
#[derive(Debug)]
pub(super) struct Places {
    most: usize,
    count: usize,
    taken: usize,
    calls: u64,
    good_in_row: u32,
    /// Calls up to this one belong to the strain that was answered by the last cut.
    cut_after: u64,
}

impl Places {
    /// So many places, none of them taken; at least one.
    pub fn new(most: usize) -> Self {
        let most = most.max(1);
        Self { most, count: most, taken: 0, calls: 0, good_in_row: 0, cut_after: 0 }
    }

    /// How many there are now.
    pub fn count(&self) -> usize {
        self.count
    }

    /// How many are taken.
    pub fn taken(&self) -> usize {
        self.taken
    }

    /// Whether one is free.
    pub fn has_free(&self) -> bool {
        self.taken < self.count
    }

    /// Takes one. Returns the number of the call, ascending.
    pub fn take(&mut self) -> u64 {
        self.taken += 1;
        self.calls += 1;
        self.calls
    }

    /// Gives one back.
    pub fn release(&mut self) {
        self.taken = self.taken.saturating_sub(1);
    }

    /// A call had a good answer.
    pub fn grow(&mut self) {
        self.good_in_row += 1;
        if self.good_in_row >= GOOD_RUN && self.count < self.most {
            self.count += 1;
            self.good_in_row = 0;
        }
    }

    /// A call met a strain. Calls that were under way together meet the same one: they count once.
    pub fn cut(&mut self, call: u64) {
        self.good_in_row = 0;
        if call > self.cut_after {
            self.count = (self.count / 2).max(1);
            self.cut_after = self.calls;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_halved_once_for_a_strain_and_grow_by_one() {
        let mut places = Places::new(8);
        let mut calls = Vec::new();
        while places.has_free() {
            calls.push(places.take());
        }
        assert_eq!(calls.len(), 8);
        for call in calls {
            places.cut(call);
            places.release();
        }
        assert_eq!(places.count(), 4, "one strain");
        for halved in [2, 1, 1] {
            let call = places.take();
            places.cut(call);
            places.release();
            assert_eq!(places.count(), halved);
        }
        for _ in 0..GOOD_RUN {
            places.grow();
        }
        assert_eq!(places.count(), 2);
        for _ in 0..GOOD_RUN * 20 {
            places.grow();
        }
        assert_eq!(places.count(), 8, "never above what is configured");
    }
}
