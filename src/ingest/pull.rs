//! Carries out fetch requests: claims them, calls upstream, keeps the answer in the inbox.

use super::upstream::{Answered, CallError, Upstream};
use crate::backoff;
use crate::clock::SharedClock;
use crate::db::Database;
use crate::inbox::{self, Along, AppendError, Context, Inbox, NewDelivery};
use entity::{DeliveryKind, FetchState, Moment, Purpose, fetch_request};
use futures::future::BoxFuture;
use provider::{Asked, Provider, Vouch};
use sea_orm::sea_query::{Condition, Expr};
use sea_orm::{
    ActiveEnum, ColumnTrait, DbErr, EntityTrait, ExprTrait, QueryFilter, QueryOrder, QuerySelect, UpdateMany,
};
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Calls without a usable answer before a request is parked, where upstream answers others.
const MAX_ATTEMPTS: i32 = 10;
/// A claim is given up after this long, milliseconds.
const CLAIM_MS: i64 = 90_000;
/// A commit whose sender was told that it takes too long may still come for so long, milliseconds.
const KEPT_LATE_MS: i64 = 7_000;
/// All that a request needs, its turn and every call, must come to an end well before the claim does.
const ASK_DEADLINE: Duration = Duration::from_secs(75);
/// Upstream is asked for so long whether it answers others, within the time of the claim.
const PROBE_DEADLINE: Duration = Duration::from_secs(10);
/// Calls that confirm one absence at most.
const MAX_CONFIRMING: usize = 20;
/// Looks for due requests at least this often.
const POLL: Duration = Duration::from_millis(500);

/// Carries out the fetch requests of one source.
pub struct Puller {
    /// The database.
    pub db: Database,
    /// The inbox that answers go to.
    pub inbox: Inbox,
    /// Our clock.
    pub clock: SharedClock,
    /// The source.
    pub source_id: i32,
    /// Its name, for logs.
    pub source_name: String,
    /// This instance.
    pub instance: String,
    /// Its provider.
    pub provider: Arc<dyn Provider>,
    /// The way to its API.
    pub upstream: Arc<Upstream>,
    /// Notified when apply has written wishes.
    pub wake: Arc<Notify>,
}

/// What a fetch brought.
struct Found {
    answered: Answered,
    /// It was not found, and nothing vouches for that: it was refused, or the place that it belongs to was not found either.
    is_unvouched: bool,
}

impl Puller {
    /// Fetches until told to stop; calls under way are given up and claimed again later.
    pub async fn run(self, stop: CancellationToken) {
        let this = Arc::new(self);
        let mut fetches = JoinSet::new();
        let mut purposes = HashMap::new();
        loop {
            // Each purpose has places of its own: repair that waits for its turn must not keep live requests from being
            // claimed. How many calls are made at once is for the budget to say; as many again stand in its line, so
            // that a place that becomes free is not taken by a lower right while the next is claimed.
            let places = Purpose::ALL.map(|purpose| {
                let taken = purposes.values().filter(|taken| **taken == purpose).count();
                let free = (2 * this.upstream.concurrency()).saturating_sub(taken);
                (purpose, if this.upstream.is_ready(purpose) { free } else { 0 })
            });
            let claimed = match this.claim(places).await {
                Ok(claimed) => claimed,
                Err(error) => {
                    tracing::warn!(source = this.source_name, %error, "claim fetch requests");
                    Vec::new()
                }
            };
            for request in claimed {
                let (this, purpose) = (this.clone(), request.purpose);
                let fetch = fetches.spawn(async move { this.fetch(request).await });
                purposes.insert(fetch.id(), purpose);
            }
            tokio::select! {
                () = stop.cancelled() => return,
                Some(ended) = fetches.join_next_with_id(), if !fetches.is_empty() => {
                    let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
                    purposes.remove(&id);
                }
                () = this.wake.notified() => {}
                () = tokio::time::sleep(POLL) => {}
            }
        }
    }

