//! The guarded lifecycle machine: which transitions are legal, and which come too late.
//!
//! `OPEN ⇄ CLOSED`, either `→ SCHEDULED_FOR_DELETION` and back, any `→ ANONYMIZED` (final), any
//! `→ DELETED` (a tombstone that only a fetch which finds the profile alive lifts).

use entity::{Moment, Status};

/// What a transition does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// It takes effect.
    Effective,
    /// The profile is in that status already, and this is the first that tells when it came to it, or tells of it at a
    /// later time.
    Confirmed,
    /// The same is known already.
    Repeated,
    /// It came later than one that happened after it: journal it, fetch to be sure.
    Late,
    /// Two at the same moment, or one that the machine does not allow: journal it, fetch to settle it.
    Unsettled,
    /// The profile is anonymized; nothing changes that.
    Final,
}

/// Judges a transition that an event tells: `from` since `since`, to `to` at `at`.
///
/// `was_told_by_event` says that `since` is an upstream time. Where a fetched state told the status,
/// `since` is only our own moment of asking, and two clocks do not order anything.
pub fn judge_event(from: Status, since: Option<Moment>, was_told_by_event: bool, to: Status, at: Moment) -> Transition {
    match (from, to) {
        (Status::Anonymized, Status::Anonymized) => Transition::Repeated,
        (Status::Anonymized, _) => Transition::Final,
        (_, Status::Anonymized) => Transition::Effective,
        (Status::Deleted, Status::Deleted) => Transition::Repeated,
        (_, Status::Deleted) => Transition::Effective,
        (Status::Deleted, _) => Transition::Unsettled,
        _ => match since {
            Some(since) if was_told_by_event && at < since => Transition::Late,
            Some(since) if was_told_by_event && at == since && from != to => Transition::Unsettled,
            Some(since) if was_told_by_event && at == since => Transition::Repeated,
            // What happened in between and comes later than this is over already.
            _ if from == to => Transition::Confirmed,
            _ => Transition::Effective,
        },
    }
}

/// Whether a state that a fetch or page shows may replace the stored status.
pub fn allows_state(from: Status, to: Status) -> bool {
    from != Status::Anonymized || to == Status::Anonymized
}

#[cfg(test)]
mod tests {
    use super::*;
    use Status::{Anonymized, Closed, Deleted, Open, ScheduledForDeletion};

    fn judge(from: Status, to: Status, since: i64, at: i64) -> Transition {
        judge_event(from, Some(Moment(since)), true, to, Moment(at))
    }

    #[test]
    fn the_machine_of_the_design() {
        for (from, to) in [
            (Open, Closed),
            (Closed, Open),
            (Open, ScheduledForDeletion),
            (Closed, ScheduledForDeletion),
            (ScheduledForDeletion, Open),
            (ScheduledForDeletion, Closed),
            (Open, Deleted),
            (ScheduledForDeletion, Anonymized),
            (Deleted, Anonymized),
        ] {
            assert_eq!(judge(from, to, 10, 20), Transition::Effective, "{from:?} to {to:?}");
        }
    }

    #[test]
    fn anonymized_is_final_and_never_late() {
        assert_eq!(judge(Anonymized, Open, 10, 20), Transition::Final);
        assert_eq!(judge(Anonymized, Deleted, 10, 20), Transition::Final);
        assert_eq!(judge(Closed, Anonymized, 20, 10), Transition::Effective);
        assert!(!allows_state(Anonymized, Open));
    }

    #[test]
    fn an_event_that_tells_of_the_same_status_at_a_later_time_counts_from_then_on() {
        assert_eq!(judge(Open, Open, 10, 30), Transition::Confirmed);
        assert_eq!(judge(Open, Open, 30, 30), Transition::Repeated, "it came twice");
        assert_eq!(judge(Open, Closed, 30, 20), Transition::Late, "what it has overtaken is over");
        assert_eq!(judge_event(Open, Some(Moment(40)), false, Open, Moment(30)), Transition::Confirmed);
        assert_eq!(judge_event(Open, None, false, Open, Moment(30)), Transition::Confirmed);
        assert_eq!(judge(ScheduledForDeletion, ScheduledForDeletion, 10, 30), Transition::Confirmed);
        assert_eq!(judge(Deleted, Deleted, 10, 30), Transition::Repeated);
    }

    #[test]
    fn a_tombstone_is_not_lifted_by_an_event_alone() {
        assert_eq!(judge(Deleted, Open, 10, 20), Transition::Unsettled);
    }

    #[test]
    fn an_event_that_comes_late_does_not_move_the_status() {
        assert_eq!(judge(Open, Closed, 20, 10), Transition::Late);
        assert_eq!(judge(Open, Closed, 20, 20), Transition::Unsettled);
        assert_eq!(judge_event(Open, Some(Moment(20)), false, Closed, Moment(10)), Transition::Effective);
    }
}
