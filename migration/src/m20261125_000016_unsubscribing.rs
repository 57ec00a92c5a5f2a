//! What unsubscribing does in a profile type or collection.

use sea_orm_migration::{prelude::*, schema::*};

/// What unsubscribing does.
#[derive(DeriveMigrationName)]
pub struct Migration;

const TABLES: [&str; 2] = ["profile_type", "collection"];

fn columns() -> [ColumnDef; 2] {
    [text_null("unsubscribe_action").take(), json_binary_null("unsubscribe_fields").take()]
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in TABLES {
            for mut column in columns() {
                manager.alter_table(Table::alter().table(table).add_column(&mut column).take()).await?;
            }
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in TABLES {
            for column in columns() {
                let name = column.get_column_name();
                manager.alter_table(Table::alter().table(table).drop_column(name).take()).await?;
            }
        }
        Ok(())
    }
}
