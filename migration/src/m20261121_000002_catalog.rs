//! Profile types, collections, field definitions, interests, relationship types.

use crate::{create_indexes, drop_tables};
use sea_orm_migration::{prelude::*, schema::*};

/// Profile types, collections, field definitions, interests, relationship types.
#[derive(DeriveMigrationName)]
pub struct Migration;

const INDEXES: &[&str] = &[
    "CREATE UNIQUE INDEX profile_type_external_id ON profile_type (source_id, external_id)",
    "CREATE UNIQUE INDEX collection_external_id ON collection (source_id, external_id)",
    "CREATE UNIQUE INDEX field_definition_of_profile_type ON field_definition (profile_type_id, name) WHERE profile_type_id IS NOT NULL",
    "CREATE UNIQUE INDEX field_definition_of_collection ON field_definition (collection_id, name) WHERE collection_id IS NOT NULL",
    "CREATE UNIQUE INDEX interest_name ON interest (profile_type_id, group_name, name)",
    "CREATE UNIQUE INDEX relationship_type_external_id ON relationship_type (source_id, external_id)",
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
                    .table("profile_type")
                    .col(pk_auto("id"))
                    .col(integer("source_id"))
                    .col(text("external_id"))
                    .col(text("name"))
                    .col(text("kind"))
                    .col(boolean("has_metadata"))
                    .col(big_integer("mirrored_at"))
                    .foreign_key(
                        ForeignKey::create()
                            .name("profile_type_source_id")
                            .from("profile_type", "source_id")
                            .to("source", "id"),
                    )
                    .take(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("collection")
                    .col(pk_auto("id"))
                    .col(integer("source_id"))
                    .col(integer_null("profile_type_id"))
                    .col(text("external_id"))
                    .col(text("name"))
                    .col(big_integer("mirrored_at"))
                    .foreign_key(
                        ForeignKey::create()
                            .name("collection_source_id")
                            .from("collection", "source_id")
                            .to("source", "id"),
                    )
                    .foreign_key(
                        ForeignKey::create()
                            .name("collection_profile_type_id")
                            .from("collection", "profile_type_id")
                            .to("profile_type", "id"),
                    )
                    .take(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("field_definition")
                    .col(pk_auto("id"))
                    .col(integer("source_id"))
                    .col(integer_null("profile_type_id"))
                    .col(integer_null("collection_id"))
                    .col(text("name"))
                    .col(text_null("external_id"))
                    .col(text_null("label"))
                    .col(text("upstream_type"))
                    .col(integer("position"))
                    .col(boolean("is_reference"))
                    .foreign_key(
                        ForeignKey::create()
                            .name("field_definition_source_id")
                            .from("field_definition", "source_id")
                            .to("source", "id"),
                    )
                    .foreign_key(
                        ForeignKey::create()
                            .name("field_definition_profile_type_id")
                            .from("field_definition", "profile_type_id")
                            .to("profile_type", "id"),
                    )
                    .foreign_key(
                        ForeignKey::create()
                            .name("field_definition_collection_id")
                            .from("field_definition", "collection_id")
                            .to("collection", "id"),
                    )
                    .take(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("interest")
                    .col(pk_auto("id"))
                    .col(integer("source_id"))
                    .col(integer("profile_type_id"))
                    .col(text("group_name"))
                    .col(text("name"))
                    .foreign_key(
                        ForeignKey::create()
                            .name("interest_source_id")
                            .from("interest", "source_id")
                            .to("source", "id"),
                    )
                    .foreign_key(
                        ForeignKey::create()
                            .name("interest_profile_type_id")
                            .from("interest", "profile_type_id")
                            .to("profile_type", "id"),
                    )
                    .take(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("relationship_type")
                    .col(pk_auto("id"))
                    .col(integer("source_id"))
                    .col(text("external_id"))
                    .col(text("name"))
                    .col(text_null("inverse_name"))
                    .foreign_key(
                        ForeignKey::create()
                            .name("relationship_type_source_id")
                            .from("relationship_type", "source_id")
                            .to("source", "id"),
                    )
                    .take(),
            )
            .await?;
        create_indexes(manager, INDEXES).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_tables(manager, &["relationship_type", "interest", "field_definition", "collection", "profile_type"]).await
    }
}
