//! Whose turn it is: the highest right that waits, and first come within one. A right that is passed over nine times in
//! a row has the next turn, so that each keeps a tenth of the calls however many wait above it.

use entity::Purpose;
use std::collections::VecDeque;

/// Times in a row that a right may be passed over.
const PASSED_OVER: u32 = 9;

/// Who waits, by right.
#[derive(Debug, Default)]
pub(super) struct Turns {
    tickets: u64,
    waiting: [VecDeque<u64>; 3],
    passed_over: [u32; 3],
}

impl Turns {
    /// Stands in line. Returns the ticket.
    pub fn wait(&mut self, purpose: Purpose) -> u64 {
        self.tickets += 1;
        self.waiting[index(purpose)].push_back(self.tickets);
        self.tickets
    }

    /// Leaves the line.
    pub fn give_up(&mut self, ticket: u64) {
        for line in &mut self.waiting {
            line.retain(|waiting| *waiting != ticket);
        }
    }

    /// How many wait with this right.
    pub fn count(&self, purpose: Purpose) -> usize {
        self.waiting[index(purpose)].len()
    }

    /// Takes the ticket whose turn it is out of the line, of the rights that may call, highest first.
    pub fn take(&mut self, ready: &[Purpose]) -> Option<u64> {
        let passed_over = |right: &&Purpose| self.passed_over[index(**right)] >= PASSED_OVER;
        let right = ready.iter().rev().find(passed_over).or(ready.first()).copied()?;
        let ticket = self.waiting[index(right)].pop_front()?;
        for lower in ready.iter().filter(|lower| **lower > right) {
            self.passed_over[index(*lower)] += 1;
        }
        self.passed_over[index(right)] = 0;
        Some(ticket)
    }
}

fn index(purpose: Purpose) -> usize {
    match purpose {
        Purpose::Live => 0,
        Purpose::Repair => 1,
        Purpose::Sync => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_right_is_first_and_first_come_within_one() {
        let mut turns = Turns::default();
        let sync = turns.wait(Purpose::Sync);
        let repair = turns.wait(Purpose::Repair);
        let (first, second) = (turns.wait(Purpose::Live), turns.wait(Purpose::Live));
        let taken = [Purpose::ALL.as_slice(), &Purpose::ALL, &Purpose::ALL[1..], &Purpose::ALL[2..]];
        let taken = taken.map(|ready| turns.take(ready).unwrap());
        assert_eq!(taken, [first, second, repair, sync]);
    }

    #[test]
    fn no_right_waits_for_ever() {
        let mut turns = Turns::default();
        let (mut counts, mut of) = ([0; 3], std::collections::HashMap::new());
        for purpose in Purpose::ALL {
            for _ in 0..1_000 {
                of.insert(turns.wait(purpose), index(purpose));
            }
        }
        for _ in 0..1_000 {
            counts[of[&turns.take(&Purpose::ALL).unwrap()]] += 1;
        }
        assert!(counts[0] >= 750, "{counts:?}");
        assert!(counts[1] >= 90 && counts[2] >= 90, "{counts:?}");
    }

    #[test]
    fn a_ticket_that_is_given_up_has_no_turn() {
        let mut turns = Turns::default();
        let (gone, stays) = (turns.wait(Purpose::Live), turns.wait(Purpose::Live));
        turns.give_up(gone);
        assert_eq!(turns.take(&[Purpose::Live]), Some(stays));
        assert_eq!(turns.take(&[Purpose::Live]), None);
    }
}
