//! The lease on a source: at most one instance applies for it, and a late one cannot commit.

use crate::db::Database;
use entity::{Moment, source_state};
use sea_orm::sea_query::{Condition, Expr, Query};
use sea_orm::{ActiveEnum, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, ExprTrait, QueryFilter, QuerySelect};

/// How long a lease holds without being renewed, milliseconds. Another instance takes over after it.
const LEASE_MS: i64 = 4_000;
/// A lease that was not renewed for so long is nobody's, whatever time it ends at, milliseconds: who holds one renews it
/// several times meanwhile.
const UNRENEWED_MS: i64 = LEASES_UNSEEN * LEASE_MS;
/// No fetch request waits longer, milliseconds: upstream may ask for an hour.
const MAX_REQUEST_PAUSE_MS: i64 = 3_600_000;
/// No delivery waits longer before it is tried again, milliseconds.
const MAX_DELIVERY_PAUSE_MS: i64 = 60_000;
/// So many leases may pass without a sign of life when one instance takes over from another.
const LEASES_UNSEEN: i64 = 3;
/// A gap between webhooks that is as long counts as much as all that came before it, milliseconds: a week, so that
/// weekends are usual.
const MEMORY_MS: i64 = 7 * 86_400_000;
/// No gap counts for longer, milliseconds: 20 days.
const MAX_GAP_MS: i64 = 20 * 86_400_000;

/// The right to apply for a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The source.
    pub source_id: i32,
    /// The instance that holds it.
    pub holder: String,
    /// Fencing token: a commit under an older one changes nothing.
    pub epoch: i64,
    /// Runs out then, by the holder's clock.
    pub until: Moment,
}

impl Lease {
    /// Whether it should be renewed now: half of it is over, or the clock was set back.
    pub fn is_due(&self, now: Moment) -> bool {
        self.until.has_come(now.plus_ms(LEASE_MS / 2), LEASE_MS / 2)
    }

    /// Whether the clock was set back since it was renewed, by more than a lease is long.
    pub fn is_ahead(&self, now: Moment) -> bool {
        self.until > now.plus_ms(2 * LEASE_MS)
    }

    /// The revision of the source, or `None` where the lease is lost. Until the fence tells the same, who holds the lease may
    /// read what nobody else writes, without a transaction.
    ///
    /// # Errors
    /// The database's own error.
    pub async fn peek(&self, connection: &impl ConnectionTrait) -> Result<Option<i64>, DbErr> {
        use source_state::Column;
        source_state::Entity::find_by_id(self.source_id)
            .select_only()
            .column(Column::Revision)
            .filter(Column::LeaseHolder.eq(self.holder.as_str()))
            .filter(Column::LeaseEpoch.eq(self.epoch))
            .into_tuple()
            .one(connection)
            .await
    }

    /// Locks the source for this transaction and returns its revision, or `None` where the lease is lost.
    /// `last_webhook_at` is noted beside it, and what it tells about the usual gap between webhooks. One that lies ahead of
    /// now counts as of now, and is taken back where it is noted: it would hide silence and refusals until it has come.
    ///
    /// # Errors
    /// The database's own error.
    pub async fn fence(
        &self,
        transaction: &impl ConnectionTrait,
        now: Moment,
        last_webhook_at: Option<Moment>,
    ) -> Result<Option<i64>, DbErr> {
        use source_state::Column;
        let mut statement = Query::update();
        statement
            .table(source_state::Entity)
            .value(Column::LastAppliedAt, now)
            .and_where(Column::SourceId.eq(self.source_id))
            .and_where(Column::LeaseHolder.eq(self.holder.as_str()))
            .and_where(Column::LeaseEpoch.eq(self.epoch))
            .returning(Query::returning().column(Column::Revision));
        if let Some(at) = last_webhook_at {
            let at = if at > now.latest() { now } else { at };
            let noted = || Expr::col(Column::LastWebhookAt);
            let is_newer = noted().is_null().or(noted().lt(at)).or(noted().gt(now.latest()));
            statement.value(Column::LastWebhookAt, Expr::case(is_newer, Expr::value(at)).finally(noted()));
            statement.value(Column::UsualGapMs, usual_gap(at));
        }
        let row = transaction.query_one(&statement).await?;
        row.map(|row| row.try_get("", "revision")).transpose()
    }

