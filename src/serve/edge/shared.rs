//! One execution for all subscribers that ask for the same: what it costs to answer a change does not grow with them.
//!
//! Every subscription begins with an execution of its own, which brings it from where it was to now. Once it has a place
//! in the log, and somebody else asks for the same, it leaves that for the shared one, whose answers are made once and
//! copied. It is never further ahead than the fastest subscriber can follow. Who falls behind, or stands where the shared
//! one cannot be joined without a gap or a double, or without a wait, goes on with an execution of its own from its place.
//! So does one for whom an answer waits that tells of somebody who was erased meanwhile.

use super::engine::Answered;
use super::order::Order;
use crate::config::Role;
use crate::publish::Cursor;
use crate::serve::Viewer;
use crate::serve::graphql::{Api, Position, Told};
use async_graphql::{Request, Variables};
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::task::AbortHandle;

/// Answers that a subscriber may be behind the shared execution.
const BEHIND: u8 = 64;
/// How long the shared execution waits for somebody to take one of so many answers before it ends: it is no gain to
/// those who take them so slowly.
const PATIENCE: Duration = Duration::from_millis(250);

/// What makes subscriptions one: all but the place where they begin.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub query: String,
    pub operation_name: Option<String>,
    /// Canonical JSON of the variables, without those that name a place.
    pub variables: String,
    pub role: Role,
}

/// What somebody subscribes to.
pub(super) struct Subscription {
    pub key: Key,
    /// As they were given.
    pub variables: serde_json::Value,
    pub viewer: Viewer,
    pub order: Arc<Order>,
}

/// The executions that are open.
#[derive(Default)]
pub(super) struct Executions(Mutex<HashMap<Arc<Key>, Weak<Execution>>>);

/// What all subscribers of one key share.
struct Execution {
    api: Api,
    key: Arc<Key>,
    /// Those of the first subscriber; where they name a place, nobody looks at it any more.
    variables: serde_json::Value,
    viewer: Viewer,
    order: Arc<Order>,
    live: Mutex<Option<Live>>,
    executions: Weak<Executions>,
}

/// The shared execution while it runs.
struct Live {
    answers: broadcast::Sender<Given>,
    /// The place of the last answer that it gave.
    at: Cursor,
    /// The number of that answer.
    given: u64,
    pace: Arc<Pace>,
    position: Arc<Position>,
    task: AbortHandle,
}

/// An answer of the shared execution.
#[derive(Clone)]
struct Given {
    /// Counted from 1.
    number: u64,
    answered: Answered,
    told: Told,
}

/// Keeps the shared execution near the fastest of those who take its answers: were it to outrun all of them, each would
/// go on alone, and the next to share would be outrun again.
#[derive(Default)]
struct Pace {
    /// The number of the last answer that anybody took.
    taken: AtomicU64,
    moved: Notify,
}

/// What somebody holds who joined the shared execution.
struct Joined {
    answers: broadcast::Receiver<Given>,
    pace: Arc<Pace>,
}

impl Pace {
    fn take(&self, number: u64) {
        if self.taken.fetch_max(number, Ordering::AcqRel) < number {
            self.moved.notify_one();
        }
    }

    /// Completes once the fastest has room for another answer behind so many.
    async fn room_behind(&self, given: u64) {
        while given >= self.taken.load(Ordering::Acquire) + u64::from(BEHIND) {
            self.moved.notified().await;
        }
    }
}

impl Joined {
    async fn next(&mut self) -> Result<Given, RecvError> {
        let given = self.answers.recv().await?;
        self.pace.take(given.number);
        Ok(given)
    }
}

