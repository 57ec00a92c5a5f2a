//! What the pages of a run showed of rows, and what was stored of them before.

use entity::{RecordKind, RowSet, run_page};
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use std::collections::HashMap;

/// What a page of a measured run showed.
#[derive(Clone, Debug, Default)]
pub(crate) struct PageDrift {
    /// Rows of profiles, each with what the page showed of it; 0 where it tells nothing certain.
    pub profiles: Vec<(i64, u64)>,
    /// The same of subprofiles.
    pub subprofiles: Vec<(i64, u64)>,
    /// What was stored before of the rows that differed; 0 where nothing was.
    pub profiles_before: Vec<(i64, u64)>,
    /// The same of subprofiles.
    pub subprofiles_before: Vec<(i64, u64)>,
}

impl PageDrift {
    /// Adds what another part of the same page showed.
    pub(in crate::mirror::write) fn add(&mut self, part: Self) {
        self.profiles.extend(part.profiles);
        self.subprofiles.extend(part.subprofiles);
        self.profiles_before.extend(part.profiles_before);
        self.subprofiles_before.extend(part.subprofiles_before);
    }

    /// What was shown, in the order of the rows that the page named.
    pub(in crate::mirror::write) fn shown_bytes(&self, profiles: &RowSet, subprofiles: &RowSet) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (rows, shown) in [(profiles, &self.profiles), (subprofiles, &self.subprofiles)] {
            let shown: HashMap<i64, u64> = shown.iter().copied().collect();
            bytes.extend(rows.iter().flat_map(|id| shown.get(&id).copied().unwrap_or(0).to_le_bytes()));
        }
        bytes
    }

    /// What was before, row by row. Rows of subprofiles are told apart by their sign.
    pub(in crate::mirror::write) fn before_bytes(&self) -> Option<Vec<u8>> {
        let profiles = self.profiles_before.iter().copied();
        let subprofiles = self.subprofiles_before.iter().map(|(id, before)| (-id, *before));
        let bytes: Vec<u8> = profiles
            .chain(subprofiles)
            .flat_map(|(id, before)| id.to_le_bytes().into_iter().chain(before.to_le_bytes()))
            .collect();
        (!bytes.is_empty()).then_some(bytes)
    }
}

/// What the pages of a run showed of the rows of one kind, within a window of row ids.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    /// Rows in order, each with what the last page that named it showed; 0 where that tells nothing certain.
    rows: Vec<(i64, u64)>,
    /// What was stored before the run, where it was another; 0 where nothing was.
    before: HashMap<i64, u64>,
}

impl Shown {
    /// What the pages showed of a row, and what was stored before; none where they tell nothing certain.
    pub(crate) fn of(&self, id: i64) -> Option<(u64, u64)> {
        let place = self.rows.binary_search_by_key(&id, |row| row.0).ok()?;
        let shown = self.rows[place].1;
        (shown != 0).then(|| (shown, self.before.get(&id).copied().unwrap_or(shown)))
    }
}

/// Bytes as they are kept, a number at a time.
pub(super) fn numbers(bytes: &[u8]) -> impl Iterator<Item = [u8; 8]> {
    bytes.as_chunks::<8>().0.iter().copied()
}

/// Loads what the pages of a run showed of rows after `after` and up to `upto`.
pub(crate) async fn load_shown(
    connection: &impl ConnectionTrait,
    run_id: i64,
    kind: RecordKind,
    after: i64,
    upto: i64,
) -> Result<Shown, DbErr> {
    let is_within = |id: &i64| *id > after && *id <= upto;
    let mut shown = Shown::default();
    let mut page_after = 0;
    loop {
        let pages = run_page::Entity::find()
            .filter(run_page::Column::RunId.eq(run_id))
            .filter(run_page::Column::DeliveryId.gt(page_after))
            .order_by_asc(run_page::Column::DeliveryId)
            .limit(100)
            .all(connection)
            .await?;
        let Some(last) = pages.last() else { break };
        page_after = last.delivery_id;
        for page in pages {
            let profiles = RowSet::from_bytes(&page.profiles).unwrap_or_default();
            let subprofiles = RowSet::from_bytes(&page.subprofiles).unwrap_or_default();
            let mut told = page.shown.as_deref().map(numbers).into_iter().flatten().map(u64::from_le_bytes);
            for (kind_of_rows, rows) in [(RecordKind::Profile, profiles), (RecordKind::Subprofile, subprofiles)] {
                // A page that was taken without being measured tells nothing certain.
                let rows: Vec<(i64, u64)> = rows.iter().map(|id| (id, told.next().unwrap_or(0))).collect();
                if kind_of_rows == kind {
                    shown.rows.extend(rows.into_iter().filter(|row| is_within(&row.0)));
                }
            }
            let mut before = page.before.as_deref().map(numbers).into_iter().flatten();
            while let (Some(id), Some(mixed)) = (before.next(), before.next()) {
                let id = i64::from_le_bytes(id);
                let (id_kind, id) = if id > 0 { (RecordKind::Profile, id) } else { (RecordKind::Subprofile, -id) };
                if id_kind == kind && is_within(&id) {
                    shown.before.entry(id).or_insert(u64::from_le_bytes(mixed));
                }
            }
        }
    }
    // Stable: of a row that several pages named the last one stays.
    shown.rows.sort_by_key(|row| row.0);
    shown.rows.reverse();
    shown.rows.dedup_by_key(|row| row.0);
    shown.rows.reverse();
    Ok(shown)
}
