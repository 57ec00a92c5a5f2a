//! How runs end: handed over to apply for their sweep, done, or failed until they are tried again.

use super::checkpoint::Checkpoint;
use super::{Halt, Runner, request};
use crate::backoff;
use entity::{Moment, RunKind, RunState, SweepStage, deletion_candidate, run_page, sync_run};
use sea_orm::sea_query::{Expr, Query};
use sea_orm::{
    ActiveEnum, ColumnTrait, Condition, DatabaseTransaction, DbErr, EntityTrait, PaginatorTrait, QueryFilter,
};

/// Times that a run contradicts itself before it is left to the schedule.
const MAX_RESTARTS: i32 = 6;

impl Runner {
    /// The pages are done: what they miss is for apply to look at. A full run may miss anything, one over named profiles may
    /// not have found some of them; any other is over.
    pub(super) async fn hand_over(&self, run: &sync_run::Model) -> Result<(), Halt> {
        use sync_run::Column;
        let mut update = sync_run::Entity::update_many()
            .filter(Column::Id.eq(run.id))
            .filter(Column::State.eq(RunState::Running))
            .filter(Column::Holder.eq(self.instance.clone()));
        let transaction = self.db.begin().await?;
        let stage = match run.kind {
            RunKind::Full => {
                update = update.col_expr(Column::ListedAt, Expr::value(self.clock.now()));
                Some(SweepStage::ListingProfiles)
            }
            RunKind::Named if !run.is_plan => {
                let of_run = deletion_candidate::Entity::find().filter(deletion_candidate::Column::RunId.eq(run.id));
                let missed = i64::try_from(of_run.count(&transaction).await?).unwrap_or(i64::MAX);
                update = update.col_expr(Column::Candidates, Expr::value(missed));
                (missed > 0).then_some(SweepStage::Verifying)
            }
            RunKind::Named | RunKind::Incremental => None,
        };
        let is_over = stage.is_none();
        update = match stage {
            None => update
                .col_expr(Column::State, Expr::value(RunState::Done.to_value()))
                .col_expr(Column::FinishedAt, Expr::value(self.clock.now())),
            Some(stage) => update
                .col_expr(Column::State, Expr::value(RunState::Sweeping.to_value()))
                .col_expr(Column::SweepStage, Expr::value(stage.to_value()))
                .col_expr(Column::SweepAfter, Expr::value(0_i64)),
        };
        if update.exec(&transaction).await?.rows_affected == 0 {
            return Err(Halt::NotOurs);
        }
        if is_over {
            run_page::Entity::delete_many().filter(run_page::Column::RunId.eq(run.id)).exec(&transaction).await?;
            // A plan has written nothing that another try would.
            if !run.is_plan {
                forgo_retries(&transaction, sync_run::made_needless_by(run)).await?;
            }
        }
        transaction.commit().await?;
        tracing::info!(
            source = self.source_name,
            run = run.id,
            rows = run.rows_seen,
            pages = run.pages,
            "every page is in"
        );
        self.apply_wake.notify_one();
        Ok(())
    }

    /// Notes that a run failed, and when it is tried again: without end where a page could not be had, since upstream
    /// comes back, and a few times where its pages do not show everything. A plan is not: whoever asked for it is told,
    /// and asks again. One that another instance carries out by now has not failed.
    pub(super) async fn fail(&self, run: &sync_run::Model, halt: &Halt) -> Result<(), DbErr> {
        use sync_run::Column;
        let now = self.clock.now();
        tracing::warn!(source = self.source_name, run = run.id, error = %halt, "run failed");
        let starts_over = matches!(halt, Halt::Incomplete(_));
        let transaction = self.db.begin().await?;
        let Some(sync_run::Model { pages, .. }) = sync_run::Entity::find_by_id(run.id).one(&transaction).await? else {
            return Ok(());
        };
        // The first page of a try may have been one that was read before.
        let next = Checkpoint::of(run).and_then(|mut checkpoint| checkpoint.next());
        let is_read_again = next.is_some_and(|page| self.provider.rejoin(&page).is_some());
        let restarts = run.restarts + i32::from(starts_over);
        let failures = match starts_over {
            true => restarts,
            false if pages > run.pages + i64::from(is_read_again) => 1,
            false => run.failures + 1,
        };
        let is_tried_again = !run.is_plan && (!starts_over || restarts < MAX_RESTARTS);
        let retry_at = is_tried_again.then(|| now.plus_ms(backoff::pause_ms(failures, 30_000, 1_800_000)));
        let mut update = sync_run::Entity::update_many()
            .col_expr(Column::State, Expr::value(RunState::Failed.to_value()))
            .col_expr(Column::FinishedAt, Expr::value(now))
            .col_expr(Column::Error, Expr::value(halt.to_string()))
            .col_expr(Column::Failures, Expr::value(failures))
            .col_expr(Column::Restarts, Expr::value(restarts))
            .col_expr(Column::RetryAt, Expr::value(retry_at))
            .filter(Column::Id.eq(run.id))
            .filter(Column::State.eq(RunState::Running))
            .filter(Column::Holder.eq(self.instance.clone()));
        if starts_over {
            update = update.col_expr(Column::Checkpoint, Expr::value(serde_json::json!({})));
        }
        if update.exec(&transaction).await?.rows_affected == 0 {
            return Ok(());
        }
        if starts_over || retry_at.is_none() {
            run_page::Entity::delete_many().filter(run_page::Column::RunId.eq(run.id)).exec(&transaction).await?;
        }
        if run.is_plan {
            request::discard_held(&transaction, run, now).await?;
        } else if !starts_over {
            // Or each time of the schedule would leave one more run to try again while an outage lasts. One that came
            // further than this one goes on there.
            let no_further = sync_run::made_needless_by(run).add(Column::Pages.lte(pages));
            forgo_retries(&transaction, no_further).await?;
        }
        transaction.commit().await
    }
}

/// Lets failed runs be: they are not tried again.
async fn forgo_retries(transaction: &DatabaseTransaction, runs: Condition) -> Result<(), DbErr> {
    use sync_run::Column;
    let ids = Query::select().column(Column::Id).from(sync_run::Entity).cond_where(runs.clone()).take();
    run_page::Entity::delete_many().filter(run_page::Column::RunId.in_subquery(ids)).exec(transaction).await?;
    sync_run::Entity::update_many()
        .col_expr(Column::RetryAt, Expr::value(Option::<Moment>::None))
        .filter(runs)
        .exec(transaction)
        .await
        .map(drop)
}
