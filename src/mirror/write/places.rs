//! Where records belong, by external id: the profile type of a profile, the collection of a subprofile.

use super::CHUNK;
use super::requests::Wish;
use crate::mirror::padded;
use entity::{collection, profile, profile_type, subprofile};
use provider::Target;
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QuerySelect};
use std::collections::HashMap;

/// Says of each wish where the record belongs, as far as the mirror knows.
pub(crate) async fn locate_wishes(
    connection: &impl ConnectionTrait,
    source_id: i32,
    wishes: &mut [Wish],
) -> Result<(), DbErr> {
    let (mut profiles, mut subprofiles) = (Vec::new(), Vec::new());
    for wish in &*wishes {
        match &wish.target {
            Target::Profile { id } => profiles.push(id.clone()),
            Target::Subprofile { id } => subprofiles.push(id.clone()),
            Target::Metadata { .. } | Target::Ids { .. } => {}
        }
    }
    let profiles = types_of(connection, source_id, &profiles).await?;
    let subprofiles = collections_of(connection, source_id, &subprofiles).await?;
    for wish in wishes {
        wish.within = match &wish.target {
            Target::Profile { id } => profiles.get(id).cloned(),
            Target::Subprofile { id } => subprofiles.get(id).cloned(),
            Target::Metadata { .. } | Target::Ids { .. } => None,
        };
    }
    Ok(())
}

async fn types_of(
    connection: &impl ConnectionTrait,
    source_id: i32,
    profiles: &[String],
) -> Result<HashMap<String, String>, DbErr> {
    use profile::Column;
    let mut rows: Vec<(String, Option<i32>)> = Vec::with_capacity(profiles.len());
    for chunk in profiles.chunks(CHUNK) {
        let named = profile::by_external_ids(source_id, &padded(chunk)).select_only();
        let named = named.columns([Column::ExternalId, Column::ProfileTypeId]).into_tuple();
        rows.extend(named.all(connection).await?);
    }
    if rows.is_empty() {
        return Ok(HashMap::new());
    }
    let places = profile_type::Entity::find().filter(profile_type::Column::SourceId.eq(source_id)).select_only();
    let places = places.columns([profile_type::Column::Id, profile_type::Column::ExternalId]).into_tuple();
    Ok(joined(rows, places.all(connection).await?))
}

async fn collections_of(
    connection: &impl ConnectionTrait,
    source_id: i32,
    subprofiles: &[String],
) -> Result<HashMap<String, String>, DbErr> {
    use subprofile::Column;
    let mut rows: Vec<(String, Option<i32>)> = Vec::with_capacity(subprofiles.len());
    for chunk in subprofiles.chunks(CHUNK) {
        let named = subprofile::by_external_ids(source_id, &padded(chunk)).select_only();
        let named = named.columns([Column::ExternalId, Column::CollectionId]).into_tuple();
        rows.extend(named.all(connection).await?);
    }
    if rows.is_empty() {
        return Ok(HashMap::new());
    }
    let places = collection::Entity::find().filter(collection::Column::SourceId.eq(source_id)).select_only();
    let places = places.columns([collection::Column::Id, collection::Column::ExternalId]).into_tuple();
    Ok(joined(rows, places.all(connection).await?))
}

fn joined(rows: Vec<(String, Option<i32>)>, places: Vec<(i32, String)>) -> HashMap<String, String> {
    let places: HashMap<i32, String> = places.into_iter().collect();
    rows.into_iter().filter_map(|(record, place)| Some((record, places.get(&place?)?.clone()))).collect()
}
