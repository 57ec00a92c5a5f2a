//! What operators ask for: each request once, however often it is sent; candidates in pages.

use crate::{create_indexes, drop_tables};
use sea_orm_migration::{prelude::*, schema::*};

/// Requests by the id that the client chose for them, and candidates by run.
#[derive(DeriveMigrationName)]
pub struct Migration;

const INDEXES: &[&str] = &[
    "CREATE INDEX client_mutation_at ON client_mutation (at)",
    "CREATE INDEX deletion_candidate_run ON deletion_candidate (run_id, id)",
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
                    .table("client_mutation")
                    .col(text("asked_by"))
                    .col(text("mutation_id"))
                    .col(big_integer("run_id"))
                    .col(big_integer("at"))
                    .primary_key(Index::create().col("asked_by").col("mutation_id"))
                    .foreign_key(
                        ForeignKey::create()
                            .name("client_mutation_run_id")
                            .from("client_mutation", "run_id")
                            .to("sync_run", "id"),
                    )
                    .take(),
            )
            .await?;
        create_indexes(manager, INDEXES).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_tables(manager, &["client_mutation"]).await?;
        manager.get_connection().execute_unprepared("DROP INDEX deletion_candidate_run").await.map(drop)
    }
}
