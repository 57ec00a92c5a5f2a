//! Profile types whose profiles are to be derived from their fields anew.

use sea_orm_migration::{prelude::*, schema::*};

/// Profile types whose profiles are to be derived from their fields anew.
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
                    .table("derivation")
                    .col(integer("profile_type_id").primary_key())
                    .col(integer("source_id"))
                    .col(big_integer("done_profile_id"))
                    .col(big_integer("last_profile_id"))
                    .col(integer("told_anew"))
                    .col(big_integer("delivery_id"))
                    .col(text("delivery_kind"))
                    .foreign_key(
                        ForeignKey::create()
                            .name("derivation_profile_type_id")
                            .from("derivation", "profile_type_id")
                            .to("profile_type", "id"),
                    )
                    .take(),
            )
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::drop_tables(manager, &["derivation"]).await
    }
}
