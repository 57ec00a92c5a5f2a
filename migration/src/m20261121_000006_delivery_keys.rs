//! Dedupe keys on SQLite: out of the delivery's own index, into a table that is filled in sorted order.

use crate::create_indexes;
use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

/// Dedupe keys on SQLite: out of the delivery's own index, into a table that is filled in sorted order.
#[derive(DeriveMigrationName)]
pub struct Migration;

const UP: &[&str] = &[
    "CREATE TABLE delivery_key (digest blob NOT NULL PRIMARY KEY, delivery_id bigint NOT NULL) WITHOUT ROWID",
    "CREATE TABLE delivery_key_mark (id integer NOT NULL PRIMARY KEY, filed_to bigint NOT NULL)",
    "INSERT INTO delivery_key_mark (id, filed_to) VALUES (1, 0)",
    "DROP INDEX delivery_dedupe_key",
];

const DOWN: &[&str] = &[
    "CREATE UNIQUE INDEX delivery_dedupe_key ON delivery (source_id, dedupe_key)",
    "DROP TABLE delivery_key_mark",
    "DROP TABLE delivery_key",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    /// The keys of deliveries that are there already are filed by the first instance that appends.
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        match manager.get_database_backend() {
            DbBackend::Sqlite => create_indexes(manager, UP).await,
            _ => Ok(()),
        }
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        match manager.get_database_backend() {
            DbBackend::Sqlite => create_indexes(manager, DOWN).await,
            _ => Ok(()),
        }
    }
}
