//! What the pages of runs named and came to.

use super::drift::PageDrift;
use super::rows::{Known, Table};
use entity::{RowSet, run_page, sync_run};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, ExprTrait, QueryFilter, QueryOrder, QuerySelect};
use std::collections::{HashMap, HashSet};

/// What a page of a run came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct PageTally {
    /// The run.
    pub run_id: i64,
    /// The page, as a delivery.
    pub delivery_id: i64,
    /// Its stream.
    pub stream: String,
    /// Records of the whole stream, where upstream told.
    pub expected: Option<i64>,
    /// Rows of the profiles that it named.
    pub profiles: RowSet,
    /// Rows of the subprofiles that it named.
    pub subprofiles: RowSet,
    /// Profiles first seen.
    pub created: i64,
    /// Profiles changed.
    pub updated: i64,
    /// Profiles that were so already.
    pub unchanged: i64,
    /// Profiles on which it and newer news disagree.
    pub conflicts: i64,
    /// It could not be read or applied.
    pub is_parked: bool,
    /// For a plan: what stands for the changes that it told and no earlier page.
    pub told: Vec<i64>,
    /// What it showed, where the run measures drift.
    pub drift: Option<PageDrift>,
}

impl PageTally {
    /// Adds what another part of the same page came to.
    pub fn add(&mut self, part: Self) {
        self.profiles.unite(&part.profiles);
        self.subprofiles.unite(&part.subprofiles);
        self.created += part.created;
        self.updated += part.updated;
        self.unchanged += part.unchanged;
        self.conflicts += part.conflicts;
        self.is_parked |= part.is_parked;
        match (&mut self.drift, part.drift) {
            (Some(drift), Some(part)) => drift.add(part),
            (drift @ None, part) => *drift = part,
            (Some(_), None) => {}
        }
    }
}

/// Notes what pages of runs named, and counts them.
pub(crate) async fn write_tallies(transaction: &impl ConnectionTrait, tallies: Vec<PageTally>) -> Result<(), DbErr> {
    use sync_run::Column;
    let mut by_run: HashMap<i64, PageTally> = HashMap::new();
    let mut pages = Vec::with_capacity(tallies.len());
    let mut counted: HashMap<i64, (i64, i64)> = HashMap::new();
    for tally in tallies {
        let sum = by_run.entry(tally.run_id).or_default();
        sum.created += tally.created;
        sum.updated += tally.updated;
        sum.unchanged += tally.unchanged;
        sum.conflicts += tally.conflicts;
        let (settled, parked) = counted.entry(tally.run_id).or_default();
        *settled += 1;
        *parked += i64::from(tally.is_parked);
        let told: Vec<u8> = tally.told.iter().flat_map(|number| number.to_le_bytes()).collect();
        let shown = tally.drift.as_ref().map(|drift| drift.shown_bytes(&tally.profiles, &tally.subprofiles));
        pages.push(run_page::Model {
            run_id: tally.run_id,
            delivery_id: tally.delivery_id,
            stream: tally.stream,
            expected: tally.expected,
            profiles: tally.profiles.to_bytes(),
            subprofiles: tally.subprofiles.to_bytes(),
            shown,
            // A plan measures no drift.
            before: tally.drift.as_ref().and_then(PageDrift::before_bytes).or((!told.is_empty()).then_some(told)),
        });
    }
    static PAGES: Table<run_page::Entity> =
        Table::new(None, Known::IsReplaced(&[run_page::Column::RunId, run_page::Column::DeliveryId]));
    PAGES.insert(transaction, pages).await?;
    for (run_id, sum) in by_run {
        let (settled, parked) = counted.get(&run_id).copied().unwrap_or_default();
        let plus = |column: Column, count: i64| Expr::col(column).add(count);
        sync_run::Entity::update_many()
            .col_expr(Column::PagesSettled, plus(Column::PagesSettled, settled))
            .col_expr(Column::PagesParked, plus(Column::PagesParked, parked))
            .col_expr(Column::Created, plus(Column::Created, sum.created))
            .col_expr(Column::Updated, plus(Column::Updated, sum.updated))
            .col_expr(Column::Unchanged, plus(Column::Unchanged, sum.unchanged))
            .col_expr(Column::Conflicts, plus(Column::Conflicts, sum.conflicts))
            .filter(Column::Id.eq(run_id))
            .exec(transaction)
            .await?;
    }
    Ok(())
}

/// What the pages of a run named.
#[derive(Debug, Default)]
pub(crate) struct NamedRows {
    /// The pages themselves, by their inbox positions.
    pub pages: RowSet,
    /// Rows of profiles.
    pub profiles: RowSet,
    /// Rows of subprofiles.
    pub subprofiles: RowSet,
}

/// All rows that the pages of a run named. A page that cannot be read is none.
pub(crate) async fn load_named(connection: &impl ConnectionTrait, run_id: i64) -> Result<NamedRows, DbErr> {
    let mut named = NamedRows::default();
    let mut after = 0;
    loop {
        let pages = run_page::Entity::find()
            .filter(run_page::Column::RunId.eq(run_id))
            .filter(run_page::Column::DeliveryId.gt(after))
            .order_by_asc(run_page::Column::DeliveryId)
            .limit(100)
            .all(connection)
            .await?;
        let Some(last) = pages.last() else { return Ok(named) };
        after = last.delivery_id;
        for page in pages {
            named.pages.insert(page.delivery_id);
            named.profiles.unite(&RowSet::from_bytes(&page.profiles).unwrap_or_default());
            named.subprofiles.unite(&RowSet::from_bytes(&page.subprofiles).unwrap_or_default());
        }
    }
}

/// What stands for the changes that the pages of a plan have told.
pub(crate) async fn load_told(connection: &impl ConnectionTrait, run_id: i64) -> Result<HashSet<i64>, DbErr> {
    let (mut told, mut after) = (HashSet::new(), 0);
    loop {
        let pages: Vec<(i64, Option<Vec<u8>>)> = run_page::Entity::find()
            .filter(run_page::Column::RunId.eq(run_id))
            .filter(run_page::Column::DeliveryId.gt(after))
            .order_by_asc(run_page::Column::DeliveryId)
            .limit(100)
            .select_only()
            .columns([run_page::Column::DeliveryId, run_page::Column::Before])
            .into_tuple()
            .all(connection)
            .await?;
        let Some((last, _)) = pages.last() else { return Ok(told) };
        after = *last;
        for (_, numbers) in pages {
            let (numbers, _) = numbers.as_deref().unwrap_or_default().as_chunks();
            told.extend(numbers.iter().map(|number| i64::from_le_bytes(*number)));
        }
    }
}
