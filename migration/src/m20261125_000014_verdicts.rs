//! Verdicts no longer name a change: those of a delivery are found by it.

use sea_orm_migration::{prelude::*, schema::*};

/// Verdicts no longer name a change.
#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.alter_table(Table::alter().table("verdict").drop_column("revision").take()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.alter_table(Table::alter().table("verdict").add_column(big_integer_null("revision")).take()).await
    }
}
