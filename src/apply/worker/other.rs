//! What there is to do besides deliveries: metadata that profiles follow, the run that sweeps or compares, deletions that
//! are due, drift.

use super::deliveries::is_of_the_delivery;
use super::{Applier, ApplyError, News, in_time};
use crate::apply::catalog::Catalog;
use crate::apply::sweep::{self, Stepped};
use crate::apply::{derive, plan};
use crate::causes::chain;
use crate::mirror::write;
use entity::RunState;
use futures::FutureExt;
use std::panic::AssertUnwindSafe;
use std::time::Instant;

impl Applier {
    /// A step of what there is to do besides deliveries; true where there is more at once.
    pub(super) async fn do_other_work(&mut self) -> Result<bool, ApplyError> {
        self.looked_at = Instant::now();
        // What a run compares and sweeps follows its metadata already.
        if in_time(self.derive()).await? {
            return Ok(true);
        }
        Ok(in_time(self.carry_on_run()).await? || in_time(self.measure_drift()).await?)
    }

    /// Takes a step of deriving anew what profiles show of metadata that has changed; true where there was one.
    async fn derive(&mut self) -> Result<bool, ApplyError> {
        let Some(lease) = self.lease.clone() else { return Ok(false) };
        let catalog = match self.catalog.take() {
            Some(catalog) => catalog,
            None => Catalog::load(self.db.primary(), self.source_id).await?,
        };
        // A step that does not come to its end is followed by shorter ones, also where it is given up from outside.
        let most = std::mem::replace(&mut self.derive_step, 1);
        let now = self.clock.now();
        let step = derive::advance(&self.db, &lease, &self.provider, &catalog, now, most);
        let stepped = AssertUnwindSafe(step).catch_unwind().await.unwrap_or(Err(ApplyError::Panicked));
        match stepped {
            Ok(news) => {
                self.derive_step = (most * 2).min(derive::STEP);
                self.catalog = Some(catalog);
                let Some(news) = news else { return Ok(false) };
                (self.on_commit)(news);
                Ok(true)
            }
            Err(error) if most == 1 && is_of_the_delivery(&error) => {
                tracing::error!(source = self.source_name, error = %chain(&error), "derive a profile anew");
                derive::skip(&self.db, &lease, now).await?;
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }

    /// Carries the run that sweeps or compares on by one step; true where there is more to do at once.
    async fn carry_on_run(&mut self) -> Result<bool, ApplyError> {
        let Some(lease) = self.lease.clone() else { return Ok(false) };
        let run = write::load_run_for_apply(self.db.primary(), self.source_id).await?;
        self.has_run = run.is_some();
        if run.as_ref().is_none_or(|run| run.state != RunState::Running) {
            self.told = None;
        }
        let Some(run) = run else { return Ok(false) };
        let now = self.clock.now();
        let stepped = if run.state == RunState::Running {
            let told = &mut self.told;
            plan::compare(&self.db, &lease, &self.provider, &self.eraser, now, &run, told).await?
        } else {
            self.has_candidates = true;
            self.pace.await_answers();
            let catalog = match self.catalog.take() {
                Some(catalog) => catalog,
                None => Catalog::load(self.db.primary(), self.source_id).await?,
            };
            let terms = sweep::Terms { db: &self.db, lease: &lease, provider: &self.provider, now, brake: self.brake };
            let stepped = terms.advance(&run, &catalog, &mut self.named).await?;
            self.catalog = Some(catalog);
            stepped
        };
        if stepped == Stepped::Over {
            self.has_candidates = write::has_candidates(self.db.primary(), self.source_id).await?;
        }
        (self.on_commit)(News::ALL);
        Ok(stepped == Stepped::On)
    }

    /// Asks upstream for what became of deletions that are due.
    pub(super) async fn look_for_due(&mut self) -> Result<(), ApplyError> {
        let Some(lease) = &self.lease else { return Ok(()) };
        if self.due.look(&self.db, lease, self.clock.now()).await? {
            (self.on_commit)(News::ALL);
        }
        Ok(())
    }

    /// Settles what differed and asks for reads; true where there is more to do at once.
    async fn measure_drift(&mut self) -> Result<bool, ApplyError> {
        let Some(lease) = self.lease.clone() else { return Ok(false) };
        let had_awaited = self.pace.has_awaited();
        let has_more = self.pace.advance(&self.db, &lease, self.clock.now()).await?;
        if !had_awaited && self.pace.has_awaited() {
            (self.on_commit)(News::ALL);
        }
        Ok(has_more)
    }
}
