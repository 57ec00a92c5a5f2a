//! A mirror whose rows are put in directly, and what a reader finds in it.

use crate::support::place::TestDatabase;
use entity::*;
use profile_mirror::db::Database;
use profile_mirror::mirror::read::{Limit, Order, Page, Predicate, Reader};
use sea_orm::{ActiveModelTrait, ActiveValue::NotSet, ActiveValue::Set, EntityTrait, IntoActiveModel};
use serde_json::{Value, json};

/// 2026-01-01T00:00:00Z
pub const NEW_YEAR: Moment = Moment(1_767_225_600_000);

pub struct Mirror {
    pub db: Database,
    pub reader: Reader,
    pub source_id: i32,
}

impl Mirror {
    /// An empty mirror of one source, `crm`.
    pub async fn new(database: &TestDatabase) -> Self {
        let db = database.connect().await;
        let mut mirror = Self { reader: Reader::new(db.clone()), db, source_id: 0 };
        mirror.source_id = mirror.source("crm").await;
        mirror
    }

    /// One more source.
    pub async fn source(&self, name: &str) -> i32 {
        let row = source::ActiveModel {
            id: NotSet,
            name: Set(name.to_owned()),
            provider: Set("parallel".to_owned()),
            created_at: Set(NEW_YEAR),
        };
        row.insert(self.db.writer()).await.unwrap().id
    }

    /// A profile type of its source.
    pub async fn profile_type(&self, name: &str) -> i32 {
        let row = profile_type::ActiveModel {
            source_id: Set(self.source_id),
            external_id: Set(format!("id of {name}")),
            name: Set(name.to_owned()),
            kind: Set(ProfileKind::Individual),
            has_metadata: Set(true),
            mirrored_at: Set(NEW_YEAR),
            ..Default::default()
        };
        row.insert(self.db.writer()).await.unwrap().id
    }

    /// A row that is known and open, with these fields.
    pub fn row(&self, external_id: &str, fields: Value) -> profile::Model {
        profile::Model {
            id: 0,
            source_id: self.source_id,
            external_id: external_id.to_owned(),
            profile_type_id: None,
            is_known: true,
            kind: ProfileKind::Individual,
            display_name: None,
            upstream_name: None,
            email: None,
            status: Status::Open,
            status_since: None,
            status_position: 0,
            scheduled_for: None,
            upstream_status: None,
            fields,
            created_at: None,
            modified_at: None,
            mirrored_at: NEW_YEAR,
            version_rung: VersionRung::EventTime,
            version_from: 0,
            version_until: 0,
            position: 0,
            delivery_id: None,
            row_hash: 0,
            revision: 0,
        }
    }

    /// Puts a row in; the row with its id.
    pub async fn put(&self, row: profile::Model) -> profile::Model {
        let mut row = row.into_active_model();
        row.id = NotSet;
        row.insert(self.db.writer()).await.unwrap()
    }

    /// Puts many rows in.
    pub async fn put_all(&self, rows: impl IntoIterator<Item = profile::Model>) {
        let rows: Vec<_> = rows.into_iter().collect();
        for chunk in rows.chunks(200) {
            let rows = chunk.iter().cloned().map(|row| {
                let mut row = row.into_active_model();
                row.id = NotSet;
                row
            });
            profile::Entity::insert_many(rows).exec(self.db.writer()).await.unwrap();
        }
    }

    pub async fn interest(&self, profile_id: i64, name: &str) {
        let row = profile_interest::Model { profile_id, group_name: String::new(), name: name.to_owned() };
        profile_interest::Entity::insert(row.into_active_model()).exec(self.db.writer()).await.unwrap();
    }

    pub async fn collection(&self, name: &str) -> i32 {
        let row = collection::ActiveModel {
            source_id: Set(self.source_id),
            profile_type_id: Set(None),
            external_id: Set(format!("id of {name}")),
            name: Set(name.to_owned()),
            mirrored_at: Set(NEW_YEAR),
            ..Default::default()
        };
        row.insert(self.db.writer()).await.unwrap().id
    }

    pub async fn subprofile(&self, profile_id: i64, collection_id: i32, external_id: &str, fields: Value) {
        let row = subprofile::ActiveModel {
            id: NotSet,
            source_id: Set(self.source_id),
            external_id: Set(external_id.to_owned()),
            profile_id: Set(profile_id),
            collection_id: Set(Some(collection_id)),
            fields: Set(fields),
            created_at: Set(None),
            modified_at: Set(None),
            mirrored_at: Set(NEW_YEAR),
            deleted_at: Set(None),
            version_rung: Set(VersionRung::EventTime),
            version_from: Set(0),
            version_until: Set(0),
            position: Set(0),
            delivery_id: Set(None),
            row_hash: Set(0),
        };
        row.insert(self.db.writer()).await.unwrap();
    }

    pub async fn relationship(&self, kind: &str, from: i64, to: i64) {
        let row = relationship_type::ActiveModel {
            source_id: Set(self.source_id),
            external_id: Set(format!("{kind} {from} {to}")),
            name: Set(kind.to_owned()),
            inverse_name: Set(Some(format!("{kind} by"))),
            ..Default::default()
        };
        let kind_id = row.insert(self.db.writer()).await.unwrap().id;
        let row = relationship::ActiveModel {
            id: NotSet,
            source_id: Set(self.source_id),
            external_id: Set(format!("{kind} {from} {to}")),
            relationship_type_id: Set(kind_id),
            from_profile_id: Set(from),
            to_profile_id: Set(to),
            is_derived: Set(false),
            created_at: Set(None),
            removed_at: Set(None),
            position: Set(0),
        };
        row.insert(self.db.writer()).await.unwrap();
    }

    /// External ids of those that pass, in the order.
    pub async fn ids(&self, predicate: &Predicate, order: &[Order]) -> Vec<String> {
        let page = Page { limit: Limit::First(100), after: None, before: None };
        let found = self.reader.profiles(Some(predicate), order, &page).await.unwrap();
        found.rows.into_iter().map(|row| row.external_id).collect()
    }
}

/// A scored value, as GetProfile writes it.
pub fn scored(value: impl Into<Value>) -> Value {
    json!({ "value": value.into(), "confidence": 0.5 })
}
