//! When a run had read its lists, and the runs that read them, found at once.

use sea_orm_migration::{prelude::*, schema::*};

/// When lists were read.
#[derive(DeriveMigrationName)]
pub struct Migration;

const COLUMN: &str = "listed_at";
/// Incremental runs may be many between two of these.
const INDEX: &str = "CREATE INDEX sync_run_listing ON sync_run (source_id, id) WHERE kind = 'full'";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut column = big_integer_null(COLUMN).take();
        manager.alter_table(Table::alter().table("sync_run").add_column(&mut column).take()).await?;
        manager.get_connection().execute_unprepared(INDEX).await.map(drop)
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.get_connection().execute_unprepared("DROP INDEX sync_run_listing").await?;
        manager.alter_table(Table::alter().table("sync_run").drop_column(COLUMN).take()).await
    }
}