    /// Claims due requests, those of the highest right first, then the oldest, then in the order of the news that they are
    /// for. A claim notes where the inbox stands: everything up to there is older than the answer. Empty where another instance holds the lease.
    ///
    /// # Errors
    /// The database's own error.
    pub async fn claim(&self, places: [(Purpose, usize); 3]) -> Result<Vec<fetch_request::Model>, DbErr> {
        use fetch_request::Column;
        let now = self.clock.now();
        let all: usize = places.iter().map(|(_, places)| places).sum();
        if all == 0 {
            return Ok(Vec::new());
        }
        let is_due = Condition::any()
            .add(Column::State.eq(FetchState::Pending))
            .add(Column::State.eq(FetchState::Running).and(Column::ClaimedUntil.lt(now)));
        let wanted = places.iter().filter(|(_, places)| *places > 0).map(|(purpose, _)| *purpose);
        let mut due = fetch_request::Entity::find()
            .filter(Column::SourceId.eq(self.source_id))
            // Written out so that the partial index serves: neither database proves a bound value.
            .filter(Expr::cust("state <> 'answered'"))
            .filter(Column::Purpose.is_in(wanted))
            .filter(Column::NotBefore.lte(now))
            .filter(is_due.clone())
            .order_by_asc(Column::Purpose)
            .order_by_asc(Column::NotBefore)
            // One batch of news writes its wishes in one moment.
            .order_by_asc(Column::WantedPosition)
            .limit(u64::try_from(all).unwrap_or(1))
            .all(self.db.primary())
            .await?;
        let mut left = places;
        due.retain(|request| {
            let place = left.iter_mut().find(|(purpose, places)| *purpose == request.purpose && *places > 0);
            place.map(|(_, places)| *places -= 1).is_some()
        });
        let mut claimed = Vec::with_capacity(due.len());
        if due.is_empty() {
            return Ok(claimed);
        }
        let transaction = self.db.begin().await?;
        if !inbox::is_held(&transaction, self.source_id, &self.instance, now).await? {
            return Ok(claimed);
        }
        for mut request in due {
            request.claimed_until = now.plus_ms(CLAIM_MS);
            request.started_position = inbox::head(&transaction, self.source_id).await?;
            let updated = fetch_request::Entity::update_many()
                .col_expr(Column::State, Expr::value(FetchState::Running.to_value()))
                .col_expr(Column::ClaimedUntil, Expr::value(request.claimed_until))
                .col_expr(Column::StartedPosition, Expr::value(request.started_position))
                .filter(Column::Id.eq(request.id))
                .filter(is_due.clone())
                .exec(&transaction)
                .await?;
            if updated.rows_affected == 1 {
                claimed.push(request);
            }
        }
        transaction.commit().await?;
        Ok(claimed)
    }

