//! Runs with counts and verdicts: what their pages named, what they miss, what a plan found.

use crate::{create_indexes, drop_tables};
use sea_orm_migration::{prelude::*, schema::*};

/// Runs with counts, what their pages named, what they miss.
#[derive(DeriveMigrationName)]
pub struct Migration;

const INDEXES: &[&str] = &[
    // One run a source goes on at a time; one that waits for a person stands in nobody's way.
    "CREATE UNIQUE INDEX sync_run_under_way ON sync_run (source_id) WHERE state IN ('planned', 'running', 'sweeping')",
    "CREATE INDEX sync_run_open ON sync_run (source_id, state) WHERE state IN ('planned', 'running', 'sweeping', 'waiting_for_approval')",
    "CREATE INDEX delivery_held ON delivery (source_id, id) WHERE state = 'held'",
    "CREATE UNIQUE INDEX deletion_candidate_record ON deletion_candidate (run_id, record_kind, record_id)",
    "CREATE INDEX deletion_candidate_open ON deletion_candidate (source_id, record_kind, record_id) WHERE state IN ('quarantined', 'absent')",
];

/// Columns that runs get: each an ALTER of its own, since SQLite takes one at a time.
fn columns() -> Vec<ColumnDef> {
    vec![
        text("kind").default("full").take(),
        boolean("is_plan").default(false).take(),
        text_null("profile_type").take(),
        json_binary_null("named").take(),
        text_null("requested_by").take(),
        big_integer_null("since").take(),
        big_integer("low_position").default(0).take(),
        big_integer("last_profile_id").default(0).take(),
        big_integer("last_subprofile_id").default(0).take(),
        big_integer("pages_settled").default(0).take(),
        big_integer("pages_parked").default(0).take(),
        big_integer("created").default(0).take(),
        big_integer("updated").default(0).take(),
        big_integer("unchanged").default(0).take(),
        big_integer("conflicts").default(0).take(),
        big_integer("candidates").default(0).take(),
        big_integer("absent").default(0).take(),
        big_integer("deleted").default(0).take(),
        text_null("sweep_stage").take(),
        big_integer("sweep_after").default(0).take(),
        text_null("decided_by").take(),
        big_integer_null("decided_at").take(),
        integer("attempt").default(1).take(),
        big_integer_null("retry_at").take(),
        json_binary_null("plan").take(),
    ]
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for mut column in columns() {
            manager.alter_table(Table::alter().table("sync_run").add_column(&mut column).take()).await?;
        }
        for name in ["next_run_at", "alive_at"] {
            manager.alter_table(Table::alter().table("source_state").add_column(big_integer_null(name)).take()).await?;
        }
        manager
            .create_table(
                Table::create()
                    .table("run_page")
                    .col(big_integer("run_id"))
                    .col(big_integer("delivery_id"))
                    .col(text("stream"))
                    .col(big_integer_null("expected"))
                    .col(blob("profiles"))
                    .col(blob("subprofiles"))
                    .primary_key(Index::create().col("run_id").col("delivery_id"))
                    .foreign_key(
                        ForeignKey::create().name("run_page_run_id").from("run_page", "run_id").to("sync_run", "id"),
                    )
                    .take(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("deletion_candidate")
                    .col(big_pk_auto("id"))
                    .col(big_integer("run_id"))
                    .col(integer("source_id"))
                    .col(text("record_kind"))
                    .col(big_integer("record_id"))
                    .col(text("external_id"))
                    .col(text("state"))
                    .col(big_integer_null("delivery_id"))
                    .foreign_key(
                        ForeignKey::create()
                            .name("deletion_candidate_run_id")
                            .from("deletion_candidate", "run_id")
                            .to("sync_run", "id"),
                    )
                    .take(),
            )
            .await?;
        create_indexes(manager, INDEXES).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_tables(manager, &["deletion_candidate", "run_page"]).await?;
        manager.get_connection().execute_unprepared("DROP INDEX sync_run_under_way").await?;
        manager.get_connection().execute_unprepared("DROP INDEX sync_run_open").await?;
        manager.get_connection().execute_unprepared("DROP INDEX delivery_held").await?;
        for name in ["next_run_at", "alive_at"] {
            manager.alter_table(Table::alter().table("source_state").drop_column(name).take()).await?;
        }
        for column in columns() {
            let name = column.get_column_name();
            manager.alter_table(Table::alter().table("sync_run").drop_column(name).take()).await?;
        }
        Ok(())
    }
}
