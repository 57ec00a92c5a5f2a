//! Erases a person: everything that the mirror holds of them but their id, in the transaction that learns of it.
//!
//! Three parts. *Search* runs before the transaction, because it may read and parse much: nobody else settles deliveries
//! of the source meanwhile. *Carry out* empties the log, the raw deliveries and the requests, writes the receipt, and puts the
//! id on the suppression list. *Empty late ones* takes care of every delivery that is settled afterwards and tells of
//! somebody erased, whatever apply made of it. The current rows are emptied by `lifecycles::anonymize`.

use super::batch::{Batch, Origin};
use super::step::Read;
use super::{lifecycles, worker::ApplyError};
use crate::db::Database;
use crate::inbox::erase::{self, Kept};
use crate::inbox::{Context, Lease};
use crate::mirror::write;
use entity::{Moment, Status, erasure};
use provider::{Decoded, Delivery, Observation, Provider, Redacted, Subjects, Target};
use ring::digest;
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use tokio::sync::Notify;

/// People erased in one transaction: each may have pages rewritten, and senders wait for the one writer.
pub(super) const MAX_ERASURES: usize = 4;
/// Bodies held before a transaction; what is beyond is taken apart within it.
const MAX_PREPARED_BYTES: usize = 32 << 20;

/// What an erasure needs to know of its source, and whom to tell of it.
pub(super) struct Eraser {
    /// Name of the source.
    pub source_name: String,
    /// Notified when the files of the database are to be cleaned.
    pub cleaner: Arc<Notify>,
}

/// A profile whose current rows were emptied in this transaction.
#[derive(Clone, Debug)]
pub(super) struct Erasing {
    pub external_id: String,
    pub reason: String,
    pub position: i64,
    pub interests: usize,
    pub subprofiles: usize,
    pub relationships: usize,
}

/// A delivery that names profiles which are erased when it is settled.
#[derive(Clone, Debug)]
pub(super) struct Hit {
    position: i64,
    subjects: Subjects,
    /// The profiles themselves, also where only their subprofiles are named.
    of: BTreeSet<String>,
}

/// What tells of the profiles that a batch erases, taken apart before its transaction.
#[derive(Debug, Default)]
pub(super) struct Found {
    of: HashMap<String, OfOne>,
    /// Deliveries to be emptied whole.
    whole: Vec<i64>,
    /// Bodies to be written instead.
    slices: Vec<(i64, Vec<u8>)>,
}

/// What was found of one profile.
#[derive(Debug, Default)]
struct OfOne {
    emptied: Emptied,
    /// Deliveries that were too much to be taken apart before.
    left: Vec<i64>,
}

/// Whom a delivery names: by its observations, or else by whatever can be found in it.
pub(super) fn subjects(provider: &dyn Provider, delivery: &Delivery<'_>, decoded: Option<&Decoded>) -> Subjects {
    let Some(decoded) = decoded.filter(|decoded| !decoded.observations.is_empty()) else {
        return provider.names(delivery);
    };
    let mut subjects = Subjects::default();
    for observation in &decoded.observations {
        match observation {
            Observation::Profile(seen) => {
                subjects.profiles.insert(seen.external_id.clone());
                let ends = seen.relationships.iter().flat_map(|(_, relationships)| relationships);
                subjects.profiles.extend(ends.flat_map(|end| [end.from.clone(), end.to.clone()]));
            }
            Observation::Subprofile(seen) => {
                subjects.profiles.insert(seen.profile.clone());
                subjects.subprofiles.insert(seen.external_id.clone());
            }
            Observation::Lifecycle(seen) => drop(subjects.profiles.insert(seen.profile.clone())),
            Observation::Touched { profile, .. } | Observation::Missing { profile, .. } => {
                subjects.profiles.insert(profile.clone());
            }
            Observation::SubprofileTouched { subprofile, profile, .. }
            | Observation::SubprofileGone { subprofile, profile, .. } => {
                subjects.subprofiles.insert(subprofile.clone());
                subjects.profiles.extend(profile.clone());
            }
            Observation::SubprofileMissing { subprofile, .. } => {
                subjects.subprofiles.insert(subprofile.clone());
            }
            Observation::ProfileType(_)
            | Observation::RelationshipGone { .. }
            | Observation::CollectionFields { .. }
            | Observation::Unsubscribing { .. }
            | Observation::Ids(_)
            | Observation::MetadataNeeded { .. } => {}
        }
    }
    subjects
}

/// The names of records as they are kept beside a delivery.
pub(super) fn names(subjects: &Subjects) -> Vec<u8> {
    let profiles = subjects.profiles.iter().map(|id| name(b"p", id));
    profiles.chain(subjects.subprofiles.iter().map(|id| name(b"s", id))).flatten().collect()
}

