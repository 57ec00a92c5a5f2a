//! Remembers which webhooks were refused, so that somebody who sends forged ones cannot keep the database busy: one
//! write a second and source, however many come.

use crate::clock::SharedClock;
use crate::db::Database;
use entity::{Moment, source_state};
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ColumnTrait, DbErr, EntityTrait, QueryFilter};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Between two writes.
const REST: Duration = Duration::from_secs(1);
/// Longest reason that is kept, characters: a sender has a say in it.
const REASON: usize = 300;

/// The refusals that are not written yet: at most one entry a configured source.
pub struct Refusals {
    clock: SharedClock,
    noted: Mutex<HashMap<i32, Noted>>,
    wake: Notify,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Noted {
    first_at: Moment,
    last_at: Moment,
    count: i64,
    reason: String,
}

impl Refusals {
    /// None so far.
    pub fn new(clock: SharedClock) -> Arc<Self> {
        Arc::new(Self { clock, noted: Mutex::default(), wake: Notify::new() })
    }

    /// Notes that a webhook of this source was refused now.
    pub(super) fn note(&self, source_id: i32, reason: &str) {
        let at = self.clock.now();
        // PostgreSQL has no text with a NUL in it.
        let reason: String = reason.chars().filter(|c| *c != '\0').take(REASON).collect();
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        match noted.get_mut(&source_id) {
            Some(known) => {
                known.last_at = Ord::max(known.last_at, at);
                known.count += 1;
                known.reason = reason;
            }
            None => drop(noted.insert(source_id, Noted { first_at: at, last_at: at, count: 1, reason })),
        }
        self.wake.notify_one();
    }

    /// Writes what is noted until told to stop, and once more then.
    pub async fn run(self: Arc<Self>, db: Database, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.wake.notified() => {}
            }
            let noted = std::mem::take(&mut *self.noted.lock().unwrap_or_else(PoisonError::into_inner));
            for (source_id, noted) in noted {
                if let Err(error) = write(&db, source_id, noted).await {
                    tracing::warn!(source_id, %error, "note refused webhooks");
                }
            }
            tokio::select! {
                () = stop.cancelled() => if self.is_empty() { return },
                () = tokio::time::sleep(REST) => {}
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}

/// Adds to what was refused since the last webhook that was kept. What a clock that was ahead has counted is forgotten:
/// nothing would be said of it until its time has come.
async fn write(db: &Database, source_id: i32, noted: Noted) -> Result<(), DbErr> {
    use source_state::Column;
    let col = |column: Column| Expr::col(column);
    let starts_anew = || {
        let is_ahead = col(Column::FirstRefusalAt).gt(noted.last_at.latest());
        let is_over = col(Column::LastWebhookAt).gte(col(Column::FirstRefusalAt));
        col(Column::FirstRefusalAt).is_null().or(is_ahead).or(is_over)
    };
    let first_at = Expr::case(starts_anew(), Expr::value(noted.first_at)).finally(col(Column::FirstRefusalAt));
    let count = Expr::case(starts_anew(), Expr::value(noted.count)).finally(col(Column::Refusals).add(noted.count));
    source_state::Entity::update_many()
        .col_expr(Column::FirstRefusalAt, first_at.into())
        .col_expr(Column::Refusals, count.into())
        .col_expr(Column::LastRefusalAt, Expr::value(noted.last_at))
        .col_expr(Column::LastRefusal, Expr::value(noted.reason))
        .filter(Column::SourceId.eq(source_id))
        .exec(db.writer())
        .await
        .map(drop)
}
