//! One transaction: the observations of some deliveries, taken in order.

use super::batch::{Batch, Origin, Preview};
use super::catalog::{Catalog, Learned};
use super::drift::Watching;
use super::erase::{self, Eraser};
use super::observations::{Requests, asked_observations, decoded, ids, observations, take_delivery, wanted};
use super::read::Read;
use super::unwritten::{Settled, Unwritten};
use super::worker::{ApplyError, News};
use super::{derive, sweep};
use crate::db::Database;
use crate::failpoint::Failpoint;
use crate::inbox::{self, Lease};
use crate::mirror::write::{self, Missable, PageTally};
use entity::Moment;
use provider::{DeliveryKind, Observation, Provider, Subjects, Target, Unknown};
use sea_orm::{ConnectionTrait, DatabaseTransaction};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a part of a batch is applied with.
pub(super) struct Terms<'a> {
    pub db: &'a Database,
    pub lease: &'a Lease,
    pub provider: &'a Arc<dyn Provider>,
    pub eraser: &'a Eraser,
    pub watching: Watching,
    pub now: Moment,
    /// How long senders that wait may go first.
    pub rest: Duration,
}

/// What a part of a batch came to.
pub(super) struct Applied {
    pub news: News,
    /// How long its transaction was open; where it has none, how long it took to find that out.
    pub took: Duration,
    /// The same with what was done before it and the wait for the writer, without that for senders.
    pub worked: Duration,
}

/// A part of a batch whose observations are taken: what its transaction writes.
struct JudgedPart<'a> {
    batch: Batch<'a>,
    /// The revision of the source before it.
    revision: i64,
    settlements: Vec<Settled>,
    /// The first delivery of it.
    first: Option<Origin>,
    /// The delivery whose rest is in the next part.
    unfinished: Option<i64>,
    /// Whom each delivery tells of.
    told: Vec<(i64, Arc<Subjects>)>,
    unknown_words: Vec<Unknown>,
}

