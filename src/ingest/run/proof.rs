//! Whether a run has seen everything: only then may what it did not see be looked at as gone.

use super::checkpoint::Checkpoint;
use crate::db::Database;
use entity::{RowSet, run_page, sync_run};
use sea_orm::{ColumnTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use std::collections::BTreeMap;

/// What the pages of a run prove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// Every page was read and every total is matched.
    Complete,
    /// These streams brought fewer records than their totals promised.
    Short(Vec<Shortfall>),
    /// So many pages could not be read.
    Unread(i64),
}

/// A stream that brought less than it promised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shortfall {
    /// The stream.
    pub stream: String,
    /// Different records that its pages named.
    pub seen: u64,
    /// Records that upstream said there are.
    pub total: u64,
}

/// Looks at what the pages of a run named. Every page must be settled.
pub(super) async fn examine(db: &Database, run: &sync_run::Model, checkpoint: &Checkpoint) -> Result<Proof, DbErr> {
    if run.pages_parked > 0 {
        return Ok(Proof::Unread(run.pages_parked));
    }
    let mut seen: BTreeMap<String, (RowSet, RowSet)> = BTreeMap::new();
    let mut after = 0;
    loop {
        let pages = run_page::Entity::find()
            .filter(run_page::Column::RunId.eq(run.id))
            .filter(run_page::Column::DeliveryId.gt(after))
            .order_by_asc(run_page::Column::DeliveryId)
            .limit(100)
            .all(db.primary())
            .await?;
        let Some(last) = pages.last() else { break };
        after = last.delivery_id;
        for page in pages {
            let (profiles, subprofiles) = seen.entry(page.stream).or_default();
            profiles.unite(&RowSet::from_bytes(&page.profiles).unwrap_or_default());
            subprofiles.unite(&RowSet::from_bytes(&page.subprofiles).unwrap_or_default());
        }
    }
    let short = checkpoint.streams.iter().filter_map(|(name, stream)| {
        let total = stream.total?;
        let seen = seen.get(name).map_or(0, |(profiles, subprofiles)| profiles.len().max(subprofiles.len()));
        (seen < total).then(|| Shortfall { stream: name.clone(), seen, total })
    });
    let short: Vec<Shortfall> = short.collect();
    Ok(if short.is_empty() { Proof::Complete } else { Proof::Short(short) })
}
