//! Requests of one right that are due in the same moment are carried out in the order of the news that they are for.

use sea_orm_migration::prelude::*;

/// Requests that are due in the same moment are ordered by the news that they are for.
#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::create_indexes(
            manager,
            &[
                "DROP INDEX fetch_request_waiting",
                "CREATE INDEX fetch_request_waiting ON fetch_request (source_id, purpose, not_before, wanted_position) \
                 WHERE state <> 'answered'",
            ],
        )
        .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::create_indexes(
            manager,
            &[
                "DROP INDEX fetch_request_waiting",
                "CREATE INDEX fetch_request_waiting ON fetch_request (source_id, purpose, not_before) WHERE state <> 'answered'",
            ],
        )
        .await
    }
}
