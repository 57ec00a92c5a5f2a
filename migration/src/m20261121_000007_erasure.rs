//! Receipts of erasures, who must not come back, and which deliveries name whom.

use crate::{create_indexes, drop_tables};
use sea_orm_migration::{prelude::*, schema::*};

/// Receipts of erasures, who must not come back, and which deliveries name whom.
#[derive(DeriveMigrationName)]
pub struct Migration;

const INDEXES: &[&str] = &[
    "CREATE UNIQUE INDEX erasure_profile ON erasure (profile_id)",
    "CREATE INDEX erasure_pending ON erasure (source_id, id) WHERE files_cleaned_at IS NULL",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .alter_table(Table::alter().table("change").add_column(boolean("is_erased").default(false)).take())
            .await?;
        manager.alter_table(Table::alter().table("delivery").add_column(big_integer_null("erased_at")).take()).await?;
        manager
            .create_table(
                Table::create()
                    .table("erasure")
                    .col(big_pk_auto("id"))
                    .col(integer("source_id"))
                    .col(big_integer("profile_id"))
                    .col(text("reason"))
                    .col(big_integer("at"))
                    .col(big_integer("delivery_id"))
                    .col(integer("interests"))
                    .col(integer("subprofiles"))
                    .col(integer("relationships"))
                    .col(integer("changes"))
                    .col(integer("deliveries"))
                    .col(integer("slices"))
                    .col(integer("late_deliveries"))
                    .col(big_integer_null("files_cleaned_at"))
                    .foreign_key(
                        ForeignKey::create().name("erasure_source_id").from("erasure", "source_id").to("source", "id"),
                    )
                    .foreign_key(
                        ForeignKey::create()
                            .name("erasure_profile_id")
                            .from("erasure", "profile_id")
                            .to("profile", "id"),
                    )
                    .take(),
            )
            .await?;
        // Neither names a row of another table: both may be carried over into a mirror that is built anew.
        manager
            .create_table(
                Table::create()
                    .table("suppression")
                    .col(binary("digest"))
                    .col(big_integer("at"))
                    .primary_key(Index::create().col("digest"))
                    .take(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("suppression_key")
                    .col(integer("id"))
                    .col(binary("key"))
                    .primary_key(Index::create().col("id"))
                    .take(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("delivery_names")
                    .col(integer("source_id"))
                    .col(big_integer("delivery_id"))
                    .col(blob("names"))
                    .primary_key(Index::create().col("source_id").col("delivery_id"))
                    .take(),
            )
            .await?;
        create_indexes(manager, INDEXES).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_tables(manager, &["delivery_names", "suppression_key", "suppression", "erasure"]).await?;
        manager.alter_table(Table::alter().table("delivery").drop_column("erased_at").take()).await?;
        manager.alter_table(Table::alter().table("change").drop_column("is_erased").take()).await
    }
}