fn name(kind: &[u8], id: &str) -> [u8; 8] {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(kind);
    context.update(id.as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&context.finish().as_ref()[..8]);
    first
}

/// Whether a delivery erases somebody, as far as it says.
pub(super) fn erases(delivery: &Read) -> bool {
    erased_by(delivery).next().is_some()
}

fn erased_by(delivery: &Read) -> impl Iterator<Item = &String> {
    let observations = delivery.decoded.as_ref().ok().into_iter().flat_map(|decoded| &decoded.observations);
    observations.filter_map(|observation| match observation {
        Observation::Lifecycle(seen) if seen.to == provider::Status::Anonymized => Some(&seen.profile),
        Observation::Profile(seen) if seen.status == Some(provider::Status::Anonymized) => Some(&seen.external_id),
        _ => None,
    })
}

/// Looks for the deliveries that tell of the profiles which these deliveries will erase, and takes them apart. Costs
/// nothing where they erase nobody.
pub(super) async fn search(
    db: &Database,
    provider: &Arc<dyn Provider>,
    source_id: i32,
    deliveries: &[Read],
) -> Result<Found, DbErr> {
    let mut ids: Vec<String> = deliveries.iter().flat_map(erased_by).cloned().collect();
    ids.sort_unstable();
    ids.dedup();
    let mut found = Found::default();
    if ids.is_empty() {
        return Ok(found);
    }
    let known = write::load_profiles(db.primary(), source_id, &ids).await?;
    let mut told_by: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
    let mut people = Vec::new();
    for row in known.into_iter().filter(|row| row.status != Status::Anonymized) {
        let mut positions = search_one(db.primary(), db, source_id, &row.external_id, Some(row.id)).await?;
        positions.extend(row.delivery_id);
        let subprofiles = write::subprofile_ids(db.primary(), row.id).await?;
        positions.sort_unstable();
        positions.dedup();
        positions.into_iter().for_each(|position| told_by.entry(position).or_default().push(people.len()));
        people.push(Subjects {
            profiles: [row.external_id.clone()].into(),
            subprofiles: subprofiles.into_iter().collect(),
        });
        found.of.insert(row.external_id, OfOne::default());
    }
    let mut positions: Vec<i64> = told_by.keys().copied().collect();
    let (people, mut bytes) = (Arc::new(people), 0);
    while !positions.is_empty() && bytes < MAX_PREPARED_BYTES {
        let bodies = erase::take_bodies(db.primary(), &mut positions).await?;
        let (provider, people) = (provider.clone(), people.clone());
        let told_by: Vec<Vec<usize>> =
            bodies.iter().map(|kept| told_by.get(&kept.id).cloned().unwrap_or_default()).collect();
        // A page is milliseconds of parsing: not on a thread that answers requests.
        let taken_apart = tokio::task::spawn_blocking(move || {
            let one = |(kept, told): (Kept, Vec<usize>)| take_apart(provider.as_ref(), kept, told, &people);
            bodies.into_iter().zip(told_by).map(one).collect::<Vec<_>>()
        });
        let taken_apart =
            taken_apart.await.map_err(|error| DbErr::Custom(format!("take deliveries apart: {error}")))?;
        for one in taken_apart {
            for (person, count) in
                one.whole_of.iter().map(|it| (it, (1, 0))).chain(one.slices_of.iter().map(|it| (it, (0, 1))))
            {
                if let Some(of) = found.of.get_mut(person) {
                    of.emptied.whole += count.0;
                    of.emptied.slices += count.1;
                }
            }
            match one.left {
                Redacted::Untouched => {}
                Redacted::Slice(body) => {
                    bytes += body.len();
                    found.slices.push((one.position, body));
                }
                Redacted::Nothing => found.whole.push(one.position),
            }
        }
    }
    for position in positions {
        for person in told_by.remove(&position).unwrap_or_default() {
            let names = people.get(person).into_iter().flat_map(|subjects| &subjects.profiles);
            names.for_each(|name| {
                if let Some(of) = found.of.get_mut(name) {
                    of.left.push(position);
                }
            });
        }
    }
    Ok(found)
}

/// A delivery without what it tells of some people.
struct TakenApart {
    position: i64,
    left: Redacted,
    whole_of: Vec<String>,
    slices_of: Vec<String>,
}

fn take_apart(provider: &dyn Provider, mut kept: Kept, told: Vec<usize>, people: &[Subjects]) -> TakenApart {
    let context = Context::from_json(kept.context.as_ref());
    let mut outcome =
        TakenApart { position: kept.id, left: Redacted::Untouched, whole_of: Vec::new(), slices_of: Vec::new() };
    for subjects in told.into_iter().filter_map(|person| people.get(person)) {
        let redacted = provider.redact(&delivery(&kept, context.as_ref()), subjects);
        match redacted {
            Redacted::Untouched => {}
            Redacted::Slice(body) => {
                kept.body = body.clone();
                outcome.left = Redacted::Slice(body);
                outcome.slices_of.extend(subjects.profiles.iter().cloned());
            }
            Redacted::Nothing => {
                outcome.left = Redacted::Nothing;
                outcome.whole_of.extend(subjects.profiles.iter().cloned());
                return outcome;
            }
        }
    }
    outcome
}

