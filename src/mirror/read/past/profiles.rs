//! Profiles as they were, by their rows and in pages.

use super::undo::{Part, undo};
use super::{LogPlace, MAX_CHANGES, PastError};
use crate::mirror::read::reader::{Reading, padded};
use crate::mirror::read::{Predicate, Reader, Sources};
use ::entity::{ChangeKind, RecordKind, Status, change, profile, profile_type};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Rows that a page of the past is looked for in.
const MAX_SCAN: usize = 1_000;
const SCAN_STEP: u64 = 100;

/// A profile as it was at a place of the log.
#[derive(Clone, Debug)]
pub struct PastProfile {
    /// Where.
    pub place: LogPlace,
    /// Its row as it was. When it was last modified is not known where it has changed since.
    pub row: Arc<profile::Model>,
    /// What has changed since of it and of what hangs on it, the newest first.
    pub(super) since: Vec<change::Model>,
}

/// A page of profiles as they were.
pub struct PastPage {
    /// Those that were there and pass.
    pub rows: Vec<PastProfile>,
    /// There may be more.
    pub has_next: bool,
    /// The last profile that was looked at: the next page begins behind it.
    pub looked_at: Option<i64>,
}

impl PastProfile {
    /// Whether it was erased since: what it held is not known any more.
    pub(super) fn is_erased(&self) -> bool {
        self.since.iter().any(|change| matches!(change.kind, ChangeKind::Anonymized | ChangeKind::Erased))
    }

    /// The interests that were on, as (group, name); none where they are as they are now.
    pub fn interests(&self) -> Option<Vec<(Option<String>, String)>> {
        let own = self.since.iter().filter(|change| change.record_kind == RecordKind::Profile);
        let told = own.flat_map(Part::all).filter(|part| part.is_attribute() && part.name() == "interests");
        let oldest = told.last()?;
        let text = |interest: &serde_json::Value, key: &str| {
            interest.get(key).and_then(serde_json::Value::as_str).map(str::to_owned)
        };
        let read = oldest.before().as_array().into_iter().flatten();
        Some(read.filter_map(|interest| Some((text(interest, "group"), text(interest, "name")?))).collect())
    }
}

impl Reader {
    /// These profiles as they were; one that was not there is left out.
    ///
    /// # Errors
    /// [`PastError`].
    pub async fn past_profiles(&self, place: LogPlace, ids: &[i64]) -> Result<Vec<PastProfile>, PastError> {
        let rows = self.profiles_by_ids(ids).await?;
        self.fold_back(place, rows).await
    }

    /// The profiles of a page of today as they were: those that have not changed since as they are, of the others those
    /// that were there and may have passed.
    ///
    /// # Errors
    /// [`PastError`].
    pub async fn as_they_were(
        &self,
        places: &[LogPlace],
        predicate: Option<&Predicate>,
        rows: Vec<profile::Model>,
    ) -> Result<Vec<PastProfile>, PastError> {
        let place_of = |row: &profile::Model| places.iter().find(|place| place.source_id == row.source_id).copied();
        let is_same = |row: &profile::Model| place_of(row).is_some_and(|place| row.revision <= place.revision);
        let (same, moved): (Vec<_>, Vec<_>) = rows.into_iter().partition(is_same);
        let same = same.into_iter().filter_map(|row| {
            let place = place_of(&row)?;
            Some(PastProfile { place, row: Arc::new(row), since: Vec::new() })
        });
        let mut then: Vec<PastProfile> = same.collect();
        if !moved.is_empty() {
            let sources = self.sources_with(places.iter().map(|place| place.source_id)).await?;
            then.extend(self.passing_then(places, predicate, &sources, moved).await?);
            then.sort_unstable_by_key(|past| past.row.id);
        }
        Ok(then)
    }

    async fn fold_back(&self, place: LogPlace, rows: Vec<profile::Model>) -> Result<Vec<PastProfile>, PastError> {
        if place.is_beginning() {
            return Ok(Vec::new());
        }
        // The row knows its newest change: most have none since.
        let moved: Vec<i64> = rows.iter().filter(|row| row.revision > place.revision).map(|row| row.id).collect();
        let mut since: HashMap<i64, Vec<change::Model>> = HashMap::new();
        for change in self.changes_since(place, &moved).await? {
            since.entry(change.profile_id).or_default().push(change);
        }
        let folded = rows.into_iter().map(|mut row| {
            let since = since.remove(&row.id).unwrap_or_default();
            for change in &since {
                undo(&mut row, change);
            }
            row.mirrored_at = row.mirrored_at.min(place.at);
            PastProfile { place, row: Arc::new(row), since }
        });
        Ok(folded.filter(|past| past.row.is_known).collect())
    }

