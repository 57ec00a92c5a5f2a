//! Profile types, collections, field definitions, interests and relationship types.

use entity::{Moment, collection, field_definition, interest, metadata_part, profile_type, relationship_type};
use provider::{CollectionSeen, FieldSeen, InterestSeen, ProfileTypeSeen, UnsubscribePlace};
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{
    ActiveValue::NotSet, ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder,
};
use serde_json::{Map, Value};
use std::collections::HashMap;

/// A profile type as apply needs it.
#[derive(Clone, Debug)]
pub(crate) struct KnownType {
    /// Its row.
    pub row: profile_type::Model,
    /// Its fields, in order.
    pub fields: Vec<FieldSeen>,
}

/// What a source's metadata says, by external id. Kept by apply between batches.
#[derive(Clone, Debug, Default)]
pub(crate) struct Definitions {
    /// Profile types.
    pub types: HashMap<String, KnownType>,
    /// Collections.
    pub collections: HashMap<String, collection::Model>,
    /// Relationship types.
    pub relationship_types: HashMap<String, relationship_type::Model>,
    /// When each part of it was asked for.
    pub parts: HashMap<String, Asked>,
}

/// When an answer was asked for, and when it came: the later of two is the newer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Asked {
    /// Inbox position when it was asked for.
    pub started_at: i64,
    /// Inbox position of the answer.
    pub position: i64,
}

/// Loads a source's metadata.
pub(crate) async fn load_catalog(transaction: &impl ConnectionTrait, source_id: i32) -> Result<Definitions, DbErr> {
    let types =
        profile_type::Entity::find().filter(profile_type::Column::SourceId.eq(source_id)).all(transaction).await?;
    let collections =
        collection::Entity::find().filter(collection::Column::SourceId.eq(source_id)).all(transaction).await?;
    let relationship_types = relationship_type::Entity::find()
        .filter(relationship_type::Column::SourceId.eq(source_id))
        .all(transaction)
        .await?;
    let fields = field_definition::Entity::find()
        .filter(field_definition::Column::SourceId.eq(source_id))
        .filter(field_definition::Column::ProfileTypeId.is_not_null())
        .order_by_asc(field_definition::Column::Position)
        .all(transaction)
        .await?;
    let parts =
        metadata_part::Entity::find().filter(metadata_part::Column::SourceId.eq(source_id)).all(transaction).await?;
    let mut by_type: HashMap<i32, Vec<FieldSeen>> = HashMap::new();
    for field in fields {
        if let Some(profile_type_id) = field.profile_type_id {
            by_type.entry(profile_type_id).or_default().push(field_seen(field));
        }
    }
    Ok(Definitions {
        types: types
            .into_iter()
            .map(|row| {
                (row.external_id.clone(), KnownType { fields: by_type.remove(&row.id).unwrap_or_default(), row })
            })
            .collect(),
        collections: collections.into_iter().map(|row| (row.external_id.clone(), row)).collect(),
        relationship_types: relationship_types.into_iter().map(|row| (row.external_id.clone(), row)).collect(),
        parts: parts
            .into_iter()
            .map(|row| (row.part, Asked { started_at: row.started_at, position: row.position }))
            .collect(),
    })
}

fn field_seen(field: field_definition::Model) -> FieldSeen {
    FieldSeen {
        name: field.name,
        external_id: field.external_id,
        label: field.label,
        upstream_type: field.upstream_type,
        position: field.position,
        is_reference: field.is_reference,
    }
}

/// Makes sure that these profile types have a row; those that had none get one without metadata.
pub(crate) async fn ensure_profile_types(
    transaction: &impl ConnectionTrait,
    source_id: i32,
    now: Moment,
    external_ids: &[String],
) -> Result<Vec<profile_type::Model>, DbErr> {
    let rows = external_ids.iter().map(|external_id| profile_type::ActiveModel {
        id: NotSet,
        source_id: Set(source_id),
        external_id: Set(external_id.clone()),
        name: Set(external_id.clone()),
        kind: Set(entity::ProfileKind::Other),
        has_metadata: Set(false),
        mirrored_at: Set(now),
        ..Default::default()
    });
    let mut created = Vec::new();
    for row in rows {
        created.push(profile_type::Entity::insert(row).exec_with_returning(transaction).await?);
    }
    Ok(created)
}