async fn search_one(
    connection: &impl ConnectionTrait,
    db: &Database,
    source_id: i32,
    external_id: &str,
    profile_id: Option<i64>,
) -> Result<Vec<i64>, DbErr> {
    let mut named = vec![name(b"p", external_id)];
    let mut texts = vec![external_id.to_owned()];
    let mut positions = Vec::new();
    if let Some(profile_id) = profile_id {
        let subprofiles = write::subprofile_ids(connection, profile_id).await?;
        named.extend(subprofiles.iter().map(|id| name(b"s", id)));
        texts.extend(subprofiles);
        positions = write::deliveries_of(connection, profile_id).await?;
    }
    positions.extend(erase::find_named(connection, db.dialect(), source_id, &named).await?);
    positions.extend(erase::find_parked(connection, db.dialect(), source_id, &texts).await?);
    Ok(positions)
}

/// Makes profiles that are new to the mirror and on the suppression list what they were: erased.
pub(super) async fn uphold(
    transaction: &DatabaseTransaction,
    eraser: &Eraser,
    batch: &mut Batch<'_>,
    names: &std::collections::HashSet<String>,
    origin: &Origin,
) -> Result<(), DbErr> {
    let new: Vec<&String> = names.iter().filter(|name| !batch.holds(name)).collect();
    if new.is_empty() {
        return Ok(());
    }
    let Some(key) = write::suppression_key(transaction).await? else { return Ok(()) };
    let digests: HashMap<Vec<u8>, &String> =
        new.into_iter().map(|id| (suppression_digest(&key, &eraser.source_name, id), id)).collect();
    let wanted: Vec<Vec<u8>> = digests.keys().cloned().collect();
    let mut listed = write::suppressed(transaction, &wanted).await?;
    listed.sort_by(|one, other| one.digest.cmp(&other.digest));
    for row in listed {
        if let Some(id) = digests.get(&row.digest) {
            lifecycles::uphold(batch, origin, id, row.at);
        }
    }
    Ok(())
}

/// The keyed hash under which an erased id stays known.
fn suppression_digest(key: &[u8], source_name: &str, external_id: &str) -> Vec<u8> {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    context.update(source_name.as_bytes());
    // A name holds no NUL, so that no two pairs make the same bytes.
    context.update(&[0]);
    context.update(external_id.as_bytes());
    context.sign().as_ref().to_vec()
}

/// Who was found erased while a batch was taken, piece by piece.
#[derive(Debug, Default)]
pub(super) struct Erased {
    profiles: HashSet<String>,
    /// Their subprofiles, with the profile of each.
    subprofiles: HashMap<String, String>,
}

impl Erased {
    /// Notes who is erased by the end of a piece.
    pub fn note(&mut self, batch: &Batch<'_>) {
        let erased = batch.erased_ids();
        if erased.is_empty() {
            return;
        }
        for (id, work) in &batch.subprofiles {
            let owner = batch.get(work.profile).row.external_id.as_str();
            if erased.contains(owner) {
                self.subprofiles.insert(id.clone(), owner.to_owned());
            }
        }
        self.profiles.extend(erased.into_iter().map(str::to_owned));
    }

    /// The deliveries that name them, in whichever piece: what came before somebody was erased tells of them too.
    pub fn hits(&self, told: &[(i64, Arc<Subjects>)]) -> Vec<Hit> {
        if self.profiles.is_empty() {
            return Vec::new();
        }
        told.iter().filter_map(|(position, told)| self.hit(*position, told)).collect()
    }

    fn hit(&self, position: i64, told: &Subjects) -> Option<Hit> {
        let profiles: BTreeSet<String> =
            told.profiles.iter().filter(|id| self.profiles.contains(*id)).cloned().collect();
        let owned = told.subprofiles.iter().filter_map(|id| Some((id, self.subprofiles.get(id)?)));
        let (mut subprofiles, mut of) = (BTreeSet::new(), profiles.clone());
        for (id, owner) in owned {
            subprofiles.insert(id.clone());
            of.insert(owner.clone());
        }
        (!of.is_empty()).then_some(Hit { position, subjects: Subjects { profiles, subprofiles }, of })
    }
}

