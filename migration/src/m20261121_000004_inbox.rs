//! Deliveries, fetch requests, runs.

use crate::{create_indexes, drop_tables};
use sea_orm_migration::{prelude::*, schema::*};

/// Deliveries, fetch requests, runs.
#[derive(DeriveMigrationName)]
pub struct Migration;

const INDEXES: &[&str] = &[
    "CREATE INDEX delivery_position ON delivery (source_id, id)",
    "CREATE UNIQUE INDEX delivery_dedupe_key ON delivery (source_id, dedupe_key)",
    "CREATE INDEX delivery_pending ON delivery (source_id, id) WHERE state = 'pending'",
    "CREATE INDEX delivery_parked ON delivery (source_id, id) WHERE state = 'parked'",
    "CREATE UNIQUE INDEX fetch_request_target ON fetch_request (source_id, target_key)",
    "CREATE INDEX fetch_request_waiting ON fetch_request (source_id, not_before) WHERE state <> 'answered'",
    "CREATE INDEX sync_run_source ON sync_run (source_id, id)",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table("delivery")
                    .col(big_pk_auto("id"))
                    .col(integer("source_id"))
                    .col(text("kind"))
                    .col(text("dedupe_key"))
                    .col(big_integer("received_at"))
                    .col(text("media_type"))
                    .col(json_binary("headers"))
                    .col(blob("body"))
                    .col(integer("body_bytes"))
                    .col(json_binary_null("context"))
                    .col(text("state"))
                    .col(integer("attempts"))
                    .col(big_integer("next_attempt_at"))
                    .col(integer("copies"))
                    .col(text_null("event"))
                    .col(text_null("reason"))
                    .col(big_integer_null("settled_at"))
                    .take(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("fetch_request")
                    .col(big_pk_auto("id"))
                    .col(integer("source_id"))
                    .col(text("target_key"))
                    .col(json_binary("target"))
                    .col(text("state"))
                    .col(big_integer("wanted_position"))
                    .col(big_integer("started_position"))
                    .col(text("reason"))
                    .col(big_integer("requested_at"))
                    .col(big_integer("not_before"))
                    .col(big_integer("claimed_until"))
                    .col(integer("attempts"))
                    .col(integer("misses"))
                    .col(boolean("is_creation"))
                    .col(text_null("last_error"))
                    .foreign_key(
                        ForeignKey::create()
                            .name("fetch_request_source_id")
                            .from("fetch_request", "source_id")
                            .to("source", "id"),
                    )
                    .take(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("sync_run")
                    .col(big_pk_auto("id"))
                    .col(integer("source_id"))
                    .col(text("state"))
                    .col(text("cause"))
                    .col(big_integer("started_at"))
                    .col(big_integer_null("finished_at"))
                    .col(json_binary("checkpoint"))
                    .col(big_integer("pages"))
                    .col(big_integer("rows_seen"))
                    .col(big_integer_null("rows_expected"))
                    .col(text_null("error"))
                    .col(text_null("holder"))
                    .foreign_key(
                        ForeignKey::create()
                            .name("sync_run_source_id")
                            .from("sync_run", "source_id")
                            .to("source", "id"),
                    )
                    .take(),
            )
            .await?;
        create_indexes(manager, INDEXES).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_tables(manager, &["sync_run", "fetch_request", "delivery"]).await
    }
}
