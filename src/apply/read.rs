//! Deliveries, read, and in parts of a size that one transaction takes.
//!
//! A page has a thousand records. In one transaction they would hold up whoever else writes for a tenth of a second,
//! and be in memory as rows, changes and the values of their statements all at once. So a page is applied in several
//! transactions, and settled by the last of them: where the process ends in between, it is applied once more, which
//! changes nothing the second time. What the run then counts is what its second reading finds.

use super::batch::Origin;
use super::erase;
use crate::inbox::{Context, Taken};
use crate::mirror::write::PageTally;
use provider::{DecodeError, Decoded, Delivery, DeliveryKind, Provider, Subjects};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Observations in one transaction.
pub(super) const PART: usize = 128;

/// A delivery, read.
pub(super) struct Read {
    pub id: i64,
    pub context: Option<Context>,
    pub origin: Origin,
    pub decoded: Result<Decoded, DecodeError>,
    /// Whom it names.
    pub subjects: Arc<Subjects>,
    /// The same as it is kept beside the delivery, where no verdict will name them.
    pub names: Vec<u8>,
    /// It is a part; the rest of the delivery follows.
    pub has_more: bool,
}

impl Read {
    /// It is ignored, or cannot be read.
    pub fn observes_nothing(&self) -> bool {
        self.count() == 0
    }

    fn count(&self) -> usize {
        self.decoded.as_ref().map_or(0, |decoded| decoded.observations.len())
    }

    /// Only what answers no fetch request is parted, since how a request ends is told by all of its answer, and only
    /// what erases nobody.
    fn may_be_parted(&self) -> bool {
        self.origin.request_id.is_none() && !erase::erases(self)
    }

    /// Takes that many observations off as a part of their own. What is told of the whole stays with the rest.
    fn take_part(&mut self, count: usize) -> Option<Self> {
        let whole = self.decoded.as_mut().ok()?;
        let rest = whole.observations.split_off(count);
        let observations = std::mem::replace(&mut whole.observations, rest);
        Some(Self {
            id: self.id,
            context: self.context.clone(),
            origin: self.origin.clone(),
            decoded: Ok(Decoded { observations, event: whole.event.clone(), ..Decoded::default() }),
            subjects: Arc::clone(&self.subjects),
            names: Vec::new(),
            has_more: true,
        })
    }
}

/// Reads a delivery. Pure, so that it can be done outside the transaction.
pub(super) fn read(provider: &dyn Provider, taken: &Taken) -> Read {
    let context = Context::from_json(taken.context.as_ref());
    let delivery = Delivery {
        kind: taken.kind.into(),
        media_type: &taken.media_type,
        body: &taken.body,
        target: context.as_ref().and_then(|context| context.target.as_ref()),
        page: context.as_ref().and_then(|context| context.page.as_ref()),
        is_missing: context.as_ref().is_some_and(|context| context.is_missing),
    };
    // One delivery that a provider cannot cope with must not stop the others.
    let decoded = catch_unwind(AssertUnwindSafe(|| provider.decode(&delivery)))
        .unwrap_or_else(|_| Err(DecodeError("reading it failed inside the service; the log has the place".to_owned())));
    // Where the whole delivery cannot be coped with, nobody is named.
    let subjects = catch_unwind(AssertUnwindSafe(|| erase::subjects(provider, &delivery, decoded.as_ref().ok())));
    let subjects = Arc::new(subjects.unwrap_or_default());
    let is_judged = delivery.kind != DeliveryKind::Page
        && decoded.as_ref().is_ok_and(|decoded| !decoded.observations.is_empty())
        && subjects.profiles.len() <= 1;
    let names = if is_judged { Vec::new() } else { erase::names(&subjects) };
    let cause = match (&decoded, delivery.kind) {
        (Ok(Decoded { event: Some(event), .. }), _) => event.clone(),
        (_, DeliveryKind::Webhook) => "webhook".to_owned(),
        (_, DeliveryKind::Page) => "page".to_owned(),
        (_, DeliveryKind::Fetch) => "fetch".to_owned(),
    };
    let origin = Origin {
        position: taken.id,
        kind: delivery.kind,
        received_at: taken.received_at,
        started_at: context.as_ref().map(|context| context.started_at),
        request_id: context.as_ref().and_then(|context| context.request_id),
        cause,
    };
    Read { id: taken.id, context, origin, decoded, subjects, names, has_more: false }
}