/// Empties everything that tells of the profiles whose rows were just emptied, and every delivery of the batch that
/// tells of somebody erased before. Returns whether anything was emptied.
#[expect(clippy::too_many_arguments, reason = "the parts of one transaction, passed through once")]
pub(super) async fn carry_out(
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
        let mut key = vec![0; 32];
        SystemRandom::new().fill(&mut key).map_err(|_| DbErr::Custom("no randomness for a key".to_owned()))?;
        let key = write::ensure_suppression_key(transaction, key).await?;
        let digests = fresh.iter().map(|id| suppression_digest(&key, &eraser.source_name, id)).collect();
        write::suppress(transaction, now, digests).await?;
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

/// Empties a delivery that is parked after apply failed on it, where it tells of somebody erased.
pub(super) async fn empty_parked(
    transaction: &DatabaseTransaction,
    lease: &Lease,
    provider: &dyn Provider,
    now: Moment,
    position: i64,
) -> Result<bool, ApplyError> {
    let mut emptied = false;
    for kept in erase::take_bodies(transaction, &mut vec![position]).await? {
        let context = Context::from_json(kept.context.as_ref());
        let delivery = delivery(&kept, context.as_ref());
        let mut told = subjects(provider, &delivery, provider.decode(&delivery).ok().as_ref());
        let named: Vec<String> = told.profiles.iter().cloned().collect();
        let owners = write::load_subprofiles(
            transaction,
            lease.source_id,
            &told.subprofiles.iter().cloned().collect::<Vec<_>>(),
            &[],
        )
        .await?;
        let mut rows = write::load_profiles(transaction, lease.source_id, &named).await?;
        let parents: Vec<i64> = owners.iter().map(|row| row.profile_id).collect();
        rows.extend(write::load_profiles_by_id(transaction, &parents).await?);
        rows.retain(|row| row.status == Status::Anonymized);
        let erased: BTreeSet<i64> = rows.iter().map(|row| row.id).collect();
        told.profiles = rows.into_iter().map(|row| row.external_id).collect();
        told.subprofiles =
            owners.into_iter().filter(|row| erased.contains(&row.profile_id)).map(|row| row.external_id).collect();
        if !told.is_empty() {
            let done = empty(transaction, provider, now, &told, vec![position]).await?;
            emptied |= done.whole + done.slices > 0;
            write::count_late(transaction, &erased.into_iter().collect::<Vec<_>>()).await?;
        }
    }
    Ok(emptied)
}

#[derive(Debug, Default)]
struct Emptied {
    whole: usize,
    slices: usize,
}

fn delivery<'a>(kept: &'a Kept, context: Option<&'a Context>) -> Delivery<'a> {
    Delivery {
        kind: kept.kind.into(),
        media_type: &kept.media_type,
        body: &kept.body,
        target: context.and_then(|context| context.target.as_ref()),
        page: context.and_then(|context| context.page.as_ref()),
        is_missing: context.is_some_and(|context| context.is_missing),
    }
}

/// Takes what they tell of these records out of deliveries, a few bodies at a time.
async fn empty(
    transaction: &DatabaseTransaction,
    provider: &dyn Provider,
    now: Moment,
    subjects: &Subjects,
    mut positions: Vec<i64>,
) -> Result<Emptied, DbErr> {
    positions.sort_unstable();
    positions.dedup();
    let mut whole = Vec::new();
    let mut slices = 0;
    while !positions.is_empty() {
        for kept in erase::take_bodies(transaction, &mut positions).await? {
            let context = Context::from_json(kept.context.as_ref());
            match provider.redact(&delivery(&kept, context.as_ref()), subjects) {
                Redacted::Untouched => {}
                Redacted::Slice(body) => {
                    erase::rewrite(transaction, kept.id, body).await?;
                    slices += 1;
                }
                Redacted::Nothing => whole.push(kept.id),
            }
        }
    }
    erase::empty(transaction, now, &whole).await?;
    write::empty_verdicts(transaction, &whole).await?;
    Ok(Emptied { whole: whole.len(), slices })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_depends_on_key_source_and_id() {
        let digest = |key: u8, source: &str, id: &str| suppression_digest(&[key; 32], source, id);
        let one = digest(1, "crm", "a");
        assert_eq!(one.len(), 32);
        assert_eq!(one, digest(1, "crm", "a"));
        assert!(
            [digest(2, "crm", "a"), digest(1, "cr", "ma"), digest(1, "crm", "b")].iter().all(|other| *other != one)
        );
    }

    #[test]
    fn a_profile_and_a_subprofile_of_one_id_have_two_names() {
        let both = Subjects { profiles: ["7".to_owned()].into(), subprofiles: ["7".to_owned()].into() };
        assert_eq!(names(&both), [name(b"p", "7"), name(b"s", "7")].concat());
        assert_ne!(name(b"p", "7"), name(b"s", "7"));
    }
}