    /// Gives the lease back, so that another instance need not wait for it to run out.
    ///
    /// # Errors
    /// The database's own error.
    pub async fn release(&self, db: &Database) -> Result<(), DbErr> {
        use source_state::Column;
        source_state::Entity::update_many()
            .col_expr(Column::LeaseUntil, Expr::value(Moment(0)))
            .filter(Column::SourceId.eq(self.source_id))
            .filter(Column::LeaseHolder.eq(self.holder.as_str()))
            .filter(Column::LeaseEpoch.eq(self.epoch))
            .exec(db.writer())
            .await
            .map(drop)
    }
}

/// A lease that another instance holds, as it was seen first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watched {
    epoch: i64,
    until: Moment,
    since: Moment,
}

/// Frees a lease that another instance holds and does not renew: it died while its clock was ahead, of ours or of what it
/// shows now. What a lease ends at is not asked, since clocks of instances may differ, and the one that is behind would take
/// the lease from one that lives. Returns what is to be given when this is asked next.
///
/// # Errors
/// The database's own error.
pub async fn free_unrenewed(
    db: &Database,
    source_id: i32,
    now: Moment,
    watched: Option<Watched>,
) -> Result<Option<Watched>, DbErr> {
    use source_state::Column;
    let Some(state) = source_state::Entity::find_by_id(source_id).one(db.primary()).await? else { return Ok(None) };
    let (epoch, until) = (state.lease_epoch, state.lease_until);
    // Where our own clock was set back, watching begins anew.
    let is_same = |watched: &Watched| watched.epoch == epoch && watched.until == until && watched.since <= now;
    let watched = watched.filter(is_same).unwrap_or(Watched { epoch, until, since: now });
    if now < watched.since.plus_ms(UNRENEWED_MS) {
        return Ok(Some(watched));
    }
    source_state::Entity::update_many()
        .col_expr(Column::LeaseUntil, Expr::value(Moment(0)))
        .filter(Column::SourceId.eq(source_id))
        .filter(Column::LeaseEpoch.eq(epoch))
        .filter(Column::LeaseUntil.eq(until))
        .exec(db.writer())
        .await?;
    Ok(None)
}

/// The usual gap after a webhook that arrived `at`: the gap in which a moment usually falls. Each gap moves it in
/// proportion to its own length, so that a burst does not make the night after it look like silence.
fn usual_gap(at: Moment) -> Expr {
    use source_state::Column;
    let usual = || Expr::col(Column::UsualGapMs);
    // Bounded, so that the product below stays within 64 bits.
    let since = || Expr::value(at.0).sub(Expr::col(Column::LastWebhookAt));
    let gap = || Expr::case(since().gt(MAX_GAP_MS), MAX_GAP_MS).finally(since());
    let moved =
        usual().add(Expr::expr(Expr::expr(gap()).sub(usual())).mul(gap()).div(Expr::expr(gap()).add(MEMORY_MS)));
    Expr::case(Expr::col(Column::LastWebhookAt).is_null().or(since().lte(0)), usual())
        .case(usual().is_null(), gap())
        .finally(moved)
        .into()
}

/// Whether an instance holds the lease on a source now. Pulls and imports follow the lease, so that
/// whoever takes it over also takes over what was under way.
///
/// # Errors
/// The database's own error.
pub async fn is_held(
    connection: &impl ConnectionTrait,
    source_id: i32,
    holder: &str,
    now: Moment,
) -> Result<bool, DbErr> {
    let state = source_state::Entity::find_by_id(source_id).one(connection).await?;
    Ok(state.is_some_and(|state| state.lease_holder.as_deref() == Some(holder) && state.lease_until >= now))
}

