//! One transaction: the observations of some deliveries, taken in order.

use super::batch::{Batch, Origin, Wanted};
use super::catalog::Catalog;
use super::worker::ApplyError;
use super::{absences, lifecycles, policy, profiles, relationships, subprofiles};
use crate::db::Database;
use crate::failpoint::Failpoint;
use crate::inbox::{self, Context, Lease, Settlement, Taken};
use crate::mirror::write::{self, Again};
use entity::{Decision, Moment, RecordKind, fetch_request};
use provider::{DecodeError, Decoded, Delivery, DeliveryKind, Observation, Provider, Status, Target};
use sea_orm::DatabaseTransaction;
use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// A delivery, read.
pub(super) struct Read {
    pub id: i64,
    pub context: Option<Context>,
    pub origin: Origin,
    pub decoded: Result<Decoded, DecodeError>,
}

/// Reads a delivery. Pure, so that it can be done outside the transaction.
pub(super) fn read(provider: &dyn Provider, taken: Taken) -> Read {
    let context = Context::from_json(taken.context.as_ref());
    let delivery = Delivery {
        kind: taken.kind.into(),
        media_type: &taken.media_type,
        body: &taken.body,
        target: context.as_ref().and_then(|context| context.target.as_ref()),
        page: context.as_ref().and_then(|context| context.page.as_ref()),
        is_missing: context.as_ref().is_some_and(|context| context.is_missing),
    };
    // One delivery that a provider cannot cope with must not stop the others.
    let decoded = catch_unwind(AssertUnwindSafe(|| provider.decode(&delivery)))
        .unwrap_or_else(|_| Err(DecodeError("reading it failed inside the service; the log has the place".to_owned())));
    let cause = match (&decoded, delivery.kind) {
        (Ok(Decoded { event: Some(event), .. }), _) => event.clone(),
        (_, DeliveryKind::Webhook) => "webhook".to_owned(),
        (_, DeliveryKind::Page) => "page".to_owned(),
        (_, DeliveryKind::Fetch) => "fetch".to_owned(),
    };
    let origin = Origin {
        position: taken.id,
        kind: delivery.kind,
        received_at: taken.received_at,
        started_at: context.as_ref().map(|context| context.started_at),
        request_id: context.as_ref().and_then(|context| context.request_id),
        cause,
    };
    Read { id: taken.id, context, origin, decoded }
}

/// Applies deliveries in one transaction. Returns the source's revision after it, and whether it moved.
pub(super) async fn apply(
    db: &Database,
    lease: &Lease,
    provider: &Arc<dyn Provider>,
    catalog: &mut Catalog,
    now: Moment,
    deliveries: &[Read],
) -> Result<bool, ApplyError> {
    let transaction = db.begin().await?;
    let webhooks = deliveries.iter().filter(|delivery| delivery.origin.kind == DeliveryKind::Webhook);
    let last_webhook_at = webhooks.map(|delivery| delivery.origin.received_at).max();
    let Some(revision) = lease.fence(&transaction, now, last_webhook_at).await? else {
        return Err(ApplyError::LeaseLost);
    };
    let changed_types = learn(&transaction, lease.source_id, now, catalog, deliveries).await?;
    let unknown = ensure(&transaction, lease.source_id, now, catalog, deliveries).await?;

    let wanted = wanted(provider.as_ref(), catalog, deliveries);
    let mut batch = Batch::new(lease.source_id, provider.clone(), now, revision, catalog);
    batch.load(&transaction, &wanted).await?;
    let requests = load_requests(&transaction, deliveries).await?;
    let mut settlements = Vec::with_capacity(deliveries.len());
    for delivery in deliveries {
        settlements.push(take_delivery(&mut batch, delivery, &requests));
    }
    if let (Some(first), false) = (deliveries.first(), unknown.is_empty()) {
        for profile_type in unknown {
            let target = Target::Metadata { profile_type };
            batch.wish(target, &first.origin, "named by a record, not known yet", 0, false);
        }
    }
    let mut newest = batch.revision();
    batch.flush(&transaction).await?;
    if let Some(first) = deliveries.first() {
        for profile_type_id in changed_types {
            newest =
                rederive(&transaction, lease.source_id, provider, catalog, now, newest, profile_type_id, &first.origin)
                    .await?;
        }
    }
    inbox::settle(&transaction, now, &settlements).await?;
    if newest != revision && !write::advance_revision(&transaction, lease.source_id, revision, newest).await? {
        return Err(ApplyError::LeaseLost);
    }
    Failpoint::ApplyCommit.pass();
    transaction.commit().await?;
    Failpoint::Applied.pass();
    Ok(newest != revision)
}

