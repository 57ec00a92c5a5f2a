//! The words of profiles, for search.

use super::rows::{Known, Table};
use crate::mirror::words::Words;
use entity::{profile, profile_search};
use sea_orm::sea_query::{Expr, ExprTrait, Func, Query};
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, QueryFilter, QueryOrder, QuerySelect};

/// Newer words win: whoever fills in may have read a profile before apply wrote it.
pub(super) static WORDS: Table<profile_search::Entity> =
    Table::new(None, Known::IsReplacedByNewer(&[profile_search::Column::ProfileId], profile_search::Column::Revision));

/// The row of a profile.
pub(super) fn row_of(row: &profile::Model) -> profile_search::Model {
    let words = Words::of(row);
    let list = |words: std::collections::BTreeSet<String>| words.into_iter().collect::<Vec<_>>().join(" ");
    profile_search::Model {
        profile_id: row.id,
        revision: row.revision,
        name: format!(" {} ", list(words.name)),
        words: list(words.all),
    }
}

/// Writes the words of profiles that have none yet, or older ones: those of the mirror from before there was a search, or
/// written by an older version of the service. Up to `limit` of those behind a row id; the last id looked at, or none at
/// the end.
pub(crate) async fn fill_search(
    transaction: &impl ConnectionTrait,
    after: i64,
    limit: u64,
) -> Result<Option<i64>, DbErr> {
    // Looked up row by row: a join may be carried out by reading all words for each step.
    let written = Query::select()
        .column(profile_search::Column::Revision)
        .from(profile_search::Entity)
        .and_where(Expr::col(profile_search::Column::ProfileId).equals((profile::Entity, profile::Column::Id)))
        .take();
    let revision = Expr::col((profile::Entity, profile::Column::Revision));
    let rows = profile::known()
        .filter(profile::Column::Id.gt(after))
        .filter(Func::coalesce([Expr::SubQuery(None, Box::new(written.into())), Expr::val(-1_i64)]).lt(revision))
        .order_by_asc(profile::Column::Id)
        .limit(limit)
        .all(transaction)
        .await?;
    let last = rows.last().map(|row| row.id);
    WORDS.insert(transaction, rows.iter().map(row_of).collect()).await?;
    Ok(last)
}
