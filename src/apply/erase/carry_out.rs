//! Carries erasures out: empties what tells of people whose rows were just emptied, and writes the receipt.

use super::late::Hit;
use super::redact::{Emptied, empty};
use super::search::{Found, OfOne, search_one};
use super::suppression::suppress;
use crate::db::Database;
use crate::inbox::erase;
use crate::mirror::write;
use entity::{Moment, erasure};
use provider::{Provider, Subjects, Target};
use sea_orm::{DatabaseTransaction, DbErr};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use tokio::sync::Notify;

/// People erased in one transaction: each may have pages rewritten, and senders wait for the one writer.
pub(in crate::apply) const MAX_ERASURES: usize = 4;

/// What an erasure needs to know of its source, and whom to tell of it.
pub(in crate::apply) struct Eraser {
    /// Name of the source.
    pub source_name: String,
    /// Notified when the files of the database are to be cleaned.
    pub cleaner: Arc<Notify>,
}

/// A profile whose current rows were emptied in this transaction.
#[derive(Clone, Debug)]
pub(in crate::apply) struct Erasing {
    pub external_id: String,
    pub reason: String,
    pub position: i64,
    pub interests: usize,
    pub subprofiles: usize,
    pub relationships: usize,
}

/// Empties everything that tells of the profiles whose rows were just emptied, and every delivery of the batch that
/// tells of somebody erased before. Returns whether anything was emptied.
#[expect(clippy::too_many_arguments, reason = "the parts of one transaction, passed through once")]
pub(in crate::apply) async fn carry_out(
    transaction: &DatabaseTransaction,
    db: &Database,
    eraser: &Eraser,
    source_id: i32,
    provider: &dyn Provider,
    now: Moment,
    erasing: Vec<Erasing>,
    mut found: Found,
    hits: Vec<Hit>,
) -> Result<bool, DbErr> {
    if erasing.is_empty() && hits.is_empty() {
        return Ok(false);
    }
    let fresh: BTreeSet<String> = erasing.iter().map(|erasing| erasing.external_id.clone()).collect();
    let mut has_emptied = !erasing.is_empty();
    let names: Vec<String> = fresh.iter().chain(hits.iter().flat_map(|hit| &hit.of)).cloned().collect();
    let rows: HashMap<String, i64> =
        write::profile_rows(transaction, source_id, &names).await?.into_iter().map(|(id, name)| (name, id)).collect();
    if !erasing.is_empty() {
        suppress(transaction, eraser, now, fresh.iter()).await?;
        for (position, body) in std::mem::take(&mut found.slices) {
            erase::rewrite(transaction, position, body).await?;
        }
        erase::empty(transaction, now, &found.whole).await?;
        write::empty_verdicts(transaction, &found.whole).await?;
    }
    for erasing in erasing {
        let Some(profile_id) = rows.get(&erasing.external_id).copied() else { continue };
        let OfOne { emptied: before, left: mut positions } = match found.of.remove(&erasing.external_id) {
            Some(of) => of,
            None => OfOne {
                emptied: Emptied::default(),
                left: search_one(transaction, db, source_id, &erasing.external_id, Some(profile_id)).await?,
            },
        };
        positions.extend(hits.iter().filter(|hit| hit.of.contains(&erasing.external_id)).map(|hit| hit.position));
        let subprofiles = write::subprofile_ids(transaction, profile_id).await?;
        let subjects =
            Subjects { profiles: [erasing.external_id.clone()].into(), subprofiles: subprofiles.into_iter().collect() };
        let emptied = empty(transaction, provider, now, &subjects, positions).await?;
        let profiles = subjects.profiles.iter().map(|id| Target::Profile { id: id.clone() });
        let requests = profiles.chain(subjects.subprofiles.iter().map(|id| Target::Subprofile { id: id.clone() }));
        let requests: Vec<String> = requests.map(|target| write::target_key(&target)).collect();
        write::drop_requests(transaction, source_id, &requests).await?;
        let changes = write::empty_changes(transaction, db.dialect(), profile_id).await?;
        let count = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
        let receipt = erasure::Model {
            id: 0,
            source_id,
            profile_id,
            reason: erasing.reason,
            at: now,
            delivery_id: erasing.position,
            interests: count(erasing.interests),
            subprofiles: count(erasing.subprofiles),
            relationships: count(erasing.relationships),
            changes: i32::try_from(changes).unwrap_or(i32::MAX),
            deliveries: count(before.whole + emptied.whole),
            slices: count(before.slices + emptied.slices),
            late_deliveries: 0,
            files_cleaned_at: None,
        };
        write::write_erasure(transaction, receipt).await?;
    }
    for hit in hits.into_iter().filter(|hit| hit.of.iter().any(|id| !fresh.contains(id))) {
        let emptied = empty(transaction, provider, now, &hit.subjects, vec![hit.position]).await?;
        if emptied.whole + emptied.slices > 0 {
            let late = hit.of.iter().filter(|id| !fresh.contains(*id));
            let late: Vec<i64> = late.filter_map(|id| rows.get(id).copied()).collect();
            write::count_late(transaction, &late).await?;
            has_emptied = true;
        }
    }
    Ok(has_emptied)
}