/// Makes sure that these collections, each with its profile type where known, have a row.
pub(crate) async fn ensure_collections(
    transaction: &impl ConnectionTrait,
    source_id: i32,
    now: Moment,
    collections: &[(String, Option<i32>)],
) -> Result<Vec<collection::Model>, DbErr> {
    let mut created = Vec::new();
    for (external_id, profile_type_id) in collections {
        let row = collection::ActiveModel {
            id: NotSet,
            source_id: Set(source_id),
            profile_type_id: Set(*profile_type_id),
            external_id: Set(external_id.clone()),
            name: Set(external_id.clone()),
            mirrored_at: Set(now),
            ..Default::default()
        };
        created.push(collection::Entity::insert(row).exec_with_returning(transaction).await?);
    }
    Ok(created)
}

/// Writes relationship types by external id.
pub(crate) async fn ensure_relationship_types(
    transaction: &impl ConnectionTrait,
    source_id: i32,
    types: &[(String, String, Option<String>)],
) -> Result<Vec<relationship_type::Model>, DbErr> {
    use relationship_type::Column;
    let mut written = Vec::new();
    for (external_id, name, inverse_name) in types {
        let row = relationship_type::ActiveModel {
            id: NotSet,
            source_id: Set(source_id),
            external_id: Set(external_id.clone()),
            name: Set(name.clone()),
            inverse_name: Set(inverse_name.clone()),
        };
        let conflict = OnConflict::columns([Column::SourceId, Column::ExternalId])
            .update_columns([Column::Name, Column::InverseName])
            .to_owned();
        written
            .push(relationship_type::Entity::insert(row).on_conflict(conflict).exec_with_returning(transaction).await?);
    }
    Ok(written)
}

/// Writes a profile type by external id.
pub(crate) async fn write_profile_type(
    transaction: &impl ConnectionTrait,
    source_id: i32,
    now: Moment,
    seen: &ProfileTypeSeen,
    known: Option<&profile_type::Model>,
) -> Result<profile_type::Model, DbErr> {
    use profile_type::Column;
    // A delivery that lists only the fields names neither the type nor what it is about.
    let (name, kind) = match known {
        Some(known) if seen.name.is_empty() => (known.name.clone(), known.kind),
        _ if seen.name.is_empty() => (seen.external_id.clone(), entity::ProfileKind::from(seen.kind)),
        _ => (seen.name.clone(), entity::ProfileKind::from(seen.kind)),
    };
    let row = profile_type::ActiveModel {
        id: NotSet,
        source_id: Set(source_id),
        external_id: Set(seen.external_id.clone()),
        name: Set(name),
        kind: Set(kind),
        has_metadata: Set(known.is_some_and(|known| known.has_metadata) || seen.fields.is_some()),
        mirrored_at: Set(now),
        ..Default::default()
    };
    let conflict = OnConflict::columns([Column::SourceId, Column::ExternalId])
        .update_columns([Column::Name, Column::Kind, Column::HasMetadata, Column::MirroredAt])
        .to_owned();
    profile_type::Entity::insert(row).on_conflict(conflict).exec_with_returning(transaction).await
}

/// Writes a collection by external id.
pub(crate) async fn write_collection(
    transaction: &impl ConnectionTrait,
    source_id: i32,
    now: Moment,
    profile_type_id: i32,
    seen: &CollectionSeen,
) -> Result<collection::Model, DbErr> {
    use collection::Column;
    let row = collection::ActiveModel {
        id: NotSet,
        source_id: Set(source_id),
        profile_type_id: Set(Some(profile_type_id)),
        external_id: Set(seen.external_id.clone()),
        name: Set(seen.name.clone()),
        mirrored_at: Set(now),
        ..Default::default()
    };
    let conflict = OnConflict::columns([Column::SourceId, Column::ExternalId])
        .update_columns([Column::ProfileTypeId, Column::Name, Column::MirroredAt])
        .to_owned();
    collection::Entity::insert(row).on_conflict(conflict).exec_with_returning(transaction).await
}