impl Terms<'_> {
    /// Applies a part of a batch in one transaction, or in none where it changes nothing: `unwritten` keeps what it has come to.
    ///
    /// A part of pages that brings no metadata is judged before the transaction, so that the writer of SQLite does not wait
    /// meanwhile: nobody but the holder of the lease writes what it looks at, and the fence tells whether that is still us.
    pub async fn apply(
        &self,
        catalog: &mut Catalog,
        mut deliveries: Vec<Read>,
        unwritten: &mut Unwritten,
    ) -> Result<Applied, ApplyError> {
        let Self { db, lease, .. } = *self;
        let is_of_known_pages = is_of_known_pages(catalog, &deliveries);
        if !is_of_known_pages || deliveries.iter().any(erase::erases) {
            self.settle(unwritten).await?;
        }
        let started = Instant::now();
        let told_by = erase::search(db, self.provider, lease.source_id, &deliveries).await?;
        let names = |delivery: &mut Read| (delivery.id, std::mem::take(&mut delivery.names));
        let named = deliveries.iter_mut().map(names).filter(|(_, names)| !names.is_empty()).collect();
        let webhooks = deliveries.iter().filter(|delivery| delivery.origin.kind == DeliveryKind::Webhook);
        let last_webhook_at = webhooks.map(|delivery| delivery.origin.received_at).max();

        if is_of_known_pages {
            let Some(revision) = lease.peek(db.primary()).await? else { return Err(ApplyError::LeaseLost) };
            let judged = self.judge(db.primary(), catalog, revision, deliveries, &Requests::new(), Vec::new()).await?;
            if judged.changes_nothing() {
                judged.put_off(&self.eraser.source_name, unwritten, named);
                Failpoint::Unchanged.pass();
                let took = started.elapsed();
                return Ok(Applied { news: News::default(), took, worked: took });
            }
            let prepared = started.elapsed();
            self.settle(unwritten).await?;
            db.precedence().let_senders_go_first(self.rest).await;
            let waiting = Instant::now();
            let transaction = db.begin().await?;
            let begun = Instant::now();
            if lease.fence(&transaction, self.now, last_webhook_at).await? != Some(revision) {
                return Err(ApplyError::LeaseLost);
            }
            let news = self.write(transaction, judged, unwritten, told_by, named, Vec::new()).await?;
            return Ok(Applied { news, took: begun.elapsed(), worked: prepared + waiting.elapsed() });
        }

        let prepared = started.elapsed();
        db.precedence().let_senders_go_first(self.rest).await;
        let waiting = Instant::now();
        let transaction = db.begin().await?;
        let begun = Instant::now();
        let Some(revision) = lease.fence(&transaction, self.now, last_webhook_at).await? else {
            return Err(ApplyError::LeaseLost);
        };
        let changed_types = learn(&transaction, lease.source_id, self.now, catalog, &deliveries).await?;
        let unknown = ensure(&transaction, lease.source_id, self.now, catalog, &deliveries).await?;
        let requests = load_requests(&transaction, &deliveries).await?;
        for delivery in &deliveries {
            for seen in ids(delivery) {
                sweep::take_ids(&transaction, catalog, &delivery.origin, seen).await?;
            }
        }
        let judged = self.judge(&transaction, catalog, revision, deliveries, &requests, unknown).await?;
        let news = self.write(transaction, judged, unwritten, told_by, named, changed_types).await?;
        Ok(Applied { news, took: begun.elapsed(), worked: prepared + waiting.elapsed() })
    }

    /// Settles the deliveries that changed nothing.
    pub async fn settle(&self, unwritten: &mut Unwritten) -> Result<(), ApplyError> {
        if !unwritten.is_waiting() {
            return Ok(());
        }
        let Self { db, lease, now, .. } = *self;
        let (settlements, names) = unwritten.take_waiting();
        db.precedence().let_senders_go_first(self.rest).await;
        let transaction = db.begin().await?;
        if lease.fence(&transaction, now, None).await?.is_none() {
            return Err(ApplyError::LeaseLost);
        }
        write::write_tallies(&transaction, unwritten.take_finished()).await?;
        inbox::settle(&transaction, now, &settlements).await?;
        inbox::erase::note_names(&transaction, lease.source_id, names).await?;
        Failpoint::ApplyCommit.pass();
        transaction.commit().await?;
        unwritten.note_settled(settlements.len());
        Failpoint::Applied.pass();
        Ok(())
    }

    /// Takes the observations one by one, on the rows that they will touch.
    async fn judge<'a>(
        &self,
        connection: &impl ConnectionTrait,
        catalog: &'a Catalog,
        revision: i64,
        deliveries: Vec<Read>,
        requests: &Requests,
        unknown: Vec<Option<String>>,
    ) -> Result<JudgedPart<'a>, ApplyError> {
        let source_id = self.lease.source_id;
        let first = deliveries.first().map(|first| first.origin.clone());
        let unknown_words: Vec<Unknown> = decoded(&deliveries).flat_map(|decoded| &decoded.unknown).copied().collect();
        let told = deliveries.iter().map(|delivery| (delivery.id, Arc::clone(&delivery.subjects))).collect();
        let unfinished = deliveries.iter().find(|delivery| delivery.has_more).map(|delivery| delivery.id);
        let mut settlements = Vec::with_capacity(deliveries.len());

        let wanted = wanted(self.provider.as_ref(), catalog, &deliveries);
        let mut batch = Batch::new(source_id, self.provider.clone(), self.now, revision, catalog);
        batch.load(connection, &wanted).await?;
        batch.load_lists(connection, &deliveries).await?;
        let is_of_webhooks = deliveries.iter().all(|delivery| delivery.origin.kind == DeliveryKind::Webhook);
        if self.watching.has_candidates && !is_of_webhooks {
            batch.load_candidates(connection).await?;
        }
        if let Some(first) = &first {
            erase::uphold(connection, self.eraser, &mut batch, &wanted.profiles, first).await?;
        }
        batch.watch.open(connection, source_id, self.watching, &deliveries).await?;
        for delivery in deliveries {
            let settlement = take_delivery(&mut batch, delivery, requests);
            settlements.extend((unfinished != Some(settlement.0)).then_some(settlement));
        }
        if let Some(first) = &first {
            for profile_type in unknown {
                batch.wish(Target::Metadata { profile_type }, first, "named by a record, not known yet", 0, false);
            }
        }
        Ok(JudgedPart { batch, revision, settlements, first, unfinished, told, unknown_words })
    }

    /// Writes what a part came to, and commits.
    async fn write(
        &self,
        transaction: DatabaseTransaction,
        judged: JudgedPart<'_>,
        unwritten: &mut Unwritten,
        told_by: erase::Found,
        named: Vec<(i64, Vec<u8>)>,
        changed_types: Vec<Learned>,
    ) -> Result<News, ApplyError> {
        let Self { db, lease, provider, eraser, now, .. } = *self;
        let JudgedPart { mut batch, revision, settlements, first, unfinished, told, unknown_words } = judged;
        let newest = batch.revision();
        let wishes = batch.asks() || !changed_types.is_empty();
        let erasing = std::mem::take(&mut batch.erasing);
        let mut erased = erase::Erased::default();
        erased.note(&batch);
        if let Some(first) = &first {
            derive::ask(&transaction, lease.source_id, changed_types, first).await?;
        }
        unwritten.add(batch.flush(&transaction).await?, unfinished);
        write::write_tallies(&transaction, unwritten.take_finished()).await?;
        inbox::settle(&transaction, now, &settlements).await?;
        inbox::erase::note_names(&transaction, lease.source_id, named).await?;
        let hits = erased.hits(&told);
        let has_erased =
            erase::carry_out(&transaction, db, eraser, lease.source_id, provider.as_ref(), now, erasing, told_by, hits)
                .await?;
        if newest != revision && !write::advance_revision(&transaction, lease.source_id, revision, newest).await? {
            return Err(ApplyError::LeaseLost);
        }
        Failpoint::ApplyCommit.pass();
        transaction.commit().await?;
        unwritten.note_settled(settlements.len());
        Failpoint::Applied.pass();
        if unfinished.is_some() {
            Failpoint::Parted.pass();
        }
        count_unknown(&eraser.source_name, &unknown_words);
        if has_erased {
            eraser.cleaner.notify_one();
        }
        Ok(News { changes: newest != revision, wishes })
    }
}

