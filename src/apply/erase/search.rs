//! Looks for the deliveries that tell of who is erased, and takes them apart before the transaction.

use super::named::{erased_by, name};
use super::redact::{Emptied, delivery};
use crate::apply::read::Read;
use crate::db::Database;
use crate::inbox::Context;
use crate::inbox::erase::{self, Kept};
use crate::mirror::write;
use entity::Status;
use provider::{Provider, Redacted, Subjects};
use sea_orm::{ConnectionTrait, DbErr};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Bodies held before a transaction; what is beyond is taken apart within it.
const MAX_PREPARED_BYTES: usize = 32 << 20;

/// What tells of the profiles that a batch erases, taken apart before its transaction.
#[derive(Debug, Default)]
pub(in crate::apply) struct Found {
    pub(super) of: HashMap<String, OfOne>,
    /// Deliveries to be emptied whole.
    pub(super) whole: Vec<i64>,
    /// Bodies to be written instead.
    pub(super) slices: Vec<(i64, Vec<u8>)>,
}

/// What was found of one profile.
#[derive(Debug, Default)]
pub(super) struct OfOne {
    pub emptied: Emptied,
    /// Deliveries that were too much to be taken apart before.
    pub left: Vec<i64>,
}

/// Looks for the deliveries that tell of the profiles which these deliveries will erase, and takes them apart. Costs
/// nothing where they erase nobody.
pub(in crate::apply) async fn search(
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

/// The deliveries that tell of a profile, where it has left traces.
pub(super) async fn search_one(
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
