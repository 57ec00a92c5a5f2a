//! Work of a stage that has begun: it goes one leg at a time, from one wait for the clock or the network to the next.

use super::{Stages, patience, tell_sessions};
use crate::seam::{self, Held, HeldCall, HeldPause};
use bytes::Bytes;
use futures::future::LocalBoxFuture;
use http::Response;
use profile_mirror::clock::Clock;
use profile_mirror::ingest::WireError;

/// Work of a stage that has begun and waits for something.
pub struct Flight {
    /// What it is, for people.
    pub name: String,
    work: LocalBoxFuture<'static, Result<(), String>>,
    pub(super) held: Waits,
}

/// What a flight waits for.
pub(super) enum Waits {
    /// The request is on its way to upstream.
    Asked(HeldCall),
    /// The answer is on its way back.
    Answered(HeldCall, Result<Response<Bytes>, WireError>),
    /// A pause.
    Pause(HeldPause),
}

impl std::fmt::Display for Waits {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Asked(_) => out.write_str("asking"),
            Self::Answered(..) => out.write_str("being answered"),
            Self::Pause(pause) => write!(out, "pausing until {:?}", pause.until),
        }
    }
}

/// How far a flight came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leg {
    /// It waits for something again.
    Waits,
    /// It has ended, well or not.
    Ended(Result<(), String>),
}

impl Stages {
    /// Begins work. Returns it where it waits for something.
    pub(super) async fn take_off(
        &mut self,
        name: String,
        mut work: LocalBoxFuture<'static, Result<(), String>>,
    ) -> (Option<Flight>, Leg) {
        match self.until_held(&name, &mut work).await {
            Ok(held) => (Some(Flight { name, work, held }), Leg::Waits),
            Err(ended) => (None, Leg::Ended(ended)),
        }
    }

    /// Lets work go on until it waits for the clock or the network, or ends.
    async fn until_held(
        &mut self,
        name: &str,
        work: &mut LocalBoxFuture<'static, Result<(), String>>,
    ) -> Result<Waits, Result<(), String>> {
        loop {
            tokio::select! {
                biased;
                ended = &mut *work => return Err(ended),
                held = self.holds.recv() => match held.expect("the seams are open") {
                    Held::Call(call) => return Ok(Waits::Asked(*call)),
                    Held::Pause(pause) if pause.is_over() => {}
                    Held::Pause(pause) => return Ok(Waits::Pause(pause)),
                },
                () = patience() => {
                    panic!("{name} waits for something that nobody holds: {}", tell_sessions(&self.db).await)
                }
            }
        }
    }

    /// Lets a fetch come one leg further: the request arrives upstream, or its answer arrives here.
    pub async fn advance_fetch(&mut self, at: usize) -> Leg {
        let flight = self.fetches.remove(at);
        let (flight, leg) = self.advance(flight).await;
        if let Some(flight) = flight {
            self.fetches.insert(at, flight);
        }
        leg
    }

    /// Lets the run come one leg further.
    pub async fn advance_run(&mut self) -> Leg {
        let Some(flight) = self.run.take() else { return Leg::Ended(Err("there is none".to_owned())) };
        let (flight, leg) = self.advance(flight).await;
        self.run = flight;
        leg
    }

    async fn advance(&mut self, flight: Flight) -> (Option<Flight>, Leg) {
        let Flight { name, mut work, held } = flight;
        match held {
            Waits::Asked(call) => {
                let answer = seam::ask(&self.simulator, clone(&call.request)).await;
                return (Some(Flight { name, work, held: Waits::Answered(call, answer) }), Leg::Waits);
            }
            Waits::Answered(call, answer) => call.answer(answer),
            Waits::Pause(pause) => {
                self.pass((pause.until.0 - self.clock.now().0).max(0));
                pause.end();
            }
        }
        match self.until_held(&name, &mut work).await {
            Ok(held) => (Some(Flight { name, work, held }), Leg::Waits),
            Err(ended) => (None, Leg::Ended(ended)),
        }
    }

    /// Whether the run under way pauses.
    pub fn run_pauses(&self) -> bool {
        matches!(self.run, Some(Flight { held: Waits::Pause(_), .. }))
    }
}

fn clone(request: &http::Request<Bytes>) -> http::Request<Bytes> {
    let mut copy = http::Request::new(request.body().clone());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    copy
}
