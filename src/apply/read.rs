//! Deliveries, read, and in parts of a size that one transaction takes.
//!
//! A page has a thousand records. In one transaction they would hold up whoever else writes for a tenth of a second,
//! and be in memory as rows, changes and the values of their statements all at once. So a page is applied in several
//! transactions, of as many as take a moment each, and settled by the last of them: where the process ends in between,
//! it is applied once more, which changes nothing the second time. What the run then counts is what its second reading
//! finds.

use super::batch::Origin;
use super::erase;
use crate::db::Dialect;
use crate::inbox::{Context, Taken};
use provider::{DecodeError, Decoded, Delivery, DeliveryKind, Provider, Subjects};
use sea_orm::DbErr;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// Body bytes that are read at once where they are wanted: handing them to another thread takes longer.
const LITTLE: usize = 64 << 10;
/// Body bytes of a group, unless its last delivery is larger.
const GROUP: usize = 512 << 10;

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

    /// Observations in it.
    pub fn count(&self) -> usize {
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

/// Deliveries of a batch on their way to apply: read, and in parts.
///
/// A page takes tens of milliseconds to read. Each is read on a thread that answers no requests, while the one before it is
/// applied.
pub(super) struct Readings {
    provider: Arc<dyn Provider>,
    /// Deliveries that are not being read yet, in groups of about a page.
    groups: std::vec::IntoIter<Vec<Arc<Taken>>>,
    reading: Option<Reading>,
    /// Read, and not handed out yet.
    deliveries: VecDeque<Read>,
}

enum Reading {
    /// On another thread.
    Begun(JoinHandle<Vec<Read>>),
    /// Too small to be handed over.
    ToDo(Vec<Arc<Taken>>),
}

impl Readings {
    /// Begins to read.
    pub fn of(provider: &Arc<dyn Provider>, taken: &[Arc<Taken>]) -> Self {
        let (provider, groups) = (Arc::clone(provider), groups(taken).into_iter());
        let mut readings = Self { provider, groups, reading: None, deliveries: VecDeque::new() };
        readings.begin();
        readings
    }

    /// The next part, of so many observations at most; none after the last.
    ///
    /// # Errors
    /// The thread that read it is gone.
    pub async fn next(&mut self, most: usize) -> Result<Option<Vec<Read>>, DbErr> {
        while self.deliveries.is_empty() {
            self.deliveries = match self.reading.take() {
                None => return Ok(None),
                Some(Reading::ToDo(taken)) => read_all(self.provider.as_ref(), &taken).into(),
                Some(Reading::Begun(reading)) => {
                    reading.await.map_err(|error| DbErr::Custom(format!("decode panicked: {error}")))?.into()
                }
            };
            self.begin();
        }
        Ok(Some(cut(&mut self.deliveries, most)))
    }

    fn begin(&mut self) {
        self.reading = self.groups.next().map(|taken| {
            if bytes(&taken) <= LITTLE {
                return Reading::ToDo(taken);
            }
            let provider = Arc::clone(&self.provider);
            Reading::Begun(tokio::task::spawn_blocking(move || read_all(provider.as_ref(), &taken)))
        });
    }
}

fn bytes(taken: &[Arc<Taken>]) -> usize {
    taken.iter().map(|delivery| delivery.body.len()).sum()
}

/// Deliveries in order, in groups of about a page; what is small stays together.
fn groups(taken: &[Arc<Taken>]) -> Vec<Vec<Arc<Taken>>> {
    let mut groups: Vec<Vec<Arc<Taken>>> = Vec::new();
    for delivery in taken {
        match groups.last_mut().filter(|group| bytes(group) < GROUP) {
            Some(group) => group.push(Arc::clone(delivery)),
            None => groups.push(vec![Arc::clone(delivery)]),
        }
    }
    groups
}

fn read_all(provider: &dyn Provider, taken: &[Arc<Taken>]) -> Vec<Read> {
    taken.iter().map(|delivery| read(provider, delivery)).collect()
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
    let decoded = if taken.erased_at.is_some() {
        Ok(Decoded { ignored: Some("emptied with the profile that it told of".to_owned()), ..Decoded::default() })
    } else {
        catch_unwind(AssertUnwindSafe(|| provider.decode(&delivery))).unwrap_or_else(|_| {
            Err(DecodeError("reading it failed inside the service; the log has the place".to_owned()))
        })
    };
    // Where the whole delivery cannot be coped with, nobody is named.
    let subjects = catch_unwind(AssertUnwindSafe(|| erase::subjects(provider, &delivery, decoded.as_ref().ok())));
    let subjects = Arc::new(subjects.unwrap_or_default());
    let is_judged = delivery.kind != DeliveryKind::Page
        && decoded.as_ref().is_ok_and(|decoded| !decoded.observations.is_empty() && !decoded.is_partial)
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

/// Cuts the next part off, which is applied in one transaction: of so many observations at most, with few that erase somebody.
fn cut(deliveries: &mut VecDeque<Read>, most: usize) -> Vec<Read> {
    let mut part = Vec::new();
    let (mut room, mut erasures) = (most, erase::MAX_ERASURES);
    while let Some(mut delivery) = deliveries.pop_front() {
        let is_erasing = erase::erases(&delivery);
        let fits = delivery.count() <= room && (!is_erasing || erasures > 0);
        if !fits && !part.is_empty() {
            deliveries.push_front(delivery);
            break;
        }
        let piece = if !fits && delivery.may_be_parted() { delivery.take_part(most) } else { None };
        if let Some(piece) = piece {
            part.push(piece);
            deliveries.push_front(delivery);
            break;
        }
        room = room.saturating_sub(delivery.count());
        erasures = erasures.saturating_sub(usize::from(is_erasing));
        part.push(delivery);
    }
    part
}

/// How many observations go into one transaction: as many as it applies in about [`AIM`].
///
/// New people take three times as long as their subprofiles, and people of whom there was a placeholder three times as long
/// as new ones, because their rows lie scattered over the tables.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stride {
    length: usize,
    least: usize,
}

/// Who waits for the one writer of SQLite waits about so long.
const AIM: Duration = Duration::from_millis(25);

impl Stride {
    const MOST: usize = 512;

    /// Before anything is known. On PostgreSQL nobody waits for apply, and a transaction takes its time on the way there and
    /// back, which does not grow with it: in an hour in which everything takes long, too, it has many.
    pub fn on(dialect: Dialect) -> Self {
        let least = match dialect {
            Dialect::Sqlite => 64,
            Dialect::Postgres => 256,
        };
        Self { length: 128, least }
    }

    /// Observations.
    pub fn length(self) -> usize {
        self.length
    }

    /// Learns from a transaction of so many observations how many the next should have.
    pub fn learn(&mut self, count: usize, elapsed: Duration) {
        // A few take as long as any transaction does, and what is short of the length may still take too long.
        if count < self.least || (count < self.length / 2 && elapsed <= AIM) {
            return;
        }
        let fitting = AIM.as_secs_f64() / elapsed.as_secs_f64().max(f64::EPSILON) * count as f64;
        // Half way only: one slow flush of the disk tells little.
        let length = self.length as f64;
        self.length = (f64::midpoint(length, fitting.min(2.0 * length)) as usize).clamp(self.least, Self::MOST);
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

    const PART: usize = 128;

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
        let mut left = VecDeque::from(deliveries);
        let parts: Vec<Vec<Read>> = std::iter::from_fn(|| (!left.is_empty()).then(|| cut(&mut left, PART))).collect();

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
    fn transactions_come_to_take_about_as_long_as_is_aimed_at() {
        let mut stride = Stride::on(Dialect::Sqlite);
        let mut settle = |microseconds_each: u64, beside: u64| {
            for _ in 0..40 {
                let elapsed = Duration::from_micros(beside + microseconds_each * stride.length() as u64);
                stride.learn(stride.length(), elapsed);
            }
            stride.length()
        };
        assert!(settle(100, 0).abs_diff(250) < 5);
        assert_eq!(settle(1, 0), Stride::MOST);
        assert!(settle(200, 5_000).abs_diff(100) < 5);
        assert_eq!(settle(2_000, 0), 64);
        assert_eq!(settle(100, 100_000), 64, "a disk that is slow to flush makes it no smaller");

        let before = stride.length();
        stride.learn(1, Duration::from_secs(1));
        assert_eq!(stride.length(), before, "one observation tells nothing of many");
        let mut long = Stride { length: 512, least: 64 };
        long.learn(100, Duration::from_millis(5));
        assert_eq!(long.length(), 512, "few that are fast tell nothing of more");
        long.learn(100, Duration::from_millis(400));
        assert!(long.length() < 300, "few that are slow do: {long:?}");
    }
}
