//! How often a run failed in a row, and how often it had to start over.

use sea_orm_migration::{prelude::*, schema::*};

/// How often a run failed.
#[derive(DeriveMigrationName)]
pub struct Migration;

const COLUMNS: [&str; 2] = ["failures", "restarts"];
/// Until now each try but the one that goes on had failed, and counted.
const COUNT: &str = "UPDATE sync_run SET failures = CASE WHEN state = 'failed' THEN attempt ELSE attempt - 1 END";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for name in COLUMNS {
            let mut column = integer(name).default(0).take();
            manager.alter_table(Table::alter().table("sync_run").add_column(&mut column).take()).await?;
        }
        manager.get_connection().execute_unprepared(COUNT).await.map(drop)
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for name in COLUMNS {
            manager.alter_table(Table::alter().table("sync_run").drop_column(name).take()).await?;
        }
        Ok(())
    }
}
