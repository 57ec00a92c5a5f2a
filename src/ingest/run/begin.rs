//! How runs begin: when they are due, and where they start.

use super::checkpoint::Checkpoint;
use super::due::{self, Due, Past};
use super::request::{self, RunRequestError, request_run};
use super::{Halt, Runner};
use crate::inbox;
use entity::{Moment, RunKind, RunState, deletion_candidate, profile, run_page, source_state, subprofile, sync_run};
use provider::{Page, Target};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveEnum, ColumnTrait, DatabaseTransaction, DbErr, EntityTrait, ExprTrait, QueryFilter, QueryOrder, QuerySelect,
};
use serde::Deserialize;

impl Runner {
    /// Begins what is due: a retry, or what the timetable asks for; false where nothing is.
    pub(super) async fn begin_due(&self, now: Moment) -> Result<bool, Halt> {
        let past = self.past(now).await?;
        let due = due::retry(&past, now).or_else(|| self.timetable.as_ref()?.due(&past, now));
        self.show_next(now).await?;
        match due {
            None => Ok(false),
            Some(Due::Again(run_id)) => self.try_again(run_id).await,
            Some(Due::Start(request)) => {
                // Where the provider cannot tell what has changed there is nothing to pass through.
                let cannot =
                    request.since.is_some_and(|since| self.provider.changed_pages(since.to_datetime()).is_empty());
                if cannot {
                    return Ok(false);
                }
                match request_run(&self.db, now, self.source_id, request).await {
                    Ok(_) | Err(RunRequestError::UnderWay { .. }) => Ok(true),
                    Err(RunRequestError::Database(error)) => Err(error.into()),
                    Err(error) => Err(Halt::Incomplete(error.to_string())),
                }
            }
        }
    }

    pub(super) async fn past(&self, now: Moment) -> Result<Past, DbErr> {
        use sync_run::Column;
        let db = self.db.primary();
        let all = sync_run::Entity::find().filter(Column::SourceId.eq(self.source_id));
        let retries = all.clone().filter(Column::State.eq(RunState::Failed)).filter(Column::RetryAt.is_not_null());
        let passes = all
            .filter(Column::IsPlan.eq(false))
            .filter(Column::Kind.ne(RunKind::Named))
            .filter(Column::StartedAt.lte(due::latest_begin(now)))
            .order_by_desc(Column::Id)
            .limit(1);
        let whole = passes.clone().filter(Column::ProfileType.is_null());
        let began = |run: Option<sync_run::Model>| run.map(|run| run.started_at);
        let full = whole.clone().filter(Column::Kind.eq(RunKind::Full)).one(db).await?;
        let done = whole.filter(Column::State.eq(RunState::Done)).one(db).await?;
        let full_retry = retries.clone().filter(Column::Kind.eq(RunKind::Full)).filter(Column::ProfileType.is_null());
        let full_retry = full_retry.filter(Column::Failures.lt(due::HOLDS_UP_NO_MORE));
        let state = source_state::Entity::find_by_id(self.source_id).one(db).await?;
        Ok(Past {
            newest: passes.one(db).await?,
            retry: retries.order_by_asc(Column::RetryAt).limit(1).one(db).await?,
            full_waits: full_retry.limit(1).one(db).await?.is_some(),
            full_began: began(full),
            done_began: began(done),
            // The run that follows a gap begins after its end: one that ends later than now would be followed by many.
            gap: state.and_then(|state| state.gap_since.zip(state.gap_until)).filter(|(_, until)| *until <= now),
        })
    }

    /// Shows when the next full run begins.
    async fn show_next(&self, now: Moment) -> Result<(), DbErr> {
        use source_state::Column;
        let next = self.timetable.as_ref().and_then(|timetable| timetable.next_full(now));
        let is_other = match next {
            Some(next) => Column::NextRunAt.is_null().or(Column::NextRunAt.ne(next)),
            None => Column::NextRunAt.is_not_null(),
        };
        let state = source_state::Entity::find_by_id(self.source_id).filter(is_other.clone());
        if state.one(self.db.primary()).await?.is_none() {
            return Ok(());
        }
        source_state::Entity::update_many()
            .col_expr(Column::NextRunAt, Expr::value(next))
            .filter(Column::SourceId.eq(self.source_id))
            .exec(self.db.writer())
            .await
            .map(drop)
    }

