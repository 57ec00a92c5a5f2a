//! Drift: digests of what pages showed and of what the mirror holds, sampled reads, and the records that differed.

use crate::{create_indexes, drop_tables};
use sea_orm_migration::{prelude::*, schema::*};

/// Digests of runs, sampled reads, and the records that differed.
#[derive(DeriveMigrationName)]
pub struct Migration;

const INDEXES: &[&str] = &[
    "CREATE INDEX drift_run_source ON drift_run (source_id, run_id)",
    "CREATE INDEX drift_find_source ON drift_find (source_id, found_at)",
    "CREATE INDEX drift_difference_source ON drift_difference (source_id, id)",
    "CREATE INDEX drift_difference_find ON drift_difference (find_id, profile_id) WHERE find_id IS NOT NULL",
    "CREATE INDEX drift_difference_open ON drift_difference (source_id, profile_id) WHERE repaired_at IS NULL",
    "CREATE INDEX drift_sample_asked ON drift_sample (source_id, asked_at)",
    "CREATE INDEX drift_sample_profile ON drift_sample (profile_id, asked_at)",
    "CREATE INDEX drift_sample_open ON drift_sample (source_id, id) WHERE outcome = 'asked'",
];

/// What a page showed, beside what it named.
const PAGE_COLUMNS: [&str; 2] = ["shown", "before"];

fn run_table() -> TableCreateStatement {
    Table::create()
        .table("drift_run")
        .col(big_integer("run_id").primary_key())
        .col(integer("source_id"))
        .col(big_integer_null("measured_at"))
        .col(big_integer("compared").default(0))
        .col(big_integer("differed").default(0))
        .col(big_integer("explained").default(0))
        .col(big_integer("unsettled").default(0))
        .col(big_integer("remained").default(0))
        .col(big_integer("repaired").default(0))
        .col(blob("mirror_before"))
        .col(blob("mirror_after"))
        .col(blob("upstream"))
        .foreign_key(ForeignKey::create().name("drift_run_run_id").from("drift_run", "run_id").to("sync_run", "id"))
        .take()
}

fn find_table() -> TableCreateStatement {
    Table::create()
        .table("drift_find")
        .col(big_pk_auto("id"))
        .col(integer("source_id"))
        .col(big_integer_null("run_id"))
        .col(big_integer_null("sample_id"))
        .col(big_integer("found_at"))
        .col(big_integer("records"))
        .col(blob("profiles"))
        .col(blob("owners"))
        .take()
}

fn difference_table() -> TableCreateStatement {
    Table::create()
        .table("drift_difference")
        .col(big_pk_auto("id"))
        .col(integer("source_id"))
        .col(big_integer_null("run_id"))
        .col(big_integer_null("find_id"))
        .col(big_integer("profile_id"))
        .col(text("record_kind"))
        .col(text("record_id"))
        .col(text("nature"))
        .col(text("means"))
        .col(json_binary("names"))
        .col(big_integer("found_at"))
        .col(big_integer_null("confirmed_at"))
        .col(big_integer_null("repaired_at"))
        .take()
}

fn sample_table() -> TableCreateStatement {
    Table::create()
        .table("drift_sample")
        .col(big_pk_auto("id"))
        .col(integer("source_id"))
        .col(big_integer("profile_id"))
        .col(big_integer("position"))
        .col(big_integer("asked_at"))
        .col(big_integer_null("answered_at"))
        .col(text("outcome"))
        .take()
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in [run_table(), find_table(), difference_table(), sample_table()] {
            manager.create_table(table).await?;
        }
        for name in PAGE_COLUMNS {
            manager.alter_table(Table::alter().table("run_page").add_column(blob_null(name)).take()).await?;
        }
        create_indexes(manager, INDEXES).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for name in PAGE_COLUMNS {
            manager.alter_table(Table::alter().table("run_page").drop_column(name).take()).await?;
        }
        drop_tables(manager, &["drift_sample", "drift_difference", "drift_find", "drift_run"]).await
    }
}
