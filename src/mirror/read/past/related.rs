//! What hung on profiles then: subprofiles and relationships.

use super::undo::{Part, undo_subprofile};
use super::{LogPlace, MAX_CHANGES, PastError, PastProfile};
use crate::mirror::read::reader::{Reading, padded};
use crate::mirror::read::{Reader, RelationshipRow, SubprofileRow};
use ::entity::{ChangeKind, RecordKind, change, profile, relationship, relationship_type, subprofile};
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// Subprofiles or relationships of the profiles of one page.
const MAX_ROWS: u64 = 10_000;

impl Reader {
    /// The subprofiles that these profiles of one place had, each with the profile's row id, in the order in which the
    /// mirror met them.
    ///
    /// # Errors
    /// [`PastError`].
    pub async fn past_subprofiles(
        &self,
        place: LogPlace,
        profiles: &[Arc<PastProfile>],
    ) -> Result<Vec<SubprofileRow>, PastError> {
        let ids: Vec<i64> = profiles.iter().map(|past| past.row.id).collect();
        let named: BTreeSet<String> = profiles
            .iter()
            .flat_map(|past| &past.since)
            .filter(|change| change.record_kind == RecordKind::Subprofile)
            .map(|change| change.record_id.clone())
            .collect();
        let named: Vec<String> = named.into_iter().collect();
        let living = Condition::all()
            .add(subprofile::Column::ProfileId.is_in(padded(&ids)))
            .add(subprofile::Column::DeletedAt.is_null());
        let mut wanted = Condition::any().add(living);
        if !named.is_empty() {
            wanted = wanted.add(
                Condition::all()
                    .add(subprofile::Column::SourceId.eq(place.source_id))
                    .add(subprofile::Column::ExternalId.is_in(padded(&named))),
            );
        }
        let rows = subprofile::Entity::find()
            .filter(wanted)
            .limit(MAX_ROWS + 1)
            .all(self.connection())
            .await
            .reading("subprofiles of the past")?;
        if rows.len() as u64 > MAX_ROWS {
            return Err(PastError::TooFar);
        }
        let mut had = Vec::new();
        for past in profiles {
            had.extend(had_by(past, &rows));
        }
        had.sort_unstable_by_key(|row| row.id);
        Ok(had.into_iter().map(SubprofileRow::from).collect())
    }

    /// The relationships that these profiles of one place had, under each the ones of either end, in the order in which
    /// the mirror met them.
    ///
    /// # Errors
    /// [`PastError`].
    pub async fn past_relationships(
        &self,
        place: LogPlace,
        profiles: &[Arc<PastProfile>],
    ) -> Result<Vec<RelationshipRow>, PastError> {
        let ids: HashMap<&str, i64> = profiles.iter().map(|past| (&*past.row.external_id, past.row.id)).collect();
        let since = self.relationship_changes_since(place).await?;
        let undone = Undone::read(&since, &ids);
        let mut rows: BTreeMap<String, relationship::Model> = BTreeMap::new();
        for row in self.relationships_or_named(place, &ids, &undone).await? {
            rows.insert(row.external_id.clone(), row);
        }
        let others: BTreeSet<&String> = undone.restored.values().flat_map(|ends| [&ends.from, &ends.to]).collect();
        let others: Vec<String> = others.into_iter().cloned().collect();
        let row_ids = self.profile_row_ids(place.source_id, &others).await?;

        let mut had = Vec::new();
        for (external_id, mut row) in rows {
            match undone.restored.get(&external_id) {
                Some(ends) => {
                    let found = (row_ids.get(&ends.from), row_ids.get(&ends.to));
                    let (Some(from), Some(to)) = found else { continue };
                    (row.from_profile_id, row.to_profile_id) = (*from, *to);
                    row.relationship_type_id = ends.type_id.unwrap_or(row.relationship_type_id);
                    row.removed_at = None;
                }
                None if row.removed_at.is_some() || undone.taken.contains(&external_id) => continue,
                None => {}
            }
            had.push(row);
        }
        had.sort_unstable_by_key(|row| row.id);
        self.under_their_ends(had, &ids.into_values().collect()).await
    }

    async fn relationship_changes_since(&self, place: LogPlace) -> Result<Vec<change::Model>, PastError> {
        let rows = change::Entity::find()
            .filter(change::Column::SourceId.eq(place.source_id))
            .filter(change::Column::Revision.gt(place.revision))
            .filter(change::Column::RecordKind.eq(RecordKind::Relationship))
            .order_by_desc(change::Column::Revision)
            .limit(MAX_CHANGES + 1)
            .all(self.connection())
            .await
            .reading("what has changed of relationships since")?;
        if rows.len() as u64 > MAX_CHANGES { Err(PastError::TooFar) } else { Ok(rows) }
    }

