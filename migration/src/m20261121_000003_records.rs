//! Profiles, their interests, subprofiles, relationships, lifecycle.

use crate::{create_indexes, drop_tables};
use sea_orm_migration::{prelude::*, schema::*};

/// Profiles, their interests, subprofiles, relationships, lifecycle.
#[derive(DeriveMigrationName)]
pub struct Migration;

const INDEXES: &[&str] = &[
    "CREATE UNIQUE INDEX profile_external_id ON profile (source_id, external_id)",
    "CREATE INDEX profile_of_type ON profile (profile_type_id, id)",
    "CREATE INDEX profile_email ON profile (email)",
    "CREATE INDEX profile_display_name ON profile (display_name, id)",
    "CREATE INDEX profile_modified_at ON profile (modified_at, id)",
    "CREATE INDEX profile_created_at ON profile (created_at, id)",
    "CREATE INDEX profile_lifecycle ON profile (status, id) WHERE status <> 'open'",
    "CREATE INDEX profile_interest_name ON profile_interest (name, profile_id)",
    "CREATE UNIQUE INDEX subprofile_external_id ON subprofile (source_id, external_id)",
    "CREATE INDEX subprofile_profile ON subprofile (profile_id, id)",
    "CREATE UNIQUE INDEX relationship_external_id ON relationship (source_id, external_id)",
    "CREATE INDEX relationship_from ON relationship (from_profile_id, id)",
    "CREATE INDEX relationship_to ON relationship (to_profile_id, id)",
    "CREATE INDEX lifecycle_transition_profile ON lifecycle_transition (profile_id, at, id)",
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
                    .table("profile")
                    .col(big_pk_auto("id"))
                    .col(integer("source_id"))
                    .col(text("external_id"))
                    .col(integer_null("profile_type_id"))
                    .col(boolean("is_known"))
                    .col(text("kind"))
                    .col(text_null("display_name"))
                    .col(text_null("upstream_name"))
                    .col(text_null("email"))
                    .col(text("status"))
                    .col(big_integer_null("status_since"))
                    .col(big_integer("status_position"))
                    .col(big_integer_null("scheduled_for"))
                    .col(text_null("upstream_status"))
                    .col(json_binary("fields"))
                    .col(big_integer_null("created_at"))
                    .col(big_integer_null("modified_at"))
                    .col(big_integer("mirrored_at"))
                    .col(text("version_rung"))
                    .col(big_integer("version_from"))
                    .col(big_integer("version_until"))
                    .col(big_integer("position"))
                    .col(big_integer_null("delivery_id"))
                    .col(big_integer("row_hash"))
                    .col(big_integer("revision"))
                    .foreign_key(
                        ForeignKey::create().name("profile_source_id").from("profile", "source_id").to("source", "id"),
                    )
                    .foreign_key(
                        ForeignKey::create()
                            .name("profile_profile_type_id")
                            .from("profile", "profile_type_id")
                            .to("profile_type", "id"),
                    )
                    .take(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("profile_interest")
                    .col(big_integer("profile_id"))
                    .col(text("group_name"))
                    .col(text("name"))
                    .primary_key(Index::create().col("profile_id").col("group_name").col("name"))
                    .foreign_key(
                        ForeignKey::create()
                            .name("profile_interest_profile_id")
                            .from("profile_interest", "profile_id")
                            .to("profile", "id"),
                    )
                    .take(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("subprofile")
                    .col(big_pk_auto("id"))
                    .col(integer("source_id"))
                    .col(text("external_id"))
                    .col(big_integer("profile_id"))
                    .col(integer_null("collection_id"))
                    .col(json_binary("fields"))
                    .col(big_integer_null("created_at"))
                    .col(big_integer_null("modified_at"))
                    .col(big_integer("mirrored_at"))
                    .col(big_integer_null("deleted_at"))
                    .col(text("version_rung"))
                    .col(big_integer("version_from"))
                    .col(big_integer("version_until"))
                    .col(big_integer("position"))
                    .col(big_integer_null("delivery_id"))
                    .col(big_integer("row_hash"))
                    .foreign_key(
                        ForeignKey::create()
                            .name("subprofile_source_id")
                            .from("subprofile", "source_id")
                            .to("source", "id"),
                    )
                    .foreign_key(
                        ForeignKey::create()
                            .name("subprofile_profile_id")
                            .from("subprofile", "profile_id")
                            .to("profile", "id"),
                    )
                    .foreign_key(
                        ForeignKey::create()
                            .name("subprofile_collection_id")
                            .from("subprofile", "collection_id")
                            .to("collection", "id"),
                    )
                    .take(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("relationship")
                    .col(big_pk_auto("id"))
                    .col(integer("source_id"))
                    .col(text("external_id"))
                    .col(integer("relationship_type_id"))
                    .col(big_integer("from_profile_id"))
                    .col(big_integer("to_profile_id"))
                    .col(boolean("is_derived"))
                    .col(big_integer_null("created_at"))
                    .col(big_integer_null("removed_at"))
                    .col(big_integer("position"))
                    .foreign_key(
                        ForeignKey::create()
                            .name("relationship_source_id")
                            .from("relationship", "source_id")
                            .to("source", "id"),
                    )
                    .foreign_key(
                        ForeignKey::create()
                            .name("relationship_relationship_type_id")
                            .from("relationship", "relationship_type_id")
                            .to("relationship_type", "id"),
                    )
                    .foreign_key(
                        ForeignKey::create()
                            .name("relationship_from_profile_id")
                            .from("relationship", "from_profile_id")
                            .to("profile", "id"),
                    )
                    .foreign_key(
                        ForeignKey::create()
                            .name("relationship_to_profile_id")
                            .from("relationship", "to_profile_id")
                            .to("profile", "id"),
                    )
                    .take(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("lifecycle_transition")
                    .col(big_pk_auto("id"))
                    .col(integer("source_id"))
                    .col(big_integer("profile_id"))
                    .col(text_null("from_status"))
                    .col(text("to_status"))
                    .col(big_integer("at"))
                    .col(big_integer("recorded_at"))
                    .col(big_integer_null("scheduled_for"))
                    .col(text("cause"))
                    .col(boolean("is_effective"))
                    .col(big_integer("delivery_id"))
                    .foreign_key(
                        ForeignKey::create()
                            .name("lifecycle_transition_source_id")
                            .from("lifecycle_transition", "source_id")
                            .to("source", "id"),
                    )
                    .foreign_key(
                        ForeignKey::create()
                            .name("lifecycle_transition_profile_id")
                            .from("lifecycle_transition", "profile_id")
                            .to("profile", "id"),
                    )
                    .take(),
            )
            .await?;
        create_indexes(manager, INDEXES).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_tables(manager, &["lifecycle_transition", "relationship", "subprofile", "profile_interest", "profile"])
            .await
    }
}
