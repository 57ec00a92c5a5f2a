//! The queue of webhooks that the world's changes cause, before they are signed.

use std::collections::BTreeSet;

use chrono::{DateTime, Duration, Utc};

use crate::context::ProviderKind;
use crate::guarded::Guarded;

/// How a provider behaves when an endpoint does not answer 2xx.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Tries in all; 1 never tries again.
    pub attempts: u32,
    /// The pause before the second try on the world's clock; it doubles each time.
    pub first_pause: Duration,
    /// How long an endpoint may take, in real time.
    pub timeout: std::time::Duration,
}

/// An event on its way to one or all of its provider's endpoints.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) provider: ProviderKind,
    pub(crate) event: String,
    pub(crate) profile: String,
    pub(crate) body: Vec<u8>,
    /// Copernica: database and collection; Parallel: profile type.
    pub(crate) scope: Vec<String>,
}

/// One event for one endpoint.
#[derive(Debug, Clone)]
pub(crate) struct Parcel {
    pub(crate) event: Event,
    pub(crate) url: Option<String>,
    pub(crate) tries: u32,
    pub(crate) due: Option<DateTime<Utc>>,
    pub(crate) held: bool,
}

/// An endpoint that wants some events.
#[derive(Debug, Clone)]
pub(crate) struct Subscription {
    pub(crate) id: String,
    pub(crate) provider: ProviderKind,
    pub(crate) url: String,
    /// None wants every event.
    pub(crate) events: Option<BTreeSet<String>>,
    /// Each must be in the event's scope.
    pub(crate) scope: Vec<String>,
}

impl Subscription {
    fn wants(&self, event: &Event) -> bool {
        self.provider == event.provider
            && self.events.as_ref().is_none_or(|events| events.contains(&event.event))
            && self.scope.iter().all(|part| event.scope.contains(part))
    }
}

#[derive(Debug)]
struct State {
    queue: Vec<Parcel>,
    pointed: [Option<String>; 3],
    subscriptions: Vec<Subscription>,
    policies: [RetryPolicy; 3],
    given_up: u64,
}

/// Events that wait, the endpoints they go to, and how often they are tried.
#[derive(Debug)]
pub(crate) struct Outbox(Guarded<State>);

impl Default for Outbox {
    fn default() -> Self {
        let policy = |attempts, pause_seconds, timeout_seconds| RetryPolicy {
            attempts,
            first_pause: Duration::seconds(pause_seconds),
            timeout: std::time::Duration::from_secs(timeout_seconds),
        };
        Self(Guarded::new(State {
            queue: Vec::new(),
            pointed: [const { None }; 3],
            subscriptions: Vec::new(),
            policies: [policy(1, 60, 10), policy(5, 10, 15), policy(5, 5, 5)],
            given_up: 0,
        }))
    }
}

impl Outbox {
    pub(crate) fn point(&self, provider: ProviderKind, url: &str) {
        self.0.lock().pointed[provider.index()] = Some(url.to_owned());
    }

    /// The address that the provider's webhooks were registered with, or a stand-in for it.
    pub(crate) fn pointed_url(&self, provider: ProviderKind) -> String {
        let known = self.0.lock().pointed[provider.index()].clone();
        known.unwrap_or_else(|| format!("https://mirror.example.com/webhooks/{}", provider.slug()))
    }

    pub(crate) fn push(&self, event: Event) {
        self.0.lock().queue.push(Parcel { event, url: None, tries: 0, due: None, held: false });
    }

    pub(crate) fn put_back(&self, parcel: Parcel) {
        self.0.lock().queue.push(parcel);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().queue.len()
    }

    /// Takes everything, due or not; an event without an endpoint goes to the stand-in.
    pub(crate) fn take_all(&self) -> Vec<Parcel> {
        let mut state = self.0.lock();
        let queue = std::mem::take(&mut state.queue);
        queue.into_iter().flat_map(|parcel| state.address(parcel, true)).collect()
    }

    /// Takes what is due; an event that nobody subscribed to is gone.
    pub(crate) fn take_due(&self, now: DateTime<Utc>) -> Vec<Parcel> {
        let mut state = self.0.lock();
        let queue = std::mem::take(&mut state.queue);
        let (due, later): (Vec<_>, Vec<_>) =
            queue.into_iter().partition(|parcel| parcel.due.is_none_or(|at| at <= now));
        state.queue = later;
        due.into_iter().flat_map(|parcel| state.address(parcel, false)).collect()
    }

    pub(crate) fn subscribe(&self, subscription: Subscription) {
        self.0.lock().subscriptions.push(subscription);
    }

    pub(crate) fn subscriptions(&self, provider: ProviderKind) -> Vec<Subscription> {
        self.0.lock().subscriptions.iter().filter(|known| known.provider == provider).cloned().collect()
    }

    pub(crate) fn unsubscribe(&self, provider: ProviderKind, id: &str) -> bool {
        let mut state = self.0.lock();
        let before = state.subscriptions.len();
        state.subscriptions.retain(|known| known.provider != provider || known.id != id);
        state.subscriptions.len() < before
    }

    pub(crate) fn policy(&self, provider: ProviderKind) -> RetryPolicy {
        self.0.lock().policies[provider.index()]
    }

    pub(crate) fn set_policy(&self, provider: ProviderKind, policy: RetryPolicy) {
        self.0.lock().policies[provider.index()] = policy;
    }

    /// After a failed try: keeps the parcel for the next one, or gives it up for good.
    pub(crate) fn retry_or_give_up(&self, mut parcel: Parcel, now: DateTime<Utc>) {
        let mut state = self.0.lock();
        let policy = state.policies[parcel.event.provider.index()];
        parcel.tries += 1;
        if parcel.tries >= policy.attempts {
            state.given_up += 1;
            return;
        }
        parcel.due = Some(now + policy.first_pause * 2_i32.pow((parcel.tries - 1).min(16)));
        state.queue.push(parcel);
    }

    pub(crate) fn given_up(&self) -> u64 {
        self.0.lock().given_up
    }
}

impl State {
    /// One parcel an endpoint.
    fn address(&self, parcel: Parcel, even_unpointed: bool) -> Vec<Parcel> {
        if parcel.url.is_some() {
            return vec![parcel];
        }
        let provider = parcel.event.provider;
        let mut urls: Vec<String> = self.pointed[provider.index()].iter().cloned().collect();
        urls.extend(
            self.subscriptions.iter().filter(|known| known.wants(&parcel.event)).map(|known| known.url.clone()),
        );
        if urls.is_empty() && even_unpointed {
            urls.push(format!("https://mirror.example.com/webhooks/{}", provider.slug()));
        }
        urls.into_iter().map(|url| Parcel { url: Some(url), ..parcel.clone() }).collect()
    }
}
