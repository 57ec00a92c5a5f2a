//! The mirror's picture from its tables: the fast way to compare, and the one that a fault in the API cannot hide.

use crate::picture::{Content, Picture, ProfileShown};
use entity::{
    Status, collection, interest, profile, profile_interest, profile_type, relationship, relationship_type, source,
    subprofile,
};
use profile_mirror::db::Database;
use sea_orm::sea_query::Query;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The picture of a source as its rows show it. Placeholders and tombstones of children are not seen.
pub async fn picture(db: &Database, source: &str) -> Picture {
    let db = db.reader();
    let source_id = source::by_name(source).one(db).await.unwrap().expect("the source is known").id;
    let profiles = profile::Entity::find().filter(profile::Column::SourceId.eq(source_id)).all(db).await.unwrap();
    let types =
        profile_type::Entity::find().filter(profile_type::Column::SourceId.eq(source_id)).all(db).await.unwrap();
    let type_ids: HashMap<i32, String> = types.into_iter().map(|row| (row.id, row.external_id)).collect();
    let ids: HashMap<i64, String> = profiles.iter().map(|row| (row.id, row.external_id.clone())).collect();
    let mut interests = interests(db, source_id, &profiles).await;
    let mut subprofiles = subprofiles(db, source_id).await;
    let shown = profiles.into_iter().filter(|row| row.is_known).map(|row| {
        let is_gone = matches!(row.status, Status::Deleted | Status::Anonymized);
        let content = Content {
            profile_type: row.profile_type_id.map(|id| type_ids[&id].clone()).unwrap_or_default(),
            upstream_status: row.upstream_status,
            fields: values(row.fields),
            interests: interests.remove(&row.id).unwrap_or_default(),
            subprofiles: subprofiles.remove(&row.id).unwrap_or_default(),
            name: row.display_name,
            email: row.email,
        };
        let status = serde_json::to_value(row.status).unwrap().as_str().unwrap().to_uppercase();
        (row.external_id, ProfileShown { status, content: (!is_gone).then_some(content) })
    });
    Picture { profiles: shown.collect(), relationships: relationships(db, source_id, &ids).await }
}

fn values(fields: Value) -> BTreeMap<String, Value> {
    serde_json::from_value(fields).expect("fields are an object")
}

type Interests = BTreeSet<(Option<String>, String)>;

/// Interests by profile; a group that a profile does not tell is the one of its type.
async fn interests(
    db: &impl sea_orm::ConnectionTrait,
    source_id: i32,
    profiles: &[profile::Model],
) -> HashMap<i64, Interests> {
    let types: HashMap<i64, Option<i32>> = profiles.iter().map(|row| (row.id, row.profile_type_id)).collect();
    let offered = interest::Entity::find().filter(interest::Column::SourceId.eq(source_id)).all(db).await.unwrap();
    let groups: HashMap<(i32, String), String> =
        offered.into_iter().map(|row| ((row.profile_type_id, row.name), row.group_name)).collect();
    let mut found: HashMap<i64, Interests> = HashMap::new();
    let of_source = Query::select()
        .column(profile::Column::Id)
        .from(profile::Entity)
        .and_where(profile::Column::SourceId.eq(source_id))
        .take();
    let told = profile_interest::Entity::find().filter(profile_interest::Column::ProfileId.in_subquery(of_source));
    for row in told.all(db).await.unwrap() {
        let Some(Some(type_id)) = types.get(&row.profile_id) else { continue };
        let told = Some(row.group_name).filter(|group| !group.is_empty());
        let group = told.or_else(|| groups.get(&(*type_id, row.name.clone())).cloned());
        let group = group.filter(|group| !group.is_empty());
        found.entry(row.profile_id).or_default().insert((group, row.name));
    }
    found
}

type Subprofiles = BTreeMap<String, (String, BTreeMap<String, Value>)>;

async fn subprofiles(db: &impl sea_orm::ConnectionTrait, source_id: i32) -> HashMap<i64, Subprofiles> {
    let collections =
        collection::Entity::find().filter(collection::Column::SourceId.eq(source_id)).all(db).await.unwrap();
    let collections: HashMap<i32, String> = collections.into_iter().map(|row| (row.id, row.external_id)).collect();
    let mut found: HashMap<i64, Subprofiles> = HashMap::new();
    let alive = subprofile::alive().filter(subprofile::Column::SourceId.eq(source_id)).all(db).await.unwrap();
    for row in alive {
        let collection = row.collection_id.map(|id| collections[&id].clone());
        let shown = (collection.unwrap_or_default(), values(row.fields));
        found.entry(row.profile_id).or_default().insert(row.external_id, shown);
    }
    found
}

async fn relationships(
    db: &impl sea_orm::ConnectionTrait,
    source_id: i32,
    ids: &HashMap<i64, String>,
) -> BTreeSet<(String, String, String)> {
    let types = relationship_type::Entity::find()
        .filter(relationship_type::Column::SourceId.eq(source_id))
        .all(db)
        .await
        .unwrap();
    let types: HashMap<i32, String> = types.into_iter().map(|row| (row.id, row.external_id)).collect();
    let alive = relationship::alive().filter(relationship::Column::SourceId.eq(source_id)).all(db).await.unwrap();
    alive
        .into_iter()
        .map(|row| {
            let end = |id: i64| ids[&id].clone();
            (types[&row.relationship_type_id].clone(), end(row.from_profile_id), end(row.to_profile_id))
        })
        .collect()
}