/// Takes or renews the lease on a source; `None` while another instance holds it. Where nobody was alive for longer than
/// the provider remembers what it could not send, `memory_ms`, that gap is noted. Whoever takes it, and does not go on with
/// the one of epoch `held`, takes over the fetch requests that were under way, and sets right what a wrong clock has set: what
/// waits for its time, and when webhooks were kept or refused last.
///
/// # Errors
/// The database's own error.
pub async fn renew(
    db: &Database,
    source_id: i32,
    holder: &str,
    now: Moment,
    memory_ms: i64,
    held: Option<i64>,
) -> Result<Option<Lease>, DbErr> {
    use source_state::Column;
    let until = now.plus_ms(LEASE_MS);
    let is_mine = Expr::col(Column::LeaseHolder).eq(holder).and(Expr::col(Column::LeaseUntil).gte(now));
    let epoch =
        Expr::case(is_mine.clone(), Expr::col(Column::LeaseEpoch)).finally(Expr::col(Column::LeaseEpoch).add(1));
    let forgotten = now.plus_ms(-memory_ms - LEASES_UNSEEN * LEASE_MS);
    let is_gap = || Expr::col(Column::AliveAt).lt(forgotten);
    let mut statement = Query::update();
    statement
        .table(source_state::Entity)
        .value(Column::LeaseEpoch, epoch)
        .value(Column::LeaseHolder, holder)
        .value(Column::LeaseUntil, until)
        .value(Column::GapSince, Expr::case(is_gap(), Expr::col(Column::AliveAt)).finally(Expr::col(Column::GapSince)))
        .value(Column::GapUntil, Expr::case(is_gap(), Expr::value(now)).finally(Expr::col(Column::GapUntil)))
        .value(Column::AliveAt, now)
        .and_where(Column::SourceId.eq(source_id))
        .cond_where(Condition::any().add(is_mine).add(Column::LeaseUntil.lt(now)).add(Column::LeaseHolder.is_null()))
        .returning(Query::returning().column(Column::LeaseEpoch));
    // Together: a request that is claimed under this lease is no longer one that was under way before it.
    let transaction = db.begin().await?;
    let row = transaction.query_one(&statement).await?;
    let epoch: Option<i64> = row.map(|row| row.try_get("", "lease_epoch")).transpose()?;
    if epoch.is_some() && epoch != held {
        take_over_requests(&transaction, source_id).await?;
        wake_far_ahead(&transaction, source_id, now).await?;
        take_back_times_ahead(&transaction, source_id, now).await?;
    }
    transaction.commit().await?;
    Ok(epoch.map(|epoch| Lease { source_id, holder: holder.to_owned(), epoch, until }))
}

/// Makes fetch requests that were under way wait again: their answers may never come.
async fn take_over_requests(transaction: &impl ConnectionTrait, source_id: i32) -> Result<(), DbErr> {
    use entity::{FetchState, fetch_request};
    fetch_request::Entity::update_many()
        .col_expr(fetch_request::Column::State, Expr::value(FetchState::Pending.to_value()))
        .filter(fetch_request::Column::SourceId.eq(source_id))
        .filter(fetch_request::Column::State.eq(FetchState::Running))
        .exec(transaction)
        .await
        .map(drop)
}

/// Makes due what waits for longer than anything does: a clock that was ahead has set the time.
async fn wake_far_ahead(transaction: &impl ConnectionTrait, source_id: i32, now: Moment) -> Result<(), DbErr> {
    use entity::{delivery, fetch_request};
    fetch_request::Entity::update_many()
        .col_expr(fetch_request::Column::NotBefore, Expr::value(now))
        .filter(fetch_request::Column::SourceId.eq(source_id))
        // Written out, as below, so that the partial index serves.
        .filter(Expr::cust("state <> 'answered'"))
        .filter(fetch_request::Column::NotBefore.gt(now.plus_ms(MAX_REQUEST_PAUSE_MS)))
        .exec(transaction)
        .await?;
    delivery::Entity::update_many()
        .col_expr(delivery::Column::NextAttemptAt, Expr::value(now))
        .filter(delivery::Column::SourceId.eq(source_id))
        .filter(Expr::cust("state = 'pending'"))
        .filter(delivery::Column::NextAttemptAt.gt(now.plus_ms(MAX_DELIVERY_PAUSE_MS)))
        .exec(transaction)
        .await
        .map(drop)
}

/// Takes back to now when webhooks were kept or refused, where a clock that was ahead has noted it.
async fn take_back_times_ahead(transaction: &impl ConnectionTrait, source_id: i32, now: Moment) -> Result<(), DbErr> {
    use source_state::Column;
    for column in [Column::LastWebhookAt, Column::FirstRefusalAt, Column::LastRefusalAt] {
        source_state::Entity::update_many()
            .col_expr(column, Expr::value(now))
            .filter(Column::SourceId.eq(source_id))
            .filter(column.gt(now.latest()))
            .exec(transaction)
            .await?;
    }
    Ok(())
}
