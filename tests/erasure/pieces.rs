//! Pages that are applied in the same transaction as the event that erases somebody on them, in an earlier part of it.

use super::scan::{CANARY, places};
use super::until;
use crate::support::both;
use convergence::stages::Stages;
use entity::{DeliveryState, delivery};
use profile_mirror::apply::Cleaner;
use profile_mirror::clock::SystemClock;
use profile_mirror::config::Brake;
use profile_mirror::ingest::run::RunRequest;
use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter};
use serde_json::json;
use simulator::{ProviderKind, Simulator, SimulatorOptions};
use std::sync::Arc;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// The list of types, and three pages of a hundred people each: more than one part of a transaction.
const PAGES: u64 = 4;

both!(pages_that_were_taken_before_the_event_in_one_transaction_are_emptied_too, |database| {
    let options = SimulatorOptions { seed: 7, profiles: 2_000, fields: 3, ..SimulatorOptions::default() };
    let simulator = Arc::new(Simulator::unconnected(options).expect("make the world"));
    let parallel = simulator.parallel();
    let person = parallel.profile_ids("Individual").remove(0);
    parallel.silently().set_field(&person, "p_first_name", Some(json!(format!("{CANARY}first")))).unwrap();
    let db = database.connect().await;
    let open = Brake { share: 1.0, count: 1_000_000 };
    let mut stages = Stages::open(&db, &simulator, ProviderKind::Parallel, "crm".to_owned(), open).await;
    stages.apply().await;
    stages.request(RunRequest::full("test")).await.unwrap();
    stages.start_run().await;
    let waiting = delivery::Entity::find().filter(delivery::Column::State.eq(DeliveryState::Pending));
    while waiting.clone().count(db.primary()).await.unwrap() < PAGES {
        stages.advance_run().await;
    }
    simulator.take_webhooks();
    parallel.anonymize(&person).unwrap();
    for webhook in simulator.take_webhooks().iter().filter(|webhook| webhook.event == "PROFILE_ANONYMIZED") {
        assert!(stages.receive(webhook).await);
    }
    stages.apply().await;
    assert_eq!(waiting.count(db.primary()).await.unwrap(), 0);

    let stop = CancellationToken::new();
    let cleaner = Cleaner::new(db.clone(), Arc::new(SystemClock), Arc::new(Notify::new()));
    let cleaning = tokio::spawn(cleaner.run(stop.clone()));
    until("every place is clean", async || places(&database, &db).await.is_empty()).await;
    stop.cancel();
    cleaning.await.unwrap();
    stages.close();
});
