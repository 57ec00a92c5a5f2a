//! Names, addresses and ids sort alike on both databases, and are found by how they start.

use crate::create_indexes;
use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

/// Names, addresses and ids sort alike on both databases, and are found by how they start.
#[derive(DeriveMigrationName)]
pub struct Migration;

const COLUMNS: [&str; 3] = ["display_name", "email", "external_id"];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        match manager.get_database_backend() {
            DbBackend::Sqlite => {
                create_indexes(
                    manager,
                    &[
                        "CREATE INDEX profile_display_name_folded ON profile (lower(display_name), id)",
                        "CREATE INDEX profile_email_folded ON profile (lower(email), id)",
                    ],
                )
                .await
            }
            _ => {
                for column in COLUMNS {
                    let alter = format!("ALTER TABLE profile ALTER COLUMN {column} TYPE text COLLATE \"C\"");
                    manager.get_connection().execute_unprepared(&alter).await?;
                }
                create_indexes(
                    manager,
                    &[
                        "CREATE INDEX profile_display_name_folded ON profile (lower(display_name COLLATE \"C\"), id)",
                        "CREATE INDEX profile_email_folded ON profile (lower(email COLLATE \"C\"), id)",
                    ],
                )
                .await
            }
        }
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        create_indexes(manager, &["DROP INDEX profile_display_name_folded", "DROP INDEX profile_email_folded"]).await?;
        if manager.get_database_backend() == DbBackend::Postgres {
            for column in COLUMNS {
                let alter = format!("ALTER TABLE profile ALTER COLUMN {column} TYPE text COLLATE \"default\"");
                manager.get_connection().execute_unprepared(&alter).await?;
            }
        }
        Ok(())
    }
}
