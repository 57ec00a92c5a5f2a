//! Tells PostgreSQL's planner of tables that grow, before autovacuum does.
//!
//! A first sync fills empty tables within seconds. Autovacuum looks once a minute, and some servers run none. Until then the
//! planner takes one source for one of two hundred, and reads all its profiles to find a hundred of them by name: each part
//! of a page takes as long as everything before it. Statistics gathered anew end such plans, prepared ones too.

use super::Database;
use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Our tables of which more rows were written since the planner was told than it knows of. Small ones are planned well without.
const OUTGROWN: &str = "SELECT quote_ident(stat.schemaname) || '.' || quote_ident(stat.relname) \
     FROM pg_stat_user_tables stat JOIN pg_class class ON class.oid = stat.relid \
     WHERE stat.schemaname = current_schema() AND pg_has_role(class.relowner, 'USAGE') \
     AND stat.n_mod_since_analyze > greatest(class.reltuples, 0) + 1000 \
     ORDER BY stat.relname LIMIT 100";
/// Between two looks while tables grow.
const BUSY: Duration = Duration::from_secs(1);
/// Between two looks while none does.
const IDLE: Duration = Duration::from_secs(2);
/// After a failure.
const REST: Duration = Duration::from_secs(30);

/// Looks at the tables until told to stop. On SQLite there is nothing to do: it plans well without.
pub async fn run(db: Database, stop: CancellationToken) {
    if db.file().is_some() {
        return;
    }
    loop {
        let pause = match gather(&db).await {
            Ok(0) => IDLE,
            Ok(_) => BUSY,
            Err(error) => {
                tracing::warn!(%error, "gather statistics for PostgreSQL's planner; autovacuum does it later");
                REST
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Gathers the statistics of tables that have outgrown them. Returns how many there were. Whom somebody else looks at already
/// is passed over.
async fn gather(db: &Database) -> Result<usize, DbErr> {
    let outgrown = db.writer().query_all_raw(Statement::from_string(DbBackend::Postgres, OUTGROWN)).await?;
    for row in &outgrown {
        let table: String = row.try_get_by_index(0)?;
        db.writer().execute_unprepared(&format!("ANALYZE (SKIP_LOCKED) {table}")).await?;
    }
    Ok(outgrown.len())
}