fn observations(deliveries: &[Read]) -> impl Iterator<Item = &Observation> {
    deliveries.iter().filter_map(|delivery| delivery.decoded.as_ref().ok()).flat_map(|decoded| &decoded.observations)
}

/// Writes metadata first, so that the records of the same batch are read with it.
async fn learn(
    transaction: &DatabaseTransaction,
    source_id: i32,
    now: Moment,
    catalog: &mut Catalog,
    deliveries: &[Read],
) -> Result<Vec<i32>, ApplyError> {
    let mut changed = Vec::new();
    for observation in observations(deliveries) {
        match observation {
            Observation::ProfileType(seen) => {
                changed.extend(catalog.learn(transaction, source_id, now, seen).await?);
            }
            Observation::CollectionFields { collection, fields } => {
                catalog.learn_collection_fields(transaction, source_id, collection, fields).await?;
            }
            _ => {}
        }
    }
    changed.sort_unstable();
    changed.dedup();
    Ok(changed)
}

/// Gives every named type and collection a row. Returns whose metadata must be fetched.
async fn ensure(
    transaction: &DatabaseTransaction,
    source_id: i32,
    now: Moment,
    catalog: &mut Catalog,
    deliveries: &[Read],
) -> Result<Vec<Option<String>>, ApplyError> {
    let types = observations(deliveries).filter_map(|observation| match observation {
        Observation::Profile(seen) => seen.profile_type.clone(),
        Observation::Subprofile(seen) => seen.profile_type.clone(),
        _ => None,
    });
    let mut unknown: Vec<Option<String>> =
        catalog.ensure_types(transaction, source_id, now, types).await?.into_iter().map(Some).collect();
    let mut collections = BTreeMap::new();
    for observation in observations(deliveries) {
        match observation {
            Observation::Subprofile(seen) => {
                collections.insert(seen.collection.clone(), seen.profile_type.clone());
            }
            Observation::SubprofileGone { collection: Some(collection), .. } => {
                collections.entry(collection.clone()).or_insert(None);
            }
            _ => {}
        }
    }
    let of_unknown: Vec<_> = collections.values().cloned().collect();
    if catalog.ensure_collections(transaction, source_id, now, collections).await? {
        unknown.extend(of_unknown);
    }
    unknown.extend(observations(deliveries).filter_map(|observation| match observation {
        Observation::MetadataNeeded { profile_type } => Some(profile_type.clone()),
        _ => None,
    }));
    let told = observations(deliveries).filter_map(|observation| match observation {
        Observation::Profile(seen) => seen.relationships.as_ref(),
        _ => None,
    });
    catalog.ensure_relationship_types(transaction, source_id, told.flat_map(|(_, seen)| seen)).await?;
    unknown.sort_unstable();
    unknown.dedup();
    Ok(unknown)
}

