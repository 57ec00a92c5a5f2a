//! Takes in the bodies of webhooks. Nobody is authentic before the last byte, so that a sender gets room for what it
//! has sent and not for what it announces, must keep up a pace, and can use up its own source's share only.

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt};
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout, timeout_at};

/// Body bytes that may be on their way over all sources at once.
const ROOM_BYTES: usize = 128 << 20;
/// Room is taken in steps of so many bytes.
const STEP_BYTES: usize = 4 << 10;
/// Longest wait for room; every known sender waits longer for its answer.
const ROOM_DEADLINE: Duration = Duration::from_secs(2);

/// How fast a sender must be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// What every sender has, however little it sends.
    pub grace: Duration,
    /// What it must send on average beyond that.
    pub bytes_per_second: u32,
    /// Longest time for a whole body.
    pub deadline: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { grace: Duration::from_secs(5), bytes_per_second: 128 << 10, deadline: Duration::from_secs(30) }
    }
}

impl Pace {
    /// When the next bytes must be there, counted from the start, after so many have come.
    fn next_due(&self, received: usize) -> Duration {
        let earned = Duration::from_secs_f64(received as f64 / f64::from(self.bytes_per_second));
        self.deadline.min(self.grace + earned)
    }
}

/// Why a body is not taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BodyError {
    /// It is larger than it may be.
    #[error("the body is larger than {limit} bytes; raise webhook.body_limit of this source if that is right")]
    TooLarge { limit: usize },
    /// The sender went away or is too slow.
    #[error("the body was cut, or came too slowly")]
    Cut,
    /// Other bodies for this source take up the room.
    #[error("too many bodies for this source are on their way")]
    NoRoom,
}

/// Room for the body bytes of one source that are on their way.
pub struct BodyRoom(Semaphore);

/// A body, and the room that it takes up until this is dropped.
pub(super) struct Held<'a> {
    pub body: Bytes,
    _room: Option<SemaphorePermit<'a>>,
}

impl BodyRoom {
    /// The share of one of so many sources. A body of the largest size always fits.
    pub fn share(sources: usize, body_limit: usize) -> Self {
        let bytes = (ROOM_BYTES / sources.max(1)).max(body_limit);
        Self(Semaphore::new(steps(bytes)))
    }

    /// Takes a body in as it arrives.
    pub(super) async fn take_in<E>(
        &self,
        mut chunks: impl Stream<Item = Result<Bytes, E>> + Unpin,
        limit: usize,
        pace: Pace,
    ) -> Result<Held<'_>, BodyError> {
        let started = Instant::now();
        let mut room: Option<SemaphorePermit<'_>> = None;
        let mut body = Gathered::Nothing;
        let mut received = 0;
        loop {
            let next = timeout_at(started + pace.next_due(received), chunks.next()).await;
            let chunk = match next.map_err(|_| BodyError::Cut)? {
                Some(chunk) => chunk.map_err(|_| BodyError::Cut)?,
                None => return Ok(Held { body: body.whole(), _room: room }),
            };
            received += chunk.len();
            if received > limit {
                return Err(BodyError::TooLarge { limit });
            }
            let more = steps(received) - room.as_ref().map_or(0, SemaphorePermit::num_permits);
            if more > 0 {
                let more = self.take(more).await?;
                match &mut room {
                    Some(room) => room.merge(more),
                    None => room = Some(more),
                }
            }
            body.push(chunk);
        }
    }

    async fn take(&self, steps: usize) -> Result<SemaphorePermit<'_>, BodyError> {
        let steps = u32::try_from(steps).map_err(|_| BodyError::NoRoom)?;
        let taken = timeout(ROOM_DEADLINE, self.0.acquire_many(steps)).await;
        taken.ok().and_then(Result::ok).ok_or(BodyError::NoRoom)
    }
}

fn steps(bytes: usize) -> usize {
    bytes.div_ceil(STEP_BYTES)
}

/// Chunks so far. Most bodies are one, which is not copied.
enum Gathered {
    Nothing,
    One(Bytes),
    Many(BytesMut),
}

impl Gathered {
    fn push(&mut self, chunk: Bytes) {
        match self {
            Self::Nothing => *self = Self::One(chunk),
            Self::One(first) => {
                let mut many = BytesMut::with_capacity((first.len() + chunk.len()) * 2);
                many.extend_from_slice(first);
                many.extend_from_slice(&chunk);
                *self = Self::Many(many);
            }
            Self::Many(many) => many.extend_from_slice(&chunk),
        }
    }

    fn whole(self) -> Bytes {
        match self {
            Self::Nothing => Bytes::new(),
            Self::One(chunk) => chunk,
            Self::Many(many) => many.freeze(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;
    use std::convert::Infallible;

    fn chunks(sizes: &[usize]) -> impl Stream<Item = Result<Bytes, Infallible>> + Unpin {
        stream::iter(sizes.iter().map(|size| Ok(Bytes::from(vec![b'x'; *size]))).collect::<Vec<_>>())
    }

    #[tokio::test]
    async fn a_body_takes_room_for_what_has_come_until_it_is_let_go() {
        let room = BodyRoom::share(1, 20 << 20);
        let whole = room.0.available_permits();
        let held = room.take_in(chunks(&[3, STEP_BYTES, 0, 1]), 20 << 20, Pace::default()).await.unwrap();
        assert_eq!(held.body.len(), STEP_BYTES + 4);
        assert_eq!(whole - room.0.available_permits(), 2);
        drop(held);
        assert_eq!(room.0.available_permits(), whole);
    }

    #[tokio::test]
    async fn a_body_at_the_limit_is_taken_and_one_over_it_is_not() {
        let room = BodyRoom::share(1, 10);
        assert_eq!(room.take_in(chunks(&[9, 1]), 10, Pace::default()).await.unwrap().body.len(), 10);
        let over = room.take_in(chunks(&[9, 2]), 10, Pace::default()).await;
        assert_eq!(over.map(drop), Err(BodyError::TooLarge { limit: 10 }));
    }

    #[tokio::test]
    async fn a_sender_below_the_pace_is_cut_and_gives_its_room_back() {
        let room = BodyRoom::share(1, 1 << 20);
        let whole = room.0.available_permits();
        let pace = Pace { grace: Duration::from_millis(20), bytes_per_second: 1 << 20, deadline: ROOM_DEADLINE };
        let stalled = chunks(&[STEP_BYTES]).chain(stream::pending());
        let cut = timeout(Duration::from_secs(1), room.take_in(stalled, 1 << 20, pace)).await.expect("in time");
        assert_eq!(cut.map(drop), Err(BodyError::Cut));
        assert_eq!(room.0.available_permits(), whole);
    }

    #[test]
    fn bytes_earn_time_up_to_the_deadline() {
        let pace = Pace::default();
        assert_eq!(pace.next_due(0), pace.grace);
        assert_eq!(pace.next_due(1 << 20), pace.grace + Duration::from_secs(8));
        assert_eq!(pace.next_due(20 << 20), pace.deadline);
    }
}
