//! Differences that are told one by one, until they are repaired or too many newer ones are told.

use super::measure::{Counts, count};
use crate::mirror::write::rows::{Known, Table};
use crate::mirror::write::target_key;
use entity::{DriftMeans, DriftNature, Moment, RecordKind, drift_difference};
use provider::Target;
use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, Select,
};

/// Differences of one run that are told one by one.
const TOLD_OF_A_RUN: u64 = 1_000;
/// Differences of a source that are kept.
pub(super) const KEPT: u64 = 1_000;

/// How they are written.
pub(super) static DIFFERENCES: Table<drift_difference::Entity> =
    Table::new(Some(drift_difference::Column::Id), Known::Fails);

/// A record that differs from upstream.
#[derive(Clone, Debug)]
pub(crate) struct Differing {
    /// Row of the profile that it is, or hangs on.
    pub profile_id: i64,
    /// Profile or subprofile.
    pub record_kind: RecordKind,
    /// Its external id.
    pub record_id: String,
    /// How it differs.
    pub nature: DriftNature,
    /// Names of what differs.
    pub names: Vec<String>,
}

impl Differing {
    /// What a fetch of it is known by.
    pub(super) fn target_key(&self) -> String {
        target_key(&match self.record_kind {
            RecordKind::Subprofile => Target::Subprofile { id: self.record_id.clone() },
            _ => Target::Profile { id: self.record_id.clone() },
        })
    }
}

/// How many more differences are told of a run, or of what no run has found.
pub(super) async fn load_room(connection: &impl ConnectionTrait, run_id: Option<i64>) -> Result<usize, DbErr> {
    let told = match run_id {
        Some(run_id) => {
            let of_run = drift_difference::Entity::find().filter(drift_difference::Column::RunId.eq(run_id));
            of_run.limit(TOLD_OF_A_RUN).count(connection).await?
        }
        None => 0,
    };
    Ok(usize::try_from(TOLD_OF_A_RUN.saturating_sub(told)).unwrap_or(0))
}

/// Notes records that differ although the pages of a run have been taken. Returns those that were noted, whose
/// repair is to be asked for: not more than are told of one run.
pub(crate) async fn write_remaining(
    transaction: &impl ConnectionTrait,
    source_id: i32,
    run_id: i64,
    now: Moment,
    remaining: Vec<Differing>,
) -> Result<Vec<String>, DbErr> {
    let room = load_room(transaction, Some(run_id)).await?;
    let told: Vec<Differing> = remaining.into_iter().take(room).collect();
    let rows = told.iter().map(|found| drift_difference::Model {
        id: 0,
        source_id,
        run_id: Some(run_id),
        find_id: None,
        profile_id: found.profile_id,
        record_kind: found.record_kind,
        record_id: found.record_id.clone(),
        nature: found.nature,
        means: DriftMeans::Digest,
        names: serde_json::json!(found.names),
        found_at: now,
        confirmed_at: Some(now),
        repaired_at: None,
    });
    let rows = rows.collect();
    DIFFERENCES.insert(transaction, rows).await?;
    Ok(told.into_iter().map(|found| found.record_id).collect())
}

/// Notes that a difference is repaired. What the repair changed tells what had differed.
pub(crate) async fn write_repair(
    transaction: &impl ConnectionTrait,
    difference: &drift_difference::Model,
    names: Vec<String>,
    now: Moment,
) -> Result<(), DbErr> {
    use drift_difference::Column;
    let mut update = drift_difference::Entity::update_many()
        .col_expr(Column::RepairedAt, Expr::value(now))
        .filter(Column::Id.eq(difference.id));
    if !names.is_empty() {
        update = update.col_expr(Column::Names, Expr::value(serde_json::json!(names)));
    }
    update.exec(transaction).await?;
    match difference.run_id {
        Some(run_id) => count(transaction, run_id, Counts { repaired: 1, ..Counts::default() }).await,
        None => Ok(()),
    }
}

/// Forgets all but the newest differences of a source.
pub(super) async fn prune_differences(transaction: &impl ConnectionTrait, source_id: i32) -> Result<(), DbErr> {
    use drift_difference::Column;
    let of_source = Column::SourceId.eq(source_id);
    let oldest: Option<i64> = drift_difference::Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(of_source.clone())
        .order_by_desc(Column::Id)
        .offset(KEPT)
        .limit(1)
        .into_tuple()
        .one(transaction)
        .await?;
    let Some(oldest) = oldest else { return Ok(()) };
    let old = drift_difference::Entity::delete_many().filter(of_source).filter(Column::Id.lte(oldest));
    old.exec(transaction).await.map(drop)
}

/// Differences that are not repaired yet.
pub(super) fn unrepaired(source_id: i32) -> Select<drift_difference::Entity> {
    drift_difference::Entity::find()
        .filter(drift_difference::Column::SourceId.eq(source_id))
        .filter(drift_difference::Column::RepairedAt.is_null())
}
