//! What the pages of runs named and found, and the records that no page named.

use super::CHUNK;
use super::drift::PageDrift;
use super::rows::{self, Known};
use entity::{
    CandidateState, Moment, RecordKind, RowSet, RunState, Status, SweepStage, deletion_candidate, mix_record, profile,
    run_page, source_state, subprofile, sync_run,
};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveEnum, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, ExprTrait, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect,
};
use std::collections::HashMap;

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
        let shown = tally.drift.as_ref().map(|drift| drift.shown_bytes(&tally.profiles, &tally.subprofiles));
        pages.push(run_page::Model {
            run_id: tally.run_id,
            delivery_id: tally.delivery_id,
            stream: tally.stream,
            expected: tally.expected,
            profiles: tally.profiles.to_bytes(),
            subprofiles: tally.subprofiles.to_bytes(),
            shown,
            before: tally.drift.as_ref().and_then(PageDrift::before_bytes),
        });
    }
    let again = Known::IsReplaced(&[run_page::Column::RunId, run_page::Column::DeliveryId]);
    rows::insert::<run_page::Entity>(transaction, pages, None, again).await?;
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

/// The run of a source that apply has to carry on with: one that sweeps, or a plan that compares.
pub(crate) async fn load_run_for_apply(
    connection: &impl ConnectionTrait,
    source_id: i32,
) -> Result<Option<sync_run::Model>, DbErr> {
    use sync_run::Column;
    let compares = Column::State.eq(RunState::Running).and(Column::IsPlan.eq(true));
    sync_run::under_way(source_id).filter(Column::State.eq(RunState::Sweeping).or(compares)).one(connection).await
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

/// A row that a run may have missed.
#[derive(Clone, Debug)]
pub(crate) struct Missable {
    /// Row id.
    pub id: i64,
    /// External id.
    pub external_id: String,
}

/// A row as a run finds it when its pages are over.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    /// Row id.
    pub id: i64,
    /// External id.
    pub external_id: String,
    /// Inbox position up to which the stored state is known to reflect upstream.
    pub position: i64,
    /// Inbox position of the newest delivery that told of it.
    pub told_at: i64,
    /// Row of the profile that it is, or hangs on.
    pub profile_id: i64,
    /// It is live, and a run of these terms must have named it.
    pub is_missable: bool,
    /// What is stored of it, mixed into 64 bits.
    pub digest: u64,
}

impl Listed {
    /// The row as one that a run may have missed.
    pub(crate) fn missable(&self) -> Missable {
        Missable { id: self.id, external_id: self.external_id.clone() }
    }
}

/// The word for the status of a subprofile in its digest.
pub(crate) fn subprofile_word(is_gone: bool) -> &'static str {
    if is_gone { "gone" } else { "alive" }
}

/// What is stored of a profile, mixed into 64 bits.
pub(crate) fn digest_of_profile(row: &profile::Model) -> u64 {
    mix_record(&row.external_id, row.row_hash, &row.status.to_value())
}

/// What is stored of a subprofile, mixed into 64 bits.
pub(crate) fn digest_of_subprofile(row: &subprofile::Model) -> u64 {
    mix_record(&row.external_id, row.row_hash, subprofile_word(row.deleted_at.is_some()))
}

type ProfileRow = (i64, String, i64, i64, Status, bool, Option<i32>, i64);

/// Profiles of a source in key order after `after` and up to `upto`.
pub(crate) async fn load_listed_profiles(
    connection: &impl ConnectionTrait,
    run: &sync_run::Model,
    profile_type_id: Option<i32>,
    after: i64,
    upto: i64,
    limit: u64,
) -> Result<(Vec<Listed>, Option<i64>), DbErr> {
    use profile::Column;
    let rows: Vec<ProfileRow> = profile::Entity::find()
        .select_only()
        .columns([
            Column::Id,
            Column::ExternalId,
            Column::Position,
            Column::StatusPosition,
            Column::Status,
            Column::IsKnown,
            Column::ProfileTypeId,
            Column::RowHash,
        ])
        .filter(Column::SourceId.eq(run.source_id))
        .filter(Column::Id.gt(after))
        .filter(Column::Id.lte(upto))
        .order_by_asc(Column::Id)
        .limit(limit)
        .into_tuple()
        .all(connection)
        .await?;
    let last = rows.last().map(|row| row.0);
    let listed = |(id, external_id, position, status_position, status, is_known, type_id, hash): ProfileRow| Listed {
        id,
        position,
        told_at: Ord::max(position, status_position),
        profile_id: id,
        is_missable: is_known
            && !matches!(status, Status::Deleted | Status::Anonymized)
            && (profile_type_id.is_none() || type_id == profile_type_id),
        digest: mix_record(&external_id, hash, &status.to_value()),
        external_id,
    };
    Ok((rows.into_iter().map(listed).collect(), last))
}

