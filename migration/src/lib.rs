//! The database schema as sea-orm migrations, the same for SQLite and PostgreSQL.
//!
//! Expand first, contract in a later release: while instances of two versions share a database,
//! both must work. One file a step; a step never changes once it is released.

use sea_orm_migration::prelude::*;

mod m20261121_000001_sources;
mod m20261121_000002_catalog;
mod m20261121_000003_records;
mod m20261121_000004_inbox;
mod m20261121_000005_log;
mod m20261121_000006_delivery_keys;
mod m20261121_000007_erasure;
mod m20261121_000008_budget;
mod m20261121_000009_runs;
mod m20261121_000010_operations;
mod m20261121_000011_drift;
mod m20261125_000012_text_order;
mod m20261125_000013_search;
mod m20261125_000014_verdicts;
mod m20261125_000015_gaps;
mod m20261125_000016_unsubscribing;
mod m20261126_000017_request_order;
mod m20261127_000018_rows_of_sources;
mod m20261127_000019_metadata_parts;
mod m20261127_000020_throttling;
mod m20261127_000021_run_failures;
mod m20261127_000022_derivations;
mod m20261127_000023_listed_at;

pub use sea_orm_migration::prelude::MigratorTrait;

/// Brings a database up to this version.
pub struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261121_000001_sources::Migration),
            Box::new(m20261121_000002_catalog::Migration),
            Box::new(m20261121_000003_records::Migration),
            Box::new(m20261121_000004_inbox::Migration),
            Box::new(m20261121_000005_log::Migration),
            Box::new(m20261121_000006_delivery_keys::Migration),
            Box::new(m20261121_000007_erasure::Migration),
            Box::new(m20261121_000008_budget::Migration),
            Box::new(m20261121_000009_runs::Migration),
            Box::new(m20261121_000010_operations::Migration),
            Box::new(m20261121_000011_drift::Migration),
            Box::new(m20261125_000012_text_order::Migration),
            Box::new(m20261125_000013_search::Migration),
            Box::new(m20261125_000014_verdicts::Migration),
            Box::new(m20261125_000015_gaps::Migration),
            Box::new(m20261125_000016_unsubscribing::Migration),
            Box::new(m20261126_000017_request_order::Migration),
            Box::new(m20261127_000018_rows_of_sources::Migration),
            Box::new(m20261127_000019_metadata_parts::Migration),
            Box::new(m20261127_000020_throttling::Migration),
            Box::new(m20261127_000021_run_failures::Migration),
            Box::new(m20261127_000022_derivations::Migration),
            Box::new(m20261127_000023_listed_at::Migration),
        ]
    }
}

/// Indexes are written as statements: partial ones read the same on both databases, and the builder has none.
async fn create_indexes(manager: &SchemaManager<'_>, statements: &[&str]) -> Result<(), DbErr> {
    for statement in statements {
        manager.get_connection().execute_unprepared(statement).await?;
    }
    Ok(())
}

/// Drops tables in this order.
async fn drop_tables(manager: &SchemaManager<'_>, names: &[&'static str]) -> Result<(), DbErr> {
    for name in names {
        manager.drop_table(Table::drop().table(*name).take()).await?;
    }
    Ok(())
}