/// Deliveries in order, in parts that are each applied in one transaction: of some observations, with few that erase
/// somebody.
pub(super) fn parts(deliveries: Vec<Read>) -> Vec<Vec<Read>> {
    let mut parts = vec![Vec::new()];
    let (mut room, mut erasures) = (PART, erase::MAX_ERASURES);
    let mut put = |delivery: Read| {
        let is_erasing = erase::erases(&delivery);
        if delivery.count() > room || (is_erasing && erasures == 0) {
            parts.push(Vec::new());
            (room, erasures) = (PART, erase::MAX_ERASURES);
        }
        room = room.saturating_sub(delivery.count());
        erasures -= usize::from(is_erasing);
        if let Some(part) = parts.last_mut() {
            part.push(delivery);
        }
    };
    for mut delivery in deliveries {
        while delivery.count() > PART && delivery.may_be_parted() {
            if let Some(part) = delivery.take_part(PART) {
                put(part);
            }
        }
        put(delivery);
    }
    parts.retain(|part| !part.is_empty());
    parts
}

/// What pages have come to whose rest follows in the next part.
#[derive(Default)]
pub(super) struct OpenPages(BTreeMap<(i64, i64), PageTally>);

impl OpenPages {
    /// Adds what a part of a page has come to.
    pub fn add(&mut self, tally: PageTally) {
        match self.0.entry((tally.run_id, tally.delivery_id)) {
            Entry::Occupied(known) => known.into_mut().add(tally),
            Entry::Vacant(place) => drop(place.insert(tally)),
        }
    }

    /// What the pages have come to that are whole, all but the delivery `unfinished`.
    pub fn take_finished(&mut self, unfinished: Option<i64>) -> Vec<PageTally> {
        let (left, finished) =
            std::mem::take(&mut self.0).into_iter().partition(|((_, delivery_id), _)| Some(*delivery_id) == unfinished);
        self.0 = left;
        let finished: BTreeMap<_, _> = finished;
        finished.into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use entity::Moment;
    use provider::Observation;

    fn delivery(id: i64, observations: usize, request_id: Option<i64>) -> Read {
        let kind = if request_id.is_some() { DeliveryKind::Fetch } else { DeliveryKind::Page };
        let touched =
            |place: usize| Observation::SubprofileMissing { subprofile: format!("{id}-{place}"), said: String::new() };
        let decoded = Decoded {
            observations: (0..observations).map(touched).collect(),
            event: Some(id.to_string()),
            ..Decoded::default()
        };
        let origin = Origin {
            position: id,
            kind,
            received_at: Moment(0),
            started_at: Some(0),
            request_id,
            cause: String::new(),
        };
        let names = vec![1];
        Read { id, context: None, origin, decoded: Ok(decoded), subjects: Arc::default(), names, has_more: false }
    }

    fn observations(deliveries: &[Read]) -> impl Iterator<Item = &Observation> {
        deliveries
            .iter()
            .filter_map(|delivery| delivery.decoded.as_ref().ok())
            .flat_map(|decoded| &decoded.observations)
    }

    #[test]
    fn a_page_is_taken_in_parts_and_nothing_is_lost_or_moved() {
        let deliveries = vec![
            delivery(1, 3, None),
            delivery(2, 2 * PART + 1, None),
            delivery(3, 0, None),
            delivery(4, PART + 1, Some(7)),
            delivery(5, 1, None),
        ];
        let all: Vec<Observation> = observations(&deliveries).cloned().collect();
        let parts = parts(deliveries);

        let parted: Vec<Observation> = parts.iter().flat_map(|part| observations(part)).cloned().collect();
        assert!(parted == all, "the observations come in their order");
        let of_a_request = parts.iter().flatten().filter(|part| part.origin.request_id.is_some());
        assert_eq!(of_a_request.count(), 1, "an answer to a request stays whole");
        for part in &parts {
            let is_whole_answer = part.iter().any(|part| part.origin.request_id.is_some());
            assert!(is_whole_answer || observations(part).count() <= PART);
            assert!(part.iter().rev().skip(1).all(|delivery| !delivery.has_more), "what is unfinished comes last");
        }
        let ends: Vec<i64> = parts.iter().flatten().filter(|part| !part.has_more).map(|part| part.id).collect();
        assert_eq!(ends, [1, 2, 3, 4, 5], "each ends once");
        let named = parts.iter().flatten().filter(|part| !part.names.is_empty());
        assert_eq!(named.count(), 5, "whom it names is noted once");
    }

    #[test]
    fn a_page_is_counted_once_it_is_whole() {
        let part = |delivery_id, created| PageTally { run_id: 1, delivery_id, created, ..PageTally::default() };
        let mut pages = OpenPages::default();
        pages.add(part(5, 2));
        pages.add(part(6, 3));
        let finished = pages.take_finished(Some(6));
        assert_eq!(finished.iter().map(|page| (page.delivery_id, page.created)).collect::<Vec<_>>(), [(5, 2)]);
        pages.add(part(6, 4));
        let finished = pages.take_finished(None);
        assert_eq!(finished.iter().map(|page| (page.delivery_id, page.created)).collect::<Vec<_>>(), [(6, 7)]);
    }
}
