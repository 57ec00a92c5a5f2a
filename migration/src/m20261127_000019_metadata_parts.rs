//! When each part of a source's metadata was asked for.

use sea_orm_migration::{prelude::*, schema::*};

/// When each part of a source's metadata was asked for.
#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table("metadata_part")
                    .col(integer("source_id"))
                    .col(text("part"))
                    .col(big_integer("started_at"))
                    .col(big_integer("position"))
                    .primary_key(Index::create().col("source_id").col("part"))
                    .foreign_key(
                        ForeignKey::create()
                            .name("metadata_part_source_id")
                            .from("metadata_part", "source_id")
                            .to("source", "id"),
                    )
                    .take(),
            )
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::drop_tables(manager, &["metadata_part"]).await
    }
}
