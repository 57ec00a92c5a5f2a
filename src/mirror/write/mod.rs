//! Statements that write the mirror. Called by apply only, inside its transaction.
//!
//! In: rows that apply has decided on. Out: their ids. Every function takes the transaction and works
//! on many rows at once, in chunks below both databases' limits on bound values. Deliberately absent:
//! any decision, any read that is not needed to write.

use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveModelTrait, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, IntoActiveModel, Iterable};

mod catalog;
mod journal;
mod profiles;
mod relationships;
mod requests;
mod subprofiles;

pub(crate) use catalog::{
    Definitions, KnownType, ensure_collections, ensure_profile_types, ensure_relationship_types, load_catalog,
    replace_fields, replace_interests, write_collection, write_profile_type,
};
pub(crate) use journal::{advance_revision, write_changes, write_transitions, write_verdicts};
pub(crate) use profiles::{
    load_interests, load_profiles, load_profiles_by_id, load_profiles_of_type, write_interests, write_placeholders,
    write_profiles,
};
pub(crate) use relationships::{RelationshipsOf, load_relationships, write_relationships};
pub(crate) use requests::{Again, Wish, cancel_requests, load_requests, settle_requests, target_key, write_wishes};
pub(crate) use subprofiles::{load_subprofiles, write_subprofiles};

/// Rows in one statement: below the databases' limits on bound values for every table here, and in
/// the range where both are fastest.
const CHUNK: usize = 400;

/// Inserts rows in chunks. `key` is left to the database where the table makes its own.
async fn insert_rows<E>(
    transaction: &impl ConnectionTrait,
    rows: Vec<E::Model>,
    key: Option<E::Column>,
    conflict: Option<OnConflict>,
) -> Result<(), DbErr>
where
    E: EntityTrait,
    E::Model: IntoActiveModel<E::ActiveModel>,
    E::ActiveModel: ActiveModelTrait<Entity = E>,
{
    let mut rows = rows.into_iter().peekable();
    while rows.peek().is_some() {
        let chunk = rows.by_ref().take(CHUNK).map(|row| fresh::<E>(row, key));
        let mut insert = E::insert_many(chunk);
        if let Some(conflict) = &conflict {
            insert = insert.on_conflict(conflict.clone());
        }
        insert.exec_without_returning(transaction).await?;
    }
    Ok(())
}

/// A row with every column set but its key.
fn fresh<E>(row: E::Model, key: Option<E::Column>) -> E::ActiveModel
where
    E: EntityTrait,
    E::Model: IntoActiveModel<E::ActiveModel>,
    E::ActiveModel: ActiveModelTrait<Entity = E>,
{
    let mut row = row.into_active_model().reset_all();
    if let Some(key) = key {
        row.not_set(key);
    }
    row
}

/// On a known pair of source and external id, everything else is taken from the new row.
fn replace_by_external_id<C: ColumnTrait + Iterable>(id: C, source_id: C, external_id: C) -> OnConflict {
    let kept = [id, source_id, external_id].map(|column| column.as_str().to_owned());
    let updated = C::iter().filter(|column| !kept.iter().any(|kept| kept == column.as_str()));
    OnConflict::columns([source_id, external_id]).update_columns(updated).to_owned()
}