impl Executions {
    /// Subscribes; `request` is the request as the subscriber sent it.
    pub fn subscribe(
        self: &Arc<Self>,
        api: &Api,
        subscription: Subscription,
        request: Request,
    ) -> impl Stream<Item = Answered> + Send + use<> {
        let execution = self.enter(api, subscription);
        let position = Arc::new(Position::default());
        let phase = Phase::own(&execution, request, position);
        let subscriber = Subscriber { execution, phase, at: Cursor::default() };
        futures::stream::unfold(subscriber, |mut subscriber| async move {
            let answered = subscriber.next().await?;
            Some((answered, subscriber))
        })
    }

    fn enter(self: &Arc<Self>, api: &Api, subscription: Subscription) -> Arc<Execution> {
        let Subscription { key, variables, viewer, order } = subscription;
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(execution) = open.get(&key).and_then(Weak::upgrade) {
            return execution;
        }
        let key = Arc::new(key);
        let execution = Arc::new(Execution {
            api: api.clone(),
            key: Arc::clone(&key),
            variables,
            viewer,
            order,
            live: Mutex::default(),
            executions: Arc::downgrade(self),
        });
        open.insert(key, Arc::downgrade(&execution));
        execution
    }
}

impl Execution {
    fn lock(&self) -> MutexGuard<'_, Option<Live>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The request again, from another place.
    fn request(&self) -> Request {
        let mut request = Request::new(self.key.query.clone())
            .variables(Variables::from_json(self.variables.clone()))
            .data(self.viewer.clone());
        request.operation_name.clone_from(&self.key.operation_name);
        request
    }

    /// The answers to one request.
    fn answers(&self, request: Request, position: &Arc<Position>) -> BoxStream<'static, Answered> {
        let order = Arc::clone(&self.order);
        let responses = self.api.subscribe(request.data(Arc::clone(position)));
        responses.map(move |response| Answered::streamed(response, &order)).boxed()
    }

    /// The answers of the shared execution from this place on; none where it has gone beyond or is far before it, or nobody
    /// else would share.
    fn join(self: &Arc<Self>, at: &Cursor) -> Option<Joined> {
        let mut live = self.lock();
        if let Some(live) = &*live {
            return (at.covers(&live.at) && live.is_near(at)).then(|| live.join());
        }
        if Arc::strong_count(self) < 2 {
            return None;
        }
        let pace = Arc::new(Pace::default());
        let (answers, receiver) = broadcast::channel(BEHIND.into());
        let position = Arc::new(Position::resumed(at.clone()));
        let stream = self.answers(self.request(), &position);
        let sharing = share(Arc::downgrade(self), stream, Arc::clone(&position), answers.clone(), Arc::clone(&pace));
        let task = tokio::spawn(sharing).abort_handle();
        *live = Some(Live { answers, at: at.clone(), given: 0, pace: Arc::clone(&pace), position, task });
        Some(Joined { answers: receiver, pace })
    }

    /// Hands an answer to everybody who joined, and tells its number; none where nobody is left.
    fn hand_out(&self, answered: Answered, told: Told) -> Option<u64> {
        let mut live = self.lock();
        let shared = live.as_mut()?;
        shared.at.clone_from(&told.cursor);
        shared.given += 1;
        let number = shared.given;
        let has_takers = shared.answers.send(Given { number, answered, told }).is_ok();
        if !has_takers {
            *live = None;
        }
        has_takers.then_some(number)
    }

    fn end(&self) {
        *self.lock() = None;
    }
}

impl Live {
    /// Whether it has little to look at until it is here: who joins hears of nothing new before.
    fn is_near(&self, at: &Cursor) -> bool {
        let is_near = |place: &Cursor| {
            let ahead = at.iter().map(|(source, revision)| (revision - place.revision(source)).max(0)).sum::<i64>();
            ahead <= BEHIND.into()
        };
        is_near(&self.at) || self.position.passed().is_some_and(|passed| is_near(&passed))
    }

    /// Who has all that was given joins here, and is the fastest by that.
    fn join(&self) -> Joined {
        self.pace.take(self.given);
        Joined { answers: self.answers.subscribe(), pace: Arc::clone(&self.pace) }
    }
}