/// What the observations name: it must be in the batch before they are taken.
fn wanted(provider: &dyn Provider, catalog: &Catalog, deliveries: &[Read]) -> Wanted {
    let mut wanted = Wanted::default();
    for observation in observations(deliveries) {
        match observation {
            Observation::ProfileType(_) | Observation::CollectionFields { .. } | Observation::MetadataNeeded { .. } => {
            }
            Observation::Profile(seen) => {
                wanted.profiles.insert(seen.external_id.clone());
                wanted.whole.insert(seen.external_id.clone());
                for relationship in seen.relationships.iter().flat_map(|(_, relationships)| relationships) {
                    wanted.profiles.extend([relationship.from.clone(), relationship.to.clone()]);
                    wanted.relationships.insert(relationship.external_id.clone());
                }
                let known_type = seen.profile_type.as_deref().and_then(|id| catalog.profile_type(id));
                let definitions = known_type.map(|known| known.fields.as_slice()).unwrap_or_default();
                if let Some(fields) = &seen.fields {
                    let derived = provider.derive(fields, definitions);
                    wanted.profiles.extend(derived.references.into_iter().map(|reference| reference.to));
                }
            }
            Observation::Subprofile(seen) => {
                wanted.profiles.insert(seen.profile.clone());
                wanted.subprofiles.insert(seen.external_id.clone());
            }
            Observation::Lifecycle(seen) => {
                wanted.profiles.insert(seen.profile.clone());
                if matches!(seen.to, Status::Deleted | Status::Anonymized) {
                    wanted.going.insert(seen.profile.clone());
                }
            }
            Observation::Touched { profile, .. } => {
                wanted.profiles.insert(profile.clone());
            }
            Observation::Missing { profile, .. } => {
                wanted.profiles.insert(profile.clone());
                wanted.going.insert(profile.clone());
            }
            Observation::SubprofileTouched { subprofile, .. } | Observation::SubprofileMissing { subprofile, .. } => {
                wanted.subprofiles.insert(subprofile.clone());
            }
            Observation::SubprofileGone { subprofile, profile, .. } => {
                wanted.subprofiles.insert(subprofile.clone());
                wanted.profiles.extend(profile.clone());
            }
            Observation::RelationshipGone { relationship } => {
                wanted.relationships.insert(relationship.clone());
            }
        }
    }
    wanted
}

type Requests = HashMap<i64, fetch_request::Model>;

async fn load_requests(transaction: &DatabaseTransaction, deliveries: &[Read]) -> Result<Requests, ApplyError> {
    let ids: Vec<i64> = deliveries.iter().filter_map(|delivery| delivery.origin.request_id).collect();
    let rows = write::load_requests(transaction, &ids).await?;
    Ok(rows.into_iter().map(|row| (row.id, row)).collect())
}

/// Takes one delivery and says how it ends.
fn take_delivery(batch: &mut Batch<'_>, delivery: &Read, requests: &Requests) -> (i64, Option<String>, Settlement) {
    let request = delivery.origin.request_id.and_then(|id| requests.get(&id));
    batch.done_requests.extend(delivery.origin.request_id.zip(delivery.origin.started_at));
    let decoded = match &delivery.decoded {
        Ok(decoded) => decoded,
        Err(problem) => {
            let judged = super::batch::Judged {
                record_kind: RecordKind::Profile,
                record_id: "",
                profile: None,
                decision: Decision::Parked,
                rule: &problem.0,
                observed: None,
                stored: None,
            };
            batch.judge(&delivery.origin, &judged);
            return (delivery.id, None, Settlement::Parked(problem.0.clone()));
        }
    };
    for observation in &decoded.observations {
        take_observation(batch, delivery, observation.clone(), request);
    }
    let settlement = match &decoded.ignored {
        Some(reason) if decoded.observations.is_empty() => Settlement::Ignored(reason.clone()),
        _ => Settlement::Applied,
    };
    (delivery.id, decoded.event.clone(), settlement)
}