    /// Carries out a claimed request: keeps its answer in the inbox, or puts the request off.
    pub fn fetch(&self, request: fetch_request::Model) -> BoxFuture<'_, ()> {
        Box::pin(self.carry_out(request))
    }

    async fn carry_out(&self, request: fetch_request::Model) {
        let outcome = match Asked::deserialize(&request.target) {
            Ok(asked) => self.ask(request.purpose, &asked).await.map(|found| (asked, found)),
            Err(error) => {
                Err(CallError::Later { reason: format!("read its target: {error}"), retry_after_seconds: None })
            }
        };
        let noted = match outcome {
            Ok((asked, found)) => match self.keep(&request, asked, found).await {
                Ok(()) => Ok(()),
                Err(error) => {
                    tracing::warn!(source = self.source_name, request = request.id, %error, "keep what a fetch brought");
                    self.shorten_claim(&request).await
                }
            },
            Err(error) => {
                tracing::info!(source = self.source_name, request = request.id, reason = %error, "a fetch brought nothing");
                self.put_off(&request, &error).await
            }
        };
        if let Err(error) = noted {
            // The claim runs out, and the request is claimed again.
            tracing::warn!(source = self.source_name, request = request.id, %error, "put a fetch off");
        }
    }

    /// Asks upstream, within the time of the claim.
    async fn ask(&self, purpose: Purpose, asked: &Asked) -> Result<Found, CallError> {
        let found = tokio::time::timeout(ASK_DEADLINE, self.find(purpose, asked)).await;
        found.unwrap_or_else(|_| {
            let reason = format!("no turn or no answer came within {} s", ASK_DEADLINE.as_secs());
            Err(CallError::Later { reason, retry_after_seconds: Some(1) })
        })
    }

    /// Whatever is not there must be missed by a place that is: asked for last, so that a right that is lost meanwhile
    /// shows.
    async fn find(&self, purpose: Purpose, asked: &Asked) -> Result<Found, CallError> {
        let answered = self.ask_twice(purpose, asked).await?;
        if answered.is_refused {
            return Ok(Found { answered, is_unvouched: true });
        }
        let vouch = if answered.is_missing {
            self.provider.vouch(&asked.target, asked.within.as_deref())
        } else {
            Vouch::Needless
        };
        let is_unvouched = match vouch {
            Vouch::Needless => false,
            Vouch::Call(call) => self.upstream.call(purpose, &call).await?.is_missing,
            Vouch::Nobody => true,
        };
        Ok(Found { answered, is_unvouched })
    }

    /// *Not there* is asked about a second time where the provider has another way to tell, which may take several calls.
    async fn ask_twice(&self, purpose: Purpose, asked: &Asked) -> Result<Answered, CallError> {
        let answered = self.upstream.call(purpose, &self.provider.fetch(&asked.target)).await?;
        let mut second =
            self.provider.confirm_missing(&asked.target).filter(|_| answered.is_missing && !answered.is_refused);
        let mut confirmed = answered;
        for _ in 0..MAX_CONFIRMING {
            let Some(call) = second else { return Ok(confirmed) };
            confirmed = self.upstream.call(purpose, &call).await?;
            second = self.provider.confirm_further(&call, &confirmed.body).filter(|_| confirmed.is_missing);
        }
        let reason = format!("its absence is not confirmed after {MAX_CONFIRMING} calls");
        second.map_or(Ok(confirmed), |_| Err(CallError::Later { reason, retry_after_seconds: None }))
    }

    async fn keep(&self, request: &fetch_request::Model, asked: Asked, found: Found) -> Result<(), AppendError> {
        let Found { answered, is_unvouched } = found;
        let context = Context {
            started_at: request.started_position,
            request_id: Some(request.id),
            target: Some(asked.target),
            page: None,
            is_missing: answered.is_missing,
            is_unvouched,
            run_id: None,
            total: None,
        };
        let delivery = NewDelivery {
            source_id: self.source_id,
            kind: DeliveryKind::Fetch,
            dedupe_key: format!(
                "fetch:{}:{}:{}",
                request.id,
                request.started_position,
                request.attempts + request.misses * 100
            ),
            media_type: answered.media_type,
            headers: "{}".to_owned(),
            body: answered.body,
            context: Some(context.to_json()),
            along: Along::FetchAnswered { request_id: request.id, started_position: request.started_position },
        };
        self.inbox.append(delivery).await.map(drop)
    }

    /// An answer whose sender is told that it is not kept may be kept all the same, soon: until then the request is its own.
    async fn shorten_claim(&self, request: &fetch_request::Model) -> Result<(), DbErr> {
        let until = self.clock.now().plus_ms(KEPT_LATE_MS);
        claimed(request)
            .col_expr(fetch_request::Column::ClaimedUntil, Expr::value(until))
            .exec(self.db.writer())
            .await
            .map(drop)
    }

    /// Whether upstream answers nobody: then it is not this request that is to blame, and it waits until others are answered.
    async fn is_out(&self, error: &CallError) -> bool {
        let is_of_upstream = matches!(error, CallError::Later { .. });
        is_of_upstream && !matches!(tokio::time::timeout(PROBE_DEADLINE, self.upstream.probe()).await, Ok(Ok(())))
    }

    async fn put_off(&self, request: &fetch_request::Model, error: &CallError) -> Result<(), DbErr> {
        use fetch_request::Column;
        let now = self.clock.now();
        let attempts = request.attempts + 1;
        let (pause_ms, counts) = match error {
            CallError::Later { retry_after_seconds: Some(seconds), .. } => {
                (i64::try_from(Ord::clamp(*seconds, 0, 3_600) * 1_000).unwrap_or(0), false)
            }
            CallError::Unauthorized(_) => (backoff::pause_ms(attempts, 5_000, 300_000), false),
            CallError::Forbidden(_) | CallError::TooLarge(_) | CallError::Later { .. } => {
                (backoff::pause_ms(attempts, 1_000, 300_000), true)
            }
        };
        let is_over = counts && attempts >= MAX_ATTEMPTS && !self.is_out(error).await;
        let state = if is_over { FetchState::Parked } else { FetchState::Pending };
        let attempts = if counts { Ord::min(attempts, MAX_ATTEMPTS - i32::from(!is_over)) } else { request.attempts };
        // Newer news that came meanwhile has all its tries.
        let is_asked_anew = || Expr::col(Column::WantedPosition).gt(request.wanted_position);
        let pending = FetchState::Pending.to_value();
        claimed(request)
            .col_expr(Column::State, Expr::case(is_asked_anew(), pending).finally(state.to_value()).into())
            .col_expr(Column::Attempts, Expr::case(is_asked_anew(), 0).finally(attempts).into())
            .col_expr(Column::NotBefore, Expr::value(now.plus_ms(pause_ms)))
            .col_expr(Column::ClaimedUntil, Expr::value(Moment(0)))
            .col_expr(Column::LastError, Expr::value(error.to_string()))
            .exec(self.db.writer())
            .await
            .map(drop)
    }
}

/// An update of a request as long as it is claimed as it was here.
fn claimed(request: &fetch_request::Model) -> UpdateMany<fetch_request::Entity> {
    use fetch_request::Column;
    fetch_request::Entity::update_many()
        .filter(Column::Id.eq(request.id))
        .filter(Column::State.eq(FetchState::Running))
        .filter(Column::StartedPosition.eq(request.started_position))
        .filter(Column::ClaimedUntil.eq(request.claimed_until))
}
