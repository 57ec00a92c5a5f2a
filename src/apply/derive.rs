//! Derives anew what the profiles of a type show of its metadata, after that has changed: kind, names, e-mail addresses,
//! references to other profiles.
//!
//! The metadata is written with a note that its profiles are to follow; they do in steps of one short transaction, so that a
//! type of any size holds up no webhook, and a step that is lost is taken again. No run sweeps before that is done.

use super::batch::{Batch, Origin, Wanted};
use super::catalog::{Catalog, Learned};
use super::profiles;
use super::worker::{ApplyError, News};
use crate::db::Database;
use crate::inbox::Lease;
use crate::mirror::write;
use entity::Moment;
use provider::Provider;
use sea_orm::DatabaseTransaction;
use std::sync::Arc;

/// Profiles of a step at most.
pub(super) const STEP: u64 = 500;
/// Profiles that are told anew once the fields of their type are known. Usually they are a few that webhooks brought before
/// the first sync; nobody reads a change for each profile of an account that was synced without its types.
const MAX_TOLD_ANEW: i32 = 1_000;
/// What the changes name as their cause.
const CAUSE: &str = "metadata";

/// Notes that the profiles that there are of these types are to follow their metadata. What is written from here on does.
pub(super) async fn ask(
    transaction: &DatabaseTransaction,
    source_id: i32,
    changed: Vec<Learned>,
    origin: &Origin,
) -> Result<(), ApplyError> {
    let told_by = (origin.position, entity::DeliveryKind::from(origin.kind));
    for Learned { profile_type_id, is_first } in changed {
        let told_anew = if is_first { MAX_TOLD_ANEW } else { 0 };
        write::ask_to_derive(transaction, source_id, profile_type_id, told_anew, told_by).await?;
    }
    Ok(())
}

/// Takes the next step, over so many profiles at most; none where there is nothing to do.
pub(super) async fn advance(
    db: &Database,
    lease: &Lease,
    provider: &Arc<dyn Provider>,
    catalog: &Catalog,
    now: Moment,
    most: u64,
) -> Result<Option<News>, ApplyError> {
    if write::load_derivation(db.primary(), lease.source_id).await?.is_none() {
        return Ok(None);
    }
    let transaction = db.begin().await?;
    let Some(revision) = lease.fence(&transaction, now, None).await? else { return Err(ApplyError::LeaseLost) };
    let Some(mut due) = write::load_derivation(&transaction, lease.source_id).await? else { return Ok(None) };
    let left = (due.done_profile_id, due.last_profile_id);
    let rows = write::load_profiles_of_type(&transaction, due.profile_type_id, left, most).await?;
    let is_over = (rows.len() as u64) < most;
    due.done_profile_id = rows.last().map_or(due.done_profile_id, |(id, _)| *id);

    let names: Vec<String> = rows.into_iter().map(|(_, name)| name).collect();
    let mut batch = Batch::new(lease.source_id, provider.clone(), now, revision, catalog);
    let wanted = Wanted {
        profiles: names.iter().cloned().collect(),
        whole: names.iter().cloned().collect(),
        ..Wanted::default()
    };
    batch.load(&transaction, &wanted).await?;
    let handles: Vec<_> = names.iter().map(|name| batch.profile(name)).collect();
    let referred = handles.iter().flat_map(|handle| {
        let row = &batch.get(*handle).row;
        let derived = provider.derive(profiles::object(&row.fields), batch.catalog.fields(row.profile_type_id));
        derived.references.into_iter().map(|reference| reference.to)
    });
    let referred = Wanted { profiles: referred.collect(), ..Wanted::default() };
    batch.load(&transaction, &referred).await?;

    let origin = Origin {
        position: due.delivery_id,
        kind: due.delivery_kind.into(),
        received_at: now,
        started_at: None,
        request_id: None,
        cause: CAUSE.to_owned(),
    };
    for handle in handles {
        profiles::derive(&mut batch, &origin, handle, due.told_anew > 0);
        due.told_anew = (due.told_anew - 1).max(0);
    }
    let newest = batch.revision();
    let news = News { changes: newest != revision, wishes: batch.asks() };
    batch.flush(&transaction).await?;
    write::note_derived(&transaction, due, is_over).await?;
    if newest != revision && !write::advance_revision(&transaction, lease.source_id, revision, newest).await? {
        return Err(ApplyError::LeaseLost);
    }
    transaction.commit().await?;
    Ok(Some(news))
}

/// Leaves the next profile as it is: what it shows cannot be derived.
pub(super) async fn skip(db: &Database, lease: &Lease, now: Moment) -> Result<(), ApplyError> {
    let transaction = db.begin().await?;
    if lease.fence(&transaction, now, None).await?.is_none() {
        return Err(ApplyError::LeaseLost);
    }
    let Some(mut due) = write::load_derivation(&transaction, lease.source_id).await? else { return Ok(()) };
    let left = (due.done_profile_id, due.last_profile_id);
    let rows = write::load_profiles_of_type(&transaction, due.profile_type_id, left, 1).await?;
    due.done_profile_id = rows.first().map_or(due.last_profile_id, |(id, _)| *id);
    tracing::error!(profile_row = due.done_profile_id, "left a profile as it is: it does not follow its metadata");
    write::note_derived(&transaction, due, false).await?;
    Ok(transaction.commit().await?)
}