    async fn relationships_or_named(
        &self,
        place: LogPlace,
        ids: &HashMap<&str, i64>,
        undone: &Undone,
    ) -> Result<Vec<relationship::Model>, PastError> {
        let ids: Vec<i64> = ids.values().copied().collect();
        let ids = padded(&ids);
        let ends = Condition::any()
            .add(relationship::Column::FromProfileId.is_in(ids.clone()))
            .add(relationship::Column::ToProfileId.is_in(ids));
        let mut wanted = Condition::any().add(ends);
        if !undone.restored.is_empty() {
            let named: Vec<String> = undone.restored.keys().cloned().collect();
            wanted = wanted.add(
                Condition::all()
                    .add(relationship::Column::SourceId.eq(place.source_id))
                    .add(relationship::Column::ExternalId.is_in(padded(&named))),
            );
        }
        let rows = relationship::Entity::find()
            .filter(wanted)
            .limit(MAX_ROWS + 1)
            .all(self.connection())
            .await
            .reading("relationships of the past")?;
        if rows.len() as u64 > MAX_ROWS { Err(PastError::TooFar) } else { Ok(rows) }
    }

    async fn profile_row_ids(&self, source_id: i32, names: &[String]) -> Result<HashMap<String, i64>, PastError> {
        if names.is_empty() {
            return Ok(HashMap::new());
        }
        let rows: Vec<(String, i64)> = profile::by_external_ids(source_id, &padded(names))
            .select_only()
            .columns([profile::Column::ExternalId, profile::Column::Id])
            .into_tuple()
            .all(self.connection())
            .await
            .reading("the ends of relationships")?;
        Ok(rows.into_iter().collect())
    }

    async fn under_their_ends(
        &self,
        rows: Vec<relationship::Model>,
        owners: &HashSet<i64>,
    ) -> Result<Vec<RelationshipRow>, PastError> {
        let types: BTreeSet<i32> = rows.iter().map(|row| row.relationship_type_id).collect();
        let types: Vec<i32> = types.into_iter().collect();
        let types: HashMap<i32, relationship_type::Model> =
            self.relationship_types_by_ids(&types).await?.into_iter().map(|row| (row.id, row)).collect();
        let mut had = Vec::new();
        for row in rows {
            let Some(kind) = types.get(&row.relationship_type_id) else { continue };
            // A relationship of a profile with itself is listed once.
            let ends = BTreeSet::from([row.from_profile_id, row.to_profile_id]);
            for owner_id in ends.into_iter().filter(|id| owners.contains(id)) {
                had.push(RelationshipRow { owner_id, relationship: row.clone(), kind: kind.clone() });
            }
        }
        Ok(had)
    }
}

/// The subprofiles that a profile had, out of the rows of today and the tombstones that its changes name.
fn had_by(past: &PastProfile, rows: &[subprofile::Model]) -> Vec<subprofile::Model> {
    let is_its = |row: &&subprofile::Model| row.profile_id == past.row.id && row.deleted_at.is_none();
    let mut had: BTreeMap<&str, subprofile::Model> =
        rows.iter().filter(is_its).map(|row| (&*row.external_id, row.clone())).collect();
    let by_name: HashMap<&str, &subprofile::Model> = rows.iter().map(|row| (&*row.external_id, row)).collect();
    for change in past.since.iter().filter(|change| change.record_kind == RecordKind::Subprofile) {
        let id = &*change.record_id;
        match change.kind {
            ChangeKind::SubprofileCreated => {
                had.remove(id);
            }
            ChangeKind::SubprofileDeleted if past.is_erased() => {}
            ChangeKind::SubprofileDeleted => {
                let Some(row) = by_name.get(id) else { continue };
                let mut row = subprofile::Model {
                    profile_id: past.row.id,
                    fields: serde_json::Value::Object(serde_json::Map::new()),
                    collection_id: None,
                    created_at: None,
                    ..(*row).clone()
                };
                undo_subprofile(&mut row, change);
                had.insert(id, row);
            }
            _ => {
                if let Some(row) = had.get_mut(id) {
                    undo_subprofile(row, change);
                }
            }
        }
    }
    had.into_values().collect()
}

/// The relationships that changed since, as they were.
#[derive(Default)]
struct Undone {
    /// Not there then.
    taken: HashSet<String>,
    /// There then, and between which ends.
    restored: HashMap<String, Ends>,
}

struct Ends {
    from: String,
    to: String,
    type_id: Option<i32>,
}

impl Undone {
    /// Follows changes back, the newest first; those with an end among `names` matter.
    fn read(since: &[change::Model], names: &HashMap<&str, i64>) -> Self {
        let mut undone = Self::default();
        for change in since {
            if change.kind == ChangeKind::RelationshipCreated {
                undone.restored.remove(&change.record_id);
                undone.taken.insert(change.record_id.clone());
                continue;
            }
            let before = |name: &str| Part::all(change).find(|part| part.name() == name);
            let (Some(from), Some(to)) = (before("from"), before("to")) else { continue };
            let (Some(from), Some(to)) = (from.text_before(), to.text_before()) else { continue };
            if names.contains_key(&*from) || names.contains_key(&*to) {
                let type_id = before("type").and_then(|part| part.id_before());
                undone.restored.insert(change.record_id.clone(), Ends { from, to, type_id });
            }
        }
        undone
    }
}
