//! The right of a fetch request, who paused a source, and the signs by which its health is told.

use sea_orm_migration::{prelude::*, schema::*};

/// The right of a fetch request, who paused a source, and the signs by which its health is told.
#[derive(DeriveMigrationName)]
pub struct Migration;

const COLUMNS: [&str; 6] = ["paused_by", "probe_at", "probes", "usual_gap_ms", "first_refusal_at", "refusals"];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let columns = [
            text_null("paused_by"),
            big_integer_null("probe_at"),
            integer("probes").default(0).take(),
            big_integer_null("usual_gap_ms"),
            big_integer_null("first_refusal_at"),
            big_integer("refusals").default(0).take(),
        ];
        for column in columns {
            manager.alter_table(Table::alter().table("source_state").add_column(column).take()).await?;
        }
        let purpose = text("purpose").default("live").take();
        manager.alter_table(Table::alter().table("fetch_request").add_column(purpose).take()).await?;
        crate::create_indexes(
            manager,
            &[
                "DROP INDEX fetch_request_waiting",
                "CREATE INDEX fetch_request_waiting ON fetch_request (source_id, purpose, not_before) WHERE state <> 'answered'",
            ],
        )
        .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::create_indexes(
            manager,
            &[
                "DROP INDEX fetch_request_waiting",
                "CREATE INDEX fetch_request_waiting ON fetch_request (source_id, not_before) WHERE state <> 'answered'",
            ],
        )
        .await?;
        manager.alter_table(Table::alter().table("fetch_request").drop_column("purpose").take()).await?;
        for column in COLUMNS {
            manager.alter_table(Table::alter().table("source_state").drop_column(column).take()).await?;
        }
        Ok(())
    }
}