impl JudgedPart<'_> {
    /// Whether there is nothing to write but how its deliveries end.
    fn changes_nothing(&self) -> bool {
        let mut erased = erase::Erased::default();
        erased.note(&self.batch);
        self.batch.changes_nothing() && erased.hits(&self.told).is_empty()
    }

    /// Leaves what it came to for a later transaction.
    fn put_off(self, source_name: &str, unwritten: &mut Unwritten, named: Vec<(i64, Vec<u8>)>) {
        count_unknown(source_name, &self.unknown_words);
        unwritten.add(self.batch.into_tallies(), self.unfinished);
        unwritten.put_off(self.settlements, named);
    }
}

/// Whether deliveries are pages of which everything is known but their records, so that they are judged without a write.
fn is_of_known_pages(catalog: &Catalog, deliveries: &[Read]) -> bool {
    let is_page = |delivery: &Read| delivery.origin.kind == DeliveryKind::Page && delivery.origin.request_id.is_none();
    let is_known_type = |id: &Option<String>| id.as_deref().is_none_or(|id| catalog.profile_type(id).is_some());
    let is_known = |observation: &Observation| match observation {
        Observation::Profile(seen) => {
            let mut relationships = seen.relationships.iter().flat_map(|(_, seen)| seen);
            is_known_type(&seen.profile_type) && relationships.all(|seen| catalog.knows_relationship_type(seen))
        }
        Observation::Subprofile(seen) => {
            is_known_type(&seen.profile_type) && catalog.collection_id(&seen.collection).is_some()
        }
        _ => false,
    };
    deliveries.iter().all(is_page) && observations(deliveries).all(is_known)
}

