//! Verdicts and the change log.

use crate::{create_indexes, drop_tables};
use sea_orm_migration::{prelude::*, schema::*};

/// Verdicts and the change log.
#[derive(DeriveMigrationName)]
pub struct Migration;

const INDEXES: &[&str] = &[
    "CREATE INDEX verdict_profile ON verdict (profile_id, id)",
    "CREATE INDEX verdict_delivery ON verdict (delivery_id)",
    "CREATE INDEX change_profile ON change (profile_id, revision)",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table("verdict")
                    .col(big_pk_auto("id"))
                    .col(integer("source_id"))
                    .col(big_integer("delivery_id"))
                    .col(big_integer_null("profile_id"))
                    .col(text("record_kind"))
                    .col(text("record_id"))
                    .col(text("decision"))
                    .col(text("rule"))
                    .col(text_null("observed_version"))
                    .col(text_null("stored_version"))
                    .col(big_integer("at"))
                    .col(big_integer_null("revision"))
                    .take(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("change")
                    .col(integer("source_id"))
                    .col(big_integer("revision"))
                    .col(text("kind"))
                    .col(big_integer("profile_id"))
                    .col(text("record_kind"))
                    .col(text("record_id"))
                    .col(big_integer("at"))
                    .col(big_integer_null("upstream_at"))
                    .col(json_binary("fields"))
                    .col(big_integer("delivery_id"))
                    .col(text("cause"))
                    .primary_key(Index::create().col("source_id").col("revision"))
                    .take(),
            )
            .await?;
        create_indexes(manager, INDEXES).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_tables(manager, &["change", "verdict"]).await
    }
}
