//! When nobody was alive for a source for longer than its provider sends again.

use sea_orm_migration::{prelude::*, schema::*};

/// Gaps.
#[derive(DeriveMigrationName)]
pub struct Migration;

const COLUMNS: [&str; 2] = ["gap_since", "gap_until"];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for name in COLUMNS {
            manager.alter_table(Table::alter().table("source_state").add_column(big_integer_null(name)).take()).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for name in COLUMNS {
            manager.alter_table(Table::alter().table("source_state").drop_column(name).take()).await?;
        }
        Ok(())
    }
}