impl Drop for Execution {
    fn drop(&mut self) {
        if let Some(live) = self.lock().take() {
            live.task.abort();
        }
        let Some(executions) = self.executions.upgrade() else { return };
        let mut open = executions.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Somebody may have entered anew meanwhile.
        if open.get(&self.key).is_some_and(|execution| execution.strong_count() == 0) {
            open.remove(&self.key);
        }
    }
}

/// Runs the shared execution. An answer without a place is a fault: everybody meets it from a place of their own.
async fn share(
    execution: Weak<Execution>,
    mut answers: BoxStream<'static, Answered>,
    position: Arc<Position>,
    takers: broadcast::Sender<Given>,
    pace: Arc<Pace>,
) {
    let mut given = 0;
    loop {
        let room = tokio::select! {
            room = tokio::time::timeout(PATIENCE, pace.room_behind(given)) => room,
            () = takers.closed() => Ok(()),
        };
        if room.is_err() {
            break;
        }
        let Some(answered) = answers.next().await else { break };
        let Some(execution) = execution.upgrade() else { return };
        match position.take() {
            Some(told) if !answered.is_without_data => match execution.hand_out(answered, told) {
                Some(number) => given = number,
                None => return,
            },
            _ => return execution.end(),
        }
    }
    if let Some(execution) = execution.upgrade() {
        execution.end();
    }
}

/// Where the answers of a subscriber come from.
enum Phase {
    /// An execution of its own.
    Own(BoxStream<'static, Answered>, Arc<Position>),
    /// The shared one.
    Shared(Joined),
    /// Nothing comes any more.
    Over,
}

impl Phase {
    fn own(execution: &Execution, request: Request, position: Arc<Position>) -> Self {
        Self::Own(execution.answers(request, &position), position)
    }
}

struct Subscriber {
    execution: Arc<Execution>,
    phase: Phase,
    /// The place of the last answer.
    at: Cursor,
}

impl Subscriber {
    async fn next(&mut self) -> Option<Answered> {
        loop {
            match &mut self.phase {
                Phase::Over => return None,
                Phase::Own(answers, position) => {
                    let mut answered = answers.next().await?;
                    if let Some(told) = position.take() {
                        answered.cursor = Some(told.cursor.clone());
                        self.at = told.cursor;
                        if !told.is_last
                            && let Some(joined) = self.execution.join(&self.at)
                        {
                            self.phase = Phase::Shared(joined);
                        }
                    }
                    return Some(answered);
                }
                Phase::Shared(joined) => match joined.next().await {
                    Ok(Given { answered, told, .. }) => match self.take(told) {
                        Taken::Seen => {}
                        Taken::New => return Some(Answered { cursor: Some(self.at.clone()), ..answered }),
                        Taken::Apart => self.go_alone(),
                    },
                    Err(RecvError::Lagged(_) | RecvError::Closed) => self.go_alone(),
                },
            }
        }
    }

    fn go_alone(&mut self) {
        let position = Arc::new(Position::resumed(self.at.clone()));
        self.phase = Phase::own(&self.execution, self.execution.request(), position);
    }

    /// Whether an answer of the shared execution is the next of this subscriber, and where it stands then.
    fn take(&mut self, told: Told) -> Taken {
        let is_seen = told.change.as_ref().is_some_and(|(source, revision)| self.at.revision(source) >= *revision);
        if is_seen {
            return Taken::Seen;
        }
        // Sources may have come in another order to this one: the answer's cursor would bring something twice.
        if !told.cursor.covers(&self.at) || told.kept.is_some_and(|kept| kept.is_wiped()) {
            return Taken::Apart;
        }
        self.at = told.cursor;
        if told.is_last {
            self.phase = Phase::Over;
        }
        Taken::New
    }
}

/// What an answer of the shared execution is to one subscriber.
enum Taken {
    Seen,
    New,
    Apart,
}

#[cfg(test)]
mod tests;