/// Notes when the newest answer about a part of the metadata was asked for.
pub(crate) async fn note_metadata_part(
    transaction: &impl ConnectionTrait,
    source_id: i32,
    part: &str,
    asked: Asked,
) -> Result<(), DbErr> {
    use metadata_part::Column;
    let row = metadata_part::ActiveModel {
        source_id: Set(source_id),
        part: Set(part.to_owned()),
        started_at: Set(asked.started_at),
        position: Set(asked.position),
    };
    let conflict = OnConflict::columns([Column::SourceId, Column::Part])
        .update_columns([Column::StartedAt, Column::Position])
        .to_owned();
    metadata_part::Entity::insert(row).on_conflict(conflict).exec_without_returning(transaction).await.map(drop)
}

/// Writes what unsubscribing does in a profile type or collection that is known.
pub(crate) async fn write_unsubscribing(
    transaction: &impl ConnectionTrait,
    source_id: i32,
    place: &UnsubscribePlace,
    action: &str,
    fields: &Map<String, Value>,
) -> Result<(), DbErr> {
    let fields = Value::Object(fields.clone());
    match place {
        UnsubscribePlace::ProfileType(id) => {
            use profile_type::Column;
            let update = profile_type::Entity::update_many()
                .col_expr(Column::UnsubscribeAction, Expr::value(action))
                .col_expr(Column::UnsubscribeFields, Expr::value(fields));
            update.filter(Column::SourceId.eq(source_id)).filter(Column::ExternalId.eq(id)).exec(transaction).await?;
        }
        UnsubscribePlace::Collection(id) => {
            use collection::Column;
            let update = collection::Entity::update_many()
                .col_expr(Column::UnsubscribeAction, Expr::value(action))
                .col_expr(Column::UnsubscribeFields, Expr::value(fields));
            update.filter(Column::SourceId.eq(source_id)).filter(Column::ExternalId.eq(id)).exec(transaction).await?;
        }
    }
    Ok(())
}

/// Replaces the field definitions of a profile type (`Ok`) or of a collection (`Err`).
pub(crate) async fn replace_fields(
    transaction: &impl ConnectionTrait,
    source_id: i32,
    owner: Result<i32, i32>,
    fields: &[FieldSeen],
) -> Result<(), DbErr> {
    use field_definition::Column;
    let of_owner = match owner {
        Ok(profile_type_id) => Column::ProfileTypeId.eq(profile_type_id),
        Err(collection_id) => Column::CollectionId.eq(collection_id),
    };
    field_definition::Entity::delete_many().filter(of_owner).exec(transaction).await?;
    let rows: Vec<_> = fields
        .iter()
        .map(|field| field_definition::ActiveModel {
            id: NotSet,
            source_id: Set(source_id),
            profile_type_id: Set(owner.ok()),
            collection_id: Set(owner.err()),
            name: Set(field.name.clone()),
            external_id: Set(field.external_id.clone()),
            label: Set(field.label.clone()),
            upstream_type: Set(field.upstream_type.clone()),
            position: Set(field.position),
            is_reference: Set(field.is_reference),
        })
        .collect();
    for chunk in rows.chunks(super::CHUNK) {
        field_definition::Entity::insert_many(chunk.iter().cloned())
            .on_conflict_do_nothing()
            .exec_without_returning(transaction)
            .await?;
    }
    Ok(())
}

/// Replaces the interests that a profile type offers.
pub(crate) async fn replace_interests(
    transaction: &impl ConnectionTrait,
    source_id: i32,
    profile_type_id: i32,
    interests: &[InterestSeen],
) -> Result<(), DbErr> {
    interest::Entity::delete_many()
        .filter(interest::Column::ProfileTypeId.eq(profile_type_id))
        .exec(transaction)
        .await?;
    let rows: Vec<_> = interests
        .iter()
        .map(|seen| interest::ActiveModel {
            id: NotSet,
            source_id: Set(source_id),
            profile_type_id: Set(profile_type_id),
            group_name: Set(seen.group.clone().unwrap_or_default()),
            name: Set(seen.name.clone()),
        })
        .collect();
    for chunk in rows.chunks(super::CHUNK) {
        interest::Entity::insert_many(chunk.iter().cloned())
            .on_conflict_do_nothing()
            .exec_without_returning(transaction)
            .await?;
    }
    Ok(())
}
