//! Goes on until nothing is due, moving the clock where something waits for its moment.

use super::flight::Waits;
use super::{CONCURRENCY, Leg, Stages};
use entity::{DeliveryState, FetchState, Moment, RunState, delivery, fetch_request, profile, source_state, subprofile};
use profile_mirror::clock::Clock;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

impl Stages {
    /// Carries runs on until none is under way, and does everything that follows from them.
    ///
    /// # Errors
    /// They do not come to an end.
    pub async fn finish_runs(&mut self) -> Result<(), String> {
        for _ in 0..400 {
            if self.run.is_some() {
                if self.run_pauses() {
                    self.rest().await?;
                }
                self.apply().await;
                self.advance_run().await;
                continue;
            }
            self.rest().await?;
            let Some(run) = self.under_way().await else { return Ok(()) };
            if run.state == RunState::Sweeping {
                self.pass(500);
            } else {
                self.start_run().await;
            }
        }
        let run = self.under_way().await.map(|run| (run.id, run.state, run.sweep_stage, run.error));
        Err(format!("runs do not end: {run:?}"))
    }

    /// Does what is due until nothing is, moving the clock where something waits for its moment.
    ///
    /// # Errors
    /// It does not come to rest.
    pub async fn rest(&mut self) -> Result<(), String> {
        for _ in 0..300 {
            // One leg each: a fetch may wait for the place of another.
            let mut at = 0;
            while at < self.fetches.len() {
                if self.advance_fetch(at).await == Leg::Waits {
                    at += 1;
                }
            }
            if !self.fetches.is_empty() {
                // The run may have the only place that the budget has left.
                if self.run.is_some() && self.fetches.iter().all(|fetch| matches!(fetch.held, Waits::Pause(_))) {
                    self.advance_run().await;
                }
                continue;
            }
            self.apply().await;
            if self.start_fetches(CONCURRENCY).await > 0 {
                continue;
            }
            let Some(next) = self.next_due().await else { return Ok(()) };
            self.pass((next.0 - self.clock.now().0).max(1));
            self.apply().await;
            self.tend().await;
        }
        Err(format!("it does not come to rest: {}", self.tell_left().await))
    }

    /// What is left to do, for people.
    async fn tell_left(&self) -> String {
        let pending = delivery::Entity::find()
            .filter(delivery::Column::SourceId.eq(self.source_id))
            .filter(delivery::Column::State.eq(DeliveryState::Pending))
            .all(self.db.primary())
            .await
            .unwrap();
        let pending =
            pending.iter().map(|row| format!("{:?} {} after {} tries", row.kind, row.dedupe_key, row.attempts));
        let open = fetch_request::Entity::find()
            .filter(fetch_request::Column::SourceId.eq(self.source_id))
            .filter(fetch_request::Column::State.ne(FetchState::Parked))
            .all(self.db.primary())
            .await
            .unwrap();
        let open = open.iter().map(|row| {
            let (key, reason, error) = (&row.target_key, &row.reason, &row.last_error);
            format!("{:?} {key} ({reason}) after {} misses, {} tries, {error:?}", row.state, row.misses, row.attempts)
        });
        let flights = self.fetches.iter().chain(&self.run).map(|flight| format!("{} is {}", flight.name, flight.held));
        let budget =
            self.wired.upstream.as_ref().map(|upstream| format!("at {:?} {:?}", self.now(), upstream.budget()));
        pending.chain(open).chain(flights).chain(budget).collect::<Vec<_>>().join("; ")
    }

    /// When the next delivery or fetch is due; none where nothing is left.
    async fn next_due(&self) -> Option<Moment> {
        let pending: Option<Option<i64>> = delivery::Entity::find()
            .filter(delivery::Column::SourceId.eq(self.source_id))
            .filter(delivery::Column::State.eq(DeliveryState::Pending))
            .select_only()
            .column_as(delivery::Column::NextAttemptAt.min(), "due")
            .into_tuple()
            .one(self.db.primary())
            .await
            .unwrap();
        let open = fetch_request::Entity::find()
            .filter(fetch_request::Column::SourceId.eq(self.source_id))
            .filter(fetch_request::Column::State.is_in([
                FetchState::Pending,
                FetchState::Running,
                FetchState::Answered,
            ]))
            .order_by_asc(fetch_request::Column::NotBefore)
            .all(self.db.primary())
            .await
            .unwrap();
        // Whoever has claimed one and is gone: the claim runs out.
        let due = |request: &fetch_request::Model| match request.state {
            FetchState::Running => request.claimed_until.plus_ms(1),
            _ => request.not_before,
        };
        let due = open.iter().map(due).chain(pending.flatten().map(Moment)).min();
        let state = source_state::Entity::find_by_id(self.source_id).one(self.db.primary()).await.unwrap();
        let probe = state.filter(|state| state.paused_by.is_none() && state.paused_at.is_some());
        match probe.and_then(|state| state.probe_at) {
            Some(at) => Some(at),
            None => due.map(|at| if at <= self.now() { self.next_turn() } else { at }),
        }
    }

    /// When what is due may have its turn: upstream may have asked for a pause, of minutes where it did so again and again.
    fn next_turn(&self) -> Moment {
        let paused_until = self.wired.upstream.as_ref().and_then(|upstream| upstream.budget().paused_until);
        paused_until.unwrap_or(Moment(0)).max(self.now().plus_ms(1_000))
    }

    /// Whether anything was given up that only a person or a run brings back.
    pub async fn has_given_up(&self) -> bool {
        let parked = fetch_request::Entity::find()
            .filter(fetch_request::Column::SourceId.eq(self.source_id))
            .filter(fetch_request::Column::State.eq(FetchState::Parked));
        let unread = delivery::Entity::find()
            .filter(delivery::Column::SourceId.eq(self.source_id))
            .filter(delivery::Column::State.eq(DeliveryState::Parked));
        parked.one(self.db.primary()).await.unwrap().is_some() || unread.one(self.db.primary()).await.unwrap().is_some()
    }

    /// Whether the mirror has, or once had, a profile.
    pub async fn has_seen(&self, external_id: &str) -> bool {
        let named = profile::by_external_ids(self.source_id, &[external_id.to_owned()]);
        named.filter(profile::Column::IsKnown.eq(true)).one(self.db.primary()).await.unwrap().is_some()
    }

    /// Whether the mirror has, or once had, a subprofile.
    pub async fn has_seen_subprofile(&self, external_id: &str) -> bool {
        let named = subprofile::by_external_ids(self.source_id, &[external_id.to_owned()]);
        named.one(self.db.primary()).await.unwrap().is_some()
    }
}
