//! A mirror of made-up people, put straight into a migrated database: the same rows for the same number.

use anyhow::Context;
use entity::{
    Moment, ProfileKind, Status, VersionRung, collection, field_definition, profile, profile_type, relationship,
    relationship_type, source, source_state, subprofile,
};
use profile_mirror::db::{self, Database, Dialect};
use sea_orm::ActiveValue::Set;
use sea_orm::{ActiveModelTrait, ConnectionTrait, EntityTrait, IntoActiveModel};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Name of the source.
pub const SOURCE: &str = "marketing";
const AT: Moment = Moment(1_767_225_600_000);
/// Rows of one statement.
const ROWS: u64 = 500;

/// Fields of a person with the provider's words for their types, in order.
pub const FIELDS: [(&str, &str); 12] = [
    ("first_name", "text"),
    ("last_name", "text"),
    ("email", "email"),
    ("company", "text"),
    ("job_title", "text"),
    ("street", "text"),
    ("city", "text"),
    ("country", "select"),
    ("birthdate", "date"),
    ("phone", "phone"),
    ("points", "integer"),
    ("newsletter", "select"),
];

/// Fields of an order.
pub const ORDER_FIELDS: [(&str, &str); 4] =
    [("order_number", "text"), ("product", "text"), ("amount", "float"), ("placed_at", "datetime")];

/// Where the database lies.
pub fn database(folder: &Path) -> PathBuf {
    folder.join("mirror.db")
}

/// The upstream id of a person.
pub fn external_id(number: u64) -> String {
    (100_000 + number).to_string()
}

/// The e-mail address of a person.
pub fn email(number: u64) -> String {
    format!("person.{number}@example.com")
}

/// Writes so many profiles of 12 fields, each with 2 subprofiles, and a relationship for every second one.
pub fn write(url: &str, profiles: u64) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let db = db::connect(url, None).await?;
        db.migrate().await?;
        let catalog = write_catalog(&db).await?;
        let mut first = 1;
        while first <= profiles {
            let numbers = first..(first + ROWS).min(profiles + 1);
            write_people(&db, &catalog, numbers).await?;
            first += ROWS;
        }
        if db.dialect() == Dialect::Postgres {
            // A server does so by itself after a minute; that of the benches does not.
            db.writer().execute_unprepared("ANALYZE").await?;
        }
        db.close().await.context("close the database")
    })
}

/// Row ids that people refer to.
struct Catalog {
    source_id: i32,
    type_id: i32,
    collection_id: i32,
    relationship_type_id: i32,
}

async fn write_catalog(db: &Database) -> anyhow::Result<Catalog> {
    let writer = db.writer();
    let source = source::ActiveModel {
        name: Set(SOURCE.to_owned()),
        provider: Set("copernica".to_owned()),
        created_at: Set(AT),
        ..Default::default()
    };
    let source_id = source.insert(writer).await?.id;
    let state = source_state::ActiveModel {
        source_id: Set(source_id),
        revision: Set(0),
        lease_epoch: Set(0),
        lease_until: Set(AT),
        probes: Set(0),
        refusals: Set(0),
        ..Default::default()
    };
    source_state::Entity::insert(state).exec_without_returning(writer).await?;
    let profile_type = profile_type::ActiveModel {
        source_id: Set(source_id),
        external_id: Set("7".to_owned()),
        name: Set("people".to_owned()),
        kind: Set(ProfileKind::Individual),
        has_metadata: Set(true),
        mirrored_at: Set(AT),
        ..Default::default()
    };
    let type_id = profile_type.insert(writer).await?.id;
    let orders = collection::ActiveModel {
        source_id: Set(source_id),
        profile_type_id: Set(Some(type_id)),
        external_id: Set("70".to_owned()),
        name: Set("orders".to_owned()),
        mirrored_at: Set(AT),
        ..Default::default()
    };
    let collection_id = orders.insert(writer).await?.id;
    let knows = relationship_type::ActiveModel {
        source_id: Set(source_id),
        external_id: Set("knows".to_owned()),
        name: Set("knows".to_owned()),
        inverse_name: Set(None),
        ..Default::default()
    };
    let relationship_type_id = knows.insert(writer).await?.id;
    let definition = |(position, (name, kind)): (usize, &(&str, &str)), of_type: Option<i32>, of: Option<i32>| {
        field_definition::ActiveModel {
            source_id: Set(source_id),
            profile_type_id: Set(of_type),
            collection_id: Set(of),
            name: Set((*name).to_owned()),
            external_id: Set(None),
            label: Set(None),
            upstream_type: Set((*kind).to_owned()),
            position: Set(i32::try_from(position).unwrap_or_default()),
            is_reference: Set(false),
            ..Default::default()
        }
    };
    let of_people = FIELDS.iter().enumerate().map(|field| definition(field, Some(type_id), None));
    let of_orders = ORDER_FIELDS.iter().enumerate().map(|field| definition(field, None, Some(collection_id)));
    field_definition::Entity::insert_many(of_people.chain(of_orders)).exec_without_returning(writer).await?;
    Ok(Catalog { source_id, type_id, collection_id, relationship_type_id })
}

