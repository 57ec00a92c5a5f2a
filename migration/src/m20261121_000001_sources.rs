//! Sources and their moving state.

use crate::{create_indexes, drop_tables};
use sea_orm_migration::{prelude::*, schema::*};

/// Sources and their moving state.
#[derive(DeriveMigrationName)]
pub struct Migration;

const INDEXES: &[&str] = &["CREATE UNIQUE INDEX source_name ON source (name)"];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table("source")
                    .col(pk_auto("id"))
                    .col(text("name"))
                    .col(text("provider"))
                    .col(big_integer("created_at"))
                    .take(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("source_state")
                    .col(integer("source_id"))
                    .col(big_integer("revision"))
                    .col(text_null("lease_holder"))
                    .col(big_integer("lease_epoch"))
                    .col(big_integer("lease_until"))
                    .col(big_integer_null("paused_at"))
                    .col(text_null("pause_reason"))
                    .col(big_integer_null("last_webhook_at"))
                    .col(big_integer_null("last_refusal_at"))
                    .col(text_null("last_refusal"))
                    .col(big_integer_null("last_applied_at"))
                    .col(big_integer_null("last_complete_sync_at"))
                    .primary_key(Index::create().col("source_id"))
                    .foreign_key(
                        ForeignKey::create()
                            .name("source_state_source_id")
                            .from("source_state", "source_id")
                            .to("source", "id"),
                    )
                    .take(),
            )
            .await?;
        create_indexes(manager, INDEXES).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_tables(manager, &["source_state", "source"]).await
    }
}