type SubprofileRow = (i64, String, i64, Option<Moment>, Option<i32>, i64, i64);

/// Subprofiles of a source in key order after `after` and up to `upto`.
pub(crate) async fn load_listed_subprofiles(
    connection: &impl ConnectionTrait,
    run: &sync_run::Model,
    collections: Option<&[i32]>,
    after: i64,
    upto: i64,
    limit: u64,
) -> Result<(Vec<Listed>, Option<i64>), DbErr> {
    use subprofile::Column;
    let rows: Vec<SubprofileRow> = subprofile::Entity::find()
        .select_only()
        .columns([
            Column::Id,
            Column::ExternalId,
            Column::Position,
            Column::DeletedAt,
            Column::CollectionId,
            Column::ProfileId,
            Column::RowHash,
        ])
        .filter(Column::SourceId.eq(run.source_id))
        .filter(Column::Id.gt(after))
        .filter(Column::Id.lte(upto))
        .order_by_asc(Column::Id)
        .limit(limit)
        .into_tuple()
        .all(connection)
        .await?;
    let last = rows.last().map(|row| row.0);
    let listed = |(id, external_id, position, deleted_at, collection_id, profile_id, hash): SubprofileRow| Listed {
        id,
        position,
        told_at: position,
        profile_id,
        is_missable: deleted_at.is_none()
            && collections.is_none_or(|ids| collection_id.is_some_and(|id| ids.contains(&id))),
        digest: mix_record(&external_id, hash, subprofile_word(deleted_at.is_some())),
        external_id,
    };
    Ok((rows.into_iter().map(listed).collect(), last))
}

/// Puts records into quarantine; one that is there already stays as it is.
pub(crate) async fn write_candidates(
    transaction: &impl ConnectionTrait,
    run: &sync_run::Model,
    kind: RecordKind,
    missed: &[Missable],
) -> Result<(), DbErr> {
    use deletion_candidate::Column;
    let models = missed
        .iter()
        .map(|row| deletion_candidate::Model {
            id: 0,
            run_id: run.id,
            source_id: run.source_id,
            record_kind: kind,
            record_id: row.id,
            external_id: row.external_id.clone(),
            state: CandidateState::Quarantined,
            delivery_id: None,
        })
        .collect();
    rows::insert::<deletion_candidate::Entity>(transaction, models, Some(Column::Id), Known::Stays).await
}

/// Whether any record of a source is in quarantine.
pub(crate) async fn has_candidates(connection: &impl ConnectionTrait, source_id: i32) -> Result<bool, DbErr> {
    let open = deletion_candidate::Entity::find()
        .filter(deletion_candidate::Column::SourceId.eq(source_id))
        .filter(Expr::cust("state IN ('quarantined', 'absent')"));
    Ok(open.limit(1).one(connection).await?.is_some())
}

/// Those of these records that are in quarantine, by row id.
pub(crate) async fn load_candidates_of(
    transaction: &impl ConnectionTrait,
    source_id: i32,
    kind: RecordKind,
    record_ids: &[i64],
) -> Result<HashMap<i64, deletion_candidate::Model>, DbErr> {
    use deletion_candidate::Column;
    let mut found = HashMap::new();
    for chunk in record_ids.chunks(CHUNK) {
        let rows = deletion_candidate::Entity::find()
            .filter(Column::SourceId.eq(source_id))
            .filter(Column::RecordKind.eq(kind))
            .filter(Expr::cust("state IN ('quarantined', 'absent')"))
            .filter(Column::RecordId.is_in(chunk.iter().copied()))
            .all(transaction)
            .await?;
        found.extend(rows.into_iter().map(|row| (row.record_id, row)));
    }
    Ok(found)
}

/// Candidates of a run in a state, in key order after `after`.
pub(crate) async fn load_candidates(
    connection: &impl ConnectionTrait,
    run_id: i64,
    state: CandidateState,
    after: i64,
    limit: u64,
) -> Result<Vec<deletion_candidate::Model>, DbErr> {
    use deletion_candidate::Column;
    deletion_candidate::Entity::find()
        .filter(Column::RunId.eq(run_id))
        .filter(Column::State.eq(state))
        .filter(Column::Id.gt(after))
        .order_by_asc(Column::Id)
        .limit(limit)
        .all(connection)
        .await
}

