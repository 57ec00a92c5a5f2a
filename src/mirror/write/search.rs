//! The words of profiles, for search.

use super::rows::{self, Known};
use crate::mirror::words::Words;
use entity::{profile, profile_search};
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, JoinType, QueryFilter, QueryOrder, QuerySelect, RelationDef,
};
use std::collections::HashMap;

/// The row of a profile whose id may not be known yet.
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

/// Writes the words of profiles that were just written.
pub(super) async fn write_search(
    transaction: &impl ConnectionTrait,
    rows: Vec<(String, profile_search::Model)>,
    ids: &HashMap<String, i64>,
) -> Result<(), DbErr> {
    let rows = rows.into_iter().filter_map(|(external_id, row)| {
        let profile_id = *ids.get(&external_id)?;
        Some(profile_search::Model { profile_id, ..row })
    });
    write(transaction, rows.collect()).await
}

/// Writes the words of profiles that have none yet, or older ones: those of the mirror from before there was a search, or
/// written by an older version of the service. Up to `limit` of those behind a row id; the last id looked at, or none at
/// the end.
pub(crate) async fn fill_search(
    transaction: &impl ConnectionTrait,
    after: i64,
    limit: u64,
) -> Result<Option<i64>, DbErr> {
    let words: RelationDef = profile::Entity::belongs_to(profile_search::Entity)
        .from(profile::Column::Id)
        .to(profile_search::Column::ProfileId)
        .into();
    let known = Expr::col((profile_search::Entity, profile_search::Column::Revision));
    let rows = profile::known()
        .join(JoinType::LeftJoin, words)
        .filter(profile::Column::Id.gt(after))
        .filter(known.clone().is_null().or(known.lt(Expr::col((profile::Entity, profile::Column::Revision)))))
        .order_by_asc(profile::Column::Id)
        .limit(limit)
        .all(transaction)
        .await?;
    let last = rows.last().map(|row| row.id);
    write(transaction, rows.iter().map(row_of).collect()).await?;
    Ok(last)
}

/// Newer words win: whoever fills in may have read a profile before apply wrote it.
async fn write(transaction: &impl ConnectionTrait, rows: Vec<profile_search::Model>) -> Result<(), DbErr> {
    use profile_search::Column;
    let newer = Known::IsReplacedByNewer(&[Column::ProfileId], Column::Revision);
    rows::insert::<profile_search::Entity>(transaction, rows, None, newer).await
}
