//! Until when upstream has asked for no more calls.

use sea_orm_migration::{prelude::*, schema::*};

/// Pauses that upstream asks for.
#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let column = big_integer_null("throttled_until");
        manager.alter_table(Table::alter().table("source_state").add_column(column).take()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.alter_table(Table::alter().table("source_state").drop_column("throttled_until").take()).await
    }
}