    /// What has changed of these profiles and of what hangs on them since, the newest first.
    ///
    /// # Errors
    /// [`PastError`].
    pub async fn changes_since(&self, place: LogPlace, profile_ids: &[i64]) -> Result<Vec<change::Model>, PastError> {
        if profile_ids.is_empty() {
            return Ok(Vec::new());
        }
        let rows = change::Entity::find()
            .filter(change::Column::ProfileId.is_in(padded(profile_ids)))
            .filter(change::Column::Revision.gt(place.revision))
            .order_by_desc(change::Column::Revision)
            .limit(MAX_CHANGES + 1)
            .all(self.connection())
            .await
            .reading("what has changed since")?;
        if rows.len() as u64 > MAX_CHANGES { Err(PastError::TooFar) } else { Ok(rows) }
    }

    /// A page of the profiles that were there and passed, in the order in which the mirror met them. It is looked for in a
    /// bounded number of rows, so that a page may hold fewer than wanted and yet not be the last.
    ///
    /// # Errors
    /// [`PastError`].
    pub async fn past_page(
        &self,
        places: &[LogPlace],
        predicate: Option<&Predicate>,
        after: Option<i64>,
        wanted: usize,
    ) -> Result<PastPage, PastError> {
        let sources = self.sources_with(places.iter().map(|place| place.source_id)).await?;
        let has_anybody = places.iter().any(|place| !place.is_beginning());
        let mut page = PastPage { rows: Vec::new(), has_next: has_anybody, looked_at: after };
        let mut scanned = 0;
        while page.has_next && scanned < MAX_SCAN {
            let behind = page.looked_at.unwrap_or(i64::MIN);
            let rows = profile::known()
                .filter(profile::Column::Id.gt(behind))
                .order_by_asc(profile::Column::Id)
                .limit(SCAN_STEP)
                .all(self.connection())
                .await
                .reading("profiles by id")?;
            page.has_next = rows.len() as u64 == SCAN_STEP;
            scanned += rows.len();
            let last = rows.last().map(|row| row.id);
            for past in self.passing_then(places, predicate, &sources, rows).await? {
                if page.rows.len() == wanted {
                    page.has_next = true;
                    return Ok(page);
                }
                page.looked_at = Some(past.row.id);
                page.rows.push(past);
            }
            page.looked_at = last.or(page.looked_at);
        }
        Ok(page)
    }

    /// Those of the rows that were there and passed, in their order. What hung on them is not looked at: tests on it pass.
    async fn passing_then(
        &self,
        places: &[LogPlace],
        predicate: Option<&Predicate>,
        sources: &Sources,
        rows: Vec<profile::Model>,
    ) -> Result<Vec<PastProfile>, PastError> {
        let mut by_source: HashMap<i32, Vec<profile::Model>> = HashMap::new();
        for row in rows {
            by_source.entry(row.source_id).or_default().push(row);
        }
        let mut folded = Vec::new();
        for place in places {
            if let Some(rows) = by_source.remove(&place.source_id) {
                folded.extend(self.fold_back(*place, rows).await?);
            }
        }
        folded.sort_unstable_by_key(|past| past.row.id);
        let types: BTreeSet<i32> = folded.iter().filter_map(|past| past.row.profile_type_id).collect();
        let types = self.profile_types_by_ids(&types.into_iter().collect::<Vec<_>>()).await?;
        let types: HashMap<i32, profile_type::Model> = types.into_iter().map(|row| (row.id, row)).collect();
        let names_status = predicate.is_some_and(Predicate::names_status);
        folded.retain(|past| {
            let kind = past.row.profile_type_id.and_then(|id| types.get(&id));
            (names_status || past.row.status != Status::Deleted)
                && predicate.is_none_or(|predicate| predicate.may_accept(&past.row, kind, sources))
        });
        Ok(folded)
    }
}