/// What a page of a plan would do.
pub(super) struct Previewed {
    pub changes: Vec<Preview>,
    pub tally: PageTally,
    /// Profiles that it was asked for and that are not found.
    pub missed: Vec<Missable>,
    /// It tells of somebody who is erased already.
    pub hits: Vec<erase::Hit>,
}

/// Applies one delivery in a transaction that is rolled back, and tells what it would have changed. `told` stands for what
/// earlier pages of the plan would have.
pub(super) async fn preview(
    db: &Database,
    source_id: i32,
    provider: &Arc<dyn Provider>,
    eraser: &Eraser,
    now: Moment,
    delivery: Read,
    told: &HashSet<i64>,
) -> Result<Previewed, ApplyError> {
    let transaction = db.begin().await?;
    let deliveries = vec![delivery];
    let mut catalog = Catalog::load(&transaction, source_id).await?;
    learn(&transaction, source_id, now, &mut catalog, &deliveries).await?;
    ensure(&transaction, source_id, now, &mut catalog, &deliveries).await?;
    let wanted = wanted(provider.as_ref(), &catalog, &deliveries);
    let mut batch = Batch::new(source_id, provider.clone(), now, 0, &catalog);
    batch.load(&transaction, &wanted).await?;
    let mut erased = erase::Erased::default();
    for delivery in &deliveries {
        erase::uphold(&transaction, eraser, &mut batch, &wanted.profiles, &delivery.origin).await?;
    }
    // Whom the page itself erases, the mirror still holds.
    erased.note(&batch);
    batch.know(wanted.profiles.difference(&wanted.whole), told);
    let subjects: Vec<_> = deliveries.iter().map(|delivery| (delivery.id, Arc::clone(&delivery.subjects))).collect();
    let requests = Requests::new();
    for delivery in deliveries {
        take_delivery(&mut batch, delivery, &requests);
    }
    let (changes, tally, hits) = (batch.preview(), batch.tally(), erased.hits(&subjects));
    let missed = batch.missed().into_iter().map(|(_, missed)| missed).collect();
    transaction.rollback().await?;
    Ok(Previewed { changes, tally, missed, hits })
}

/// Counts what this version has no word for.
fn count_unknown(source_name: &str, unknown: &[Unknown]) {
    for unknown in unknown {
        let (source, what) = (source_name.to_owned(), unknown.as_str());
        metrics::counter!("profile_mirror_unknown_total", "source" => source, "what" => what).increment(1);
    }
}

/// Writes metadata first, so that the records of the same batch are read with it.
async fn learn(
    transaction: &DatabaseTransaction,
    source_id: i32,
    now: Moment,
    catalog: &mut Catalog,
    deliveries: &[Read],
) -> Result<Vec<Learned>, ApplyError> {
    let mut changed = Vec::new();
    for (asked, observation) in asked_observations(deliveries) {
        match observation {
            Observation::ProfileType(seen) => {
                changed.extend(catalog.learn(transaction, source_id, now, asked, seen).await?);
            }
            Observation::CollectionFields { collection, fields } => {
                catalog.learn_collection_fields(transaction, source_id, asked, collection, fields).await?;
            }
            Observation::Unsubscribing { place, action, fields } => {
                catalog.learn_unsubscribing(transaction, source_id, asked, place, action, fields).await?;
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
    let mut told = Vec::new();
    for (asked, observation) in asked_observations(deliveries) {
        if let Observation::Profile(seen) = observation {
            told.extend(seen.relationships.iter().flat_map(|(_, seen)| seen).map(|seen| (asked, seen)));
        }
    }
    catalog.ensure_relationship_types(transaction, source_id, &told).await?;
    unknown.sort_unstable();
    unknown.dedup();
    Ok(unknown)
}

async fn load_requests(transaction: &DatabaseTransaction, deliveries: &[Read]) -> Result<Requests, ApplyError> {
    let ids: Vec<i64> = deliveries.iter().filter_map(|delivery| delivery.origin.request_id).collect();
    let rows = write::load_requests(transaction, &ids).await?;
    Ok(rows.into_iter().map(|row| (row.id, row)).collect())
}
