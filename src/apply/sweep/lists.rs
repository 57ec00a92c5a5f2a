//! Lists of ids, where the provider has them: one call that shows of many candidates that they are there.
//!
//! A list may leave out what a read by id finds, so that it only ever clears candidates: whoever it does not name is
//! asked for by id like before. It is asked for where that is likely to save calls.

use super::{SAMPLE, Terms};
use crate::apply::batch::Origin;
use crate::apply::catalog::Catalog;
use crate::apply::worker::ApplyError;
use crate::mirror::write::{self, Unlisted};
use entity::{FetchState, RecordKind, sync_run};
use provider::{IdsSeen, Records, Target};
use sea_orm::{ConnectionTrait, DbErr};
use std::collections::HashSet;

/// Records of a place for each candidate, at most: a list of all of them costs upstream about as much as so many calls
/// by id.
const RECORDS_A_CALL: u64 = 1_000;
/// Records of a place whose list is still a body of a few megabytes.
const MAX_LISTED: u64 = 500_000;

impl Terms<'_> {
    /// Asks for the lists that are worth it; true while one of them is waited for.
    pub(super) async fn ask_lists(&self, run: &sync_run::Model, catalog: &Catalog) -> Result<bool, ApplyError> {
        if !self.provider.lists_ids() {
            return Ok(false);
        }
        let db = self.db.primary();
        let (mut asked, mut places) = (Vec::new(), Vec::new());
        for unlisted in write::count_unlisted(db, run.id).await?.into_iter().filter(|place| place.count > SAMPLE) {
            let records = write::count_place(db, unlisted.kind, unlisted.place).await?;
            let is_worth_it = records <= MAX_LISTED && records <= unlisted.count.saturating_mul(RECORDS_A_CALL);
            if let (true, Some(target)) = (is_worth_it, target_of(catalog, unlisted)) {
                places.push((unlisted.kind, unlisted.place));
                asked.push(target);
            }
        }
        if asked.is_empty() {
            return Ok(false);
        }
        let keys: Vec<String> = asked.iter().map(write::target_key).collect();
        let requests = write::load_request_states(db, run.source_id, &keys).await?;
        let (mut given_up, mut wishes, mut waits) = (Vec::new(), Vec::new(), 0);
        for ((target, place), key) in asked.into_iter().zip(places).zip(keys) {
            match requests.get(&key) {
                Some(request) if request.state != FetchState::Parked => waits += 1,
                Some(request) if request.wanted_position > run.low_position => given_up.push(place),
                _ => {
                    let reason = format!("no page of run {} named many of its records", run.id);
                    wishes.push(self.wish(run, target, reason));
                }
            }
        }
        let is_waiting = waits > 0 || !wishes.is_empty();
        if given_up.is_empty() && wishes.is_empty() {
            return Ok(is_waiting);
        }
        let Some((transaction, _)) = self.begin(run).await? else { return Ok(true) };
        for place in given_up {
            write::give_up_list(&transaction, run.id, place, run.low_position).await?;
        }
        write::write_wishes(&transaction, run.source_id, self.now, wishes).await?;
        transaction.commit().await?;
        Ok(is_waiting)
    }
}

fn target_of(catalog: &Catalog, unlisted: Unlisted) -> Option<Target> {
    let (records, place) = match unlisted.kind {
        RecordKind::Profile => (Records::Profiles, catalog.type_external_id(unlisted.place)?),
        _ => (Records::Subprofiles, catalog.collection_external_id(unlisted.place)?),
    };
    Some(Target::Ids { records, place })
}

/// Holds the candidates of a place against a list of ids.
pub(in crate::apply) async fn take_ids(
    transaction: &impl ConnectionTrait,
    catalog: &Catalog,
    origin: &Origin,
    seen: &IdsSeen,
) -> Result<(), DbErr> {
    let place = match seen.records {
        Records::Profiles => catalog.profile_type(&seen.place).map(|known| (RecordKind::Profile, known.row.id)),
        Records::Subprofiles => catalog.collection_id(&seen.place).map(|id| (RecordKind::Subprofile, id)),
    };
    let Some(place) = place else { return Ok(()) };
    let ids: HashSet<&str> = seen.ids.iter().flatten().map(String::as_str).collect();
    write::clear_listed(transaction, place, &ids, origin.started_at.unwrap_or(0), origin.position).await
}