    /// Puts a failed run back to work, where no other has begun meanwhile. One that a newer run has made needless since
    /// it was read stays as it is.
    pub(super) async fn try_again(&self, run_id: i64) -> Result<bool, Halt> {
        use sync_run::Column;
        let transaction = self.db.begin().await?;
        if sync_run::under_way(self.source_id).one(&transaction).await?.is_some() {
            return Ok(true);
        }
        if !inbox::is_held(&transaction, self.source_id, &self.instance, self.clock.now()).await? {
            return Err(Halt::NotOurs);
        }
        sync_run::Entity::update_many()
            .col_expr(Column::State, Expr::value(RunState::Planned.to_value()))
            .col_expr(Column::Attempt, Expr::col(Column::Attempt).add(1))
            .col_expr(Column::RetryAt, Expr::value(Option::<Moment>::None))
            .col_expr(Column::FinishedAt, Expr::value(Option::<Moment>::None))
            .filter(Column::Id.eq(run_id))
            .filter(Column::State.eq(RunState::Failed))
            .filter(Column::RetryAt.is_not_null())
            .exec(&transaction)
            .await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Makes the run this instance's, and begins it where it has not begun. Only as it was read, and under the lease:
    /// whoever stood still in between must not set back what another instance has brought since.
    pub(super) async fn take_over(&self, run: sync_run::Model) -> Result<sync_run::Model, Halt> {
        use sync_run::Column;
        let transaction = self.db.begin().await?;
        let is_holder = match &run.holder {
            Some(holder) => Column::Holder.eq(holder.as_str()),
            None => Column::Holder.is_null(),
        };
        // First of all, so that the row is locked for what follows.
        let taken = sync_run::Entity::update_many()
            .col_expr(Column::Holder, Expr::value(self.instance.clone()))
            .col_expr(Column::State, Expr::value(RunState::Running.to_value()))
            .filter(Column::Id.eq(run.id))
            .filter(Column::State.eq(run.state))
            .filter(is_holder)
            .filter(Column::Pages.eq(run.pages))
            .filter(Column::Attempt.eq(run.attempt))
            .exec(&transaction)
            .await?;
        let now = self.clock.now();
        if taken.rows_affected == 0 || !inbox::is_held(&transaction, self.source_id, &self.instance, now).await? {
            return Err(Halt::NotOurs);
        }
        if Checkpoint::of(&run).is_none() {
            self.begin_anew(&transaction, &run).await?;
        }
        let run = sync_run::Entity::find_by_id(run.id).one(&transaction).await?;
        transaction.commit().await?;
        run.ok_or(Halt::NotOurs)
    }

    /// Puts a run before its first page.
    async fn begin_anew(&self, transaction: &DatabaseTransaction, run: &sync_run::Model) -> Result<(), DbErr> {
        use sync_run::Column;
        let now = self.clock.now();
        let first = Checkpoint::new(self.first_pages(run));
        let head = inbox::head(transaction, self.source_id).await?;
        let last_profile: Option<Option<i64>> = profile::Entity::find()
            .select_only()
            .column_as(profile::Column::Id.max(), "last")
            .into_tuple()
            .one(transaction)
            .await?;
        let last_subprofile: Option<Option<i64>> = subprofile::Entity::find()
            .select_only()
            .column_as(subprofile::Column::Id.max(), "last")
            .into_tuple()
            .one(transaction)
            .await?;
        // What an earlier try has left says nothing about this one.
        run_page::Entity::delete_many().filter(run_page::Column::RunId.eq(run.id)).exec(transaction).await?;
        deletion_candidate::Entity::delete_many()
            .filter(deletion_candidate::Column::RunId.eq(run.id))
            .exec(transaction)
            .await?;
        request::discard_plans(transaction, now, self.source_id, run.id).await?;
        let mut update = sync_run::Entity::update_many()
            .col_expr(Column::Checkpoint, Expr::value(first.to_json()))
            .col_expr(Column::LowPosition, Expr::value(head))
            .col_expr(Column::LastProfileId, Expr::value(last_profile.flatten().unwrap_or(0)))
            .col_expr(Column::LastSubprofileId, Expr::value(last_subprofile.flatten().unwrap_or(0)))
            .col_expr(Column::StartedAt, Expr::value(now))
            .col_expr(Column::ListedAt, Expr::value(Option::<Moment>::None))
            .col_expr(Column::Error, Expr::value(Option::<String>::None));
        for column in [
            Column::Pages,
            Column::RowsSeen,
            Column::PagesSettled,
            Column::PagesParked,
            Column::Created,
            Column::Updated,
            Column::Unchanged,
            Column::Conflicts,
            Column::Candidates,
            Column::Absent,
        ] {
            update = update.col_expr(column, Expr::value(0_i64));
        }
        update.filter(Column::Id.eq(run.id)).exec(transaction).await.map(drop)
    }

    fn first_pages(&self, run: &sync_run::Model) -> Vec<Page> {
        match run.kind {
            RunKind::Full => self.provider.first_pages(),
            RunKind::Incremental => {
                run.since.map(|since| self.provider.changed_pages(since.to_datetime())).unwrap_or_default()
            }
            RunKind::Named => {
                let names: Vec<String> =
                    run.named.as_ref().and_then(|named| Vec::deserialize(named).ok()).unwrap_or_default();
                let page = |id: String| {
                    let call = self.provider.fetch(&Target::Profile { id: id.clone() });
                    Page { after: id, ..Page::first("named", call) }
                };
                names.into_iter().map(page).collect()
            }
        }
    }
}
