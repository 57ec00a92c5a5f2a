//! The words of profiles, for search. The words are made by apply; the indexes over them follow by themselves.

use crate::create_indexes;
use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

/// The words of profiles, for search. The words are made by apply; the indexes over them follow by themselves.
#[derive(DeriveMigrationName)]
pub struct Migration;

/// Without `secure-delete` FTS5 keeps deleted words in its segments until they are merged.
const SQLITE: &[&str] = &[
    "CREATE TABLE profile_search (profile_id integer NOT NULL PRIMARY KEY, revision bigint NOT NULL, \
     name text NOT NULL, words text NOT NULL, \
     CONSTRAINT profile_search_profile_id FOREIGN KEY (profile_id) REFERENCES profile (id))",
    "CREATE VIRTUAL TABLE profile_words USING fts5(words, content='profile_search', content_rowid='profile_id', \
     tokenize=\"unicode61 remove_diacritics 0\")",
    "INSERT INTO profile_words (profile_words, rank) VALUES ('secure-delete', 1)",
    "CREATE TRIGGER profile_search_inserted AFTER INSERT ON profile_search BEGIN \
     INSERT INTO profile_words (rowid, words) VALUES (new.profile_id, new.words); END",
    "CREATE TRIGGER profile_search_deleted AFTER DELETE ON profile_search BEGIN \
     INSERT INTO profile_words (profile_words, rowid, words) VALUES ('delete', old.profile_id, old.words); END",
    "CREATE TRIGGER profile_search_updated AFTER UPDATE ON profile_search WHEN old.words <> new.words BEGIN \
     INSERT INTO profile_words (profile_words, rowid, words) VALUES ('delete', old.profile_id, old.words); \
     INSERT INTO profile_words (rowid, words) VALUES (new.profile_id, new.words); END",
];

/// No pending list (`fastupdate`): what is erased must not wait in it.
const POSTGRES: &[&str] = &[
    "CREATE TABLE profile_search (profile_id bigint NOT NULL PRIMARY KEY, revision bigint NOT NULL, \
     name text NOT NULL, words text NOT NULL, \
     CONSTRAINT profile_search_profile_id FOREIGN KEY (profile_id) REFERENCES profile (id))",
    "CREATE INDEX profile_search_words ON profile_search \
     USING gin (array_to_tsvector(string_to_array(words, ' '))) WITH (fastupdate = off)",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        match manager.get_database_backend() {
            DbBackend::Sqlite => create_indexes(manager, SQLITE).await,
            _ => create_indexes(manager, POSTGRES).await,
        }
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if manager.get_database_backend() == DbBackend::Sqlite {
            create_indexes(manager, &["DROP TABLE profile_words"]).await?;
        }
        create_indexes(manager, &["DROP TABLE profile_search"]).await
    }
}