/// How many candidates of a run are in a state.
pub(crate) async fn count_candidates(
    connection: &impl ConnectionTrait,
    run_id: i64,
    state: CandidateState,
) -> Result<u64, DbErr> {
    use deletion_candidate::Column;
    deletion_candidate::Entity::find()
        .filter(Column::RunId.eq(run_id))
        .filter(Column::State.eq(state))
        .count(connection)
        .await
}

/// Settles candidates by their ids.
pub(crate) async fn settle_candidates(
    transaction: &impl ConnectionTrait,
    ids: &[i64],
    state: CandidateState,
    delivery_id: Option<i64>,
) -> Result<(), DbErr> {
    use deletion_candidate::Column;
    for chunk in ids.chunks(CHUNK) {
        deletion_candidate::Entity::update_many()
            .col_expr(Column::State, Expr::value(state.to_value()))
            .col_expr(Column::DeliveryId, Expr::value(delivery_id))
            .filter(Column::Id.is_in(chunk.iter().copied()))
            .exec(transaction)
            .await?;
    }
    Ok(())
}

/// Lets every candidate of the source's other runs go that is still in quarantine: a newer run asks anew.
pub(crate) async fn supersede_waiting(
    transaction: &impl ConnectionTrait,
    run: &sync_run::Model,
    now: Moment,
) -> Result<(), DbErr> {
    deletion_candidate::Entity::update_many()
        .col_expr(deletion_candidate::Column::State, Expr::value(CandidateState::Dismissed.to_value()))
        .filter(deletion_candidate::Column::SourceId.eq(run.source_id))
        .filter(deletion_candidate::Column::RunId.ne(run.id))
        .filter(Expr::cust("state IN ('quarantined', 'absent')"))
        .exec(transaction)
        .await?;
    use sync_run::Column;
    sync_run::Entity::update_many()
        .col_expr(Column::State, Expr::value(RunState::Cancelled.to_value()))
        .col_expr(Column::FinishedAt, Expr::value(now))
        .col_expr(Column::Error, Expr::value(format!("run {} asks anew for what this one missed", run.id)))
        .filter(Column::SourceId.eq(run.source_id))
        .filter(Column::Id.ne(run.id))
        .filter(Column::State.eq(RunState::WaitingForApproval))
        .exec(transaction)
        .await
        .map(drop)
}

/// Live profiles of a source, of one type where it is given.
pub(crate) async fn count_live_profiles(
    connection: &impl ConnectionTrait,
    source_id: i32,
    profile_type_id: Option<i32>,
) -> Result<u64, DbErr> {
    use profile::Column;
    let mut live = profile::known()
        .filter(Column::SourceId.eq(source_id))
        .filter(Column::Status.is_not_in([Status::Deleted, Status::Anonymized]));
    if let Some(id) = profile_type_id {
        live = live.filter(Column::ProfileTypeId.eq(id));
    }
    live.count(connection).await
}

/// Moves the sweep of a run that still sweeps to a stage, done up to the row `after`; false where somebody ended it.
pub(crate) async fn advance_sweep(
    transaction: &impl ConnectionTrait,
    run_id: i64,
    stage: SweepStage,
    after: i64,
) -> Result<bool, DbErr> {
    use sync_run::Column;
    let moved = sync_run::Entity::update_many()
        .col_expr(Column::SweepStage, Expr::value(stage.to_value()))
        .col_expr(Column::SweepAfter, Expr::value(after))
        .filter(Column::Id.eq(run_id))
        .filter(Column::State.eq(RunState::Sweeping))
        .exec(transaction)
        .await?;
    Ok(moved.rows_affected == 1)
}

/// Writes a count of a run.
pub(crate) async fn set_run_count(
    transaction: &impl ConnectionTrait,
    run_id: i64,
    column: sync_run::Column,
    count: i64,
) -> Result<(), DbErr> {
    sync_run::Entity::update_many()
        .col_expr(column, Expr::value(count))
        .filter(sync_run::Column::Id.eq(run_id))
        .exec(transaction)
        .await
        .map(drop)
}

