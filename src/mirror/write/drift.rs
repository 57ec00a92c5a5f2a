//! What pages and sampled reads showed of records, and which of those differed from the mirror.

use super::requests::load_request_states;
use super::rows::{self, Known};
use super::{CHUNK, target_key};
use entity::{
    Digest, DriftMeans, DriftNature, FetchState, Moment, RecordKind, RowSet, RunKind, SampleOutcome, Status, delivery,
    drift_difference, drift_find, drift_run, drift_sample, fetch_request, profile, run_page, source_state, sync_run,
    verdict,
};
use provider::Target;
use sea_orm::sea_query::{Expr, OnConflict, Query};
use sea_orm::{
    ActiveEnum, ActiveValue::NotSet, ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, ExprTrait,
    PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, Select, SelectGetableTuple, Selector,
};
use std::collections::{HashMap, HashSet};

/// Differences of one run that are told one by one.
const TOLD_OF_A_RUN: u64 = 1_000;
/// Differences of a source that are kept.
const KEPT: u64 = 1_000;

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
    fn target_key(&self) -> String {
        target_key(&match self.record_kind {
            RecordKind::Subprofile => Target::Subprofile { id: self.record_id.clone() },
            _ => Target::Profile { id: self.record_id.clone() },
        })
    }
}

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
    pub(super) fn add(&mut self, part: Self) {
        self.profiles.extend(part.profiles);
        self.subprofiles.extend(part.subprofiles);
        self.profiles_before.extend(part.profiles_before);
        self.subprofiles_before.extend(part.subprofiles_before);
    }

    /// What was shown, in the order of the rows that the page named.
    pub(super) fn shown_bytes(&self, profiles: &RowSet, subprofiles: &RowSet) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (rows, shown) in [(profiles, &self.profiles), (subprofiles, &self.subprofiles)] {
            let shown: HashMap<i64, u64> = shown.iter().copied().collect();
            bytes.extend(rows.iter().flat_map(|id| shown.get(&id).copied().unwrap_or(0).to_le_bytes()));
        }
        bytes
    }

    /// What was before, row by row. Rows of subprofiles are told apart by their sign.
    pub(super) fn before_bytes(&self) -> Option<Vec<u8>> {
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

fn numbers(bytes: &[u8]) -> impl Iterator<Item = [u8; 8]> {
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

/// Whether drift is measured on a run: on a full one, once the source has been mirrored as a whole.
pub(crate) async fn is_measured(connection: &impl ConnectionTrait, run_id: i64) -> Result<bool, DbErr> {
    let run = sync_run::Entity::find_by_id(run_id).one(connection).await?;
    let Some(run) = run.filter(|run| run.kind == RunKind::Full && !run.is_plan) else { return Ok(false) };
    let state = source_state::Entity::find_by_id(run.source_id).one(connection).await?;
    Ok(state.is_some_and(|state| state.last_complete_sync_at.is_some()))
}

/// The measure of a run; a new one where there is none.
pub(crate) async fn load_drift_run(
    transaction: &impl ConnectionTrait,
    source_id: i32,
    run_id: i64,
) -> Result<drift_run::Model, DbErr> {
    let empty = Digest::default().to_bytes();
    let row = drift_run::ActiveModel {
        run_id: Set(run_id),
        source_id: Set(source_id),
        measured_at: Set(None),
        compared: Set(0),
        differed: Set(0),
        explained: Set(0),
        unsettled: Set(0),
        remained: Set(0),
        repaired: Set(0),
        mirror_before: Set(empty.clone()),
        mirror_after: Set(empty.clone()),
        upstream: Set(empty),
    };
    let keep = OnConflict::column(drift_run::Column::RunId).do_nothing().to_owned();
    drift_run::Entity::insert(row).on_conflict(keep).exec_without_returning(transaction).await?;
    let row = drift_run::Entity::find_by_id(run_id).one(transaction).await?;
    row.ok_or_else(|| DbErr::RecordNotFound(format!("the measure of run {run_id}")))
}

/// Writes how far the comparison of a run is.
pub(crate) async fn write_comparison(transaction: &impl ConnectionTrait, run: &drift_run::Model) -> Result<(), DbErr> {
    use drift_run::Column;
    drift_run::Entity::update_many()
        .col_expr(Column::MeasuredAt, Expr::value(run.measured_at))
        .col_expr(Column::Compared, Expr::value(run.compared))
        .col_expr(Column::Remained, Expr::value(run.remained))
        .col_expr(Column::MirrorBefore, Expr::value(run.mirror_before.clone()))
        .col_expr(Column::MirrorAfter, Expr::value(run.mirror_after.clone()))
        .col_expr(Column::Upstream, Expr::value(run.upstream.clone()))
        .filter(Column::RunId.eq(run.run_id))
        .exec(transaction)
        .await
        .map(drop)
}

/// What is added to the counts of a run.
#[derive(Default)]
struct Counts {
    differed: i64,
    explained: i64,
    unsettled: i64,
    repaired: i64,
}

async fn count(transaction: &impl ConnectionTrait, run_id: i64, counts: Counts) -> Result<(), DbErr> {
    use drift_run::Column;
    drift_run::Entity::update_many()
        .col_expr(Column::Differed, Expr::col(Column::Differed).add(counts.differed))
        .col_expr(Column::Explained, Expr::col(Column::Explained).add(counts.explained))
        .col_expr(Column::Unsettled, Expr::col(Column::Unsettled).add(counts.unsettled))
        .col_expr(Column::Repaired, Expr::col(Column::Repaired).add(counts.repaired))
        .filter(Column::RunId.eq(run_id))
        .exec(transaction)
        .await
        .map(drop)
}

/// Where records were found to differ.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// Their source.
    pub source_id: i32,
    /// The run whose page or sweep showed them.
    pub run_id: Option<i64>,
    /// The sampled read that showed it.
    pub sample_id: Option<i64>,
    /// When the delivery arrived.
    pub found_at: Moment,
}

/// Notes records that a delivery showed to differ, and that were made as upstream has them at once. Those that are
/// waited for already are known to be behind: that is no drift.
pub(crate) async fn write_find(
    transaction: &impl ConnectionTrait,
    place: Place,
    now: Moment,
    found: Vec<Differing>,
) -> Result<(), DbErr> {
    let keys: Vec<String> = found.iter().map(Differing::target_key).collect();
    let awaited = match place.sample_id {
        // The read itself is what is waited for.
        Some(_) => HashMap::new(),
        None => load_request_states(transaction, place.source_id, &keys).await?,
    };
    let count_of = |length: usize| i64::try_from(length).unwrap_or(i64::MAX);
    let all = found.len();
    let is_awaited = |key: &String| awaited.get(key).is_some_and(|request| request.state != FetchState::Parked);
    let found: Vec<Differing> =
        found.into_iter().zip(keys).filter(|(_, key)| !is_awaited(key)).map(|(found, _)| found).collect();
    if let Some(run_id) = place.run_id {
        load_drift_run(transaction, place.source_id, run_id).await?;
        let (explained, unsettled) = (count_of(all - found.len()), count_of(found.len()));
        count(transaction, run_id, Counts { explained, unsettled, ..Counts::default() }).await?;
    }
    if found.is_empty() {
        return Ok(());
    }
    let is_profile = |found: &&Differing| found.record_kind == RecordKind::Profile;
    let profiles: RowSet = found.iter().filter(is_profile).map(|found| found.profile_id).collect();
    let owners: Vec<u8> =
        found.iter().filter(|found| !is_profile(found)).flat_map(|found| found.profile_id.to_le_bytes()).collect();
    let row = drift_find::ActiveModel {
        id: NotSet,
        source_id: Set(place.source_id),
        run_id: Set(place.run_id),
        sample_id: Set(place.sample_id),
        found_at: Set(place.found_at),
        records: Set(count_of(found.len())),
        profiles: Set(profiles.to_bytes()),
        owners: Set(owners),
    };
    let find_id = drift_find::Entity::insert(row).exec(transaction).await?.last_insert_id;
    let means = if place.sample_id.is_some() { DriftMeans::Read } else { DriftMeans::Run };
    let room = match place.run_id {
        Some(run_id) => TOLD_OF_A_RUN.saturating_sub(count_told(transaction, run_id).await?),
        None => TOLD_OF_A_RUN,
    };
    let told = found.into_iter().take(usize::try_from(room).unwrap_or(0)).map(|found| drift_difference::Model {
        id: 0,
        source_id: place.source_id,
        run_id: place.run_id,
        find_id: Some(find_id),
        profile_id: found.profile_id,
        record_kind: found.record_kind,
        record_id: found.record_id,
        nature: found.nature,
        means,
        names: serde_json::json!(found.names),
        found_at: place.found_at,
        confirmed_at: None,
        repaired_at: Some(now),
    });
    let told = told.collect();
    rows::insert::<drift_difference::Entity>(transaction, told, Some(drift_difference::Column::Id), Known::Fails).await
}

async fn count_told(connection: &impl ConnectionTrait, run_id: i64) -> Result<u64, DbErr> {
    drift_difference::Entity::find()
        .filter(drift_difference::Column::RunId.eq(run_id))
        .limit(TOLD_OF_A_RUN)
        .count(connection)
        .await
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
    let room = TOLD_OF_A_RUN.saturating_sub(count_told(transaction, run_id).await?);
    let told: Vec<Differing> = remaining.into_iter().take(usize::try_from(room).unwrap_or(0)).collect();
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
    rows::insert::<drift_difference::Entity>(transaction, rows, Some(drift_difference::Column::Id), Known::Fails)
        .await?;
    Ok(told.into_iter().map(|found| found.record_id).collect())
}

/// A find whose time has come: whatever news was on its way has arrived.
pub(crate) async fn load_due_find(
    connection: &impl ConnectionTrait,
    source_id: i32,
    upto: Moment,
) -> Result<Option<drift_find::Model>, DbErr> {
    drift_find::Entity::find()
        .filter(drift_find::Column::SourceId.eq(source_id))
        .filter(drift_find::Column::FoundAt.lte(upto))
        .order_by_asc(drift_find::Column::FoundAt)
        .limit(1)
        .one(connection)
        .await
}

/// Those of these profiles of which a webhook told within so many milliseconds before or after a moment.
pub(crate) async fn load_told_about(
    connection: &impl ConnectionTrait,
    profile_ids: &[i64],
    at: Moment,
    within_ms: i64,
) -> Result<HashSet<i64>, DbErr> {
    let mut told = HashSet::new();
    for chunk in profile_ids.chunks(CHUNK) {
        let webhook = Query::select()
            .expr(Expr::value(1))
            .from(delivery::Entity)
            .and_where(
                Expr::col((delivery::Entity, delivery::Column::Id))
                    .equals((verdict::Entity, verdict::Column::DeliveryId)),
            )
            .and_where(delivery::Column::Kind.eq(entity::DeliveryKind::Webhook))
            .and_where(delivery::Column::ReceivedAt.between(at.plus_ms(-within_ms), at.plus_ms(within_ms)))
            .to_owned();
        let rows: Vec<Option<i64>> = verdict::Entity::find()
            .select_only()
            .column(verdict::Column::ProfileId)
            .distinct()
            .filter(verdict::Column::ProfileId.is_in(chunk.iter().copied()))
            .filter(Expr::exists(webhook))
            .into_tuple()
            .all(connection)
            .await?;
        told.extend(rows.into_iter().flatten());
    }
    Ok(told)
}

/// Settles a find: what news explains is forgotten, the rest is drift.
pub(crate) async fn settle_find(
    transaction: &impl ConnectionTrait,
    find: &drift_find::Model,
    explained: &HashSet<i64>,
    now: Moment,
) -> Result<(), DbErr> {
    use drift_difference::Column;
    let profiles = RowSet::from_bytes(&find.profiles).unwrap_or_default();
    let owners = numbers(&find.owners).map(i64::from_le_bytes);
    let explained_records = profiles.iter().chain(owners).filter(|id| explained.contains(id)).count();
    let explained_records = i64::try_from(explained_records).unwrap_or(i64::MAX);
    let differed = find.records - explained_records;
    let ids: Vec<i64> = explained.iter().copied().collect();
    for chunk in ids.chunks(CHUNK) {
        drift_difference::Entity::delete_many()
            .filter(Column::FindId.eq(find.id))
            .filter(Column::ProfileId.is_in(chunk.iter().copied()))
            .exec(transaction)
            .await?;
    }
    drift_difference::Entity::update_many()
        .col_expr(Column::ConfirmedAt, Expr::value(now))
        .col_expr(Column::FindId, Expr::value(Option::<i64>::None))
        .filter(Column::FindId.eq(find.id))
        .exec(transaction)
        .await?;
    if let Some(run_id) = find.run_id {
        let unsettled = -find.records;
        let counts = Counts { differed, explained: explained_records, unsettled, repaired: differed };
        count(transaction, run_id, counts).await?;
    }
    if let Some(sample_id) = find.sample_id {
        let outcome = if differed > 0 { SampleOutcome::Differed } else { SampleOutcome::Void };
        settle_sample(transaction, sample_id, outcome, now).await?;
    }
    drift_find::Entity::delete_by_id(find.id).exec(transaction).await?;
    prune_differences(transaction, find.source_id).await
}

/// Profiles that a find is about.
pub(crate) fn profiles_of(find: &drift_find::Model) -> Vec<i64> {
    let profiles = RowSet::from_bytes(&find.profiles).unwrap_or_default();
    let mut ids: Vec<i64> = profiles.iter().chain(numbers(&find.owners).map(i64::from_le_bytes)).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// Forgets all but the newest differences of a source.
async fn prune_differences(transaction: &impl ConnectionTrait, source_id: i32) -> Result<(), DbErr> {
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

/// Reads without an answer, and differences that are not repaired yet, by the profile that they are about.
#[derive(Debug, Default)]
pub(crate) struct Awaited {
    /// Reads.
    pub samples: HashMap<i64, drift_sample::Model>,
    /// Differences.
    pub differences: HashMap<(RecordKind, String), drift_difference::Model>,
}

/// What is awaited for a source.
pub(crate) async fn load_awaited(connection: &impl ConnectionTrait, source_id: i32) -> Result<Awaited, DbErr> {
    let samples = open_samples(source_id).order_by_desc(drift_sample::Column::Id).limit(KEPT).all(connection).await?;
    let differences = unrepaired(source_id).limit(KEPT).all(connection).await?;
    Ok(Awaited {
        samples: samples.into_iter().map(|row| (row.profile_id, row)).collect(),
        differences: differences.into_iter().map(|row| ((row.record_kind, row.record_id.clone()), row)).collect(),
    })
}

fn open_samples(source_id: i32) -> sea_orm::Select<drift_sample::Entity> {
    drift_sample::Entity::find()
        .filter(drift_sample::Column::SourceId.eq(source_id))
        // Written out so that the partial index serves: neither database proves a bound value.
        .filter(Expr::cust("outcome = 'asked'"))
}

fn unrepaired(source_id: i32) -> sea_orm::Select<drift_difference::Entity> {
    drift_difference::Entity::find()
        .filter(drift_difference::Column::SourceId.eq(source_id))
        .filter(drift_difference::Column::RepairedAt.is_null())
}

/// Whether anything is awaited for a source.
pub(crate) async fn has_awaited(connection: &impl ConnectionTrait, source_id: i32) -> Result<bool, DbErr> {
    Ok(open_samples(source_id).limit(1).one(connection).await?.is_some()
        || unrepaired(source_id).limit(1).one(connection).await?.is_some())
}

/// Settles a sampled read.
pub(crate) async fn settle_sample(
    transaction: &impl ConnectionTrait,
    id: i64,
    outcome: SampleOutcome,
    now: Moment,
) -> Result<(), DbErr> {
    use drift_sample::Column;
    drift_sample::Entity::update_many()
        .col_expr(Column::Outcome, Expr::value(outcome.to_value()))
        .col_expr(Column::AnsweredAt, Expr::value(now))
        .filter(Column::Id.eq(id))
        .exec(transaction)
        .await
        .map(drop)
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

/// When a read was last sampled.
pub(crate) async fn load_last_sample_at(
    connection: &impl ConnectionTrait,
    source_id: i32,
) -> Result<Option<Moment>, DbErr> {
    use drift_sample::Column;
    drift_sample::Entity::find()
        .select_only()
        .column(Column::AskedAt)
        .filter(Column::SourceId.eq(source_id))
        .order_by_desc(Column::AskedAt)
        .limit(1)
        .into_tuple()
        .one(connection)
        .await
}

/// A profile that was drawn.
#[derive(Clone, Debug)]
pub(crate) struct Drawn {
    /// Its row.
    pub id: i64,
    /// Its external id.
    pub external_id: String,
    /// Inbox position of the newest delivery that told of it.
    pub position: i64,
}

/// Row ids that are tried in one statement of a draw.
const TRIED: usize = 64;
/// Such statements before the source is looked through.
const TRIES: usize = 4;

/// Draws known profiles of a source at random, each as likely as any other, and none that was drawn since a moment
/// while others are left. `random` gives numbers from 0 up to its argument, that one left out.
///
/// Row ids are guessed first: that costs the same however many profiles there are. Only where the source has few of
/// all the rows is it looked through.
pub(crate) async fn draw_profiles(
    connection: &impl ConnectionTrait,
    source_id: i32,
    size: usize,
    since: Moment,
    mut random: impl FnMut(u64) -> u64,
) -> Result<Vec<Drawn>, DbErr> {
    let last: Option<Option<i64>> = profile::Entity::find()
        .select_only()
        .column_as(profile::Column::Id.max(), "last")
        .into_tuple()
        .one(connection)
        .await?;
    let Some(last) = last.flatten().and_then(|last| u64::try_from(last).ok()) else { return Ok(Vec::new()) };
    let mut drawn: Vec<Drawn> = Vec::with_capacity(size);
    for _ in 0..TRIES {
        if drawn.len() >= size {
            break;
        }
        let guessed: Vec<i64> = (0..TRIED).filter_map(|_| i64::try_from(random(last) + 1).ok()).collect();
        let hit = drawable(source_id, Some(since)).filter(profile::Column::Id.is_in(guessed.clone()));
        let hit = read_drawn(hit).all(connection).await?;
        // In the order of the guesses: the first rows of the table are no likelier than others.
        for id in guessed {
            let is_new = drawn.len() < size && !drawn.iter().any(|known| known.id == id);
            drawn.extend(hit.iter().filter(|row| is_new && row.0 == id).map(Drawn::new));
        }
    }
    for not_since in [Some(since), None] {
        if drawn.len() >= size {
            break;
        }
        let without = drawn.iter().map(|known| known.id);
        let left = drawable(source_id, not_since).filter(profile::Column::Id.is_not_in(without));
        let count = left.clone().count(connection).await?;
        let mut places: Vec<u64> = Vec::new();
        while count > 0 && places.len() < usize::try_from(count).unwrap_or(size).min(size - drawn.len()) {
            let place = random(count);
            if !places.contains(&place) {
                places.push(place);
            }
        }
        for place in places {
            let next = left.clone().order_by_asc(profile::Column::ExternalId).offset(place).limit(1);
            drawn.extend(read_drawn(next).one(connection).await?.iter().map(Drawn::new));
        }
    }
    Ok(drawn)
}

type DrawnRow = (i64, String, i64, i64);

impl Drawn {
    fn new((id, external_id, position, status_position): &DrawnRow) -> Self {
        Self { id: *id, external_id: external_id.clone(), position: *Ord::max(position, status_position) }
    }
}

fn read_drawn(query: Select<profile::Entity>) -> Selector<SelectGetableTuple<DrawnRow>> {
    use profile::Column;
    query
        .select_only()
        .columns([Column::Id, Column::ExternalId, Column::Position, Column::StatusPosition])
        .into_tuple::<DrawnRow>()
}

fn drawable(source_id: i32, not_since: Option<Moment>) -> Select<profile::Entity> {
    use profile::Column;
    let live = profile::known()
        .filter(Column::SourceId.eq(source_id))
        .filter(Column::Status.is_not_in([Status::Deleted, Status::Anonymized]));
    let Some(since) = not_since else { return live };
    let drawn_before = Query::select()
        .expr(Expr::value(1))
        .from(drift_sample::Entity)
        .and_where(
            Expr::col((drift_sample::Entity, drift_sample::Column::ProfileId)).equals((profile::Entity, Column::Id)),
        )
        .and_where(drift_sample::Column::AskedAt.gte(since))
        .to_owned();
    live.filter(Expr::exists(drawn_before).not())
}

/// Whether anything is asked for or waits to be asked for at a source, but for what was given up.
pub(crate) async fn has_requests(connection: &impl ConnectionTrait, source_id: i32) -> Result<bool, DbErr> {
    let open = fetch_request::Entity::find()
        .filter(fetch_request::Column::SourceId.eq(source_id))
        .filter(fetch_request::Column::State.ne(FetchState::Parked));
    Ok(open.limit(1).one(connection).await?.is_some())
}

/// Since when the estimate of a source counts: it has been mirrored as a whole, is not paused and no run is under
/// way. None where there is no time to spare for reads.
pub(crate) async fn load_quiet_since(
    connection: &impl ConnectionTrait,
    source_id: i32,
) -> Result<Option<Moment>, DbErr> {
    let state = source_state::Entity::find_by_id(source_id).one(connection).await?;
    let state = state.filter(|state| state.paused_at.is_none());
    if sync_run::under_way(source_id).limit(1).one(connection).await?.is_some() {
        return Ok(None);
    }
    Ok(state.and_then(|state| state.last_complete_sync_at))
}

/// Notes reads that are asked for.
pub(crate) async fn write_samples(
    transaction: &impl ConnectionTrait,
    rows: Vec<drift_sample::Model>,
) -> Result<(), DbErr> {
    rows::insert::<drift_sample::Entity>(transaction, rows, Some(drift_sample::Column::Id), Known::Fails).await
}

/// Gives up reads that were asked for before a moment and not answered, and forgets those before another.
pub(crate) async fn prune_samples(
    transaction: &impl ConnectionTrait,
    source_id: i32,
    unanswered_before: Moment,
    forgotten_before: Moment,
) -> Result<(), DbErr> {
    use drift_sample::Column;
    drift_sample::Entity::update_many()
        .col_expr(Column::Outcome, Expr::value(SampleOutcome::Void.to_value()))
        .filter(Column::SourceId.eq(source_id))
        .filter(Expr::cust("outcome = 'asked'"))
        .filter(Column::AskedAt.lt(unanswered_before))
        .exec(transaction)
        .await?;
    drift_sample::Entity::delete_many()
        .filter(Column::SourceId.eq(source_id))
        .filter(Column::AskedAt.lt(forgotten_before))
        .exec(transaction)
        .await
        .map(drop)
}