fn take_observation(
    batch: &mut Batch<'_>,
    delivery: &Read,
    observation: Observation,
    request: Option<&fetch_request::Model>,
) {
    let origin = &delivery.origin;
    match observation {
        Observation::ProfileType(_) | Observation::CollectionFields { .. } | Observation::MetadataNeeded { .. } => {}
        Observation::Profile(seen) => profiles::observe(batch, origin, *seen),
        Observation::Subprofile(seen) => subprofiles::observe(batch, origin, *seen),
        Observation::Lifecycle(seen) => lifecycles::observe(batch, origin, seen),
        Observation::Touched { profile, reason, is_creation, delay_ms, .. } => {
            let target = Target::Profile { id: profile };
            let asked_now = delivery.context.as_ref().and_then(|context| context.target.as_ref());
            match request {
                // The answer to a fetch says: not ready, ask again. Each time a little later.
                Some(request) if asked_now == Some(&target) => {
                    let again = Again {
                        request_id: request.id,
                        not_before: policy::after_miss(request.attempts + 1, batch.now),
                        misses: 0,
                        attempts: request.attempts + 1,
                    };
                    batch.again.insert(request.id, again);
                }
                _ => touch(batch, origin, target, &reason, delay_ms, is_creation),
            }
        }
        Observation::SubprofileTouched { subprofile, reason, .. } => {
            batch.wish(Target::Subprofile { id: subprofile }, origin, &reason, 0, false);
        }
        Observation::SubprofileGone { subprofile, profile, collection, version } => {
            subprofiles::observe_gone(batch, origin, &subprofile, profile.as_deref(), collection.as_deref(), version);
        }
        Observation::RelationshipGone { relationship } => relationships::observe_gone(batch, origin, &relationship),
        Observation::Missing { profile, .. } => absences::observe_profile(batch, origin, &profile, request),
        Observation::SubprofileMissing { subprofile, .. } => {
            absences::observe_subprofile(batch, origin, &subprofile, request);
        }
    }
}

/// A thin event: the profile must be fetched, unless it is anonymized.
fn touch(batch: &mut Batch<'_>, origin: &Origin, target: Target, reason: &str, delay_ms: u64, is_creation: bool) {
    let Target::Profile { id } = &target else { return };
    let id = id.clone();
    let profile = batch.profile(&id);
    let is_final = batch.get(profile).row.status == entity::Status::Anonymized;
    let (decision, rule) = if is_final {
        (Decision::Suppressed, "anonymized profiles take nothing more")
    } else {
        batch.wish(target, origin, reason, delay_ms, is_creation);
        (Decision::Applied, "a hint: fetched by id")
    };
    let judged = super::batch::Judged {
        record_kind: RecordKind::Profile,
        record_id: &id,
        profile: Some(profile),
        decision,
        rule,
        observed: None,
        stored: None,
    };
    batch.judge(origin, &judged);
}

/// Derives names, e-mail addresses and references of a type's profiles again, after its fields changed.
#[expect(clippy::too_many_arguments, reason = "the parts of one transaction, passed through once")]
async fn rederive(
    transaction: &DatabaseTransaction,
    source_id: i32,
    provider: &Arc<dyn Provider>,
    catalog: &mut Catalog,
    now: Moment,
    mut revision: i64,
    profile_type_id: i32,
    origin: &Origin,
) -> Result<i64, ApplyError> {
    const CHUNK: u64 = 500;
    let mut after = 0;
    loop {
        let rows = write::load_profiles_of_type(transaction, profile_type_id, after, CHUNK).await?;
        let Some((last, _)) = rows.last() else { return Ok(revision) };
        after = *last;
        let names: Vec<String> = rows.into_iter().map(|(_, name)| name).collect();
        let mut batch = Batch::new(source_id, provider.clone(), now, revision, catalog);
        let wanted = Wanted {
            profiles: names.iter().cloned().collect(),
            whole: names.iter().cloned().collect(),
            ..Wanted::default()
        };
        batch.load(transaction, &wanted).await?;
        let handles: Vec<_> = names.iter().map(|name| batch.profile(name)).collect();
        let referred = handles.iter().flat_map(|handle| {
            let row = &batch.get(*handle).row;
            let derived = provider.derive(profiles::object(&row.fields), batch.catalog.fields(row.profile_type_id));
            derived.references.into_iter().map(|reference| reference.to)
        });
        let referred = Wanted { profiles: referred.collect(), ..Wanted::default() };
        batch.load(transaction, &referred).await?;
        for handle in handles {
            profiles::derive(&mut batch, origin, handle);
        }
        revision = batch.revision();
        batch.flush(transaction).await?;
    }
}
