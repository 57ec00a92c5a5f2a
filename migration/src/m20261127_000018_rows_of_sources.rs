//! The rows of a source in the order of their ids, in which the sweep looks at them.

use sea_orm_migration::prelude::*;

/// Profiles and subprofiles of a source are found in the order of their ids, by statements that ask for `id > 0`: to SQLite, which has
/// no statistics, the index would look as good for a page of an e-mail address as that of addresses.
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
                "CREATE INDEX profile_of_source ON profile (source_id, id) WHERE id > 0",
                "CREATE INDEX subprofile_of_source ON subprofile (source_id, id) WHERE id > 0",
            ],
        )
        .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::create_indexes(manager, &["DROP INDEX profile_of_source", "DROP INDEX subprofile_of_source"]).await
    }
}