async fn write_people(db: &Database, catalog: &Catalog, numbers: std::ops::Range<u64>) -> anyhow::Result<()> {
    let transaction = db.begin().await?;
    let people = numbers.clone().map(|number| person(catalog, number).into_active_model());
    profile::Entity::insert_many(people).exec_without_returning(&transaction).await?;
    let orders = numbers.clone().flat_map(|number| (0..2).map(move |place| (number, place)));
    let orders = orders.map(|(number, place)| order(catalog, number, place).into_active_model());
    subprofile::Entity::insert_many(orders).exec_without_returning(&transaction).await?;
    let friends = numbers.filter(|number| number % 2 == 0).map(|number| relationship::ActiveModel {
        source_id: Set(catalog.source_id),
        external_id: Set(format!("knows-{number}")),
        relationship_type_id: Set(catalog.relationship_type_id),
        from_profile_id: Set(number.cast_signed()),
        to_profile_id: Set(number.cast_signed() - 1),
        is_derived: Set(false),
        created_at: Set(None),
        removed_at: Set(None),
        position: Set(0),
        ..Default::default()
    });
    relationship::Entity::insert_many(friends).exec_without_returning(&transaction).await?;
    transaction.commit().await?;
    Ok(())
}

fn person(catalog: &Catalog, number: u64) -> profile::Model {
    let pick = |words: &[&str], step: u64| words[(number / step) as usize % words.len()].to_owned();
    let first_name = pick(&["Anna", "Bram", "Carla", "Daan", "Eva", "Finn", "Greta"], 1);
    let last_name = format!("{} {number}", pick(&["Jansen", "de Vries", "Bakker", "Visser", "Smit"], 7));
    profile::Model {
        id: number.cast_signed(),
        source_id: catalog.source_id,
        external_id: external_id(number),
        profile_type_id: Some(catalog.type_id),
        is_known: true,
        kind: ProfileKind::Individual,
        display_name: Some(format!("{first_name} {last_name}")),
        upstream_name: None,
        email: Some(email(number)),
        status: Status::Open,
        status_since: None,
        status_position: 0,
        scheduled_for: None,
        upstream_status: None,
        fields: json!({
            "first_name": first_name, "last_name": last_name, "email": email(number),
            "company": format!("{} B.V.", pick(&["Noord", "Zuid", "Oost", "West"], 3)),
            "job_title": pick(&["engineer", "nurse", "teacher", "baker", "pilot"], 11),
            "street": format!("Kerkstraat {}", number % 300),
            "city": pick(&["Amsterdam", "Delft", "Utrecht", "Zwolle", "Gouda", "Breda"], 5),
            "country": pick(&["NL", "BE", "DE"], 13),
            "birthdate": format!("19{:02}-{:02}-{:02}", 50 + number % 50, 1 + number % 12, 1 + number % 28),
            "phone": format!("+3161{:07}", number),
            "points": (number % 10_000).to_string(),
            "newsletter": pick(&["yes", "no"], 2),
        }),
        created_at: Some(AT),
        modified_at: Some(AT.plus_ms(number.cast_signed())),
        mirrored_at: AT,
        version_rung: VersionRung::UpstreamModified,
        version_from: AT.0,
        version_until: AT.0,
        position: 0,
        delivery_id: None,
        row_hash: 0,
        revision: 0,
    }
}

fn order(catalog: &Catalog, number: u64, place: u64) -> subprofile::Model {
    let product = ["lamp", "chair", "table", "carpet"][(number + place) as usize % 4];
    subprofile::Model {
        id: (number * 2 + place).cast_signed(),
        source_id: catalog.source_id,
        external_id: format!("{}{place}", external_id(number)),
        profile_id: number.cast_signed(),
        collection_id: Some(catalog.collection_id),
        fields: json!({
            "order_number": format!("2026-{number}-{place}"), "product": product,
            "amount": format!("{}.50", number % 500),
            "placed_at": format!("2026-01-{:02} 12:00:00", 1 + number % 28),
        }),
        created_at: Some(AT),
        modified_at: Some(AT),
        mirrored_at: AT,
        deleted_at: None,
        version_rung: VersionRung::UpstreamModified,
        version_from: AT.0,
        version_until: AT.0,
        position: 0,
        delivery_id: None,
        row_hash: 0,
    }
}