/// Ends the sweep of a run in a state, unless somebody has ended it before. What its pages named is not needed
/// any more once it is over for good.
pub(crate) async fn end_sweep(
    transaction: &impl ConnectionTrait,
    run: &sync_run::Model,
    now: Moment,
    state: RunState,
    error: Option<String>,
    retry_at: Option<Moment>,
) -> Result<(), DbErr> {
    use sync_run::Column;
    let is_over = state != RunState::WaitingForApproval;
    let ended = sync_run::Entity::update_many()
        .col_expr(Column::State, Expr::value(state.to_value()))
        .col_expr(Column::FinishedAt, Expr::value(is_over.then_some(now)))
        .col_expr(Column::Error, Expr::value(error))
        .col_expr(Column::RetryAt, Expr::value(retry_at))
        .filter(Column::Id.eq(run.id))
        .filter(Column::State.eq(RunState::Sweeping))
        .exec(transaction)
        .await?;
    if ended.rows_affected == 0 || !is_over {
        return Ok(());
    }
    run_page::Entity::delete_many().filter(run_page::Column::RunId.eq(run.id)).exec(transaction).await?;
    if state == RunState::Done && run.profile_type.is_none() && !run.is_plan {
        source_state::Entity::update_many()
            .col_expr(source_state::Column::LastCompleteSyncAt, Expr::value(run.started_at))
            .filter(source_state::Column::SourceId.eq(run.source_id))
            .exec(transaction)
            .await?;
    }
    Ok(())
}

/// Notes what a plan would look at by id: how many are in the run's counts, some by name here.
pub(crate) async fn note_candidates(
    transaction: &impl ConnectionTrait,
    run: &sync_run::Model,
    kind: RecordKind,
    rows: &[Missable],
    most: usize,
) -> Result<(), DbErr> {
    let mut plan = run.plan.clone().unwrap_or_else(|| serde_json::json!({}));
    let Some(named) = plan.as_object_mut() else { return Ok(()) };
    let list = named.entry("candidates").or_insert_with(|| serde_json::json!([]));
    if let Some(list) = list.as_array_mut() {
        let left = most.saturating_sub(list.len());
        list.extend(rows.iter().take(left).map(|row| serde_json::json!({"kind": kind, "id": row.external_id})));
    }
    write_plan(transaction, run.id, plan).await
}

/// Writes what a plan has found so far.
pub(crate) async fn write_plan(
    transaction: &impl ConnectionTrait,
    run_id: i64,
    plan: serde_json::Value,
) -> Result<(), DbErr> {
    sync_run::Entity::update_many()
        .col_expr(sync_run::Column::Plan, Expr::value(plan))
        .filter(sync_run::Column::Id.eq(run_id))
        .exec(transaction)
        .await
        .map(drop)
}

/// Some candidates of a run, spread over all of them: always the same ones.
pub(crate) async fn load_candidate_sample(
    connection: &impl ConnectionTrait,
    run_id: i64,
    size: u64,
) -> Result<Vec<deletion_candidate::Model>, DbErr> {
    use deletion_candidate::Column;
    let of_run = deletion_candidate::Entity::find().filter(Column::RunId.eq(run_id));
    let ends: Option<(Option<i64>, Option<i64>)> = of_run
        .clone()
        .select_only()
        .column_as(Column::Id.min(), "first")
        .column_as(Column::Id.max(), "last")
        .into_tuple()
        .one(connection)
        .await?;
    let Some((Some(first), Some(last))) = ends else { return Ok(Vec::new()) };
    let step = Ord::max((last - first) / i64::try_from(size).unwrap_or(1), 1);
    let mut sample: Vec<deletion_candidate::Model> = Vec::new();
    for place in 0..i64::try_from(size).unwrap_or(0) {
        let next = of_run.clone().filter(Column::Id.gte(first + place * step)).order_by_asc(Column::Id);
        if let Some(row) = next.one(connection).await?
            && sample.last().is_none_or(|known| known.id < row.id)
        {
            sample.push(row);
        }
    }
    Ok(sample)
}

/// How many candidates of a kind were not found by id.
pub(crate) async fn count_absent(
    connection: &impl ConnectionTrait,
    run_id: i64,
    kind: RecordKind,
) -> Result<u64, DbErr> {
    use deletion_candidate::Column;
    deletion_candidate::Entity::find()
        .filter(Column::RunId.eq(run_id))
        .filter(Column::RecordKind.eq(kind))
        .filter(Column::State.eq(CandidateState::Absent))
        .count(connection)
        .await
}

/// Live subprofiles of a source.
pub(crate) async fn count_live_subprofiles(connection: &impl ConnectionTrait, source_id: i32) -> Result<u64, DbErr> {
    subprofile::alive().filter(subprofile::Column::SourceId.eq(source_id)).count(connection).await
}

/// Lets the candidates of a run go that are still in quarantine.
pub(crate) async fn dismiss_candidates(transaction: &impl ConnectionTrait, run_id: i64) -> Result<(), DbErr> {
    deletion_candidate::Entity::update_many()
        .col_expr(deletion_candidate::Column::State, Expr::value(CandidateState::Dismissed.to_value()))
        .filter(deletion_candidate::Column::RunId.eq(run_id))
        .filter(Expr::cust("state IN ('quarantined', 'absent')"))
        .exec(transaction)
        .await
        .map(drop)
}
